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
	set    []Share
	cursor *atomic.Uint64
	idle   uint64 // turns after which an unused time counts for half
}

const (
	idleTurns   = 64
	maxHalvings = 62 // more than between any two times and weights
)

func newLeastTime(set []Share, cursor *atomic.Uint64) Balancer {
	return &leastTime{set: set, cursor: cursor, idle: idleTurns * uint64(len(set))}
}

// Pick looks at every backend twice: for the shortest time, which stands for those
// that were never measured, and for the best score. Looking begins at another backend
// each time, so that equal ones take turns. A second choice uses up no turn.
func (l *leastTime) Pick(_ uint64, skip Skip) *Backend {
	turn := l.cursor.Load()
	if skip.n == 0 {
		turn = l.cursor.Add(1) - 1
	}
	unmeasured := l.shortest()
	var best *Backend
	bestScore, bestHalvings := math.Inf(1), uint64(0)
	n := uint64(len(l.set))
	at := turn % n
	for range n {
		s := &l.set[at]
		if at++; at == n {
			at = 0
		}
		halvings := l.halvings(s.Backend, turn)
		score := s.score(unmeasured, halvings)
		if score < bestScore && !skip.Has(s.Backend) {
			best, bestScore, bestHalvings = s.Backend, score, halvings
		}
	}
	if best != nil {
		best.pickedAt.Store(turn)
		if bestHalvings > 0 {
			best.firstByte.expire()
		}
	}
	return best
}

// shortest returns the shortest time of all backends, 1 if none was measured.
func (l *leastTime) shortest() float64 {
	shortest := math.Inf(1)
	for i := range l.set {
		if t := l.set[i].Backend.firstByte.nanoseconds(); t > 0 {
			shortest = min(shortest, float64(t))
		}
	}
	if math.IsInf(shortest, 1) {
		return 1
	}
	return shortest
}

// halvings returns how often the time of a backend has lost half of its say. Loops
// take their turns side by side, so a backend may seem to be picked after this one.
func (l *leastTime) halvings(b *Backend, turn uint64) uint64 {
	idle := int64(turn - b.pickedAt.Load())
	return min(uint64(max(idle, 0))/l.idle, maxHalvings)
}

// score returns how long the backend would be expected to take with one more
// connection, by weight.
func (s *Share) score(unmeasured float64, halvings uint64) float64 {
	t := unmeasured
	if measured := s.Backend.firstByte.nanoseconds(); measured > 0 {
		t = float64(measured)
	}
	return t * float64(s.Backend.active.Load()+1) / float64(s.Weight) / float64(uint64(1)<<halvings)
}
