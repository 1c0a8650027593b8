package flow

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// maxBlank is how many flows that have ended a table keeps for new ones.
const maxBlank = 1024

// expireBudget is how many flows one call of Expire or Cut ends, so that a flood that expires does not hold up its loop.
const expireBudget = 256

// Table is the flows of one entrypoint on one loop.
type Table struct {
	options    Options
	index      index
	order      queue
	epoch      time.Time
	latest     time.Duration // since epoch; never goes back
	generation uint32        // of the routes
	stopping   bool
	blank      *Flow // for new flows
	blanks     int
}

// NewTable returns an empty table whose clock begins at now.
func NewTable(o Options, now time.Time) *Table {
	return &Table{options: o.withDefaults(Options{}), index: newIndex(), epoch: now}
}

// SetOptions replaces the options, but for Flows, Sockets and Counters, which stay. A timeout holds for all flows at once,
// another gate must be passed by each flow at its client's next datagram. Flows stay where they are; Reroute moves them.
func (t *Table) SetOptions(o Options) { t.options = o.withDefaults(t.options) }

// Reroute makes each flow pick again at its client's next datagram, because where the entrypoint leads has changed.
func (t *Table) Reroute() { t.generation++ }

// Stop lets no new flow in. Those that live go on.
func (t *Table) Stop() { t.stopping = true }

// Len returns the number of flows.
func (t *Table) Len() int { return t.index.used }

// Counters returns where the table counts.
func (t *Table) Counters() *Counters { return t.options.Counters }

// tick takes over the time. Should it go back, it stands: the order of activity must hold.
func (t *Table) tick(now time.Time) time.Duration {
	t.latest = max(t.latest, now.Sub(t.epoch))
	return t.latest
}

// FromClient appends to dst what is to be done with a datagram of n bytes from a client.
func (t *Table) FromClient(key Key, n int, now time.Time, dst []Action) []Action {
	at := t.tick(now)
	h := key.hash(t.index.seed)
	f := t.index.find(&key, h)
	if f == nil {
		var why Cause
		if f, why = t.open(key, h, now); why != Kept {
			return t.drop(why, nil, dst)
		}
		dst = append(dst, Action{Kind: Open, Flow: f})
	} else if dst = t.review(f, now, dst); f.reason != Live {
		return dst
	}
	t.touch(f, at)
	f.proven = f.proven || f.greeted
	f.owed += int64(f.choice.Responses)
	f.in.add(n)
	f.tally.add(f.choice.Backend, n, 0)
	t.options.Counters.in(n)
	f.choice.Counters.in(n)
	return append(dst, Action{Kind: ToBackend, Flow: f})
}

// FromBackend appends to dst what is to be done with a datagram of n bytes from the flow's backend. The socket must be the
// one that was opened last: what comes through an earlier one is the shell's to ignore.
func (t *Table) FromBackend(f *Flow, n int, now time.Time, dst []Action) []Action {
	at := t.tick(now)
	if f.reason != Live || !f.placed {
		return t.drop(Late, nil, dst)
	}
	t.touch(f, at)
	f.owed--
	f.succeed(at, now)
	if f.mayDraw(n, t.options.Amplification) {
		f.greeted = true
		f.out.add(n)
		f.tally.add(f.choice.Backend, 0, n)
		t.options.Counters.out(n)
		f.choice.Counters.out(n)
		dst = append(dst, Action{Kind: ToClient, Flow: f})
	} else {
		dst = t.drop(Amplified, f.choice.Counters, dst)
	}
	if f.choice.Responses > 0 && f.owed <= 0 {
		dst = t.end(f, Done, dst)
	}
	return dst
}

// grain is how long a flow keeps its place in the order before activity moves it to the end. To move it at each datagram
// would touch its neighbours, which are strangers and seldom in the cache: there and back among 50,000 flows took 640 ns
// and takes 490 so.
func (t *Table) grain() time.Duration { return t.options.IdleTimeout / 64 }

func (t *Table) touch(f *Flow, at time.Duration) {
	if at-f.active >= t.grain() {
		t.order.remove(f)
		t.order.push(f)
		f.active = at
	}
}

// drop counts a datagram that goes nowhere, for the service too where it was known.
func (t *Table) drop(why Cause, service *Counters, dst []Action) []Action {
	t.options.Counters.Dropped(why)
	service.Dropped(why)
	return append(dst, Action{Kind: Drop, Cause: why})
}

// Unreachable tells that the flow's socket reported that the backend turns datagrams away (ICMP port unreachable), or is
// out of reach. It counts against the backend. The datagram is lost; the client's next one goes to another backend, unless
// the retries that the pool's options allow, at most three in a row, or its budget, are used up: then the flow ends.
func (t *Table) Unreachable(f *Flow, now time.Time, dst []Action) []Action {
	t.tick(now)
	b, pool := f.choice.Backend, f.choice.Pool
	if f.reason != Live || !f.placed {
		return dst
	}
	b.AddConnectFailure(false)
	pool.Failed(b, now)
	if !f.blame(b, pool.Options().Connect.Retries) || !pool.AllowRetry(now) {
		return t.end(f, Unreachable, dst)
	}
	f.leaveBackend()
	f.open = false
	return append(dst, Action{Kind: Close, Flow: f})
}

// NoSocket tells that this host could not open the flow's socket. It ends the flow and counts against nobody.
func (t *Table) NoSocket(f *Flow, now time.Time, dst []Action) []Action {
	t.tick(now)
	if f.reason != Live || !f.open {
		return dst
	}
	f.open = false
	return t.end(f, NoSocket, dst)
}

// Next returns when Expire should be called, and false while there is no flow.
func (t *Table) Next() (time.Time, bool) {
	if t.order.head == nil {
		return time.Time{}, false
	}
	return t.epoch.Add(t.order.head.active + t.options.IdleTimeout + t.grain()), true
}

// Expire ends the flows that have been idle for the timeout, the longest idle first, but at most 256 at once: Next says
// when to go on. It costs what it ends. A flow is never ended early, and at most 1/64 of the timeout late.
func (t *Table) Expire(now time.Time, dst []Action) []Action {
	at := t.tick(now)
	for range expireBudget {
		f := t.order.head
		if f == nil || at-f.active < t.options.IdleTimeout+t.grain() {
			break
		}
		dst = t.end(f, Idle, dst)
	}
	return dst
}

// Cut ends flows, whoever lives, but at most 256 at once: the shell goes on while Len is not 0. The reason is Removed or
// Stopped.
func (t *Table) Cut(why Reason, now time.Time, dst []Action) []Action {
	t.tick(now)
	for range expireBudget {
		if t.order.head == nil {
			break
		}
		dst = t.end(t.order.head, why, dst)
	}
	return dst
}

// CutBackend ends flows that have the backend, but at most 256 at once, and reports whether there may be more: the shell goes
// on then. It looks at every flow.
func (t *Table) CutBackend(b *upstream.Backend, why Reason, now time.Time, dst []Action) (actions []Action, more bool) {
	t.tick(now)
	budget := expireBudget
	for f := t.order.head; f != nil; {
		next := f.next
		if f.placed && f.choice.Backend == b {
			if budget == 0 {
				return dst, true
			}
			dst = t.end(f, why, dst)
			budget--
		}
		f = next
	}
	return dst, false
}

// Sync brings the counters of backends, which lag behind by a few datagrams of each flow, up to date. It looks at every flow.
func (t *Table) Sync() {
	for f := t.order.head; f != nil; f = f.next {
		if f.placed {
			f.tally.flush(f.choice.Backend)
		}
	}
}

// Record returns what the access log says of a flow that has ended and was not freed.
func (t *Table) Record(f *Flow) Record {
	return Record{
		Key:     f.Key,
		Backend: f.choice.Backend,
		Start:   t.epoch.Add(f.start),
		Total:   f.active - f.start,
		In:      f.in,
		Out:     f.out,
		Moves:   int(f.moves),
		Reason:  f.reason,
	}
}
