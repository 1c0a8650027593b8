package l7

import (
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/http2"
)

const (
	outMark     = 64 << 10 // of frames put together before they are written
	writerShare = bodyRead // bytes a stream writes before others that wait get their turn: what is read at once
	flushRounds = 4        // of filling and writing before others on the loop get their turn
)

// outlet is how a connection of HTTP/2 sends, whichever side of it weir is: what its streams write is put together, each gets
// its share of the room while others wait, and all leaves at the end of the loop's turn in one write.
type outlet struct {
	worker  *worker
	stream  *eventloop.Stream // the connection
	core    http2.Conn
	ender   eventloop.TurnEnder // whose outlet it is
	sends   bool                // else nothing is put together any more
	waiting waitlist[writer]    // for room
	turn    *writer             // whose turn it is to write
	touched bool                // the loop will tell of the end of its turn
}

// writer is one of the streams.
type writer struct {
	stream *eventloop.Stream // virtual; nil when nobody writes on it any more
	spot   waiter[writer]
	share  int // bytes it may write in its turn
}

// touch has what is put together written at the end of the loop's turn. It is called before something is.
func (o *outlet) touch() {
	if !o.sends {
		return
	}
	if o.core.Out == nil {
		o.core.Out = o.worker.frames()
	}
	if !o.touched {
		o.touched = true
		o.worker.loop.AtTurnEnd(o.ender)
	}
}

// room is how many bytes of content may be put together now.
func (o *outlet) room() int {
	if !o.sends || o.stream.Buffered() > 0 {
		return 0
	}
	return max(outMark-len(o.core.Out), 0)
}

// roomFor is how many bytes w may put together. While others wait it writes no more than its share when its turn comes.
func (o *outlet) roomFor(w *writer) int {
	switch {
	case o.turn == w:
		return min(o.room(), w.share)
	case o.waiting.head() != nil:
		return 0
	}
	return o.room()
}

// comeAgain puts w, which could not write all it has, behind the others that wait for room. One that has not come to the end
// of its share, for want of room, goes on first when there is some.
func (o *outlet) comeAgain(w *writer) { o.enqueue(w, o.turn == w && w.share > 0) }

// wait does so where w has something to write.
func (o *outlet) wait(w *writer) {
	if s := w.stream; s != nil && s.IsOpen() && !s.HasRoom() {
		o.enqueue(w, false)
	}
}

func (o *outlet) enqueue(w *writer, front bool) {
	if o.waiting.add(&w.spot, w, front) {
		o.touch()
	}
}

// part ends w's part.
func (o *outlet) part(w *writer) {
	o.waiting.remove(&w.spot)
	w.stream = nil
}

// pour lets those who wait write as long as there is room, each its share, and sends it all.
func (o *outlet) pour() {
	o.touched = false
	for round := 0; o.sends; round++ {
		o.pump()
		o.flush()
		if o.waiting.head() == nil || o.room() == 0 || o.core.Spare() <= 0 {
			return
		}
		if round == flushRounds {
			o.stream.Again()
			return
		}
	}
}

func (o *outlet) pump() {
	for o.waiting.head() != nil && o.room() > 0 && o.core.Spare() > 0 {
		w := o.waiting.head()
		o.waiting.remove(&w.spot)
		if w.share <= 0 {
			w.share = writerShare
		}
		s := w.stream
		o.turn = w
		s.Resume()
		s.Notify()
		o.turn = nil
	}
}

// flush writes what is put together.
func (o *outlet) flush() {
	out := o.core.Out
	if len(out) > 0 {
		_ = o.stream.Write(out) // an error stays with the stream
	}
	o.discard()
}

// discard gives the buffer back.
func (o *outlet) discard() {
	o.worker.framed(o.core.Out)
	o.core.Out = nil
}

// frames gives the buffer in which an outlet puts frames together, and framed takes it back.
func (w *worker) frames() []byte {
	if n := len(w.outs); n > 0 {
		b := w.outs[n-1]
		w.outs = w.outs[:n-1]
		return b
	}
	return make([]byte, 0, outMark+http2.MaxFrame)
}

const outsKept = 16

func (w *worker) framed(b []byte) {
	if b != nil && cap(b) <= 2*outMark && len(w.outs) < outsKept {
		w.outs = append(w.outs, b[:0])
	}
}
