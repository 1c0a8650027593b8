package upstream

import "sync/atomic"

// Chooser leads a connection to a pool: a Pool to itself; Weighted, HighestRandomWeight
// and Failover to one of those below them. Choosers nest. Usable asks one without
// choosing.
type Chooser interface {
	// Choose returns the pool for the key, and whether it has a backend to offer.
	// The pool may be nil only if it has not. Choosers above pools that are wholly down
	// prefer any other, and offer one that panics if there is no better.
	// It is called on loops: lock-free, no allocation.
	Choose(key uint64) (*Pool, bool)
}

// Choose returns the pool itself.
func (p *Pool) Choose(uint64) (*Pool, bool) { return p, len(p.snapshot.Load().shares) > 0 }

// Child is one service below Weighted or HighestRandomWeight.
type Child struct {
	Chooser Chooser
	Weight  int // share of the connections; one without weight gets none, more than MaxWeight counts as MaxWeight

	// Name is what HighestRandomWeight hashes: which keys a child gets depends on its
	// name and on nothing else, so it should be the service's, which all nodes know.
	// Empty: the name of a Pool, of any other chooser the position among the children.
	Name string
}

// isSound reports whether a choice offers backends in good faith.
func isSound(p *Pool, ok bool) bool { return offerBy(p, ok) == sound }

// better returns the better of two choices, the first one if they are alike.
func better(p *Pool, ok bool, q *Pool, qok bool) (*Pool, bool) {
	if offerBy(q, qok) > offerBy(p, ok) || p == nil {
		return q, qok
	}
	return p, ok
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

// Choose takes the next turn that leads to a usable backend.
func (w *Weighted) Choose(key uint64) (*Pool, bool) {
	n := uint64(len(w.turns))
	if n == 0 {
		return nil, false
	}
	at := (w.cursor.Add(1) - 1) % n
	p, ok := w.children[w.turns[at]].Choose(key)
	for range min(n, maxProbes) - 1 {
		if isSound(p, ok) {
			return p, ok
		}
		if at++; at == n {
			at = 0
		}
		q, qok := w.children[w.turns[at]].Choose(key)
		p, ok = better(p, ok, q, qok)
	}
	// Only children with little weight, if any, are left: ask each of them.
	for i := 0; i < len(w.children) && !isSound(p, ok); i++ {
		q, qok := w.children[i].Choose(key)
		p, ok = better(p, ok, q, qok)
	}
	return p, ok
}

// Failover leads to the service while it has a usable backend, else to the fallback
// if that has one, else to the service if it panics.
type Failover struct {
	Service, Fallback Chooser
}

// Choose returns the pool that the service or the fallback chose.
func (f Failover) Choose(key uint64) (*Pool, bool) {
	p, ok := f.Service.Choose(key)
	if isSound(p, ok) {
		return p, ok
	}
	q, qok := f.Fallback.Choose(key)
	return better(p, ok, q, qok)
}
