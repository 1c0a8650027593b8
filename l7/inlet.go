package l7

import (
	"strconv"

	"github.com/weirlb/weir/internal/eventloop"
)

// inlet delivers content that comes in frames of HTTP/2 to a virtual stream: as it is where somebody has said how long it is,
// else in chunks, as HTTP/1 has it, so that everything behind reads one kind of body.
type inlet struct {
	chunked  bool
	overhead int // bytes of chunks, beside their content, that are delivered and not consumed
	word     []byte
}

// reset makes it one for another stream.
func (in *inlet) reset() {
	word := in.word[:0]
	if cap(word) > 1<<10 {
		word = nil
	}
	*in = inlet{word: word}
}

// content delivers p, and the end if it is all.
func (in *inlet) content(s *eventloop.Stream, p []byte, end bool) {
	switch {
	case !in.chunked:
		s.Deliver(p)
	case len(p) > 0:
		in.word = strconv.AppendInt(in.word[:0], int64(len(p)), 16)
		in.word = append(in.word, "\r\n"...)
		in.deliver(s)
		s.Deliver(p)
		in.frame(s, "\r\n")
	}
	if !end {
		return
	}
	if in.chunked {
		in.frame(s, "0\r\n\r\n")
	}
	s.DeliverEnd()
}

// trailer delivers a trailer section, and with it the end. Behind a body of known length HTTP/1 has no place for one, and it
// may be dropped (RFC 9110 section 6.5.1).
func (in *inlet) trailer(s *eventloop.Stream, lines []byte) {
	if in.chunked {
		in.word = append(append(append(in.word[:0], "0\r\n"...), lines...), "\r\n"...)
		in.deliver(s)
	}
	s.DeliverEnd()
}

func (in *inlet) frame(s *eventloop.Stream, p string) {
	in.word = append(in.word[:0], p...)
	in.deliver(s)
}

func (in *inlet) deliver(s *eventloop.Stream) {
	in.overhead += len(in.word)
	s.Deliver(in.word)
}

// consumed returns how much of n bytes that were read is content. What frames it is counted first, so that the other end is
// never given room for content that is still here.
func (in *inlet) consumed(n int) int {
	framing := min(n, in.overhead)
	in.overhead -= framing
	return n - framing
}
