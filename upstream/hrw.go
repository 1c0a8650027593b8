package upstream

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// hrw is rendezvous hashing (Thaler and Ravishankar 1998): each backend has a
// pseudo-random score for the key, the best one wins, and the next best is the
// second choice. A backend that goes away moves only its own keys.
type hrw struct {
	set     []Share
	uniform bool // all weights are equal
}

func newHRW(set []Share, _ *atomic.Uint64) Balancer {
	h := &hrw{set: set, uniform: true}
	for _, s := range set {
		h.uniform = h.uniform && s.Weight == set[0].Weight
	}
	return h
}

// Pick compares the scores of all backends. With weights the score is the time of
// the first event of a Poisson process of that rate, -ln(u)/weight, so that the
// chance to be earliest is in proportion to weight; without, the order of u is enough.
// Equal scores fall to the lower address.
func (h *hrw) Pick(key uint64, skip Skip) *Backend {
	var best *Backend
	earliest, highest := math.Inf(1), uint64(0)
	for i := range h.set {
		s := &h.set[i]
		u := stir(key ^ s.Backend.hash)
		if h.uniform {
			if best != nil && u <= highest || skip.Has(s.Backend) {
				continue
			}
			best, highest = s.Backend, u
			continue
		}
		weight := float64(s.Weight)
		if atLeast(u) > earliest*weight {
			continue // cannot win, and most cannot
		}
		at := negLog2(u) / weight
		if best != nil && at >= earliest || skip.Has(s.Backend) {
			continue
		}
		best, earliest = s.Backend, at
	}
	return best
}

// atLeast is a lower bound of negLog2 without the logarithm: -ln(x) >= 1-x. The
// factor leaves room for the rounding of both, so that the bound never decides
// what the logarithm would decide otherwise.
func atLeast(u uint64) float64 {
	return float64(int64(^u>>11)) * (math.Log2E / (1 << 53) * (1 - 1e-6))
}

// negLog2 returns -log2(u/2^64) for u read as a fraction, with about eight digits,
// which is far below the resolution that shares need.
//
// It is not math.Log because nodes of different architectures must agree on every
// bit: the conversions keep the compiler from fusing multiply and add, which the
// language allows on some of them.
func negLog2(u uint64) float64 {
	u = max(u, 1)
	zeros := bits.LeadingZeros64(u)
	m := float64(u<<zeros>>11) / (1 << 52) // 1 <= m < 2
	// ln(m) = 2 atanh((m-1)/(m+1)); with m centred on 1 the argument stays below 0.172.
	exponent := float64(63 - zeros)
	if m > math.Sqrt2 {
		m /= 2
		exponent++
	}
	x := (m - 1) / (m + 1)
	y := float64(x * x)
	series := 1 + float64(y*(1.0/3+float64(y*(1.0/5+float64(y*(1.0/7+float64(y*(1.0/9))))))))
	return 64 - exponent - float64(float64(x*series)*(2*math.Log2E))
}
