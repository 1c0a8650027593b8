package upstream

import "sync/atomic"

// leastConn picks the backend that would have the fewest connections for its
// weight, (active+1)/weight, after the pick. Equal ones take turns.
type leastConn struct {
	set    []Share
	cursor *atomic.Uint64
}

func newLeastConn(set []Share, cursor *atomic.Uint64) Balancer {
	return &leastConn{set: set, cursor: cursor}
}

// Pick looks at every backend once, and where several are equal a second time for
// the one whose turn it is. Counts may move in between; then the first one found
// is still as good as any.
func (l *leastConn) Pick(_ uint64, skip Skip) *Backend {
	var best *Share
	var bestLoad int64
	equal := uint64(0)
	for i := range l.set {
		s := &l.set[i]
		if skip.Has(s.Backend) {
			continue
		}
		load := s.Backend.active.Load() + 1
		c := int64(0)
		if best != nil {
			c = load*int64(best.Weight) - bestLoad*int64(s.Weight)
		}
		switch {
		case best == nil || c < 0:
			best, bestLoad, equal = s, load, 1
		case c == 0:
			equal++
		}
	}
	if best == nil {
		return nil
	}
	if equal == 1 {
		return best.Backend
	}
	turn := (l.cursor.Add(1) - 1) % equal
	for i := range l.set {
		s := &l.set[i]
		load := s.Backend.active.Load() + 1
		if load*int64(best.Weight) != bestLoad*int64(s.Weight) || skip.Has(s.Backend) {
			continue
		}
		if turn == 0 {
			return s.Backend
		}
		turn--
	}
	return best.Backend
}
