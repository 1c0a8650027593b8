package head

// FramingKind says how the end of a body is found.
type FramingKind uint8

const (
	None       FramingKind = iota // no body follows
	Length                        // as many bytes as Content-Length says
	Chunked                       // the chunked coding of HTTP/1.1
	UntilClose                    // everything up to the end of the connection; responses only
	Stream                        // the end of an HTTP/2 stream, without a length
)

// String names the kind for logs.
func (k FramingKind) String() string {
	switch k {
	case None:
		return "none"
	case Length:
		return "length"
	case Chunked:
		return "chunked"
	case UntilClose:
		return "until-close"
	case Stream:
		return "stream"
	}
	return "unknown"
}

// Framing is the one decision about where the body of a message ends. Nothing
// else decides it a second time.
type Framing struct {
	Kind   FramingKind
	Length int64 // bytes, for Length; otherwise 0
}

// HasBody reports whether at least one byte of body or of its framing follows
// the head.
func (f Framing) HasBody() bool { return f.Kind != None && (f.Kind != Length || f.Length > 0) }

// ParseLength reads the value of Content-Length: 1 to 19 digits without a
// leading zero, at most 2^63-1. The grammar (RFC 9110 section 8.6) allows
// leading zeros; somebody may read them as octal.
func ParseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var u uint64 // 19 digits cannot overflow it
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	return int64(u), u <= 1<<63-1
}
