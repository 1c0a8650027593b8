// Package flow is the core of UDP: what is to be done with a datagram, without sockets, goroutines or a clock.
//
// A Table keeps the flows of one entrypoint on one loop. It is told what happened (a datagram from a client or from a
// backend, an ICMP error, time passing) and appends what is to be done to a slice of Actions, which a shell with the
// sockets carries out:
//
//	datagram ─► find the flow ─► hit: is its backend still good? ──────────► Send
//	                │                      └─ no: pick again ─► Close, Open, Send
//	                └─► miss: loops, limits, pick ─► Open, Send     or: Drop
//
// A Shared serves entrypoints without flows: every datagram goes to a backend of its own choice, through one socket for
// each backend. That is right for exactly two kinds of protocol. Those without answers, such as syslog, need nothing
// remembered. DNS carries an identifier that Shared replaces by its own, so that an answer finds its client. For other
// protocols nothing in an answer says whose it is, and to guess by order would show one client's answer to another as soon
// as one datagram is lost or overtaken: they need flows.
//
// Nothing in this package may be used from two goroutines, but for Counters and what options share between loops. Nothing
// a client sends makes memory grow beyond the limits in Options, and a table that empties gives memory back.
package flow
