package l7

import (
	"errors"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/l7/http2"
)

const maxBranchOverhead = http2.ReplyWindow // of chunks that are held for one branch

var errAway = errors.New("server did not take the request")

// branch is a stream of a trunk: it carries one request and its response, between the trunk and a link that looks to its
// holder like a connection of its own. The head of the request goes past it, and that of the response. The request's content
// is taken off its chunks; the response's, where nobody has said how long it is, comes in chunks, as from a server of HTTP/1.
type branch struct {
	http2.Stream
	trunk    *trunk         // nil while it waits for one
	link     *link          // nil when nobody waits for the rest
	spot     waiter[branch] // among those that wait for a trunk
	order    uint64         // of them, when it came
	writer   writer         // of the request
	body     http1.Body     // of the request
	trailers []byte         // behind that

	inlet    inlet // of the response
	answered bool  // the holder's result is a head that it has not looked at
	heard    bool  // a head has come
	unserved bool  // the server says that it has not looked at the request
	lingers  int   // ticks since nobody waits for its end
}

// begin makes l a link of b, which waits for a trunk.
func (b *branch) begin(l *link) {
	w := l.worker
	b.link, l.branch, b.Owner = l, b, b
	b.writer.stream = &l.stream
	l.stream.OpenVirtual(w.loop, l.place.backend.Addr(), b, l)
}

// join puts b on a trunk.
func (b *branch) join(k *trunk) {
	b.trunk = k
	b.link.shared, k.fresh = !k.fresh, false
}

// free makes a branch that is over ready for another request.
func (w *worker) free(b *branch) {
	b.inlet.reset()
	trailers := b.trailers[:0]
	if cap(trailers) > 1<<10 {
		trailers = nil
	}
	*b = branch{trailers: trailers, inlet: b.inlet}
	push(&w.branches, b)
}

// ask sends the head of a request.
func (b *branch) ask(h *head.Head) {
	k := b.trunk
	k.touch()
	k.served++
	f := h.Framing()
	b.body.Begin(f)
	k.core.Ask(&b.Stream, h, k.transport.scheme(), !f.HasBody())
}

// head gives the holder the head of a response.
func (b *branch) head() {
	l := b.link
	if l == nil {
		return
	}
	h := l.x.result()
	b.trunk.core.Answer(&b.Stream, h)
	b.answered, b.heard = true, true
	if h.Status() >= 200 {
		b.inlet.chunked = h.Framing().Kind == head.Chunked
		if b.Over() {
			l.stream.DeliverEnd()
		}
	}
	l.stream.Notify()
}

// content delivers what has come of the response's body.
func (b *branch) content(p []byte) {
	l := b.link
	if l == nil {
		b.late(len(p))
		return
	}
	b.inlet.content(&l.stream, p, b.Over())
	b.deliver()
}

// trailer delivers the response's trailer section, and with it the end.
func (b *branch) trailer(lines []byte) {
	l := b.link
	if l == nil {
		b.late(0)
		return
	}
	b.inlet.trailer(&l.stream, lines)
	b.deliver()
}

// late deals with content that nobody waits for.
func (b *branch) late(n int) {
	k := b.trunk
	k.touch()
	k.core.Consumed(&b.Stream, n)
	if b.Gone() {
		k.worker.free(b)
	}
}

func (b *branch) deliver() {
	if b.inlet.overhead > maxBranchOverhead {
		// Hardly anything but chunks of a byte each comes to that.
		b.trunk.touch()
		b.trunk.core.Cancel(&b.Stream, http2.EnhanceYourCalm)
		b.lost(errCrumbs)
		return
	}
	b.link.stream.Notify()
}

var errCrumbs error = head.NewError(502, "h2-crumbs", "content comes in very many very small frames")

// broken is why a stream has ended in the middle: what was wrong with the response, or what the server says.
func broken(e http2.Event) error {
	if e.Err != nil {
		return e.Err
	}
	return resetError(e.Code)
}

// resetError is that a server has ended a stream.
type resetError http2.Code

func (e resetError) Error() string { return "server reset the stream: " + http2.Code(e).String() }

// lost tells that the stream has ended in the middle, or its trunk has.
func (b *branch) lost(err error) {
	l := b.link
	if l == nil {
		if b.Gone() {
			b.trunk.worker.free(b)
		}
		return
	}
	l.stream.Break(err)
	l.stream.Notify()
}

// tick bounds how long a server takes to end what nobody waits for.
func (b *branch) tick() {
	if b.link != nil {
		return
	}
	if b.lingers++; b.lingers > lingerTicks {
		k := b.trunk
		k.core.Cancel(&b.Stream, http2.Cancel)
		k.worker.free(b)
	}
}

// Take implements eventloop.Peer.
func (b *branch) Take(p []byte) int {
	k := b.trunk
	if k.state != trunkOpen || b.Gone() || b.Ended() {
		return len(p)
	}
	n := b.unframe(p, k.roomFor(&b.writer))
	if n < len(p) && !b.Blocked() && !b.Ended() {
		k.comeAgain(&b.writer)
	}
	return n
}

// unframe sends the content of a request's body, up to room bytes of it, and drops what frames it. It returns how much of p
// that was.
func (b *branch) unframe(p []byte, room int) (n int) {
	k := b.trunk
	k.touch()
	for n < len(p) && !b.body.Done() {
		size := len(p) - n
		if left := b.body.Left(); left > 0 {
			size = int(min(left, int64(size), int64(room)))
			if size = k.core.Fits(&b.Stream, size); size == 0 {
				return n
			}
		}
		m, piece, err := b.body.Next(p[n : n+size])
		switch {
		case err != nil: // it was checked before
			k.core.Cancel(&b.Stream, http2.InternalError)
			return len(p)
		case piece == http1.Data:
			k.core.Data(&b.Stream, p[n:n+m])
			b.writer.share -= m
			room -= m
		case piece == http1.Trailer:
			b.trailers = append(b.trailers, p[n:n+m]...) // http1.MaxTrailer at most
		}
		n += m
	}
	if b.body.Done() {
		k.core.End(&b.Stream, b.trailers)
		return len(p)
	}
	return n
}

// Consumed implements eventloop.Peer.
func (b *branch) Consumed(n int) {
	if n = b.inlet.consumed(n); n > 0 && b.trunk != nil {
		b.trunk.touch()
		b.trunk.core.Consumed(&b.Stream, n)
	}
}

// Finished implements eventloop.Peer. A request ends with its body.
func (b *branch) Finished() {}

// Closed implements eventloop.Peer. A response of which all has come may still lack the word that it was all.
func (b *branch) Closed(reset bool) {
	l, k := b.link, b.trunk
	b.link, l.branch = nil, nil
	if k == nil {
		l.place.waiting.remove(&b.spot)
		l.worker.free(b)
		return
	}
	k.part(&b.writer)
	if b.ID == 0 {
		l.worker.free(b) // nothing was sent
		return
	}
	k.touch()
	if !b.Gone() && (reset || !b.Ended() || k.state != trunkOpen) {
		if !b.heard {
			k.doubt()
		}
		k.core.Cancel(&b.Stream, http2.Cancel)
	}
	if b.Gone() {
		l.worker.free(b)
	}
}

var _ eventloop.Peer = (*branch)(nil)
