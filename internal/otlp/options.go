package otlp

import "crypto/tls"

// Options say where spans go. They never change.
type Options struct {
	URL      string // that spans are posted to; with GRPC, http:// or https:// and the collector's host and port
	GRPC     bool
	Headers  map[string]string // sent along
	TLS      *tls.Config       // for https; nil = the usual
	Resource map[string]string // attributes of what sends the spans
	Version  string            // of weir
}
