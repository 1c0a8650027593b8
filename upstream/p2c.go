package upstream

import (
	"math/rand/v2"
	"sync/atomic"
)

// p2c draws two backends by weight and takes the one with fewer connections for
// its weight (Mitzenmacher 2001). Where both are equal the first drawn wins, so
// that an idle pool follows the weights.
type p2c struct{ lottery }

func newP2C(set []Share, _ *atomic.Uint64) Balancer { return &p2c{newLottery(set)} }

func (p *p2c) Pick(_ uint64, skip Skip) *Backend {
	a := p.drawBut(nil, &skip)
	if a == nil {
		return firstOf(p.set, rand.Uint64(), &skip)
	}
	b := p.drawBut(a, &skip)
	if b == nil {
		return a.Backend
	}
	if b.Backend.active.Load()*int64(a.Weight) < a.Backend.active.Load()*int64(b.Weight) {
		return b.Backend
	}
	return a.Backend
}

// drawBut draws a share that is neither but nor skipped, or gives up: a pool whose
// weight lies almost wholly with those is no place for a choice of two.
func (p *p2c) drawBut(but *Share, skip *Skip) *Share {
	for range maxProbes / 4 {
		if s := p.draw(); s != but && !skip.Has(s.Backend) {
			return s
		}
	}
	return nil
}
