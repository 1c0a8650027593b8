package flow

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// maxTried is how many backends a flow remembers that have failed it in a row, and so a bound on its retries.
const maxTried = 3

// Flow is a client that talks to a backend. The table owns it until End, the shell until Free.
type Flow struct {
	Key    Key // not to be changed
	Socket any // the shell's; the table never looks at it

	gate       Gate   // that let it in; nil = none
	choice     Choice // Backend stays for the record when the flow has left it
	hash       uint64
	prev, next *Flow // in the order of activity, or next alone among the blank ones

	start, active time.Duration // since the table's epoch; active lags behind by less than the table's grain
	picked        time.Duration // when the backend was
	in, out       Traffic
	owed          int64 // answers that the backend owes, where Responses says how many
	tried         [maxTried]*upstream.Backend
	tally         tally
	generation    uint32 // of the table's routes
	moves         uint32
	tries         uint8 // how many of tried
	reason        Reason
	placed        bool // it holds a slot on its backend; if not, it waits for a datagram to move on
	open          bool // the shell was told to open a socket, and not to close it
	pickedDown    bool // the pool panicked: that the backend is down was known, and is no reason to leave it
	answered      bool // by this backend
	greeted       bool // something was sent to the client
	proven        bool // the client has sent again after that
}

// Backend returns where the flow goes, or nil while it has no backend and waits for the client's next datagram.
func (f *Flow) Backend() *upstream.Backend {
	if !f.placed {
		return nil
	}
	return f.choice.Backend
}

// Pool returns the pool that the flow was led to last.
func (f *Flow) Pool() *upstream.Pool { return f.choice.Pool }

// Service returns where the flow's service counts, nil if nowhere.
func (f *Flow) Service() *Counters { return f.choice.Counters }

// Record is what the access log says of a flow.
type Record struct {
	Key     Key
	Backend *upstream.Backend // the last one
	Start   time.Time
	Total   time.Duration
	In      Traffic // from the client
	Out     Traffic // to the client
	Moves   int     // times it went to another backend
	Reason  Reason
}

// stale reports whether the flow may not go on with its backend: it has none, was routed by what no longer holds, or its
// backend drains or went down after it was picked.
func (f *Flow) stale(generation uint32) bool {
	b := f.choice.Backend
	if !f.placed || f.generation != generation || b.Draining() {
		return true
	}
	down := b.Health() == upstream.Down
	f.pickedDown = f.pickedDown && down
	return down && !f.pickedDown
}

// headers is what IPv4 and UDP put before a datagram. They count in the budget: an answer to an empty datagram is not
// infinitely more than it.
const headers = 28

// mayDraw reports whether an answer of n bytes is within the budget.
func (f *Flow) mayDraw(n, factor int) bool {
	if factor <= 0 || f.proven {
		return true
	}
	sent := f.in.Bytes + headers*f.in.Datagrams
	drawn := f.out.Bytes + headers*f.out.Datagrams + headers + uint64(n)
	return drawn <= uint64(factor)*sent
}

// blame remembers that the backend has failed this flow, and reports whether another one may be tried.
func (f *Flow) blame(b *upstream.Backend, retries int) bool {
	if int(f.tries) >= min(retries, maxTried) {
		return false
	}
	f.tried[f.tries] = b
	f.tries++
	return true
}

// settle gives the flow a backend that is not the one it had.
func (f *Flow) settle(c Choice, at time.Duration) {
	f.choice, f.picked, f.placed = c, at, true
	f.answered, f.owed = false, 0
	f.open = true
}

// leaveBackend gives back the slot. The choice stays for the counters.
func (f *Flow) leaveBackend() {
	f.tally.flush(f.choice.Backend)
	f.choice.Pool.Release(f.choice.Backend)
	f.placed = false
}

// succeed notes the first answer of a backend: it is well, and those that failed this flow before may be tried again.
func (f *Flow) succeed(at time.Duration, now time.Time) {
	if f.answered {
		return
	}
	f.answered = true
	f.tries, f.tried = 0, [maxTried]*upstream.Backend{}
	f.choice.Pool.Succeeded(f.choice.Backend, now)
	f.choice.Backend.AddFirstByte(at - f.picked)
}
