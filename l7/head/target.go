package head

import "strconv"

// MaxMethod is the length of the longest method that is forwarded.
const MaxMethod = 32

// target is where a request goes on the wire: a path and perhaps a query.
type target struct {
	whole, path, query Span
	hasQuery           bool // an empty query is one too
}

// Method is the method, as it came: methods are case-sensitive.
func (h *Head) Method() []byte { return h.bytes(h.method) }

// SetMethod changes the method that is sent on; what the client sent is
// AskedMethod. The errors are those of a method that was read.
func (h *Head) SetMethod(m string) error {
	if err := checkMethod([]byte(m)); err != nil {
		return err
	}
	if h.askedMethod == (Span{}) {
		h.askedMethod = h.method
	}
	h.method, h.line = edit(h, m), Span{}
	return nil
}

// AskedMethod is the method as the client sent it, for logs.
func (h *Head) AskedMethod() []byte {
	if h.askedMethod != (Span{}) {
		return h.bytes(h.askedMethod)
	}
	return h.Method()
}

// Asked is the target as the client sent it, for logs.
func (h *Head) Asked() []byte { return h.bytes(h.asked) }

// Target is the target that is sent on: the path with the query in origin-form,
// or "*".
func (h *Head) Target() []byte { return h.bytes(h.uri.whole) }

// Path is the path of Target, still escaped. It starts with / or is "*".
func (h *Head) Path() []byte { return h.bytes(h.uri.path) }

// Query is the query of Target without its question mark, still escaped.
// present is false if there is no question mark.
func (h *Head) Query() (query []byte, present bool) {
	return h.bytes(h.uri.query), h.uri.hasQuery
}

// Scheme is the scheme of a target in absolute-form or of an HTTP/2 request, in
// the case it was sent in; nil otherwise. Clients can send any of the two.
func (h *Head) Scheme() []byte {
	if h.scheme.Start == h.scheme.End {
		return nil
	}
	return h.bytes(h.scheme)
}

// ReadRequest takes a request line as it was read. line reaches through its
// CRLF; the codec has found that it consists of method, target and version. The
// errors are ErrMethod, ErrMethodLength, ErrConnect, ErrTarget and ErrHost.
func (h *Head) ReadRequest(line, method, target Span, v Version) error {
	h.line = line
	return h.startRequest(method, target, v)
}

// StartRequest makes h a request that was not read from HTTP/1. scheme and
// authority may be empty. The errors are those of ReadRequest.
func (h *Head) StartRequest(method, scheme, authority, target string, v Version) error {
	h.version = v // for the log, whatever is wrong
	if authority != "" {
		if !isHost(authority) {
			return ErrHost
		}
		h.host, h.named = edit(h, authority), true
	}
	h.scheme = edit(h, scheme)
	return h.startRequest(edit(h, method), edit(h, target), v)
}

func (h *Head) startRequest(method, target Span, v Version) error {
	h.version = v
	h.method, h.asked = method, target
	if err := checkMethod(h.bytes(method)); err != nil {
		return err
	}
	return h.readTarget(target)
}

// checkMethod wants capitals, although any token is a method: rules that name
// POST must not be led past by post, which a lenient backend takes for the same.
func checkMethod(b []byte) error {
	if len(b) == 0 {
		return ErrMethod
	}
	for _, c := range b {
		if classes[c]&classMethod == 0 {
			return ErrMethod
		}
	}
	switch {
	case len(b) > MaxMethod:
		return ErrMethodLength
	case string(b) == "CONNECT":
		return ErrConnect
	}
	return nil
}

// readTarget reads a target in any of the forms of RFC 9112 section 3.2 but
// authority-form, which only CONNECT has.
func (h *Head) readTarget(s Span) (err error) {
	b := h.bytes(s)
	switch {
	case len(b) == 0:
		return ErrTarget
	case b[0] == '/':
		h.uri, err = h.originForm(s)
		return err
	case string(b) == "*":
		if string(h.Method()) != "OPTIONS" {
			return ErrTarget
		}
		h.uri = target{whole: s, path: s}
		return nil
	}
	return h.absoluteForm(s, b)
}

// originForm checks and splits a path with a query. Only visible ASCII may stand
// there, no fragment, no backslash in the path, because many take it for a
// slash, and no broken escape in the path.
func (h *Head) originForm(s Span) (target, error) {
	b := h.bytes(s)
	if len(b) == 0 || b[0] != '/' {
		return target{}, ErrTarget
	}
	i := 0
	for ; i < len(b) && b[i] != '?'; i++ {
		switch c := b[i]; {
		case classes[c]&classTarget == 0 || c == '\\':
			return target{}, ErrTarget
		case c == '%' && !isEscape(b[i:]):
			return target{}, ErrTarget
		}
	}
	end := s.Start + uint32(i)
	t := target{whole: s, path: Span{s.Start, end}, query: Span{end, end}}
	if i == len(b) {
		return t, nil
	}
	t.query, t.hasQuery = Span{end + 1, s.End}, true
	for _, c := range b[i+1:] {
		if classes[c]&classTarget == 0 {
			return target{}, ErrTarget
		}
	}
	return t, nil
}

func isEscape(b []byte) bool {
	return len(b) >= 3 && classes[b[1]]&classes[b[2]]&classHex != 0
}

// absoluteForm reads a target with scheme and authority. What is sent on is in
// origin-form; an empty path becomes / and, for OPTIONS, * (RFC 9112 section
// 3.2.4). The scheme of a target is not believed: see Scheme.
func (h *Head) absoluteForm(s Span, b []byte) (err error) {
	var n int
	switch {
	case len(b) > 7 && EqualFold(b[:7], "http://"):
		n = 4
	case len(b) > 8 && EqualFold(b[:8], "https://"):
		n = 5
	default:
		return ErrTarget
	}
	start := n + len("://")
	end := start
	for end < len(b) && b[end] != '/' && b[end] != '?' {
		end++
	}
	if !isHost(b[start:end]) {
		return ErrHost
	}
	h.scheme = Span{s.Start, s.Start + uint32(n)}
	h.host, h.named = Span{s.Start + uint32(start), s.Start + uint32(end)}, true
	rest := Span{s.Start + uint32(end), s.End}
	switch {
	case end == len(b) && string(h.Method()) == "OPTIONS":
		rest = edit(h, "*")
		h.uri = target{whole: rest, path: rest}
		return nil
	case end == len(b) || b[end] == '?':
		slash := edit(h, "/")
		rest = Span{slash.Start, edit(h, b[end:]).End}
	}
	h.uri, err = h.originForm(rest)
	return err
}

// SetTarget changes the path and query that are sent on. They must be in
// origin-form and escaped. The error is ErrTarget, or ErrFull.
func (h *Head) SetTarget(t string) error { return setTarget(h, t) }

// SetTargetBytes is SetTarget for a target that is being put together. It does
// not keep it.
func (h *Head) SetTargetBytes(t []byte) error { return setTarget(h, t) }

func setTarget[T ~string | ~[]byte](h *Head, t T) error {
	if len(h.edits)+len(t) > maxEdits {
		return ErrFull
	}
	uri, err := h.originForm(edit(h, t))
	if err != nil {
		return err
	}
	h.uri = uri
	return nil
}

// ReadStatus takes a status line as it was read; line reaches through its CRLF.
// The error is ErrStatus.
func (h *Head) ReadStatus(line Span, code int, reason Span, v Version) error {
	if code < 100 || code > 999 {
		return ErrStatus
	}
	h.line, h.status, h.reason, h.version = line, code, reason, v
	return nil
}

// SetStatus gives a response another status. The reason may be empty; it is
// left out where the version has none. The errors are ErrStatus and ErrValue.
func (h *Head) SetStatus(code int, reason string) error {
	switch {
	case code < 100 || code > 999:
		return ErrStatus
	case !isValue(reason):
		return ErrValue
	}
	h.line, h.status, h.reason = Span{}, code, edit(h, reason)
	return nil
}

// Status is the status of a response, 100 to 999; 0 for a request.
func (h *Head) Status() int { return h.status }

// Reason is the reason phrase of a response; it may be empty.
func (h *Head) Reason() []byte { return h.bytes(h.reason) }

func appendStatus(dst []byte, code int) []byte { return strconv.AppendInt(dst, int64(code), 10) }
