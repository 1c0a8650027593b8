package upstream

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// What follows is for choosers above this package, which choose among services by the
// same arithmetic as balancers choose among backends.

// Turns returns one round of turns in which holder i has weights[i] of the sum, evenly
// spread: after every t turns each holder has had its share of t, rounded down or up.
// Weights must be above zero; they count up to MaxWeight.
func Turns(weights []int) []int32 {
	if len(weights) == 0 {
		return nil
	}
	capped := make([]int, len(weights))
	for i, w := range weights {
		capped[i] = min(w, MaxWeight)
	}
	return sequence(capped)
}

// NameID is what Score and sessions know a service by: a hash of its name, equal on all
// nodes.
func NameID(service string) uint64 { return xxhash.Sum64String(service) }

// Score is what a holder has for a key in rendezvous hashing: of several holders the one
// with the least wins, each in proportion to its weight, and the winner's absence
// moves its own keys only. It is equal on all nodes and architectures. A holder without
// weight never wins.
func Score(key, holder uint64, weight int) float64 {
	if weight <= 0 {
		return math.Inf(1)
	}
	return negLog2(stir(key^holder)) / float64(weight)
}

// Sound reports whether the pool offers backends in good faith: at least one is usable.
func (p *Pool) Sound() bool { return p.offers() == sound }
