package upstream

import (
	"cmp"
	"slices"
	"time"
)

// ID returns the stable, opaque name of the backend within its pool, by which a client
// can be led back to it: a hash of its address, equal on all nodes and after every
// restart. It has no secret. Whoever knows how it is made can test a guess at the
// address, and name another backend of the pool; if that matters, encrypt or sign it.
func (b *Backend) ID() uint64 { return b.hash }

// Find returns the pool's backend with the given ID, whatever its state, or nil. It
// takes no lock, allocates nothing, and takes time in the logarithm of the pool's size.
func (p *Pool) Find(id uint64) *Backend { return p.snapshot.Load().find(id) }

// AcquireThis counts a connection on the given backend, as Acquire does on one that it
// picks: it is for clients that were there before. Release takes the connection back.
//
// The backend keeps its old clients while it is in the pool and not Down, ejected or
// draining. Weight 0 keeps them too, for it only sends nothing new, and so does a
// failover tier that is not, or no longer, in use. In all other states, and in panic
// where the backend itself is Down, the error is ErrNoBackend, and Acquire is what to
// do next. At its connection limit, or while others wait for the slot, it is ErrFull;
// Acquire then finds another backend. It takes no lock and allocates nothing.
func (p *Pool) AcquireThis(b *Backend, now time.Time) error {
	s := p.snapshot.Load()
	if b == nil || s.find(b.hash) != b || !b.status.Load().keeps() {
		return ErrNoBackend
	}
	if p.queue.length.Load() > 0 && s.options.Queue.Limit > 0 && s.uses(b) {
		return ErrFull // as in Acquire
	}
	if !b.acquire() {
		return ErrFull
	}
	p.budget.connection(s.sinceEpoch(now))
	return nil
}

// keeps reports whether clients that were at the backend before may stay.
func (s *Status) keeps() bool { return !s.Draining && s.Health != Down && !s.Ejected() }

// find returns the backend with the given hash, or nil.
func (s *snapshot) find(hash uint64) *Backend {
	at, ok := slices.BinarySearchFunc(s.byHash, hash, func(b *Backend, hash uint64) int { return cmp.Compare(b.hash, hash) })
	if !ok {
		return nil
	}
	return s.byHash[at]
}

// sortedByHash returns the backends in the order in which find looks for them.
func sortedByHash(backends []*Backend) []*Backend {
	sorted := slices.Clone(backends)
	slices.SortFunc(sorted, func(a, b *Backend) int { return cmp.Compare(a.hash, b.hash) })
	return sorted
}
