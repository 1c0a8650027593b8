package http1

import (
	"math"

	"github.com/weirlb/weir/l7/head"
)

// Body finds the end of the body of one message as it arrives. Begin makes it
// ready; its zero value is a body that is over.
type Body struct {
	kind    head.FramingKind
	left    int64 // for Length
	content int64 // bytes so far, without what frames them
	chunked Chunked
}

// Begin goes to the start of a body with that framing. Stream is not of
// HTTP/1 and counts as None.
func (p *Body) Begin(f head.Framing) {
	*p = Body{kind: f.Kind, left: f.Length}
	if f.Kind == head.Stream || f.Kind == head.Length && f.Length <= 0 {
		p.kind = head.None
	}
}

// Done reports whether the body is complete. One that ends with the connection
// is when End was called.
func (p *Body) Done() bool { return p.kind == head.None }

// Scan says how many bytes of b belong to the body. Fewer than all without an
// error mean that the body is Done and another message follows. The errors are
// about chunks: the byte behind the n is wrong, and the error stays.
func (p *Body) Scan(b []byte) (n int, err error) {
	for n < len(b) && !p.Done() {
		m, _, err := p.Next(b[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Next says what the next n bytes of b are, for those who want the content
// alone. It returns 0 bytes only if b is empty, if the body is Done, and with an
// error; see Chunked.Next.
func (p *Body) Next(b []byte) (n int, piece Piece, err error) {
	switch p.kind {
	case head.Length:
		n = int(min(int64(len(b)), p.left))
		p.Skip(int64(n))
		return n, Data, nil
	case head.UntilClose:
		p.content += int64(len(b))
		return len(b), Data, nil
	case head.Chunked:
		n, piece, err = p.chunked.Next(b)
		if piece == Data {
			p.content += int64(n)
		}
		if p.chunked.Done() {
			p.kind = head.None
		}
		return n, piece, err
	}
	return 0, Data, nil
}

// Left is how many bytes of content are certain to come next, without anything
// between them; math.MaxInt64 for a body that ends with the connection. So many
// may be moved without looking at them, and given to Skip.
func (p *Body) Left() int64 {
	switch {
	case p.kind == head.Length:
		return p.left
	case p.kind == head.UntilClose:
		return math.MaxInt64
	case p.kind == head.Chunked && p.chunked.state == chunkData:
		return p.chunked.left
	}
	return 0
}

// Skip counts n bytes that were moved without Scan, at most Left.
func (p *Body) Skip(n int64) {
	p.content += n
	switch p.kind {
	case head.Length:
		if p.left -= n; p.left <= 0 {
			p.kind = head.None
		}
	case head.Chunked:
		p.chunked.advance(n)
	}
}

// Content is how many bytes of content there have been so far: those of chunk sizes and trailers do not count. It stays
// when the body is over.
func (p *Body) Content() int64 { return p.content }

// End says that the connection has ended. The error is ErrTruncated if more of
// the body was to come.
func (p *Body) End() error {
	if p.kind == head.UntilClose {
		p.kind = head.None
	}
	if !p.Done() {
		return ErrTruncated
	}
	return nil
}
