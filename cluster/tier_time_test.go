package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// quantiles returns p50 and p99.
func quantiles(d []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(d)
	return d[len(d)/2].Round(time.Millisecond), d[(len(d)*99+99)/100-1].Round(time.Millisecond)
}

// I1: a backend that dies is out of all balancers within Tdet+Tconv, where
//
//	Tdet  until the first probe has failed: the probers take turns, so T/min(k,N), and the timeout where nothing comes;
//	Tconv until all others have looked: one way through the network, which above 16 members is gossip and takes some rounds,
//	      the time within which a look begins, and the timeout; then one way more.
//
// It comes back as soon as it has been held down for the first fall, and those who follow their own failure have asked again.
func TestBackendDies(t *testing.T) {
	for _, tt := range []struct {
		how       condition
		n, deaths int
	}{
		{refuses, 1, 10}, {refuses, 2, 30}, {refuses, 3, 30}, {refuses, 5, 30}, {refuses, 10, 30}, {refuses, 20, 20}, {refuses, 50, 6},
		{hangs, 1, 10}, {hangs, 2, 30}, {hangs, 3, 30}, {hangs, 10, 20}, {hangs, 20, 6},
	} {
		if raced && tt.n > 20 {
			continue // a minute, for races that fewer show as well
		}
		t.Run(fmt.Sprintf("%s, %d balancers", tt.how, tt.n), func(t *testing.T) {
			tiers(t, uint64(tt.n), max(tt.deaths, 18), func(t *testing.T, s *tier) {
				s.raise(tt.n)
				s.ready()
				time.Sleep(3 * DefaultInterval) // all have begun at once; after that they take turns
				s.measureDeaths(tt.how, tt.n, tt.deaths)
			})
		})
	}
}

// tierBound is how long a death takes to be known to all, at most.
func tierBound(how condition, n int) time.Duration {
	timeout := time.Millisecond
	if how == hangs {
		timeout = tierTimeout
	}
	bound := DefaultInterval/time.Duration(min(n, DefaultProbers)) + timeout
	if n == 1 { // nobody else is a witness: its own probes have to conclude, each fast after the other
		return bound + 2*max(tierFast, timeout) + 10*time.Millisecond
	}
	way := 2 * time.Millisecond
	if n > directMembers {
		way = 5 * 100 * time.Millisecond
	}
	return bound + tierLook + timeout + 2*way
}

// measureDeaths has so many backends die one after the other, and come back. No more than a third of the pool is away at once: from
// half of it on the word of others would not do.
func (s *tier) measureDeaths(how condition, n, number int) {
	s.t.Helper()
	bound := tierBound(how, n)
	const away, apart = 6 * time.Second, 1100 * time.Millisecond
	died := make([]time.Time, number)
	for i, k := range s.backends[:number] {
		time.Sleep(apart/2 + s.chance(apart))
		died[i] = time.Now()
		s.set(k, how)
		time.AfterFunc(away, func() { s.set(k, works) })
	}
	time.Sleep(away + 3*DefaultInterval)
	var deaths, returns []time.Duration
	for i, k := range s.backends[:number] {
		took, ok := s.followed(k, died[i], Down)
		if !ok || took > bound {
			s.t.Errorf("I1: seed %d: %s, which %s, is out everywhere: %t, after %s, at most %s", s.seed, k.name, how, ok, took, bound)
		}
		deaths = append(deaths, took)
		took, ok = s.followed(k, died[i].Add(away), Up)
		if limit := DefaultInterval*3/2 + tierFast + 100*time.Millisecond; !ok || took > limit {
			s.t.Errorf("seed %d: %s is back everywhere: %t, after %s, at most %s", s.seed, k.name, ok, took, limit)
		}
		returns = append(returns, took)
	}
	p50, p99 := quantiles(deaths)
	r50, r99 := quantiles(returns)
	s.t.Logf("N=%d: out everywhere after %s / %s (p50/p99 of %d), at most %s; back everywhere after %s / %s",
		n, p50, p99, len(deaths), bound, r50, r99)
}

// A backend is probed k/T times a second, however many balancers there are.
func TestProbesPerBackend(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 10} {
		t.Run(fmt.Sprint(n, " balancers"), func(t *testing.T) {
			tiers(t, uint64(n), 10, func(t *testing.T, s *tier) {
				s.raise(n)
				s.ready()
				time.Sleep(3 * DefaultInterval)
				probes := func() (sum int) {
					for _, k := range s.backends {
						sum += s.asked(k)
					}
					return sum
				}
				const lasts = time.Minute
				before := probes()
				time.Sleep(lasts)
				got := float64(probes()-before) / lasts.Seconds() / float64(len(s.backends))
				want := float64(min(n, DefaultProbers)) / DefaultInterval.Seconds()
				t.Logf("N=%d: %.2f probes per backend and second, expected %.2f", n, got, want)
				if got < 0.95*want || got > 1.05*want {
					t.Errorf("%.2f probes per backend and second, want %.2f", got, want)
				}
			})
		})
	}
}

// With clients, who find out before any probe does: what one balancer's client was refused is out everywhere within the time that
// a look takes.
func TestClientsFindOut(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		t.Run(fmt.Sprint(n, " balancers"), func(t *testing.T) {
			tiers(t, uint64(n), 20, func(t *testing.T, s *tier) {
				s.traffic = 10 * time.Millisecond
				s.raise(n)
				s.ready()
				time.Sleep(3 * DefaultInterval)
				s.measureDeaths(refuses, n, 20)
				s.calm()
			})
		})
	}
}
