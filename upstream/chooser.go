package upstream

import "sync/atomic"

// Chooser leads a connection to a pool: a Pool to itself, Weighted and Failover to
// one of those below them. Choosers nest.
type Chooser interface {
	// Choose returns the pool for the key, and whether it has a usable backend.
	// It is called on loops: lock-free, no allocation.
	Choose(key uint64) (*Pool, bool)
}

// Choose returns the pool itself.
func (p *Pool) Choose(uint64) (*Pool, bool) { return p, len(p.snapshot.Load().shares) > 0 }

// Child is one service below Weighted.
type Child struct {
	Chooser Chooser
	Weight  int // share of the connections; one without weight gets none
}

// Weighted gives each child connections in proportion to its weight, evenly spread.
// Children that have no usable backend lose their turns to the others. Keys play no
// part at this level: which service a client gets is a matter of shares, and only
// within the service does a hash decide. It is immutable but for its cursor.
type Weighted struct {
	children []Chooser // those with weight
	turns    []int32
	cursor   atomic.Uint64
}

// NewWeighted returns a chooser among the children.
func NewWeighted(children []Child) *Weighted {
	w := &Weighted{}
	var weights []int
	for _, c := range children {
		if c.Weight > 0 {
			w.children = append(w.children, c.Chooser)
			weights = append(weights, min(c.Weight, MaxWeight))
		}
	}
	if len(weights) > 0 {
		w.turns = sequence(weights)
	}
	return w
}

// Choose takes the next turn that leads to a usable backend. If there is none it
// returns the pool the turn led to, or nil if there is no child with weight.
func (w *Weighted) Choose(key uint64) (*Pool, bool) {
	n := uint64(len(w.turns))
	if n == 0 {
		return nil, false
	}
	at := (w.cursor.Add(1) - 1) % n
	first, ok := w.children[w.turns[at]].Choose(key)
	if ok {
		return first, true
	}
	for range min(n, maxProbes) - 1 {
		if at++; at == n {
			at = 0
		}
		if p, ok := w.children[w.turns[at]].Choose(key); ok {
			return p, true
		}
	}
	// Only children with little weight, if any, are left: ask each of them.
	for _, c := range w.children {
		if p, ok := c.Choose(key); ok {
			return p, true
		}
	}
	return first, false
}

// Failover leads to the service while it has a usable backend, else to the fallback.
type Failover struct {
	Service, Fallback Chooser
}

// Choose returns the service's pool, or the fallback's while only that has a usable
// backend.
func (f Failover) Choose(key uint64) (*Pool, bool) {
	p, ok := f.Service.Choose(key)
	if ok {
		return p, true
	}
	if q, ok := f.Fallback.Choose(key); ok {
		return q, true
	}
	return p, false
}
