package flow

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// open begins a flow, or says why it may not be. What costs least to look at comes first, for a flood ends here.
func (t *Table) open(key Key, h uint64, now time.Time) (*Flow, Cause) {
	o := &t.options
	switch {
	case t.stopping:
		return nil, Stopping
	case !key.answerable():
		return nil, Unanswerable
	case o.Own != nil && o.Own(key.Client):
		return nil, Looped
	}
	if why := o.admit(key.Client.Addr(), now); why != Kept {
		return nil, why
	}
	c, err := o.Pick(key, nil, now)
	if err != nil {
		o.leave(key.Client.Addr(), o.Gate)
		return nil, causeOf(err)
	}
	f := t.take()
	f.Key, f.hash, f.start, f.active = key, h, t.latest, t.latest
	f.gate = o.Gate
	f.settle(c, t.latest)
	f.route(t.generation)
	t.index.add(f)
	t.order.push(f)
	o.Counters.open()
	c.Counters.open()
	return f, Kept
}

// route notes by what the flow's backend was picked.
func (f *Flow) route(generation uint32) {
	f.generation = generation
	f.pickedDown = f.choice.Backend.Health() == upstream.Down
}

// review sees to what has changed since the client's last datagram: another gate must be passed, a backend that is no longer
// good be left.
func (t *Table) review(f *Flow, now time.Time, dst []Action) []Action {
	if f.gate != t.options.Gate {
		if why := t.admitAgain(f, now); why != Kept {
			return t.end(f, Excluded, t.drop(why, f.choice.Counters, dst))
		}
	}
	if f.stale(t.generation) {
		return t.move(f, now, dst)
	}
	return dst
}

// admitAgain asks the gate there is now about a flow that came by an earlier one.
func (t *Table) admitAgain(f *Flow, now time.Time) Cause {
	gate, source := t.options.Gate, f.Key.Client.Addr()
	if f.gate != nil {
		f.gate.Leave(source)
	}
	f.gate = nil
	if gate != nil {
		if why := gate.Enter(source, now); why != Kept {
			return why
		}
	}
	f.gate = gate
	return Kept
}

// move picks again for a flow whose backend is no longer good, or ends it if there is none. The pool may well come to the
// same backend, when it panics or when only the routes have changed: then nothing moves.
func (t *Table) move(f *Flow, now time.Time, dst []Action) []Action {
	old, placed := f.choice, f.placed
	if placed {
		f.leaveBackend() // first, for its slot may be the one that is free
	}
	c, err := t.options.Pick(f.Key, f.tried[:f.tries], now)
	if err != nil {
		why := reasonOf(err)
		if f.tries > 0 {
			why = Unreachable // that is what brought it here
		}
		return t.end(f, why, t.drop(causeOf(err), old.Counters, dst))
	}
	if c.Counters != old.Counters {
		old.Counters.end(Removed)
		c.Counters.open()
	}
	if placed && c.Backend == old.Backend {
		f.choice, f.placed = c, true
		f.route(t.generation)
		return dst
	}
	if f.open {
		dst = append(dst, Action{Kind: Close, Flow: f})
	}
	f.settle(c, t.latest)
	f.route(t.generation)
	f.moves++
	t.options.Counters.move()
	c.Counters.move()
	return append(dst, Action{Kind: Open, Flow: f})
}

// end takes a flow out of everything.
func (t *Table) end(f *Flow, why Reason, dst []Action) []Action {
	f.reason, f.active = why, t.latest
	t.index.remove(f)
	t.order.remove(f)
	t.options.leave(f.Key.Client.Addr(), f.gate)
	if f.placed {
		f.leaveBackend()
	}
	t.options.Counters.end(why)
	f.choice.Counters.end(why)
	if f.open {
		f.open = false
		dst = append(dst, Action{Kind: Close, Flow: f})
	}
	return append(dst, Action{Kind: End, Flow: f})
}

// take returns a blank flow.
func (t *Table) take() *Flow {
	f := t.blank
	if f == nil {
		return new(Flow)
	}
	t.blank, f.next = f.next, nil
	t.blanks--
	return f
}

// Free takes back a flow that has ended. The shell must have let go of it: it may soon be another client's. Up to 1024 are
// kept for that, the garbage collector gets the rest. A flow that lives, or was freed, is left alone.
func (t *Table) Free(f *Flow) {
	if f.reason == Live {
		return
	}
	*f = Flow{}
	if t.blanks < maxBlank {
		f.next = t.blank
		t.blank = f
		t.blanks++
	}
}
