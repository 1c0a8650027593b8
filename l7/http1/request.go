package http1

import (
	"bytes"

	"github.com/weirlb/weir/l7/head"
)

// versionSize is the length of HTTP/1.1.
const versionSize = 8

// requestLine reads the request line at the start of a head; line ends with its
// CRLF. Single spaces part method, target and version (RFC 9112 section 3).
func requestLine(line []byte, h *head.Head) error {
	text := line[:len(line)-2]
	method := bytes.IndexByte(text, ' ')
	target := len(text) - versionSize - 1
	if method <= 0 || target <= method || text[target] != ' ' {
		return ErrRequestLine
	}
	v, err := version(text[target+1:])
	if err != nil {
		return err
	}
	return h.ReadRequest(span(0, len(line)), span(0, method), span(method+1, target), v)
}

func span(start, end int) head.Span { return head.Span{Start: uint32(start), End: uint32(end)} }

// version reads the name of a version. One that has the right form but is not
// spoken here is ErrVersion.
func version(b []byte) (head.Version, error) {
	switch string(b) {
	case "HTTP/1.1":
		return head.HTTP11, nil
	case "HTTP/1.0":
		return head.HTTP10, nil
	}
	if string(b[:5]) == "HTTP/" && isDigit(b[5]) && b[6] == '.' && isDigit(b[7]) {
		return 0, ErrVersion
	}
	return 0, ErrRequestLine
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// finishRequest decides all that takes the whole head. odd says that a framing
// field has unusual space around its value.
func finishRequest(h *head.Head, odd bool) error {
	if err := h.CheckHost(); err != nil {
		return err
	}
	f, err := declared(h)
	if err != nil {
		return err
	}
	frame(h, f, odd)
	options, err := connection(h)
	if err != nil {
		return err
	}
	if h.Has(head.Upgrade) && options.upgrade && h.Version() == head.HTTP11 && !f.HasBody() && maySwitch(h) {
		h.Switch(h.Value(head.Upgrade))
	}
	return ReadExpect(h, f)
}

// maySwitch reports whether the protocols in Upgrade are left to the server.
// HTTP/2 is not: it would be a tunnel for requests that no rule sees. One field
// is enough for all protocols. What is not switched is served as HTTP/1.1, as
// RFC 9110 section 7.8 allows; a request with a body is one of those.
func maySwitch(h *head.Head) bool {
	if h.Repeated(head.Upgrade) {
		return false
	}
	for protocol := range head.List(h.Value(head.Upgrade)) {
		name, version, versioned := bytes.Cut(protocol, []byte("/"))
		if !head.IsToken(name) || versioned && !head.IsToken(version) {
			return false
		}
		if head.EqualFold(name, "h2c") || head.EqualFold(name, "h2") || head.EqualFold(name, "HTTP") {
			return false
		}
	}
	return true
}

// ReadExpect reads Expect (RFC 9110 section 10.1.1) of a request with that framing. An expectation that means
// nothing, because there is no body or the client speaks HTTP/1.0, is not
// forwarded: a server that answered it nevertheless would confuse both sides.
func ReadExpect(h *head.Head, f head.Framing) error {
	switch {
	case !h.Has(head.Expect):
	case h.Repeated(head.Expect) || !head.EqualFold(h.Value(head.Expect), "100-continue"):
		return ErrExpect
	case h.Version() == head.HTTP10 || !f.HasBody():
		h.Discard(head.Expect)
	default:
		h.ExpectContinue = true
	}
	return nil
}
