package limit

import "net/netip"

// InFlight bounds how much of something a client has at one time. Safe from any goroutine.
type InFlight struct {
	amount uint64
	table  sources // a slot: 40 bits of tag, 24 bits of count; free while the count is 0
}

const (
	countBits = 24
	countMask = 1<<countBits - 1
)

// NewInFlight returns a limit of amount, 1 to 2^24-1, for each client.
func NewInFlight(amount int) *InFlight {
	return &InFlight{amount: uint64(min(amount, countMask)), table: newSources()}
}

// Enter counts one for the client and returns true, unless it has as many as it may.
func (f *InFlight) Enter(client netip.Addr) bool {
	admitted, _ := f.enter(f.table.find(client))
	return admitted
}

// Key is the key of a source that is told apart by b.
func (f *InFlight) Key(b []byte) Key { return f.table.key(b) }

// EnterKey is Enter for a key. What is admitted and counted must be taken back by LeaveKey, what is not counted, because
// there was no room, must not.
func (f *InFlight) EnterKey(k Key) (admitted, counted bool) { return f.enter(f.table.place(k)) }

// LeaveKey takes back what EnterKey has counted.
func (f *InFlight) LeaveKey(k Key) { f.leave(f.table.place(k)) }

func (f *InFlight) enter(home int, tag uint64) (admitted, counted bool) {
	tag &= 1<<(64-countBits) - 1
	for {
		at, seen, open := f.look(home, tag)
		switch {
		case open >= f.amount:
			return false, false
		case at < 0:
			return true, false // no room: uncounted
		}
		next := seen + 1
		if seen&countMask == 0 {
			next = tag<<countBits | 1
		}
		if f.table.slot(home, at).CompareAndSwap(seen, next) {
			return true, true
		}
	}
}

// look returns the client's slot, or a free one, or -1; what is in it; and how many the client has.
func (f *InFlight) look(home int, tag uint64) (at int, seen, open uint64) {
	at = -1
	own := false
	for i := range sourceProbes {
		v := f.table.slot(home, i).Load()
		switch n := v & countMask; {
		case n == 0 && at < 0:
			at, seen = i, v
		case n > 0 && v>>countBits == tag:
			open += n
			if !own {
				at, seen, own = i, v, true
			}
		}
	}
	return at, seen, open
}

// Leave takes back what Enter has counted.
func (f *InFlight) Leave(client netip.Addr) { f.leave(f.table.find(client)) }

func (f *InFlight) leave(home int, tag uint64) {
	tag &= 1<<(64-countBits) - 1
	for {
		at, seen, open := f.look(home, tag)
		if open == 0 || f.table.slot(home, at).CompareAndSwap(seen, seen-1) {
			return // open is 0 for what went uncounted
		}
	}
}

// Total is what all clients that are counted have together. It looks through the whole table.
func (f *InFlight) Total() (n int64) {
	for i := range f.table.slots {
		n += int64(f.table.slots[i].Load() & countMask)
	}
	return n
}
