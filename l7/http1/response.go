package http1

import "github.com/weirlb/weir/l7/head"

// statusLine reads the status line at the start of a head; line ends with its
// CRLF. The space before an empty reason may be missing, as it often is.
func statusLine(line []byte, h *head.Head) error {
	text := line[:len(line)-2]
	const code = versionSize + 1
	const reason = code + 3
	if len(text) < reason || text[versionSize] != ' ' || len(text) > reason && text[reason] != ' ' {
		return ErrStatusLine
	}
	v, err := version(text[:versionSize])
	if err == ErrRequestLine {
		return ErrStatusLine
	}
	if err != nil {
		return err
	}
	status := 0
	for _, c := range text[code:reason] {
		if !isDigit(c) {
			return ErrStatusLine
		}
		status = status*10 + int(c-'0')
	}
	start := min(reason+1, len(text))
	if !head.IsValue(text[start:]) {
		return ErrStatusLine
	}
	return h.ReadStatus(span(0, len(line)), status, span(start, len(text)), v)
}

// finishResponse decides all that takes the whole head (RFC 9112 section 6.3).
func finishResponse(h *head.Head, method []byte, odd bool) error {
	f, err := declared(h)
	if err != nil {
		return err
	}
	options, err := connection(h)
	if err != nil {
		return err
	}
	status := h.Status()
	switch {
	case status < 200, status == 204, status < 300 && string(method) == "CONNECT":
		// These must not say how long their body is. A server that does may send one.
		h.KeepAlive = h.KeepAlive && !f.HasBody()
		h.SetFraming(head.Framing{})
	case status == 304, string(method) == "HEAD":
		frameless(h, f, odd)
	case f.Kind == head.None:
		h.KeepAlive = false
		h.Framed(head.Framing{Kind: head.UntilClose})
	default:
		frame(h, f, odd)
	}
	if status == 101 && options.upgrade && h.Has(head.Upgrade) && !h.Repeated(head.Upgrade) {
		h.Switch(h.Value(head.Upgrade))
	}
	return nil
}

// frameless is for a response that has the fields of another, but not its body.
// Its length stays; a coding says nothing then and goes.
func frameless(h *head.Head, f head.Framing, odd bool) {
	if f.Kind == head.Length {
		frame(h, f, odd)
	}
	h.Discard(head.TransferEncoding)
	h.Framed(head.Framing{})
}
