package head

// AppendRequest writes the head of a request for an HTTP/1.1 connection, edits
// included, through the empty line. It has a Host in any case, as RFC 9112
// section 3.2 asks; if nobody named one it is empty.
//
// Hop-by-hop fields are written unless StripHop was called.
func (h *Head) AppendRequest(dst []byte) []byte {
	run := Span{}
	if h.version == HTTP11 && h.line.End != 0 && h.asked == h.uri.whole {
		run = h.line
	} else {
		dst = append(dst, h.Method()...)
		dst = append(dst, ' ')
		dst = append(dst, h.Target()...)
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	if !h.have.has(Host) {
		dst = append(dst, h.bytes(run)...)
		run = Span{}
		dst = append(dst, "Host: "...)
		dst = append(dst, h.Host()...)
		dst = append(dst, "\r\n"...)
	}
	return h.appendFields(dst, run)
}

// AppendResponse writes the head of a response for an HTTP/1.1 connection, edits
// included, through the empty line. A client of HTTP/1.0 gets the same: RFC 9112
// section 2.3 has every server name its own version.
func (h *Head) AppendResponse(dst []byte) []byte {
	run := Span{}
	if h.version == HTTP11 && h.line.End != 0 {
		run = h.line
	} else {
		dst = append(dst, "HTTP/1.1 "...)
		dst = appendStatus(dst, h.status)
		dst = append(dst, ' ')
		dst = append(dst, h.Reason()...)
		dst = append(dst, "\r\n"...)
	}
	return h.appendFields(dst, run)
}

// appendFields writes the fields. Lines that lie one behind the other, as
// nearly all do, are copied together; run is what lies before the first.
func (h *Head) appendFields(dst []byte, run Span) []byte {
	for i := range h.fields {
		f := &h.fields[i]
		if f.gone {
			continue
		}
		if f.line.Start != run.End {
			dst = append(dst, h.bytes(run)...)
			run.Start = f.line.Start
		}
		run.End = f.line.End
	}
	dst = append(dst, h.bytes(run)...)
	if h.te {
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	switch h.hop {
	case HopClose:
		dst = append(dst, "Connection: close\r\n"...)
	case HopKeepAlive:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	case HopUpgrade:
		if protocols := h.Upgrade(); protocols != nil {
			dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
			dst = append(dst, protocols...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}
