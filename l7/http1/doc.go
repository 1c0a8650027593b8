// Package http1 reads and writes HTTP/1.1 and HTTP/1.0: heads, and where bodies
// end.
//
// Everything takes bytes and returns values; nothing reads, blocks or knows the
// time. [Parser] reads a head from the bytes that have arrived so far, without
// looking at any of them twice, and asks for more with [ErrShort]. [Body] and
// [Chunked] then say how many of the arriving bytes belong to the body, so that
// a relay can pass them on as they came. However the input is cut into segments,
// the answers are the same.
//
// A proxy that reads a message differently from the server behind it lets
// requests be smuggled past its rules, so this package is strict where the RFCs
// allow leniency: lines end with CRLF, there is one Content-Length or one
// Transfer-Encoding, which is chunked, and no line is folded. Each message has
// exactly one framing, decided here. What net/http refuses is refused here too;
// a test holds that.
//
// The following is refused although it would be allowed to repair it (RFC 9112
// sections 2.2, 3, 6.1, 6.3 and 9.6): empty lines before a request, several equal
// Content-Lengths, Transfer-Encoding beside Content-Length, and any transfer
// coding in HTTP/1.0.
package http1
