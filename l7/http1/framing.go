package http1

import "github.com/weirlb/weir/l7/head"

// declared is what the fields of a message say about its body, None if nothing.
// Whatever could be read in two ways is refused.
func declared(h *head.Head) (head.Framing, error) {
	length, coding := h.Has(head.ContentLength), h.Has(head.TransferEncoding)
	if coding {
		switch {
		case h.Version() != head.HTTP11:
			return head.Framing{}, ErrCodingVersion
		case length:
			return head.Framing{}, ErrLengthCoding
		case h.Repeated(head.TransferEncoding):
			return head.Framing{}, ErrCoding
		}
		if err := checkCoding(h.Value(head.TransferEncoding)); err != nil {
			return head.Framing{}, err
		}
		return head.Framing{Kind: head.Chunked}, CheckAnnounced(h)
	}
	if !length {
		return head.Framing{}, nil
	}
	if h.Repeated(head.ContentLength) {
		return head.Framing{}, ErrLengthRepeated
	}
	n, ok := head.ParseLength(h.Value(head.ContentLength))
	if !ok {
		return head.Framing{}, ErrLength
	}
	return head.Framing{Kind: head.Length, Length: n}, nil
}

// checkCoding accepts chunked and nothing else. A list that ends with it is a
// coding weir does not know (RFC 9112 section 6.1 has 501 for it).
func checkCoding(value []byte) error {
	if head.EqualFold(value, "chunked") {
		return nil
	}
	chunked := 0
	last := false
	for coding := range head.List(value) {
		if last = head.EqualFold(coding, "chunked"); last {
			chunked++
		} else if !head.IsToken(coding) {
			return ErrCoding
		}
	}
	if chunked == 1 && last {
		return ErrCodingUnknown
	}
	return ErrCoding
}

// CheckAnnounced refuses an announcement of trailers that would frame the
// message.
func CheckAnnounced(h *head.Head) error {
	if !h.Has(head.Trailer) {
		return nil
	}
	for value := range h.Values("Trailer") {
		for name := range head.List(value) {
			switch head.Lookup(name) {
			case head.ContentLength, head.TransferEncoding, head.Trailer:
				return ErrTrailerName
			}
		}
	}
	return nil
}

// frame records the framing. The field that declares it is written anew if it
// is not exactly as everybody writes it: a server that reads the case or the
// space around the value differently would see another body.
func frame(h *head.Head, f head.Framing, odd bool) {
	odd = odd || f.Kind == head.Chunked && string(h.Value(head.TransferEncoding)) != "chunked"
	if odd && f.Kind != head.None {
		h.SetFraming(f)
		return
	}
	h.Framed(f)
}

// options is what Connection says.
type options struct{ close, keepAlive, upgrade bool }

// connection reads Connection and decides whether the connection lives on: in
// HTTP/1.1 unless it says close, in HTTP/1.0 only if it says keep-alive (RFC
// 9112 section 9.3).
func connection(h *head.Head) (o options, err error) {
	if h.Has(head.Connection) {
		if o, err = readOptions(h); err != nil {
			return o, err
		}
	}
	h.KeepAlive = !o.close && (h.Version() == head.HTTP11 || o.keepAlive)
	return o, nil
}

func readOptions(h *head.Head) (o options, err error) {
	if v := h.Value(head.Connection); !h.Repeated(head.Connection) && head.IsPlainOption(v) {
		o.close = len(v) == len("close")
		o.keepAlive = !o.close
		return o, nil
	}
	n := 0
	for value := range h.Values("Connection") {
		for option := range head.List(value) {
			if n++; n > head.MaxNominated || len(option) > 0 && !head.IsToken(option) {
				return o, ErrOption
			}
			o.close = o.close || head.EqualFold(option, "close")
			o.keepAlive = o.keepAlive || head.EqualFold(option, "keep-alive")
			o.upgrade = o.upgrade || head.EqualFold(option, "upgrade")
		}
	}
	return o, nil
}
