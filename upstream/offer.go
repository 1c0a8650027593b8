package upstream

// offer is what a chooser has to offer, from nothing to the best.
type offer int

const (
	nothing  offer = iota // no backend at all
	doubtful              // backends of a pool that panics because all are down
	sound                 // backends in good faith
)

// Usable reports whether a chooser leads to a pool that has a backend to offer: what
// Choose would say, but without taking anybody's turn, so it may be asked at any time.
// It takes no lock and allocates nothing.
func Usable(c Chooser) bool { return offerOf(c) > nothing }

// offerOf returns what Choose would have to offer. A chooser that is not of this
// package has no way to tell but Choose.
func offerOf(c Chooser) offer {
	switch c := c.(type) {
	case *Pool: // most are, and a type is found out faster than an interface
		return c.offers()
	case interface{ offers() offer }:
		return c.offers()
	}
	return offerBy(c.Choose(0))
}

// offerBy returns what a choice has to offer.
func offerBy(p *Pool, ok bool) offer {
	if !ok {
		return nothing
	}
	return p.offers()
}

// bestOffer returns the best that any of the choosers has to offer.
func bestOffer(choosers []Chooser) offer {
	best := nothing
	for _, c := range choosers {
		if best = max(best, offerOf(c)); best == sound {
			break
		}
	}
	return best
}

// offers says that a pool offers in good faith while a backend is usable. One of which
// every backend is down may still offer them all (Options.PanicThreshold), but only
// after every other way has been tried.
func (p *Pool) offers() offer {
	s := p.snapshot.Load()
	switch {
	case len(s.shares) == 0:
		return nothing
	case s.usable == 0:
		return doubtful
	}
	return sound
}

func (w *Weighted) offers() offer { return bestOffer(w.children) }

func (f Failover) offers() offer { return max(offerOf(f.Service), offerOf(f.Fallback)) }

func (h *HighestRandomWeight) offers() offer { return bestOffer(h.children) }
