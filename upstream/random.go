package upstream

import (
	"math/rand/v2"
	"sync/atomic"
)

// lottery draws from a set in proportion to weight.
type lottery struct {
	set  []Share
	upTo []uint64 // upTo[i] is the sum of the weights 0..i
}

func newLottery(set []Share) lottery {
	upTo := make([]uint64, len(set))
	sum := uint64(0)
	for i, s := range set {
		sum += uint64(s.Weight)
		upTo[i] = sum
	}
	return lottery{set: set, upTo: upTo}
}

// draw returns the holder of a random ticket. The generator is the runtime's, one
// for each thread: no lock.
func (l *lottery) draw() *Share {
	ticket := rand.Uint64N(l.upTo[len(l.upTo)-1])
	low, high := 0, len(l.upTo)-1
	for low < high {
		mid := int(uint(low+high) / 2)
		if ticket < l.upTo[mid] {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return &l.set[low]
}

// random draws by weight.
type random struct{ lottery }

func newRandom(set []Share, _ *atomic.Uint64) Balancer { return &random{newLottery(set)} }

func (r *random) Pick(_ uint64, skip Skip) *Backend {
	for range maxProbes {
		if b := r.draw().Backend; !skip.Has(b) {
			return b
		}
	}
	return firstOf(r.set, rand.Uint64(), &skip)
}
