package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// tierSeeds is the environment variable that says how many times as many seeds there are as by default.
const tierSeeds = "WEIR_TIER_SEEDS"

// seeds returns how many seeds to try where so many are the default.
func seeds(t *testing.T, n int) int {
	t.Helper()
	v := os.Getenv(tierSeeds)
	switch times, err := strconv.Atoi(v); {
	case v == "" && raced:
		return (n + 7) / 8
	case v == "":
		return n
	case err != nil || times < 1:
		t.Fatalf("%s=%q: how many times as many seeds?", tierSeeds, v)
		return 0
	default:
		return n * times
	}
}

// I1 to I6, I8, I9, I11 and I14, whatever happens, and after it has ended: no verdict is stuck. The faults follow from the seed.
func TestTierChaos(t *testing.T) {
	var lived time.Duration
	for _, tt := range []struct {
		n, seeds int
		lasts    time.Duration
	}{{1, 6, 3 * time.Minute}, {2, 40, 3 * time.Minute}, {3, 30, 4 * time.Minute}, {5, 10, 4 * time.Minute}, {10, 2, 3 * time.Minute},
		{20, 1, time.Minute}} {
		for seed := range seeds(t, tt.seeds) {
			t.Run(fmt.Sprintf("%d balancers, seed %d", tt.n, seed), func(t *testing.T) {
				lived += tiers(t, uint64(1000*tt.n+seed), 8, func(t *testing.T, s *tier) { s.chaos(tt.n, tt.lasts) })
			})
		}
	}
	t.Logf("%.0f minutes of balancers in trouble", lived.Minutes())
	if lived < 800*time.Minute && !raced && !t.Failed() {
		t.Errorf("only %s", lived)
	}
}

// chaos raises a tier, lets everything happen to it for a while, and then looks whether it recovers.
func (s *tier) chaos(n int, lasts time.Duration) {
	s.t.Helper()
	s.traffic = []time.Duration{0, 200 * time.Millisecond, 50 * time.Millisecond}[s.seed%3]
	s.raise(n)
	s.ready()
	stop := make(chan struct{})
	go s.observe(stop)
	defer close(stop)
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		time.Sleep(s.chance(6 * time.Second))
		s.trouble(n)
		s.noticed()
	}
	s.recover(n)
}

// trouble makes one thing happen.
func (s *tier) trouble(n int) {
	s.mu.Lock()
	k := s.backends[s.r.IntN(len(s.backends))]
	name, other := fmt.Sprintf("lb-%02d", s.r.IntN(n)), fmt.Sprintf("lb-%02d", s.r.IntN(n))
	b, apart := s.balancers[name], k.apart[name]
	what, coin, how := s.r.IntN(26), s.r.IntN(2) == 0, condition(1+s.r.IntN(2))
	lasts := []time.Duration{5 * time.Second, 5 * time.Second, 40 * time.Second, 40 * time.Second, 2 * time.Minute}[s.r.IntN(5)]
	s.mu.Unlock()
	switch what {
	case 0, 1, 2, 3:
		s.set(k, how)
	case 4, 5, 6:
		s.set(k, works)
	case 7:
		for _, k := range s.backends { // all at once
			s.set(k, how)
		}
		time.AfterFunc(lasts/2, func() {
			for _, k := range s.backends {
				s.set(k, works)
			}
		})
	case 8, 9:
		s.flap(k, how, 20)
	case 10, 11, 12:
		s.part(k, name, !apart)
	case 13, 14, 15:
		if len(s.running()) > 1 && b != nil {
			s.kill(name)
		}
	case 16, 17, 18:
		s.revive(n)
	case 19, 20:
		s.split(n, lasts)
	case 21:
		if name != other {
			s.network.silence(s.addrs[name], s.addrs[other], coin)
			s.note("%s does not hear %s, packets only: %t", other, name, coin)
			time.AfterFunc(lasts, func() { s.network.hear(s.addrs[name], s.addrs[other]) })
		}
	case 22:
		s.network.lose(0.2)
		s.note("20 %% of packets are lost")
		time.AfterFunc(lasts/2, func() { s.network.lose(0) })
	case 23:
		s.corrupt(b)
	default:
		s.strain(b, coin)
	}
}

// note is tell for those who do not hold the lock.
func (s *tier) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(format, args...)
}

// flap has a backend fail and work in turns, once a second.
func (s *tier) flap(k *backend, how condition, times int) {
	if times == 0 {
		return
	}
	s.set(k, how)
	time.AfterFunc(500*time.Millisecond, func() { s.set(k, works) })
	time.AfterFunc(time.Second, func() { s.flap(k, how, times-1) })
}

// revive starts all balancers that do not run. Some come back with a clock that is an hour off, some with what another life of theirs
// has left on the disk, some without, and so in a life that is earlier than the last.
func (s *tier) revive(n int) {
	for i := range n {
		name := fmt.Sprintf("lb-%02d", i)
		s.mu.Lock()
		if _, runs := s.balancers[name]; runs {
			s.mu.Unlock()
			continue
		}
		kind, skew := s.r.IntN(3), time.Duration(s.r.IntN(7200)-3600)*time.Second
		s.mu.Unlock()
		var change func(*NodeOptions)
		if kind == 1 {
			path := filepath.Join(s.dir, fmt.Sprintf("%s.%d", name, time.Now().UnixNano()))
			if err := writeState(path, Saved{Boot: FirstBoot(time.Now().Add(time.Hour), 0, 0)}); err != nil {
				s.t.Fatal(err)
			}
			change = func(o *NodeOptions) { o.StateFile = path }
		}
		b := s.boot(name, 1, change)
		s.mu.Lock()
		b.skew = skew
		s.mu.Unlock()
	}
}

// split parts the balancers in two for a while.
func (s *tier) split(n int, lasts time.Duration) {
	for i := range n {
		name := fmt.Sprintf("lb-%02d", i)
		s.mu.Lock()
		side := s.r.IntN(2)
		s.mu.Unlock()
		s.network.cut(side, s.addrs[name])
		s.note("%s is on side %d for %s", name, side, lasts)
	}
	time.AfterFunc(lasts, func() {
		for i := range n {
			s.network.cut(0, s.addrs[fmt.Sprintf("lb-%02d", i)])
		}
		s.note("one side")
	})
}

// corrupt makes a balancer lie for twenty seconds, to itself as well. One at a time.
func (s *tier) corrupt(b *balancer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.balancers {
		if o.lie != nil {
			return
		}
	}
	if b == nil {
		return
	}
	b.lie = []func(*Sight){saysDown, saysUp, saysOpposite}[s.r.IntN(3)]
	s.tell("%s lies", b.name)
	time.AfterFunc(20*time.Second, func() { s.honest(b) })
}

// honest ends the lies of a balancer. What it took for true itself is not held against it: it starts anew.
func (s *tier) honest(b *balancer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.lie != nil && !b.dead {
		s.tell("%s lies no more", b.name)
		b.lie, b.reformed = nil, time.Now()
	}
}

// strain makes the probes of a balancer late, so that they fail, or one in twenty of them fail for no reason.
func (s *tier) strain(b *balancer, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b == nil {
		return
	}
	s.tell("%s is strained, late: %t", b.name, late)
	if late {
		b.lag = 1500 * time.Millisecond
	} else {
		b.lost = 0.05
	}
	time.AfterFunc(20*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.lag, b.lost = 0, 0
	})
}

// noticed checks that what has failed from everywhere for long enough is out at all that have run for long enough, whatever else
// happens. Without witnesses that may be believed and without clients it takes three looks, and a rumour before.
func (s *tier) noticed() {
	const long = 15 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, k := range s.backends {
		if k.is == works || now.Sub(k.since) < long {
			continue
		}
		for name, b := range s.balancers {
			v := b.views[HealthKey(k.id, b.spec)]
			if b.lie == nil && now.Sub(b.reformed) > long && now.Sub(b.began) > long && v.verdict.State != Down {
				s.violated("I1: %s %s since %s, and is %s at %s: %s (%+v)", k.name, k.is, now.Sub(k.since), v.verdict.State, name,
					v.verdict.Reason(now), v.seen.Evidence)
			}
		}
	}
}

// recover ends all trouble, and checks what has to be true then, and how long that may take.
func (s *tier) recover(n int) {
	s.t.Helper()
	s.network.heal()
	for _, k := range s.backends {
		s.set(k, works)
		for i := range n {
			s.part(k, fmt.Sprintf("lb-%02d", i), false)
		}
	}
	s.revive(n)
	for _, name := range s.running() {
		b := s.balancer(name)
		s.honest(b)
		s.mu.Lock()
		b.lag, b.lost = 0, 0
		s.mu.Unlock()
	}
	s.note("all trouble ends")
	timing, _ := LAN.timing()
	s.within(2*timing.rejoin+2*time.Second, s.whole) // I9
	// A flapping backend may still end, and so may what was to last for a while.
	time.Sleep(21 * time.Second)
	s.network.heal()
	for _, k := range s.backends {
		s.set(k, works)
	}
	s.within(2*timing.rejoin+2*time.Second, s.whole)
	s.within(10*time.Second, s.right)
	time.Sleep(time.Until(s.held()))
	s.within(6*time.Second, s.all(s.in))
	s.within(time.Minute+5*time.Second, s.dutiful)               // who distrusts all who have duty probes itself, for a minute at most
	time.Sleep(2 * DefaultInterval)                              // what was seen last gets old, which is news
	s.within(2*BeaconInterval+500*time.Millisecond, s.converged) // I5
	s.calm()                                                     // I14
}
