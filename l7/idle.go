package l7

import (
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/upstream"
)

// place is what a loop holds for one backend.
type place struct {
	trunkPool
	worker   *worker
	backend  *upstream.Backend
	counters *share // of the backend, this loop's
	newest   *link  // of the idle ones; the one that rested last is used first, so that a lull lets the others go
	oldest   *link
	count    int
}

// place finds or makes what the loop holds for b.
func (w *worker) place(b *upstream.Backend) *place {
	p := w.places[b]
	if p == nil {
		p = &place{worker: w, backend: b, counters: &w.server.counters(b).shares[w.loop.ID()]}
		w.places[b] = p
	}
	return p
}

// reuse gives h a link on an open trunk, or an idle one of the backend: only such a one with apart set. nil = there is none.
// With certain set it makes sure that the server has not closed it: a request that cannot be repeated must not meet a closed
// door.
func (w *worker) reuse(h holder, b *upstream.Backend, t *Transport, certain, apart bool) *link {
	p := w.places[b]
	if p == nil {
		return nil
	}
	if !apart && p.multiplexes(t) {
		k := p.vacancy(t, certain)
		if k == nil {
			return nil
		}
		l := w.newLink(h, b, t)
		pop(&w.branches).begin(l)
		l.branch.join(k)
		l.served = k.served
		return l
	}
	for l := p.newest; l != nil; l = p.newest {
		p.remove(l)
		if l.transport == t && (!certain || l.stream.Quiet()) {
			l.x = h
			return l
		}
		l.close()
	}
	return nil
}

// rest puts a link away for the next request to its backend. More than there may be rest until a sweep finds that nobody has
// wanted them: requests that end in one turn, as those of HTTP/2 do by the hundred, would otherwise close what the next ones dial.
func (w *worker) rest(l *link, now time.Time) {
	p := l.place
	if w.server.draining.Load() || p.backend.Draining() || l.transport.MaxIdle <= 0 {
		l.close()
		return
	}
	l.x, l.rested = nil, now
	l.prev, l.next = nil, p.newest
	if p.newest != nil {
		p.newest.prev = l
	} else {
		p.oldest = l
	}
	p.newest = l
	p.count++
	w.resting++
	p.counters.idle.Store(int64(p.count))
	if !w.sweeper.Armed() {
		w.loop.Arm(&w.sweeper, sweepEvery, w)
	}
}

// remove takes l out of the idle ones.
func (p *place) remove(l *link) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		p.newest = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		p.oldest = l.prev
	}
	l.prev, l.next = nil, nil
	p.count--
	p.worker.resting--
	p.counters.idle.Store(int64(p.count))
}

// sweep closes links that have rested for too long, those above their number that have since the last one, all that have
// where connections are about to run out, and those of backends that are being drained.
func (w *worker) sweep(now time.Time) {
	crowded := w.server.crowded()
	for _, p := range w.places {
		gone := p.backend.Draining()
		for l := p.oldest; l != nil && (gone || p.spare(l, now, crowded)); l = p.oldest {
			p.remove(l)
			l.close()
		}
	}
	if w.resting > 0 {
		w.loop.Arm(&w.sweeper, sweepEvery, w)
	}
}

// spare reports whether nobody needs l, the oldest one.
func (p *place) spare(l *link, now time.Time, crowded bool) bool {
	t, rested := l.transport, now.Sub(l.rested)
	return t.IdleTimeout > 0 && rested > t.IdleTimeout || (crowded || p.count > t.MaxIdle) && rested > surplusRest
}

// closeIdle closes the idle links that are meant.
func (w *worker) closeIdle(meant func(*link) bool) {
	for _, p := range w.places {
		for l := p.newest; l != nil; {
			next := l.next
			if meant(l) {
				p.remove(l)
				l.close()
			}
			l = next
		}
	}
}

// forget closes the idle links and the trunks of a backend that has left, and drops its place.
func (w *worker) forget(b *upstream.Backend) {
	if p := w.places[b]; p != nil {
		p.closeTrunks()
	}
	w.closeIdle(func(l *link) bool { return l.place.backend == b })
	delete(w.places, b)
}

var _ eventloop.Expirer = (*worker)(nil)
