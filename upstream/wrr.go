package upstream

import "sync/atomic"

// wrr gives turns in proportion to weight, evenly spread. The order of one round
// is computed beforehand; a pick is one step of a shared cursor.
type wrr struct {
	set    []Share
	turns  []*Backend
	cursor *atomic.Uint64
}

func newWRR(set []Share, cursor *atomic.Uint64) Balancer {
	order := sequence(weightsOf(set))
	turns := make([]*Backend, len(order))
	for t, i := range order {
		turns[t] = set[i].Backend
	}
	return &wrr{set: set, turns: turns, cursor: cursor}
}

// Pick takes the next turn. Skipped backends lose theirs to whoever comes next in
// the round, which spreads their share over all the others. A second choice uses up
// no turn: of two backends, one of them dead, every connection would meet the dead
// one first.
func (w *wrr) Pick(_ uint64, skip Skip) *Backend {
	n := uint64(len(w.turns))
	at := w.cursor.Load()
	if skip.n == 0 {
		at = w.cursor.Add(1) - 1
	}
	at %= n
	for range min(n, maxProbes) {
		if b := w.turns[at]; !skip.Has(b) {
			return b
		}
		if at++; at == n {
			at = 0
		}
	}
	return firstOf(w.set, at, &skip)
}
