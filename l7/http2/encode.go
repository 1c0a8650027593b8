package http2

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/head"
)

const (
	maxInterned   = 256 // texts that are kept for the next head
	internedBytes = 128 // longer ones are not
)

// view lends b's bytes as a string, and s's as bytes.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Texts keeps the texts that heads have in common. What an encoder's table holds must not change, and most of it is the
// same in every response: it is allocated once. One is shared by all connections of a loop.
type Texts struct{ of map[string]string }

// keep returns a text that stays.
func (t *Texts) keep(b []byte) string {
	if s, ok := t.of[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) > internedBytes {
		return s
	}
	if t.of == nil || len(t.of) >= maxInterned {
		t.of = make(map[string]string, maxInterned) // texts of the past, such as dates, go
	}
	t.of[s] = s
	return s
}

// encoder writes header blocks.
type encoder struct {
	hpack *hpack.Encoder
	block []byte
	lower []byte
	texts *Texts
}

// Write is what the hpack encoder writes to.
func (e *encoder) Write(p []byte) (int, error) {
	e.block = append(e.block, p...)
	return len(p), nil
}

func (e *encoder) begin() {
	if cap(e.block) > rawKept {
		e.block = nil
	}
	e.block = e.block[:0]
}

var statusTexts = makeStatusTexts() // never written again

func makeStatusTexts() (t [600]string) {
	for i := range t {
		t[i] = strconv.Itoa(i)
	}
	return t
}

func (e *encoder) status(code int) {
	s := ""
	if code < len(statusTexts) {
		s = statusTexts[code]
	} else {
		s = strconv.Itoa(code)
	}
	_ = e.hpack.WriteField(hpack.HeaderField{Name: ":status", Value: s}) // Write never fails
}

// lowered makes a name of HTTP/1, which has capitals, one of HTTP/2.
func (e *encoder) lowered(name []byte) {
	e.lower = e.lower[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		e.lower = append(e.lower, c)
	}
}

// field writes a field.
func (e *encoder) field(name, value []byte) {
	e.lowered(name)
	f := hpack.HeaderField{}
	if f.Sensitive = varies(e.lower); f.Sensitive {
		f.Name, f.Value = text(e.lower), text(value) // not kept by the encoder
	} else {
		f.Name, f.Value = e.texts.keep(e.lower), e.texts.keep(value)
	}
	_ = e.hpack.WriteField(f) // Write never fails
}

// varies tells the fields that are hardly ever the same twice, or secret: they would only push others out of the table.
// They are written as such that are never indexed, which is how the encoder can be told (RFC 7541 section 6.2.3).
func varies(name []byte) bool {
	switch string(name) {
	case "content-length", "content-range", "etag", "last-modified", "age", "expires", "location", "set-cookie", "x-request-id",
		"authorization", "traceparent":
		return true
	}
	return false
}

// ofConnection are the fields that HTTP/2 has no use for (RFC 9113 section 8.2.2). Those that were read are gone already.
func ofConnection(k head.Known) bool {
	switch k {
	case head.Connection, head.KeepAlive, head.ProxyConnection, head.TransferEncoding, head.Upgrade, head.TE:
		return true
	}
	return false
}

// response encodes a response's head.
func (e *encoder) response(h *head.Head) {
	e.begin()
	e.status(h.Status())
	for name, value := range h.All() {
		if !ofConnection(head.Lookup(name)) {
			e.field(name, value)
		}
	}
}

// trailers encodes a trailer section as HTTP/1 has it, which was checked. It reports whether there is any field.
func (e *encoder) trailers(raw []byte) bool {
	e.begin()
	any := false
	for len(raw) > 0 {
		var l []byte
		l, raw, _ = bytes.Cut(raw, []byte("\r\n"))
		name, value, ok := bytes.Cut(l, []byte(":"))
		if !ok {
			break
		}
		any = true
		e.field(name, head.Trim(value))
	}
	return any
}

// appendBlock writes the block that was encoded, in as many frames as it takes.
func (e *encoder) appendBlock(dst []byte, stream uint32, end bool) []byte {
	b := e.block
	kind, flags := frameHeaders, uint8(0)
	if end {
		flags = flagEndStream
	}
	for {
		n := min(len(b), MaxFrame)
		if n == len(b) {
			flags |= flagEndHeaders
		}
		dst = append(appendHeader(dst, n, kind, flags, stream), b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return dst
		}
		kind, flags = frameContinuation, 0
	}
}
