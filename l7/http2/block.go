package http2

import (
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	maxContinuations = 8        // frames of one head beyond the first
	extraEntries     = 28       // beyond the fields of a head: pseudo-headers, and crumbs of cookies (RFC 9113 section 8.2.3)
	floodFactor      = 2        // times the fields that a head may have are no mistake
	decodeStep       = 1 << 10  // bytes decoded before a look at whether it is a flood: each may stand for a long field
	ownFields        = 2        // of a head in HTTP/1 that HTTP/2 says otherwise: Host, and Transfer-Encoding
	blockRoom        = 16 << 10 // bytes of a head as sent beyond its limit as read
	lineFraming      = len(": \r\n")
	rawKept          = 16 << 10
)

// line is a field as the head has it: name, colon, space, value, CRLF.
type line struct{ start, name, end uint32 }

// pseudo are the pseudo-headers that a request may have.
type pseudo uint8

const (
	method pseudo = 1 << iota
	scheme
	authority
	path
	status   // of a response
	protocol // of an extended CONNECT (RFC 8441 section 4)
)

// block is a head that is being decoded, or was last. Its bytes are those of an HTTP/1 head, so that everything behind
// reads and writes it as one.
type block struct {
	limits  http1.Limits
	under   http1.Underscores
	decoder *hpack.Decoder
	trailer bool // it is a trailer section
	reply   bool // it is the head of a response

	raw     []byte
	lines   []line
	cookie  []byte // crumbs, joined
	have    pseudo
	begun   bool // other fields than pseudo-headers have come
	method  string
	status  string
	scheme  string
	host    string
	path    string
	proto   string
	length  int64 // -1 = not said
	entries int
	size    int // bytes as read, however they are joined
	flood   bool
	err     error
}

func (b *block) begin(trailer bool) {
	raw, lines, cookie := b.raw[:0], b.lines[:0], b.cookie[:0]
	if cap(raw) > rawKept {
		raw = nil
	}
	if cap(cookie) > rawKept {
		cookie = nil
	}
	*b = block{limits: b.limits, under: b.under, decoder: b.decoder, trailer: trailer, raw: raw, lines: lines, cookie: cookie, length: -1}
	b.decoder.SetEmitEnabled(true)
}

// field takes a field that was decoded. What is wrong is kept: the rest is decoded nevertheless, because later heads refer
// to it, but no longer looked at.
func (b *block) field(f hpack.HeaderField) {
	if b.entries++; b.entries > floodFactor*(b.limits.Fields+extraEntries) {
		b.flood = true
		b.decoder.SetEmitEnabled(false)
		return
	}
	if b.err == nil {
		b.err = b.add(f.Name, f.Value)
	}
}

func (b *block) add(name, value string) error {
	b.size += len(name) + len(value) + lineFraming
	fields, bytes := b.limits.Fields, b.limits.Head
	if b.trailer {
		fields, bytes = http1.MaxTrailerFields, http1.MaxTrailer
	}
	switch {
	case b.entries > fields+extraEntries:
		return http1.ErrTooManyFields
	case b.size > bytes:
		return http1.ErrHeadTooLong
	case len(name) > 0 && name[0] == ':':
		return b.pseudo(name, value)
	}
	return b.regular(name, value)
}

// pseudo takes a pseudo-header (RFC 9113 sections 8.3.1 and 8.3.2). What its value may be is for package head.
func (b *block) pseudo(name, value string) error {
	var p pseudo
	var at *string
	switch name {
	case ":method":
		p, at = method, &b.method
	case ":scheme":
		p, at = scheme, &b.scheme
	case ":authority":
		p, at = authority, &b.host
	case ":path":
		p, at = path, &b.path
	case ":status":
		p, at = status, &b.status
	case ":protocol":
		p, at = protocol, &b.proto
	}
	if p == 0 || b.reply != (p == status) || b.have&p != 0 || b.trailer || b.begun {
		return ErrPseudo
	}
	b.have |= p
	*at = value
	return nil
}

// regular takes any other field, under the rules for those of HTTP/1: a server behind weir reads it as one.
func (b *block) regular(name, value string) error {
	b.begun = true
	underscore, err := checkName(name)
	if err != nil {
		return err
	}
	if !isValue(value) {
		return http1.ErrFieldValue
	}
	if len(name)+len(value)+lineFraming > b.limits.Line {
		return http1.ErrFieldTooLong
	}
	known := head.Lookup(name)
	if b.trailer {
		if err := http1.CheckTrailerName([]byte(name)); err != nil {
			return err
		}
	} else if drop, err := b.special(known, name, value); drop || err != nil {
		return err
	}
	if underscore && !b.trailer && !b.reply {
		if drop, err := b.under.Judge([]byte(name)); drop || err != nil {
			return err
		}
	}
	return b.push(name, value)
}

// special deals with the fields that mean something to this version of HTTP. drop says that the field is not pushed.
func (b *block) special(known head.Known, name, value string) (drop bool, err error) {
	switch known {
	case head.Connection, head.ProxyConnection, head.KeepAlive, head.TransferEncoding, head.Upgrade:
		return true, ErrConnectionField // RFC 9113 section 8.2.2
	case head.TE:
		if value != "trailers" && !b.reply {
			return true, ErrTE
		}
	case head.ContentLength:
		if b.length >= 0 {
			return true, http1.ErrLengthRepeated
		}
		n, ok := head.ParseLength([]byte(value))
		if !ok {
			return true, http1.ErrLength
		}
		b.length = n
	case head.Cookie:
		if b.reply {
			break // it means nothing there, and must not be joined
		}
		if len(b.cookie) > 0 {
			b.cookie = append(b.cookie, "; "...)
		}
		b.cookie = append(b.cookie, value...)
		return true, nil
	}
	// The one that a server of HTTP/1 gets is made by whoever asks it (RFC 8441 section 5.1).
	return b.have&protocol != 0 && name == "sec-websocket-key", nil
}

func (b *block) push(name, value string) error {
	if !b.trailer && len(b.lines) >= b.limits.Fields-ownFields {
		return http1.ErrTooManyFields
	}
	start := uint32(len(b.raw))
	b.raw = append(append(append(b.raw, name...), ": "...), value...)
	b.raw = append(b.raw, "\r\n"...)
	b.lines = append(b.lines, line{start, start + uint32(len(name)), uint32(len(b.raw))})
	return nil
}

// done ends the block: the crumbs of the cookie become one field.
func (b *block) done() {
	if b.err != nil || len(b.cookie) == 0 {
		return
	}
	if len("cookie")+len(b.cookie)+lineFraming > b.limits.Line {
		b.err = http1.ErrFieldTooLong
		return
	}
	b.err = b.push("cookie", string(b.cookie))
}

// checkName wants a token without capitals (RFC 9113 section 8.2.1).
func checkName(name string) (underscore bool, err error) {
	if name == "" {
		return false, http1.ErrFieldName
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			return false, ErrUppercase
		case !head.IsTokenByte(c):
			return false, http1.ErrFieldName
		case c == '_':
			underscore = true
		}
	}
	return underscore, nil
}

// isValue reports whether a value is one that HTTP/1 could carry as it is.
func isValue(v string) bool {
	if v == "" {
		return true
	}
	first, last := v[0], v[len(v)-1]
	return first != ' ' && first != '\t' && last != ' ' && last != '\t' && head.IsValue(view(v))
}

// request fills h with the request that was decoded. end says that no content follows. What could be read of one that is
// refused may be logged.
func (b *block) request(h *head.Head, end bool) error {
	asked := b.method
	if b.connects() {
		asked = "GET"
		b.ask()
	}
	h.Reset()
	h.Attach(b.raw)
	target := b.path
	if target != "" && target[0] != '/' && target != "*" {
		target = "" // an absolute form has no place here
	}
	err := h.StartRequest(asked, b.scheme, b.host, target, head.HTTP2)
	for _, l := range b.lines {
		h.Append(head.Span{Start: l.start, End: l.end}, l.name, head.Span{Start: l.name + 2, End: l.end - 2})
	}
	h.KeepAlive = true
	switch {
	case b.err != nil:
		return b.err
	case b.have&protocol == 0 && b.method == "CONNECT":
		return head.ErrConnect // it comes without scheme and path
	case b.have&protocol != 0 && (b.method != "CONNECT" || b.length >= 0):
		return ErrProtocol
	case b.have&(method|scheme|path) != method|scheme|path:
		return ErrPseudo
	case b.have&authority != 0 && b.host == "":
		return head.ErrHost
	case b.scheme != "http" && b.scheme != "https":
		return ErrScheme
	case b.connects() && !head.EqualFold(b.proto, webSocket):
		return ErrProtocolUnknown
	case len(b.method)+len(b.path)+len("  HTTP/1.1\r\n") > b.limits.Line:
		return http1.ErrLineTooLong
	case err != nil:
		return err
	}
	if err := h.CheckHost(); err != nil {
		return err
	}
	if err := http1.CheckAnnounced(h); err != nil {
		return err
	}
	f, err := b.frame(h, end)
	if err != nil {
		return err
	}
	return http1.ReadExpect(h, f)
}

// webSocket is the one protocol that streams are opened for besides HTTP (RFC 8441 section 5).
const webSocket = "websocket"

// connects reports whether the request is an extended CONNECT.
func (b *block) connects() bool { return b.have&protocol != 0 && b.method == "CONNECT" }

// ask adds what says in HTTP/1 what an extended CONNECT says in HTTP/2, so that everything behind reads an upgrade.
func (b *block) ask() {
	for _, f := range [...][2]string{{"connection", "Upgrade"}, {"upgrade", webSocket}} {
		if b.err == nil {
			b.err = b.push(f[0], f[1])
		}
	}
}

// frame decides how the request's content ends on its way to a server of HTTP/1.
func (b *block) frame(h *head.Head, end bool) (head.Framing, error) {
	switch {
	case b.connects():
		h.Switch([]byte(webSocket))
		return head.Framing{}, nil // what follows belongs to the other protocol
	case end && b.length > 0:
		return head.Framing{}, ErrLengthMismatch
	case b.length >= 0:
		f := head.Framing{Kind: head.Length, Length: b.length}
		h.Framed(f)
		return f, nil
	case !end:
		f := head.Framing{Kind: head.Chunked}
		h.SetFraming(f)
		return f, nil
	}
	switch b.method {
	case "POST", "PUT", "PATCH": // servers may ask for a length where content is usual (RFC 9110 section 8.6)
		h.SetFraming(head.Framing{Kind: head.Length})
	}
	return h.Framing(), nil
}
