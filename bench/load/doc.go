// Package load makes and answers the traffic of a measurement: fixed-size
// requests and answers over many TCP connections, or UDP flows, from one
// thread.
//
// The client and the server share one CPU opposite the balancer's, so they
// have to be cheaper than what they measure: each is a plain epoll loop, one
// read and one write per exchange, and bulk data is thrown away in the kernel
// without being copied out. An Exchange says how many bytes ask and how many
// answer, and that is enough for round trips, for connection churn, for
// downloads and for uploads. Of HTTP they know what it takes to tell a right
// answer from a wrong one: the status and the length. TLS is the client's
// alone, and has a client of its own, on crypto/tls.
//
// A client is a closed loop, which asks when it has been answered, or an open
// one, which asks at a constant rate and counts latencies from when it was to
// ask.
//
// Of UDP the client is Flows and the backend Echo. What a datagram says
// follows from the numbers in it, so that every byte of an answer is checked;
// batches of them move by one system call, and flows that differ by their
// addresses share sockets to that end.
package load
