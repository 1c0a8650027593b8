package l7

import (
	"math"

	"github.com/weirlb/weir/upstream"
)

// HighestRandomWeight leads each client address to one child, in proportion to weights, by rendezvous hashing (Thaler and
// Ravishankar 1998): all nodes agree, and a child without a usable backend moves its own clients only.
type HighestRandomWeight struct {
	children []Child
	ids      []uint64
}

// NewHighestRandomWeight returns a choice among the children. One without weight gets nothing.
func NewHighestRandomWeight(children []Child) *HighestRandomWeight {
	h := &HighestRandomWeight{}
	for _, c := range children {
		if c.Weight > 0 {
			c.Weight = min(c.Weight, upstream.MaxWeight)
			h.children, h.ids = append(h.children, c), append(h.ids, c.id())
		}
	}
	return h
}

func (h *HighestRandomWeight) choose(x *Exchange) (best choice) {
	key := upstream.KeyOf(upstream.SourceIP, x.Client(), "")
	last, score := -1, math.Inf(-1)
	for range h.children {
		last, score = h.next(key, last, score)
		best = better(best, h.children[last].Service.choose(x))
		if best.offer == sound {
			break
		}
	}
	return best
}

// next is the child that follows, in the key's order, the one with that score: the scores are passed through upwards, and
// equal ones by index.
func (h *HighestRandomWeight) next(key uint64, last int, score float64) (int, float64) {
	best, least := -1, math.Inf(1)
	for i, c := range h.children {
		s := upstream.Score(key, h.ids[i], c.Weight)
		if (s > score || s == score && i > last) && (s < least || best < 0) {
			best, least = i, s
		}
	}
	return best, least
}
