// Package http2 is one side of an HTTP/2 connection (RFC 9113) as a state machine: bytes that have come go in, events come
// out, and so do the bytes to send. It has no socket, no goroutine and no clock.
//
// A Conn reads frames, holds what they may not do (stream states, windows, sizes, budgets against floods), decodes heads
// (RFC 7541, with golang.org/x/net/http2/hpack) under the rules that package http1 has for those of HTTP/1, and writes
// heads and content within the peer's windows. What a request means, which stream may write and when, and where bytes wait
// is for the caller.
//
// Frames are read by hand, where they lie: x/net's Framer reads through an io.Reader into a buffer of its own and makes an
// object of each frame. BenchmarkFrames compares the two; the tests use the Framer as the other side.
package http2
