package upstream

import (
	"slices"
	"sync/atomic"
)

// Strategy names a way to balance.
type Strategy string

const (
	WRR       Strategy = "wrr"       // smooth weighted round robin
	LeastConn Strategy = "leastconn" // fewest connections for its weight
	P2C       Strategy = "p2c"       // the less loaded of two drawn by weight
	Maglev    Strategy = "maglev"    // consistent hashing by lookup table
	HRW       Strategy = "hrw"       // consistent hashing by highest random weight
	Random    Strategy = "random"    // drawn by weight
	LeastTime Strategy = "leasttime" // shortest time to the first byte, times connections, for its weight
)

// strategies is the registry: one constructor for each strategy. They get a set
// that is not empty, of weights above zero, and keep it.
var strategies = map[Strategy]func(set []Share, cursor *atomic.Uint64) Balancer{
	WRR:       newWRR,
	LeastConn: newLeastConn,
	P2C:       newP2C,
	Maglev:    newMaglev,
	HRW:       newHRW,
	Random:    newRandom,
	LeastTime: newLeastTime,
}

// Valid reports whether the strategy exists; the empty one is WRR.
func (s Strategy) Valid() bool { return s == "" || strategies[s] != nil }

// Hashes reports whether picks depend on the key, so that callers need not
// compute one where they do not.
func (s Strategy) Hashes() bool { return s == Maglev || s == HRW }

// Share is a backend and its effective weight, which is above zero. Weights count
// relative to each other.
type Share struct {
	Backend *Backend
	Weight  int
}

// Balancer picks a backend. It is an immutable value built from a fixed set.
type Balancer interface {
	// Pick returns a backend that is not to be skipped, or nil if all are. It is
	// called on loops: lock-free, no allocation, bounded work, no side effect but a
	// cursor and, of LeastTime, whose turn it was. Strategies that hash return the same backend for the same key and
	// skips, on every node, in whatever order the set was given.
	Pick(key uint64, skip Skip) *Backend
}

// NewBalancer builds the balancer of a strategy; an unknown one is WRR. Shares
// without weight are left out; of an empty set every pick is nil. The cursor is the
// turn of round robin; passing that of the balancer before goes on where it was,
// nil starts anew.
func NewBalancer(s Strategy, set []Share, cursor *atomic.Uint64) Balancer {
	set = slices.DeleteFunc(slices.Clone(set), func(s Share) bool { return s.Weight <= 0 })
	if len(set) == 0 {
		return none{}
	}
	if s.Hashes() {
		sortShares(set)
	}
	if cursor == nil {
		cursor = new(atomic.Uint64)
	}
	build := strategies[s]
	if build == nil {
		build = newWRR
	}
	return build(set, cursor)
}

// sortShares orders by address, the order all nodes agree on.
func sortShares(set []Share) {
	slices.SortFunc(set, func(a, b Share) int { return a.Backend.key.Addr.Compare(b.Backend.key.Addr) })
}

// none is the balancer of no backend.
type none struct{}

func (none) Pick(uint64, Skip) *Backend { return nil }

// maxSkips bounds how many second choices a strategy is asked for; after that the
// pool looks at every backend once.
const maxSkips = 6

// Skip is the few backends that a pick passes over: those tried before and those
// found full. It is a value so that handing it to a balancer allocates nothing.
type Skip struct {
	n  int
	of [maxSkips]*Backend
}

// Add adds a backend and reports whether there was room for it.
func (s *Skip) Add(b *Backend) bool {
	if s.n == maxSkips {
		return false
	}
	s.of[s.n] = b
	s.n++
	return true
}

// Has reports whether the backend is to be skipped.
func (s *Skip) Has(b *Backend) bool {
	for i := range s.n {
		if s.of[i] == b {
			return true
		}
	}
	return false
}

// maxProbes bounds the draws of a strategy before it looks at the set in order.
const maxProbes = 32

// firstOf returns the first backend not to be skipped, beginning anywhere.
func firstOf(set []Share, from uint64, skip *Skip) *Backend {
	n := uint64(len(set))
	at := from % n
	for range n {
		if b := set[at].Backend; !skip.Has(b) {
			return b
		}
		if at++; at == n {
			at = 0
		}
	}
	return nil
}

// weightsOf returns the weights alone.
func weightsOf(set []Share) []int {
	weights := make([]int, len(set))
	for i, s := range set {
		weights[i] = s.Weight
	}
	return weights
}
