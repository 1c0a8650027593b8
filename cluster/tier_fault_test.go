package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// calmly waits while nothing may go out at the balancers named, or at all that tell the truth.
func (s *tier) calmly(d time.Duration, names ...string) {
	s.t.Helper()
	from := time.Now()
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.balancers {
		if b.lie != nil || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		for _, v := range b.order {
			for _, c := range v.changes {
				if c.at.After(from) && c.state == Down {
					s.violated("%s was taken out at %s", v.name, name)
				}
			}
		}
	}
}

// deceive has a balancer lie from now on.
func (s *tier) deceive(name string, lie func(*Sight)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.balancers[name].lie = lie
	s.tell("%s lies", name)
}

// The failure analysis of cluster.md section 3, with whole balancers.

// Most of the balancers die, and backends with them. Who is left finds out alone, once it has noticed that.
func TestMostBalancersDie(t *testing.T) {
	for _, tt := range []struct{ n, die int }{{3, 2}, {5, 3}, {5, 4}} {
		for _, how := range []condition{refuses, hangs} {
			t.Run(fmt.Sprintf("%d of %d, backends %s", tt.die, tt.n, how), func(t *testing.T) {
				tiers(t, uint64(tt.n*10+tt.die), 8, func(t *testing.T, s *tier) {
					s.raise(tt.n)
					s.ready()
					time.Sleep(3 * DefaultInterval)
					for _, k := range s.backends[:3] {
						s.set(k, how)
					}
					died := time.Now()
					for i := range tt.die {
						s.kill(fmt.Sprintf("lb-%02d", i))
					}
					// Duty begins when the dead are no members any more, or, at the latest, when what they said does not stand any more.
					time.Sleep(MaxSilence + time.Second + tierBound(how, 1))
					var last time.Duration
					for _, k := range s.backends[:3] {
						took, ok := s.followed(k, died, Down)
						if last = max(last, took); !ok {
							t.Errorf("%s is not out everywhere", k.name)
						}
					}
					t.Logf("%d of %d die, and backends that then %s: out after %s", tt.die, tt.n, how, last)
					for _, k := range s.backends {
						s.set(k, works)
					}
					s.within(2*DefaultInterval+tierTimeout+time.Second, s.right)
				})
			})
		}
	}
}

// I2, I4: one that lies, or two that are the majority of those on duty, take nothing out that balancers serve by. What they say of
// backends that nobody uses goes out for two seconds at most before a look brings it back, and soon they are not believed.
func TestLiars(t *testing.T) {
	for _, tt := range []struct {
		n, liars int
		traffic  time.Duration
	}{{3, 1, 0}, {5, 1, 0}, {3, 2, 10 * time.Millisecond}, {5, 2, 10 * time.Millisecond}, {5, 2, 0}} {
		t.Run(fmt.Sprintf("%d of %d, clients every %s", tt.liars, tt.n, tt.traffic), func(t *testing.T) {
			tiers(t, uint64(tt.n*10+tt.liars), 8, func(t *testing.T, s *tier) {
				s.traffic = tt.traffic
				s.raise(tt.n)
				s.ready()
				time.Sleep(3 * DefaultInterval)
				for i := range tt.liars {
					s.deceive(fmt.Sprintf("lb-%02d", i), saysDown)
				}
				if tt.liars == 2 && tt.traffic == 0 {
					time.Sleep(time.Minute)
				} else {
					s.calmly(time.Minute)
				}
				s.calmly(time.Minute)
				if err := s.all(s.in)(); err != nil {
					t.Error(err)
				}
				// I6: what they said is gone with them.
				for i := range tt.liars {
					s.kill(fmt.Sprintf("lb-%02d", i))
				}
				s.within(MaxSilence+2*time.Second, s.right)
				s.calmly(10 * time.Second)
			})
		})
	}
}

// All say up that is down: own failures win.
func TestLiarsPraise(t *testing.T) {
	tiers(t, 1, 8, func(t *testing.T, s *tier) {
		s.raise(3)
		s.ready()
		time.Sleep(3 * DefaultInterval)
		s.deceive("lb-00", saysUp)
		s.deceive("lb-01", saysUp)
		died := time.Now()
		s.set(s.backends[0], refuses)
		time.Sleep(tierBound(refuses, 1))
		if down, _ := s.verdicts(s.backends[0]); len(down) != 1 {
			t.Errorf("out at %v, %s after it died", down, time.Since(died))
		}
	})
}

// A balancer that is too busy to probe in time, and takes that for failures, says so; the others do not believe it.
func TestBusyProber(t *testing.T) {
	tiers(t, 1, 8, func(t *testing.T, s *tier) {
		s.raise(3)
		s.ready()
		time.Sleep(3 * DefaultInterval)
		b := s.balancer("lb-00")
		s.mu.Lock()
		b.lag = 1500 * time.Millisecond
		s.mu.Unlock()
		s.calmly(time.Minute, "lb-01", "lb-02")
		s.mu.Lock()
		b.lag = 0
		s.mu.Unlock()
		time.Sleep(time.Until(s.held()))
		s.within(2*DefaultInterval, s.right)
	})
}

// A backend that one balancer alone does not reach is out there, and stays so; elsewhere it stays in. A probe may take as long as the
// time between two.
func TestBackendApart(t *testing.T) {
	for _, interval := range []time.Duration{2 * time.Second, time.Second} {
		for _, n := range []int{2, 3, 5} {
			t.Run(fmt.Sprintf("%d balancers, every %s", n, interval), func(t *testing.T) {
				tiers(t, uint64(n), 8, func(t *testing.T, s *tier) {
					s.options.Interval, s.traffic = interval, 20*time.Millisecond
					s.raise(n)
					s.ready()
					time.Sleep(3 * DefaultInterval)
					for _, k := range s.backends[:3] { // on duty for some, for others not
						s.part(k, "lb-00", true)
					}
					time.Sleep(8 * time.Second)
					if err := s.right(); err != nil {
						t.Error(err)
					}
					b := s.balancer("lb-00")
					count := func() (n int) {
						s.mu.Lock()
						defer s.mu.Unlock()
						for _, v := range b.order {
							n += len(v.changes)
						}
						return n
					}
					before := count()
					s.calmly(time.Minute)
					if after := count(); after != before {
						t.Errorf("%d changes at lb-00, of backends that never were reachable", after-before)
					}
					for _, k := range s.backends[:3] {
						s.part(k, "lb-00", false)
					}
					time.Sleep(time.Until(s.held()))
					s.within(2*DefaultInterval+tierTimeout, s.all(s.in))
				})
			})
		}
	}
}

// Balancers that probe in different ways do not count each other's votes, and all find out, also when those on duty do not know.
func TestConfigDrifts(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			tiers(t, seed, 8, func(t *testing.T, s *tier) {
				for i := range 5 {
					s.boot(fmt.Sprintf("lb-%02d", i), uint64(1+i%2), nil)
				}
				s.ready()
				time.Sleep(3 * DefaultInterval)
				for _, k := range s.backends[:3] {
					s.set(k, refuses)
				}
				time.Sleep(tierBound(hangs, 1)) // some are alone with their way of probing
				for _, k := range s.backends[:3] {
					if err := s.out(k); err != nil {
						t.Error(err)
					}
					s.set(k, works)
				}
				s.within(2*DefaultInterval+tierTimeout, s.right)
				if err := s.dutiful(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// All backends die at once. Nobody believes anybody then, and all find out by themselves; half of them would stay in by the word of
// others alone. They come back as they went.
func TestMassDeath(t *testing.T) {
	for _, n := range []int{1, 3, 5, 10} {
		for _, how := range []condition{refuses, hangs} {
			t.Run(fmt.Sprintf("%d balancers, %s", n, how), func(t *testing.T) {
				tiers(t, uint64(n), 12, func(t *testing.T, s *tier) {
					s.raise(n)
					s.ready()
					time.Sleep(3 * DefaultInterval)
					died := time.Now()
					for _, k := range s.backends {
						s.set(k, how)
					}
					// A rumour, and then as many looks as prove it.
					bound := tierBound(how, n) + tierBound(how, 1) + time.Second
					time.Sleep(bound)
					var last time.Duration
					for _, k := range s.backends {
						took, ok := s.followed(k, died, Down)
						if !ok {
							t.Errorf("%s is not out everywhere after %s", k.name, bound)
						}
						last = max(last, took)
					}
					for _, k := range s.backends {
						s.set(k, works)
					}
					back := time.Now()
					time.Sleep(time.Until(s.held()))
					s.within(2*DefaultInterval+2*tierTimeout, s.all(s.in))
					t.Logf("N=%d, %s: the last of %d out everywhere after %s, back after %s", n, how, len(s.backends), last, time.Since(back))
				})
			})
		}
	}
}

// I11: a backend that flaps once a second. The bound is held against each ruling; see check.
func TestFlappingTier(t *testing.T) {
	for _, n := range []int{1, 3, 5, 10} {
		t.Run(fmt.Sprint(n, " balancers"), func(t *testing.T) {
			tiers(t, uint64(n), 6, func(t *testing.T, s *tier) {
				s.traffic = 100 * time.Millisecond
				s.raise(n)
				s.ready()
				const lasts = 120
				before := s.asked(s.backends[0])
				s.flap(s.backends[0], refuses, lasts)
				time.Sleep(lasts * time.Second)
				most := 0
				s.mu.Lock()
				for _, b := range s.balancers {
					most = max(most, len(b.order[0].changes)-1)
				}
				probes := float64(s.backends[0].probes-before) / lasts
				s.mu.Unlock()
				t.Logf("N=%d: at most %d changes at one balancer in %d s, %.1f probes a second by all", n, most, lasts, probes)
				if most := probes / float64(n); most > 5 {
					t.Errorf("each balancer probes %.1f times a second", most)
				}
			})
		})
	}
}

// I8: what an operator drains on one balancer gets no connections on any, survives the loss of any one with its disk, and the restart
// of all. Each ruling is held against it; see check.
func TestDrainReachesTier(t *testing.T) {
	tiers(t, 1, 6, func(t *testing.T, s *tier) {
		s.traffic = 50 * time.Millisecond
		names := []string{"lb-00", "lb-01", "lb-02"}
		for _, name := range names {
			s.boot(name, 1, s.keeping(name))
		}
		s.ready()
		k := s.backends[2]
		drained := func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for name, b := range s.balancers {
				if v := b.views[HealthKey(k.id, 1)]; !b.drained[k.addr()] || v.verdict.Serves() {
					return fmt.Errorf("%s uses %s: %s", name, k.name, v.verdict.Reason(time.Now()))
				}
			}
			return nil
		}
		c := Command{Target: Target{Service: tierService, Backend: k.addr()}, Aspect: Drain, On: true, By: "anna"}
		c, err := s.balancer("lb-01").node.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		s.within(time.Second, func() error {
			acks, err := s.balancer("lb-01").node.Acks(c)
			if err != nil || len(acks.Missing) > 0 {
				return fmt.Errorf("%s, %w", acks, err)
			}
			return drained()
		})
		s.kill("lb-01")
		time.Sleep(5 * time.Second)
		s.boot("lb-01", 1, nil)
		s.within(5*time.Second, drained)
		for _, name := range names {
			s.kill(name)
		}
		for _, name := range names {
			s.boot(name, 1, s.keeping(name))
		}
		s.within(5*time.Second, drained)
	})
}
