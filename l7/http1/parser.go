package http1

import (
	"bytes"

	"github.com/weirlb/weir/l7/head"
)

// Limits are what a head may have at most. Where a field is 0 the default
// holds; heads have less than 16 MiB and 4096 fields in any case.
type Limits struct {
	Line   int // bytes of one line with its CRLF; 8 KiB
	Head   int // bytes of the head with all lines; 32 KiB
	Fields int // field lines; 100
}

const (
	defaultLine   = 8 << 10
	defaultHead   = 32 << 10
	defaultFields = 100

	maxHead   = 16<<20 - 1
	maxFields = 4095
)

// Underscores says what happens to a field of a request whose name has an
// underscore. Many servers turn both - and _ into _ when they pass fields on to
// programs, so that X_Forwarded_For hides X-Forwarded-For.
type Underscores uint8

const (
	DropLookalikes    Underscores = iota // drop those that would be a field weir knows, or X-Forwarded-* of any kind
	KeepUnderscores                      // forward all of them
	DropUnderscores                      // drop all of them
	RejectUnderscores                    // refuse the request
)

// Parser reads the heads that arrive on one connection, one after the other. Its
// zero value is ready, with the default limits. A Parser belongs to one
// goroutine.
type Parser struct {
	Limits      Limits
	Underscores Underscores // for requests

	begun  bool
	line   int // start of the first line that is not complete
	seen   int // so far no LF was found behind line
	fields int
	odd    bool // a framing field is not written in the usual way
}

// Reset forgets a head of which only a part has arrived.
func (p *Parser) Reset() {
	*p = Parser{Limits: p.Limits, Underscores: p.Underscores}
}

// Request reads the head of a request at the start of b, which holds all bytes
// that have arrived of it. It returns
//   - the length of the head, once it is complete and right; the body and other
//     requests follow it,
//   - ErrShort as long as nothing is wrong but more is needed: call again with
//     the same bytes and more, wherever they are then,
//   - any other error to refuse it, as soon as a complete line shows it; see
//     head.Refusal. The connection cannot be used any more, because nobody knows
//     where the next request starts. What had been read of h may be logged.
//
// h is reset first; it refers to b from then on.
func (p *Parser) Request(b []byte, h *head.Head) (n int, err error) {
	n, err = p.read(b, h, false)
	if err != nil {
		return 0, err
	}
	odd := p.odd
	p.Reset()
	if err := finishRequest(h, odd); err != nil {
		return 0, err
	}
	return n, nil
}

// Response reads the head of a response like Request. method is that of the
// request it answers, because the answers to HEAD and CONNECT have no body.
//
// An interim response (1xx but 101) has None as its framing, and another
// response to the same request follows it; the caller limits how many.
func (p *Parser) Response(b []byte, h *head.Head, method []byte) (n int, err error) {
	n, err = p.read(b, h, true)
	if err != nil {
		return 0, err
	}
	odd := p.odd
	p.Reset()
	if err := finishResponse(h, method, odd); err != nil {
		return 0, err
	}
	return n, nil
}

// read goes through the complete lines that are new in b.
func (p *Parser) read(b []byte, h *head.Head, response bool) (n int, err error) {
	if !p.begun {
		p.begun = true
		h.Reset()
	}
	h.Attach(b)
	for {
		start := p.line
		end, err := p.nextLine(b)
		if err != nil {
			return 0, err
		}
		switch {
		case start == 0 && response:
			err = statusLine(b[:end], h)
		case start == 0:
			err = requestLine(b[:end], h)
		case end-start == len("\r\n"):
			h.Attach(b[:end:end])
			return end, nil
		default:
			err = p.field(b, start, end, h, response)
		}
		if err != nil {
			return 0, err
		}
	}
}

// nextLine finds the end of the next line, behind its LF, and moves on to it.
// Whether a line is too long depends on its bytes alone, not on how many of them
// arrive together.
func (p *Parser) nextLine(b []byte) (end int, err error) {
	start := p.line
	limit := min(start+orDefault(p.Limits.Line, defaultLine), orDefault(p.Limits.Head, defaultHead), maxHead)
	i := bytes.IndexByte(b[p.seen:], '\n')
	end = p.seen + i + 1
	if i < 0 {
		end = len(b) + 1
	}
	switch {
	case end <= limit:
	case limit < start+orDefault(p.Limits.Line, defaultLine):
		return 0, ErrHeadTooLong
	case start == 0:
		return 0, ErrLineTooLong
	default:
		return 0, ErrFieldTooLong
	}
	if i < 0 {
		p.seen = len(b)
		return 0, ErrShort
	}
	if end-start < len("\r\n") || b[end-2] != '\r' {
		return 0, ErrBareLF
	}
	p.line, p.seen = end, end
	return end, nil
}

// WithDefaults are the limits with the defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Line:   orDefault(l.Line, defaultLine),
		Head:   min(orDefault(l.Head, defaultHead), maxHead),
		Fields: min(orDefault(l.Fields, defaultFields), maxFields),
	}
}

func orDefault(n, standard int) int {
	if n <= 0 {
		return standard
	}
	return n
}

// field reads the field line from start to end.
func (p *Parser) field(b []byte, start, end int, h *head.Head, response bool) error {
	if p.fields++; p.fields > min(orDefault(p.Limits.Fields, defaultFields), maxFields) {
		return ErrTooManyFields
	}
	line := b[start : end-2]
	n, underscore := head.TokenLen(line)
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return ErrFold
	case n == 0 || n == len(line) || line[n] != ':':
		return ErrFieldName
	}
	from, to := n+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for to > from && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	if !head.IsValue(line[from:to]) {
		return ErrFieldValue
	}
	if underscore && !response {
		if drop, err := p.Underscores.Judge(line[:n]); drop || err != nil {
			return err
		}
	}
	span := func(i, j int) head.Span { return head.Span{Start: uint32(start + i), End: uint32(start + j)} }
	switch h.Append(span(0, end-start), uint32(start+n), span(from, to)) {
	case head.ContentLength, head.TransferEncoding:
		usual := from == n+2 && line[n+1] == ' ' && to == len(line)
		p.odd = p.odd || !usual
	}
	return nil
}

// Judge says what happens to a field of a request with an underscore in its name.
func (u Underscores) Judge(name []byte) (drop bool, err error) {
	switch u {
	case KeepUnderscores:
		return false, nil
	case DropUnderscores:
		return true, nil
	case RejectUnderscores:
		return false, ErrUnderscore
	}
	var buf [maxName]byte
	dashed := buf[:copy(buf[:], name)]
	for i, c := range dashed {
		if c == '_' {
			dashed[i] = '-'
		}
	}
	return len(name) <= maxName && head.Lookup(dashed) != head.Other || hasPrefixFold(dashed, "x-forwarded-"), nil
}

// maxName is more than the length of any name that matters.
const maxName = 32

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && head.EqualFold(b[:len(prefix)], prefix)
}
