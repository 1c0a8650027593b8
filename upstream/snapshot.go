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

	shares   []Share // the backends in use
	balancer Balancer
	tier     int  // priority of the backends in use
	panicked bool // health is ignored
}

// sinceEpoch returns a time as the data path uses it: monotonic, never negative.
func (s *snapshot) sinceEpoch(now time.Time) time.Duration { return max(0, now.Sub(s.epoch)) }

// buildSnapshot chooses the backends in use and builds their balancer. It returns
// too when a slow start takes its next step (zero: none is going on).
func buildSnapshot(old *snapshot, o Options, backends []*Backend, now time.Time, cursor *atomic.Uint64) (*snapshot, time.Time) {
	s := &snapshot{options: o, epoch: old.epoch, all: slices.Clone(backends)}
	if s.epoch.IsZero() {
		s.epoch = now
	}
	var chosen []*Backend
	chosen, s.tier, s.panicked = choose(backends, o.PanicThreshold)

	var next time.Time
	for _, b := range chosen {
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

// choose returns the backends that get new connections.
//
// Backends with weight 0 and draining ones take no part. The tier with the lowest
// priority number that has a usable backend serves, with its usable backends. If
// fewer than threshold percent of it are usable and no later tier has a usable
// backend to fall back on, health is ignored within it (panic). If no tier has a
// usable backend, all of the first tier serve in panic, or none if the threshold is 0.
func choose(backends []*Backend, threshold int) (chosen []*Backend, priority int, panicked bool) {
	tiers := make(map[int]*tier)
	var order []int
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
			t.usable = append(t.usable, b)
		}
	}
	slices.Sort(order)

	live := slices.DeleteFunc(slices.Clone(order), func(p int) bool { return len(tiers[p].usable) == 0 })
	switch {
	case len(order) == 0:
		return nil, 0, false
	case len(live) == 0:
		if threshold <= 0 {
			return nil, order[0], false
		}
		return tiers[order[0]].all, order[0], true
	}
	t := tiers[live[0]]
	if len(live) == 1 && len(t.usable)*100 < threshold*len(t.all) {
		return t.all, live[0], true
	}
	return t.usable, live[0], false
}

// tier is the backends of one priority.
type tier struct{ all, usable []*Backend }

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
