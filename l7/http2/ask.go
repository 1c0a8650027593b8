package http2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/head"
)

// request encodes a request's head. What HTTP/2 says of connections is weir's own: it takes trailers.
func (e *encoder) request(h *head.Head, scheme string) {
	e.begin()
	e.pseudo(":method", h.Method(), true)
	_ = e.hpack.WriteField(hpack.HeaderField{Name: ":scheme", Value: scheme}) // Write never fails
	if host := h.Host(); len(host) > 0 {
		e.pseudo(":authority", host, true)
	}
	path := h.Target()
	e.pseudo(":path", path, len(path) <= internedBytes && bytes.IndexByte(path, '?') < 0)
	for name, value := range h.All() {
		switch k := head.Lookup(name); {
		case ofConnection(k), k == head.Host:
		case k == head.Cookie, ofOne(name):
			e.once(name, value)
		default:
			e.field(name, value)
		}
	}
	_ = e.hpack.WriteField(hpack.HeaderField{Name: "te", Value: "trailers"})
}

// pseudo writes a pseudo-header. One that is likely to come again is kept in the table.
func (e *encoder) pseudo(name string, value []byte, again bool) {
	f := hpack.HeaderField{Name: name}
	if f.Sensitive = !again; again {
		f.Value = e.texts.keep(value)
	} else {
		f.Value = text(value) // not kept by the encoder
	}
	_ = e.hpack.WriteField(f)
}

// once writes a field that is not worth a place in the table, or has none there because it is secret.
func (e *encoder) once(name, value []byte) {
	e.lowered(name)
	_ = e.hpack.WriteField(hpack.HeaderField{Name: text(e.lower), Value: text(value), Sensitive: true})
}

// ofOne tells the fields of requests, beside those that varies knows, that are about one client or one request: a connection
// to a server is shared by many.
func ofOne(name []byte) bool {
	switch len(name) {
	case len("Range"), len("Referer"), len("X-Real-Ip"), len("Grpc-Timeout"), len("If-None-Match"), len("X-Forwarded-For"), len("If-Modified-Since"):
	default:
		return false
	}
	for _, n := range [...]string{"range", "referer", "x-real-ip", "grpc-timeout", "if-none-match", "x-forwarded-for", "if-modified-since"} {
		if head.EqualFold(name, n) {
			return true
		}
	}
	return false
}
