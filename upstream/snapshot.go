package upstream

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// snapshot is everything a pick needs, built once by Update and never changed.
type snapshot struct {
	options Options
	epoch   time.Time  // the pool's first update; times on the data path count from here
	all     []*Backend // as given, for views
	byHash  []*Backend // the same, for find

	selection
	shares   []Share // the backends in use with their effective weights
	balancer Balancer
}

// sinceEpoch returns a time as the data path uses it: monotonic, never negative.
func (s *snapshot) sinceEpoch(now time.Time) time.Duration { return max(0, now.Sub(s.epoch)) }

// buildSnapshot chooses the backends in use and builds their balancer. It returns
// too when a slow start takes its next step (zero: none is going on).
func buildSnapshot(old *snapshot, o Options, backends []*Backend, now time.Time, cursor *atomic.Uint64) (*snapshot, time.Time) {
	s := &snapshot{options: o, epoch: old.epoch, all: slices.Clone(backends), selection: choose(backends, o.PanicThreshold)}
	if s.epoch.IsZero() {
		s.epoch = now
	}
	if s.byHash = old.byHash; !slices.Equal(old.all, s.all) {
		s.byHash = sortedByHash(s.all)
	}
	var next time.Time
	for _, b := range s.chosen {
		status := b.status.Load()
		percent := fullPercent
		if !o.Strategy.Hashes() {
			var step time.Time
			percent, step = ramp(status.Since, now, o.SlowStart)
			next = earlier(next, step)
		}
		s.shares = append(s.shares, Share{Backend: b, Weight: status.Weight * percent})
	}
	if o.Strategy.Hashes() {
		sortShares(s.shares) // second choices among full backends must agree too
	}
	if old.balancer != nil && old.options.Strategy == o.Strategy && slices.Equal(old.shares, s.shares) {
		s.balancer = old.balancer
	} else {
		s.balancer = NewBalancer(o.Strategy, s.shares, cursor)
	}
	return s, next
}

// selection is which backends get new connections, and why.
type selection struct {
	chosen   []*Backend
	tier     int  // their priority
	usable   int  // usable backends of all tiers
	panicked bool // health is ignored in the tier
}

// choose selects the backends that get new connections, as the comment on Pool says.
func choose(backends []*Backend, threshold int) selection {
	type tier struct{ all, usable []*Backend }
	tiers := make(map[int]*tier)
	var order, live []int // priorities, of all tiers and of those with a usable backend
	usable := 0
	for _, b := range backends {
		status := b.status.Load()
		if !status.serves() {
			continue
		}
		t := tiers[status.Priority]
		if t == nil {
			t = new(tier)
			tiers[status.Priority] = t
			order = append(order, status.Priority)
		}
		t.all = append(t.all, b)
		if status.usable() {
			if t.usable == nil {
				live = append(live, status.Priority)
			}
			t.usable = append(t.usable, b)
			usable++
		}
	}
	switch {
	case len(order) == 0:
		return selection{}
	case len(live) == 0:
		first := slices.Min(order)
		if threshold <= 0 {
			return selection{tier: first}
		}
		return selection{chosen: tiers[first].all, tier: first, panicked: true}
	}
	first := slices.Min(live)
	t := tiers[first]
	if len(live) == 1 && len(t.usable)*100 < threshold*len(t.all) {
		return selection{chosen: t.all, tier: first, usable: usable, panicked: true}
	}
	return selection{chosen: t.usable, tier: first, usable: usable}
}

// uses reports whether the backend gets new connections.
func (s *snapshot) uses(b *Backend) bool {
	return slices.ContainsFunc(s.shares, func(h Share) bool { return h.Backend == b })
}

// acquire picks a backend that was not tried and counts a connection on it.
func (s *snapshot) acquire(key uint64, tried []*Backend) (*Backend, error) {
	var skip Skip
	room := true
	for _, b := range tried {
		room = room && skip.Add(b)
	}
	for room {
		b := s.balancer.Pick(key, skip)
		if b == nil {
			break
		}
		if b.acquire() {
			return b, nil
		}
		room = skip.Add(b)
	}
	return s.sweep(key, tried)
}

// sweep is for when the strategy's choices are full or tried: it looks at every
// backend once, from a place that the key decides if the strategy hashes.
func (s *snapshot) sweep(key uint64, tried []*Backend) (*Backend, error) {
	n := uint64(len(s.shares))
	if n == 0 {
		return nil, ErrNoBackend
	}
	from := key
	if !s.options.Strategy.Hashes() {
		from = rand.Uint64()
	}
	err := ErrNoBackend
	at := from % n
	for range n {
		if b := s.shares[at].Backend; !slices.Contains(tried, b) {
			if b.acquire() {
				return b, nil
			}
			err = ErrFull
		}
		if at++; at == n {
			at = 0
		}
	}
	return nil, err
}
