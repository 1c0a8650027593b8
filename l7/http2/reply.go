package http2

import (
	"net/http"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

// bare reports whether a response has no content, whatever its fields say (RFC 9110 section 6.4.1).
func bare(code int, bodiless bool) bool { return bodiless || code < 200 || code == 204 || code == 304 }

// code is the status that was decoded; 0 = it is none.
func (b *block) code() (n int) {
	if len(b.status) != 3 {
		return 0
	}
	for i := range 3 {
		c := b.status[i]
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// checkResponse judges the response that was decoded, and returns its status. end says that nothing follows.
func (b *block) checkResponse(bodiless, end bool) (code int, err error) {
	switch code = b.code(); {
	case b.err != nil:
		return 0, b.err
	case b.have&status == 0:
		return 0, ErrPseudo
	case code < 100, code == 101: // HTTP/2 does not switch (RFC 9113 section 8.6)
		return 0, ErrStatus
	case code < 200 && end:
		return 0, ErrTrailerSection // it ends the stream before there is a response
	case end && b.length > 0 && !bare(code, bodiless):
		return 0, ErrLengthMismatch
	}
	return code, nil
}

// response fills h with the response that was decoded and found good.
func (b *block) response(h *head.Head, bodiless, end bool) {
	h.Reset()
	h.Attach(b.raw)
	code := b.code()
	_ = h.ReadStatus(head.Span{}, code, head.Span{}, head.HTTP2) // it was checked
	for _, l := range b.lines {
		h.Append(head.Span{Start: l.start, End: l.end}, l.name, head.Span{Start: l.name + 2, End: l.end - 2})
	}
	_ = h.SetStatus(code, http.StatusText(code)) // both are good
	h.KeepAlive = true
	if http1.CheckAnnounced(h) != nil {
		h.Discard(head.Trailer) // what it announces is refused when it comes
	}
	switch {
	case code < 200, code == 204:
		h.SetFraming(head.Framing{})
	case bare(code, bodiless):
		h.Framed(head.Framing{})
	case end:
		h.Framed(head.Framing{Kind: head.Length}) // whoever needs to be told so in a field writes one
	case b.length >= 0 && !head.IsGRPC(h.Value(head.ContentType)): // the status of gRPC has no place behind content of known length
		h.Framed(head.Framing{Kind: head.Length, Length: b.length})
	default:
		h.SetFraming(head.Framing{Kind: head.Chunked})
	}
}
