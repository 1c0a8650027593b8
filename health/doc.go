// Package health turns probes of backends into verdicts: it asks each backend at intervals whether it serves and tells when the answer changes.
//
// A Prober asks once: tcp, tls, udp, dns, http, grpc, postgres, mysql and redis, made by New. A Checker asks one backend again
// and again, smooths the answers with rise and fall, and emits a Transition when, and only when, the verdict changes.
// Probes run on the checkers' own goroutines, in parallel and never on an event loop; probes of one backend never overlap.
//
// What a probed server says is as hostile as anything from the network: every read is bounded in bytes and in time,
// and what of it enters an error is quoted and cut.
//
// Probes are made to leave no trace on a healthy server: no lines in its log, no counted errors, no sockets in TIME_WAIT where that can be had politely.
// See mysql.go for the server where that takes most care.
package health
