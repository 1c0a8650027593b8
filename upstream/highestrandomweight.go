package upstream

import (
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// HighestRandomWeight leads each key to one child by rendezvous hashing, as the
// strategy HRW does among backends: children get keys in proportion to weight, all
// nodes agree, and while a child has no usable backend its keys, and no others, go to
// the rest. It is immutable.
type HighestRandomWeight struct {
	children []Chooser // those with weight
	hashes   []uint64
	weights  []float64
}

// NewHighestRandomWeight returns a chooser among the children, which should have
// names that stay: see Child.
func NewHighestRandomWeight(children []Child) Chooser {
	h := &HighestRandomWeight{}
	for i, c := range children {
		if c.Weight <= 0 {
			continue
		}
		h.children = append(h.children, c.Chooser)
		h.hashes = append(h.hashes, xxhash.Sum64String(c.name(i)))
		h.weights = append(h.weights, float64(min(c.Weight, MaxWeight)))
	}
	return h
}

// name returns what tells the child from its siblings.
func (c *Child) name(position int) string {
	if c.Name != "" {
		return c.Name
	}
	if p, ok := c.Chooser.(*Pool); ok {
		return p.Service()
	}
	return strconv.Itoa(position)
}

// Choose returns the choice of the child that the key belongs to, among those that
// have most to offer. Children that lose are asked nothing that would cost them a turn.
func (h *HighestRandomWeight) Choose(key uint64) (*Pool, bool) {
	if len(h.children) == 0 {
		return nil, false
	}
	best, most, earliest := 0, nothing-1, math.Inf(1)
	for i, c := range h.children {
		u := stir(key ^ h.hashes[i])
		if most == sound && atLeast(u) > earliest*h.weights[i] {
			continue // cannot win, whatever it offers
		}
		o := offerOf(c)
		if o < most {
			continue
		}
		at := negLog2(u) / h.weights[i]
		if o > most || at < earliest {
			best, most, earliest = i, o, at
		}
	}
	return h.children[best].Choose(key)
}
