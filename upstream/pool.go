package upstream

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

var (
	// ErrNoBackend means that no backend is usable, or that all usable ones were tried.
	ErrNoBackend = errors.New("no usable backend")
	// ErrFull means that every usable backend has as many connections as it may, or
	// that others already wait for a slot. Pool.Wait is what to do next.
	ErrFull = errors.New("all backends are at their connection limit")
	// ErrQueueFull means that as many connections wait as may.
	ErrQueueFull = errors.New("queue for a backend is full")
)

// Pool is the backends of one service and the way to choose among them.
//
// It serves from the failover tier with the lowest priority number that has a
// usable backend: one that is not Down, not ejected, not draining and has weight.
// When fewer than Options.PanicThreshold percent of that tier are usable and no
// later tier could take over, the pool panics: it doubts the verdicts and uses the
// whole tier. When no backend of any tier is usable, it uses the whole first tier
// likewise, or answers ErrNoBackend if the threshold is 0. Weight 0 and draining are
// somebody's will, not a verdict, and hold in panic too.
//
// Update has one caller, the owner of the topology. Everything else may be called
// from any goroutine.
type Pool struct {
	service string
	notify  func(*Backend)
	suspect func(*Backend) // nil = nobody wants to know; see Watch

	snapshot atomic.Pointer[snapshot] // writer: Update
	_        [cacheLine]byte

	cursor atomic.Uint64 // whose turn it is; outlives snapshots, so that rebuilds do not favour the first
	_      [cacheLine - 8]byte

	budget budget
	_      [cacheLine]byte

	queue queue
}

// NewPool returns the pool of a service; it has no backend before the first Update.
// notify is called on the data path each time a backend has failed so often in a
// row that it should be ejected, once until the next Update. It must not block;
// what it should lead to is a call of Update. It may be nil.
func NewPool(service string, notify func(*Backend)) *Pool {
	p := &Pool{service: service, notify: notify}
	p.snapshot.Store(&snapshot{balancer: none{}})
	return p
}

// Service returns the name of the service.
func (p *Pool) Service() string { return p.service }

// Options returns what the last Update set.
func (p *Pool) Options() Options { return p.snapshot.Load().options }

// Backends returns all backends as given to the last Update. The slice belongs to
// the pool and must not be changed.
func (p *Pool) Backends() []*Backend { return p.snapshot.Load().all }

// Update replaces options and backends, applies what was set on the backends since,
// begins and ends ejections, and gives connections that wait the slots that
// appeared. It returns when it must be called again although nothing changed,
// because a slow start takes its next step or an ejection ends; zero means never.
// Backends must be those of the same service, each once. The first backends of a
// pool do not start slowly, for there is nobody else to take the load.
func (p *Pool) Update(o Options, backends []*Backend, now time.Time) (next time.Time) {
	old := p.snapshot.Load()
	for _, b := range backends {
		if !b.seen && len(old.all) > 0 {
			b.change(func(s *Status) { s.Since = now })
		}
		b.seen = true
	}
	next = settleEjections(o.Passive, backends, now)
	s, step := buildSnapshot(old, o, backends, now, &p.cursor)
	p.snapshot.Store(s)
	p.serveQueue()
	return earlier(next, step)
}

// Acquire picks a backend for a connection with the given key (KeyOf), passing over
// those in tried, and counts the connection on it; Release takes it back. The
// errors are ErrNoBackend and ErrFull. It takes no lock and allocates nothing.
func (p *Pool) Acquire(key uint64, tried []*Backend, now time.Time) (*Backend, error) {
	s := p.snapshot.Load()
	if len(s.shares) == 0 {
		return nil, ErrNoBackend
	}
	if len(tried) == 0 {
		p.budget.connection(s.sinceEpoch(now))
	}
	if p.queue.length.Load() > 0 && s.options.Queue.Limit > 0 {
		// A slot that is free now belongs to the head of the queue.
		if s.exhausted(tried) {
			return nil, ErrNoBackend
		}
		return nil, ErrFull
	}
	return s.acquire(key, tried)
}

// exhausted reports whether every backend in use was tried.
func (s *snapshot) exhausted(tried []*Backend) bool {
	if len(tried) < len(s.shares) {
		return false
	}
	return !slices.ContainsFunc(s.shares, func(h Share) bool { return !slices.Contains(tried, h.Backend) })
}

// Release gives back a connection that Acquire or Grant counted, and so the slot
// to the longest waiting connection.
func (p *Pool) Release(b *Backend) {
	// In this order: a waiter that is not yet in the length will find the slot.
	b.active.Add(-1)
	if p.queue.length.Load() == 0 {
		return
	}
	p.queue.mu.Lock()
	granted := p.queue.offer(p.snapshot.Load(), b)
	p.queue.mu.Unlock()
	grant(granted)
}

// Wait queues w for a slot after Acquire said ErrFull. Slots that have become free
// since count: Grant may be called before Wait returns. The error is ErrQueueFull;
// then Grant is not called.
func (p *Pool) Wait(w *Waiter) error {
	q := &p.queue
	limit := p.snapshot.Load().options.Queue.Limit
	if limit <= 0 {
		q.overflows.Add(1)
		return ErrQueueFull
	}
	q.mu.Lock()
	q.push(w)
	granted := q.serve(p.snapshot.Load(), w)
	full := w.queued && q.length.Load() > int64(limit)
	if full {
		q.remove(w)
	}
	q.mu.Unlock()
	grant(granted)
	if full {
		q.overflows.Add(1)
		return ErrQueueFull
	}
	return nil
}

// Cancel takes w out of the queue. False means that it was granted, or never
// waited: Grant has been called or is about to be, and the connection must be released.
func (p *Pool) Cancel(w *Waiter) bool {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	if !w.queued {
		return false
	}
	p.queue.remove(w)
	return true
}

// serveQueue gives all free slots to those who wait.
func (p *Pool) serveQueue() {
	if p.queue.length.Load() == 0 {
		return
	}
	p.queue.mu.Lock()
	granted := p.queue.serve(p.snapshot.Load(), nil)
	p.queue.mu.Unlock()
	grant(granted)
}

// Failed tells that a connection to the backend could not be made, or broke in a
// way that counts against it. Lock-free.
func (p *Pool) Failed(b *Backend, now time.Time) {
	s := p.snapshot.Load()
	at := s.sinceEpoch(now)
	first := b.sawFailure(at)
	if b.fail(s.options.Passive, at) && p.notify != nil {
		p.notify(b)
	}
	if first && p.suspect != nil {
		p.suspect(b)
	}
}

// Succeeded tells that a connection to the backend did well; it ends the run of
// consecutive failures. Lock-free.
func (p *Pool) Succeeded(b *Backend, now time.Time) {
	b.succeed()
	b.sawSuccess(p.snapshot.Load().sinceEpoch(now))
}

// AllowRetry reports whether the retry budget has room for one more retry, and
// takes it. Retries of the last 10 seconds may be a fifth of the first attempts in
// that time; ten in each second are always allowed. Lock-free.
func (p *Pool) AllowRetry(now time.Time) bool {
	return p.budget.retry(p.snapshot.Load().sinceEpoch(now))
}

// PoolStats is a snapshot of a pool's state and counters.
type PoolStats struct {
	Backends       int    // all
	Usable         int    // those, of all tiers, that are not down, ejected, draining or without weight
	InUse          int    // those that get new connections
	Tier           int    // their priority
	Panic          bool   // health is ignored
	Waiting        int64  // connections in the queue
	QueueOverflows uint64 // connections the queue turned away, ever
	Retries        uint64 // retries the budget allowed, ever
	RetriesRefused uint64 // retries the budget refused, ever
}

// Stats returns the pool's state and counters.
func (p *Pool) Stats() PoolStats {
	s := p.snapshot.Load()
	return PoolStats{
		Backends:       len(s.all),
		Usable:         s.usable,
		InUse:          len(s.shares),
		Tier:           s.tier,
		Panic:          s.panicked,
		Waiting:        p.queue.length.Load(),
		QueueOverflows: p.queue.overflows.Load(),
		Retries:        p.budget.granted.Load(),
		RetriesRefused: p.budget.refused.Load(),
	}
}
