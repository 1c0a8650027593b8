package eventloop

import (
	"errors"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

const (
	relayBudget = 256 << 10             // bytes one direction may move before others on the loop get their turn
	lastPoll    = 20 * time.Millisecond // how often a relay that ends by an error looks whether all is sent
	lastPolls   = 100                   // and how often at most
	idleChecks  = 4                     // how often per idle timeout a relay looks for life
)

// Side names one end of a relay.
type Side uint8

const (
	Neither Side = iota // this program: a deadline, a drain, a stop
	SideA               // the stream given first: the client
	SideB               // the stream given second: the backend
)

// End says how a relay ended.
type End struct {
	By  Side  // who ended it first: the side whose end or error was seen first, Neither when it was stopped
	Err error // nil when that side had sent its end, or both had; ErrIdle, ErrStopped, or the system's error
}

var (
	// ErrIdle ends a relay on which no byte moved for the idle timeout.
	ErrIdle = errors.New("idle timeout")
	// ErrStopped ends a relay that Stop was called on without a cause.
	ErrStopped = errors.New("stopped")
)

// RelayHandler learns that a relay is over.
type RelayHandler interface {
	// Relayed is called once, on the loop, when both streams are closed and the counts are final.
	Relayed(r *Relay, end End)
}

// Relay joins two streams: what one side sends, the other gets, in order and complete, with the end of each direction
// passed on by itself (half-close) and a reset passed on as a reset. A side that does not read makes the other one wait;
// no more than one read buffer or one pipe per direction is held meanwhile. Its zero value is ready for Start.
type Relay struct {
	a, b    *Stream
	ab, ba  half
	idle    time.Duration // per check; 0 = no idle timeout
	quiet   int8          // checks in a row that saw no byte
	polls   int8          // looks left until it ends as last says; 0 = it has not come to that
	active  bool          // a byte moved since the last check
	running bool
	kept    bool // keepalive is on
	first   Side // who sent its end first
	last    End  // how it will have ended, once everything is sent
	timer   Timer
	handler RelayHandler
}

// half is one direction.
type half struct {
	Flow
	moved int64
	side  Side // who src is
	done  bool // nothing more will be moved
	ended bool // because the source has sent its end
}

// Start joins a and b until both directions have ended, an error, Stop, or idle (0 = never) without a byte either way.
// Bytes held by either stream go first, behind what Lead has put before them. Both streams belong to the relay from now on.
func (r *Relay) Start(a, b *Stream, idle time.Duration, h RelayHandler) {
	*r = Relay{a: a, b: b, idle: idle / idleChecks, handler: h, running: true}
	r.ab = half{Flow: Flow{src: a, dst: b}, side: SideA}
	r.ba = half{Flow: Flow{src: b, dst: a}, side: SideB}
	a.SetHandler(r)
	b.SetHandler(r)
	if r.idle > 0 {
		a.loop.Arm(&r.timer, r.idle, r)
	} else {
		r.keepAlive() // nothing else would notice a peer that has vanished
	}
	if r.pump(&r.ab) {
		r.pump(&r.ba)
	}
}

// Moved is how many bytes have gone from the first stream to the second, and back. Callable after the end too.
func (r *Relay) Moved() (ab, ba int64) { return r.ab.moved, r.ba.moved }

// Running reports whether the relay is between Start and its end.
func (r *Relay) Running() bool { return r.running }

// Stop ends the relay now: both sides get a reset when reset is set, else a plain close.
func (r *Relay) Stop(cause error, reset bool) {
	if cause == nil {
		cause = ErrStopped
	}
	r.finish(End{By: Neither, Err: cause}, reset)
}

// Ready moves what the event made possible: bytes of s to the other side, and bytes that waited for room in s.
func (r *Relay) Ready(s *Stream) {
	if !s.open { // revoked
		r.Stop(ErrClosed, true)
		return
	}
	in, out := &r.ab, &r.ba
	if s == r.b {
		in, out = out, in
	}
	if s.MayRead() && !r.pump(in) {
		return
	}
	if out.waits() && !r.pump(out) {
		return
	}
	r.over()
}

// waits reports whether the direction was held up by its destination and may go on now.
func (h *half) waits() bool {
	if h.dst.failed != nil {
		return true
	}
	return h.dst.writable && (h.pipe != nil || len(h.src.in) > 0 || h.src.ended || h.src.MayRead())
}

// pump moves bytes one way until the source has none, the destination has no room, or the budget is spent. It returns
// false when the relay is over.
func (r *Relay) pump(h *half) bool {
	budget := relayBudget
	for !h.done {
		if h.dst.failed != nil {
			return r.lastWords(h)
		}
		if !h.dst.HasRoom() {
			return true // read only what the other side has room for; its next event comes back here
		}
		if budget <= 0 {
			h.dst.Again()
			return true
		}
		n, err := h.Move(math.MaxInt64)
		if n > 0 {
			h.moved += int64(n)
			budget -= n
			r.active = true
		}
		switch {
		case err == nil:
		case err == ErrAgain:
			h.dst.Push()
			return true
		case ended(err):
			if !r.passEnd(h) {
				return false
			}
		default:
			return r.fail(h.side, err)
		}
	}
	return true
}

// ended tells the end of a stream from an error. A TLS peer that leaves without close_notify has ended too: what the
// bytes mean is for the two sides to judge, and plain TCP promises no more.
func ended(err error) bool { return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) }

func other(s Side) Side { return SideA + SideB - s }

// lastWords gives up on a direction whose destination is gone, and moves what that side said before it went: a server
// that refuses a large request answers, closes, and its answer is still here to be read.
func (r *Relay) lastWords(h *half) bool {
	h.done = true
	back := &r.ba
	if h == back {
		back = &r.ab
	}
	if back.done {
		return r.fail(back.side, h.dst.failed)
	}
	if r.first == Neither {
		r.first = back.side
	}
	h.dst.readable, h.dst.hangup = true, true
	return r.pump(back) && !r.over()
}

// passEnd tells the destination that no more bytes will come. It returns false when the relay is over.
func (r *Relay) passEnd(h *half) bool {
	h.done, h.ended = true, true
	if r.first == Neither {
		r.first = h.side
	}
	// A socket's end is told by its close, that of TLS and of a virtual stream is said.
	if last := r.ab.done && r.ba.done; !last || h.dst.tls != nil || h.dst.peer != nil {
		_ = h.dst.CloseWrite() // an error stays with the stream, where over and pump see it
	}
	return !r.over()
}

// over ends the relay when both directions have come to their end and everything is sent.
func (r *Relay) over() bool {
	if !r.running || !r.ab.done || !r.ba.done || r.polls > 0 {
		return !r.running
	}
	for _, h := range [...]*half{&r.ab, &r.ba} {
		if h.dst.failed != nil {
			return !r.fail(other(h.side), h.dst.failed)
		}
	}
	if r.a.Buffered() > 0 || r.b.Buffered() > 0 {
		return false
	}
	r.finish(End{By: r.first}, false)
	return true
}

// fail ends the relay on an error of one side. The other side is told by a reset, because its bytes are not complete; but
// first it gets what it can still have, for a reset drops what the kernel has not sent. A side that had sent its end has
// said all and closed for good; that what came for it afterwards met nobody is no error (a TLS server's farewell to a
// client that did not wait for it is the usual case).
func (r *Relay) fail(by Side, err error) bool {
	if r.from(by).ended && errors.Is(err, unix.EPIPE) { // what Linux makes of a reset that comes after an end
		err = nil
	}
	r.ab.done, r.ba.done = true, true
	r.from(by).dst.Push()
	r.last, r.polls = End{By: by, Err: err}, lastPolls
	r.endWhenSent()
	return false
}

// from is the direction whose source a side is.
func (r *Relay) from(side Side) *half {
	if side == SideA {
		return &r.ab
	}
	return &r.ba
}

// endWhenSent ends the relay as fail wants it, once everything is sent or it has waited long enough.
func (r *Relay) endWhenSent() {
	s := r.from(r.last.By).dst
	if r.polls--; r.polls <= 0 || s.failed != nil || s.unsent() == 0 {
		r.finish(r.last, true)
		return
	}
	s.loop.Arm(&r.timer, lastPoll, r)
}

func (r *Relay) finish(end End, reset bool) {
	if !r.running {
		return
	}
	r.running = false
	r.a.loop.Disarm(&r.timer)
	for _, h := range [...]*half{&r.ab, &r.ba} {
		h.Close()
	}
	if reset {
		r.a.Reset()
		r.b.Reset()
	} else {
		r.a.Close()
		r.b.Close()
	}
	r.handler.Relayed(r, end)
}

// Expired looks for life every quarter of the idle timeout, so that moving bytes never costs a look at the clock: a
// silent relay ends between one and one and a quarter idle timeouts after its last byte.
func (r *Relay) Expired(*Timer) {
	if r.polls > 0 {
		r.endWhenSent()
		return
	}
	r.keepAlive() // not worth its system calls for connections that are gone by now
	if r.active {
		r.active, r.quiet = false, 0
	} else if r.quiet++; r.quiet >= idleChecks {
		r.finish(End{By: Neither, Err: ErrIdle}, false)
		return
	}
	r.a.loop.Arm(&r.timer, r.idle, r)
}

func (r *Relay) keepAlive() {
	if !r.kept {
		r.kept = true
		r.a.KeepAlive()
		r.b.KeepAlive()
	}
}
