package upstream

import (
	"math"
	"sync/atomic"
)

// leastTime picks the backend that would answer first if each of its connections
// took as long as the last ones did: the least average time to the first byte, times
// the connections it would have, by weight.
//
// A time that is not measured any more says less and less: a backend that was slow
// once would never be asked again. So the time counts for half after every idleTurns
// turns of each backend in which this one was not picked, until it wins once; the
// next measurement then replaces the average. This is counted in turns rather than
// seconds, so that what still is slow gets a small share of the connections however
// many there are: one in some hundreds.
type leastTime struct {
	set     []Share
	inverse []float64 // of the weights
	cursor  *atomic.Uint64
	idle    uint64 // turns after which an unused time counts for half
}

const (
	idleTurns   = 64
	maxHalvings = 62 // more than between any two times and weights
)

func newLeastTime(set []Share, cursor *atomic.Uint64) Balancer {
	l := &leastTime{set: set, cursor: cursor, idle: idleTurns * uint64(len(set))}
	for _, s := range set {
		l.inverse = append(l.inverse, 1/float64(s.Weight))
	}
	return l
}

// Pick looks at every backend once and keeps the best of those that were measured
// apart from the best of those that were not. Looking begins at another backend each
// time, so that equal ones take turns. A second choice uses up no turn.
func (l *leastTime) Pick(_ uint64, skip Skip) *Backend {
	turn := l.cursor.Load()
	if skip.n == 0 {
		turn = l.cursor.Add(1) - 1
	}
	known, fresh, shortest := noCandidate(), noCandidate(), math.Inf(1)
	n := uint64(len(l.set))
	at := turn % n
	for range n {
		b := l.set[at].Backend
		t, idle := float64(b.firstByte.nanoseconds()), l.halvings(b, turn)
		load := float64(b.active.Load()+1) * l.inverse[at] * halves(idle)
		if at++; at == n {
			at = 0
		}
		if t > 0 {
			shortest = min(shortest, t)
			if score := t * load; score < known.score && !skip.Has(b) {
				known = candidate{b, score, idle}
			}
		} else if load < fresh.score && !skip.Has(b) {
			fresh = candidate{b, load, idle}
		}
	}
	// One that was never measured counts as fast as the fastest: it is tried, not overrun.
	best := known
	if known.backend == nil || fresh.backend != nil && fresh.score*shortest <= known.score {
		best = fresh
	}
	best.take(turn)
	return best.backend
}

// candidate is a backend that may be picked.
type candidate struct {
	backend  *Backend // nil = none yet
	score    float64  // how long a connection is expected to take, by weight; of one not measured its load by weight
	halvings uint64
}

func noCandidate() candidate { return candidate{score: math.Inf(1)} }

// take notes that the backend has its turn. A time that had lost some of its say has
// won for being old; the next measurement replaces it.
func (c *candidate) take(turn uint64) {
	if c.backend == nil {
		return
	}
	c.backend.pickedAt.Store(turn)
	if c.halvings > 0 {
		c.backend.firstByte.expire()
	}
}

// halvings returns how often the time of a backend has lost half of its say. Loops
// take their turns side by side, so a backend may seem to be picked after this one.
func (l *leastTime) halvings(b *Backend, turn uint64) uint64 {
	since := uint64(max(int64(turn-b.pickedAt.Load()), 0))
	if since < l.idle {
		return 0 // mostly, and without a division
	}
	return min(since/l.idle, maxHalvings)
}

// halves returns one half to the power of n.
func halves(n uint64) float64 {
	if n == 0 {
		return 1
	}
	return 1 / float64(uint64(1)<<n)
}
