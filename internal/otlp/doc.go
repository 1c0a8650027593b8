// Package otlp sends spans to a collector by the OpenTelemetry protocol, over HTTP or gRPC.
//
// One goroutine takes what the loops have handed over, puts it together to batches and sends them one after the other, each
// with a deadline and so many attempts. A collector that is down, slow or refuses costs the spans, which are counted, and a line
// in the log now and then; it never costs a request anything.
//
// A request of the protocol is the encoded spans with a few bytes in front, and a unary call of gRPC is a POST over HTTP/2 with
// five bytes more: net/http does both, so that neither the SDK of OpenTelemetry nor grpc-go is in the binary. Whoever wants
// neither this builds with the tag notracing, which leaves the package empty; a configuration with a section tracing is refused then.
package otlp
