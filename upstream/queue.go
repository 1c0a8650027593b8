package upstream

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Waiter is one connection that waits for a slot. It may wait again after it was
// granted or cancelled, not before.
type Waiter struct {
	Key   uint64     // as for Acquire
	Tried []*Backend // as for Acquire; not to be changed while waiting

	// Grant hands over a backend with one connection counted on it. It is called
	// at most once for each Wait, from any goroutine, also from within Wait; it must
	// not block. It may call the pool.
	Grant func(*Backend)

	// Guarded by the queue's mutex until the waiter is granted, then the granter's.
	queued     bool
	backend    *Backend
	prev, next *Waiter
}

// queue holds the waiters of a pool, first come first served.
//
// It has a mutex because it is touched only while the pool is saturated: as long
// as every connection finds a slot, the data path sees nothing but the atomic
// length. That length is raised before a waiter looks for a slot the last time, and
// read after a slot is freed; one of the two sees the other, so no slot is lost.
type queue struct {
	length atomic.Int64
	_      [cacheLine - 8]byte

	mu         sync.Mutex
	head, tail *Waiter

	overflows atomic.Uint64 // waiters turned away ever
}

// push appends w. The mutex must be held.
func (q *queue) push(w *Waiter) {
	w.queued, w.prev, w.next = true, q.tail, nil
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.length.Add(1)
}

// remove takes w out. The mutex must be held.
func (q *queue) remove(w *Waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	q.length.Add(-1)
}

// give takes w out with the backend on which a connection was counted for it. The
// mutex must be held.
func (q *queue) give(w *Waiter, b *Backend) {
	q.remove(w)
	w.backend = b
}

// offer gives the one slot that became free on b to the first waiter that may use
// it, and returns that waiter or nil. The mutex must be held.
func (q *queue) offer(s *snapshot, b *Backend) *Waiter {
	if !s.uses(b) {
		return nil
	}
	for w := q.head; w != nil; w = w.next {
		if slices.Contains(w.Tried, b) {
			continue
		}
		if !b.acquire() {
			return nil
		}
		q.give(w, b)
		return w
	}
	return nil
}

// serve acquires for waiters, the longest waiting first, and returns those that got
// a backend as a list linked by next. The mutex must be held.
//
// With a newcomer, which was just pushed, it stops at the first waiter that finds
// nothing and goes on with the newcomer. Those between looked when they came, and no
// slot became free since without an offer.
func (q *queue) serve(s *snapshot, newcomer *Waiter) *Waiter {
	var granted *Waiter
	last := &granted
	for w := q.head; w != nil; {
		next := w.next
		b, err := s.acquire(w.Key, w.Tried)
		switch {
		case err == nil:
			q.give(w, b)
			*last, last = w, &w.next
		case len(w.Tried) == 0:
			return granted // nothing is free at all
		case newcomer != nil && w != newcomer:
			// What is free is what this one has tried; it must not hold up the others.
			next = newcomer
		}
		w = next
	}
	return granted
}

// grant tells the waiters that serve returned. The mutex must not be held.
func grant(w *Waiter) {
	for w != nil {
		next, b := w.next, w.backend
		w.next, w.backend = nil, nil
		w.Grant(b) // w is its owner's again from here
		w = next
	}
}
