package eventloop

import "math/bits"

// The wheel has two rings of 256 slots. A slot of the near ring is one tick, a slot of the far ring is 256 ticks; timers
// beyond both wait in the last far slot and are placed again from there.
const (
	wheelBits  = 8
	wheelSlots = 1 << wheelBits
	wheelMask  = wheelSlots - 1
)

// Timer calls its Expirer once, at or after the time it was armed for. It lives inside the object it serves, costs no
// allocation, and its zero value is ready to be armed.
type Timer struct {
	next, prev *Timer // neighbours in a slot; nil when not armed
	at         int64  // tick at which it is due
	slot       int32  // where it hangs: near slots first, then far ones
	expirer    Expirer
}

// Expirer is told that a timer ran out. It is called on the loop; the timer is disarmed before and may be armed again.
type Expirer interface {
	Expired(t *Timer)
}

// Armed reports whether the timer will still fire.
func (t *Timer) Armed() bool { return t.next != nil }

// wheel is a hierarchical timing wheel: add and remove cost the same however many timers there are. It has no clock; ticks
// are given by its caller.
type wheel struct {
	now   int64 // last tick that advance has reached
	slots [2 * wheelSlots]Timer
	used  [2 * wheelSlots / 64]uint64 // which slots hold timers
}

// empty reports whether no timer is armed.
func (w *wheel) empty() bool { return w.used == [len(w.used)]uint64{} }

// add arms t for tick at, or for the next tick when that has passed.
func (w *wheel) add(t *Timer, at int64) {
	w.remove(t)
	t.at = max(at, w.now+1)
	w.place(t)
}

func (w *wheel) place(t *Timer) {
	slot := int32(t.at & wheelMask)
	if t.at-w.now >= wheelSlots {
		far := min(t.at>>wheelBits, w.now>>wheelBits+wheelMask)
		slot = wheelSlots + int32(far&wheelMask)
	}
	head := &w.slots[slot]
	if head.next == nil {
		head.next, head.prev = head, head
	}
	t.slot, t.next, t.prev = slot, head, head.prev
	head.prev.next = t
	head.prev = t
	w.used[slot/64] |= 1 << (slot % 64)
}

func (w *wheel) remove(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	if head := &w.slots[t.slot]; head.next == head {
		w.used[t.slot/64] &^= 1 << (t.slot % 64)
	}
}

// advance moves to tick now and calls fire for every timer that has become due, disarmed already.
func (w *wheel) advance(now int64, fire func(*Timer)) {
	for w.now < now {
		due, ok := w.due()
		if !ok || due > now {
			w.now = now
			return
		}
		w.now = due
		if due&wheelMask == 0 {
			w.cascade(wheelSlots + int32((due>>wheelBits)&wheelMask))
		}
		w.fireSlot(int32(due&wheelMask), fire)
	}
}

// cascade places the timers of a far slot again, now that their time is near.
func (w *wheel) cascade(slot int32) {
	head := &w.slots[slot]
	for n := w.count(head); n > 0; n-- { // counted: a timer that is still far may come back to this very slot
		t := head.next
		w.remove(t)
		w.place(t)
	}
}

func (w *wheel) count(head *Timer) int {
	n := 0
	for t := head.next; t != nil && t != head; t = t.next {
		n++
	}
	return n
}

func (w *wheel) fireSlot(slot int32, fire func(*Timer)) {
	head := &w.slots[slot]
	due := w.now
	for n := w.count(head); n > 0 && head.next != head; n-- { // a handler may remove others of this slot
		t := head.next
		if t.at > due {
			return // a handler emptied the wheel, which moved on, and armed this one a round later
		}
		w.remove(t)
		fire(t)
	}
}

// due is the next tick at which advance has something to do: a timer to fire, or a far slot to spread out.
func (w *wheel) due() (tick int64, ok bool) {
	if d, found := nextUsed(w.used[:wheelSlots/64], int(w.now+1)&wheelMask); found {
		tick, ok = w.now+1+int64(d), true
	}
	far := w.now>>wheelBits + 1
	if d, found := nextUsed(w.used[wheelSlots/64:], int(far)&wheelMask); found {
		if at := (far + int64(d)) << wheelBits; !ok || at < tick {
			tick, ok = at, true
		}
	}
	return tick, ok
}

// nextUsed is the distance from slot `from` to the first used slot at or after it, going round.
func nextUsed(used []uint64, from int) (distance int, ok bool) {
	word := used[from/64] >> (from % 64)
	if word != 0 {
		return bits.TrailingZeros64(word), true
	}
	base := 64 - from%64
	for i := 1; i <= len(used); i++ {
		if word := used[(from/64+i)%len(used)]; word != 0 {
			if d := base + 64*(i-1) + bits.TrailingZeros64(word); d < wheelSlots {
				return d, true
			}
		}
	}
	return 0, false
}
