// Package grpcweb translates between gRPC-Web, which browsers speak, and gRPC (PROTOCOL-WEB.md and PROTOCOL-HTTP2.md of the
// gRPC project): the media types, the base64 of the text kind, and the frame in which trailers come to a browser, which
// shows no script those of HTTP. Bytes go in and bytes come out: it has no socket, no goroutine and no clock.
package grpcweb
