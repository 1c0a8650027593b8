package health

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

var errSick = errors.New("sick")

// scripted is a prober whose function is told which probe it answers, from 0. It records when probes start and how many overlap.
type scripted struct {
	probe  func(ctx context.Context, n int) error
	n      int
	starts []time.Time
	active atomic.Int32
	most   atomic.Int32
}

func (s *scripted) Probe(ctx context.Context, _ netip.AddrPort) error {
	s.most.Store(max(s.most.Load(), s.active.Add(1)))
	defer s.active.Add(-1)
	s.starts = append(s.starts, time.Now())
	n := s.n
	s.n++
	return s.probe(ctx, n)
}

// script answers probe after probe with the results, + and -, and the last one for ever.
func script(results string) *scripted {
	return &scripted{probe: func(_ context.Context, n int) error {
		if results[min(n, len(results)-1)] == '-' {
			return errSick
		}
		return nil
	}}
}

func backend() *upstream.Backend {
	return upstream.NewBackend("orders", upstream.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Weight: 1})
}

// watch runs a checker for d and returns it with what it emitted.
func watch(t *testing.T, d time.Duration, c func(emit func(Transition)) *Checker) (*Checker, []Transition) {
	t.Helper()
	var got []Transition
	checker := c(func(tr Transition) { got = append(got, tr) })
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	checker.Run(ctx)
	return checker, got
}

func within(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if low, high := want-want/10, want+want/10; got < low || got > high {
		t.Errorf("%s: %v, want between %v and %v", what, got, low, high)
	}
}

func TestCheckerSchedule(t *testing.T) {
	tests := []struct {
		name    string
		results string
		options Options
		run     time.Duration
		waits   []time.Duration // between the starts of the first probes
	}{
		{name: "steady", results: "+", options: Options{Interval: 10 * time.Second}, run: 35 * time.Second,
			waits: []time.Duration{10 * time.Second, 10 * time.Second}},
		{name: "faster while falling, then steady again", results: "+---", options: Options{Interval: 10 * time.Second, FastInterval: time.Second, Fall: 3}, run: 40 * time.Second,
			waits: []time.Duration{10 * time.Second, time.Second, time.Second, 10 * time.Second}},
		{name: "faster while rising", results: "-+", options: Options{Interval: 10 * time.Second, FastInterval: time.Second, Rise: 2}, run: 40 * time.Second,
			waits: []time.Duration{10 * time.Second, time.Second, 10 * time.Second}},
		{name: "slower while down", results: "-", options: Options{Interval: time.Second, UnhealthyInterval: 10 * time.Second}, run: 35 * time.Second,
			waits: []time.Duration{10 * time.Second, 10 * time.Second}},
		{name: "fast is never slower than the interval", results: "+-", options: Options{Interval: time.Second, FastInterval: time.Minute, Fall: 3}, run: 6 * time.Second,
			waits: []time.Duration{time.Second, time.Second, time.Second}},
		{name: "defaults", results: "+---", run: 10 * time.Second,
			waits: []time.Duration{DefaultInterval, DefaultFastInterval, DefaultFastInterval, DefaultInterval}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			weirtest.Bubble(t, func(t *testing.T) {
				start := time.Now()
				prober := script(tt.results)
				tt.options.Prober = prober
				watch(t, tt.run, func(emit func(Transition)) *Checker { return NewChecker(backend(), tt.options, emit) })
				if len(prober.starts) <= len(tt.waits) {
					t.Fatalf("%d probes in %v", len(prober.starts), tt.run)
				}
				if !prober.starts[0].Equal(start) {
					t.Errorf("the first probe waits %v", prober.starts[0].Sub(start))
				}
				for i, want := range tt.waits {
					within(t, "wait for the next probe", prober.starts[i+1].Sub(prober.starts[i]), want)
				}
			})
		})
	}
}

func TestCheckerJitterSpreads(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		prober := script("+")
		watch(t, 1000*time.Second, func(emit func(Transition)) *Checker {
			return NewChecker(backend(), Options{Prober: prober, Interval: time.Second}, emit)
		})
		below, above := 0, 0
		for i := range len(prober.starts) - 1 {
			wait := prober.starts[i+1].Sub(prober.starts[i])
			within(t, "wait", wait, time.Second)
			if wait < 960*time.Millisecond {
				below++
			}
			if wait > 1040*time.Millisecond {
				above++
			}
		}
		// An even spread puts three in ten on either side.
		if n := len(prober.starts); below < n/5 || above < n/5 {
			t.Errorf("of %d waits %d are clearly short and %d clearly long", n, below, above)
		}
	})
}

// A checker that is off probes when it is told to, once for all who tell it meanwhile, and begins again when its turn comes.
func TestCheckerTurns(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		start := time.Now()
		prober := script("+")
		c := NewChecker(backend(), Options{Prober: prober, Interval: 2 * time.Second}, func(Transition) {})
		c.Take(Turn{Off: true})
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(done); c.Run(ctx) }()
		defer func() { cancel(); <-done }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(prober.starts); n != 0 {
			t.Fatalf("%d probes while off", n)
		}
		for range 3 {
			c.Look(50 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(prober.starts); n != 1 || prober.starts[0].Sub(start) > time.Minute+50*time.Millisecond {
			t.Fatalf("%d probes for three looks, at %v", n, prober.starts)
		}
		c.Take(Turn{Next: func(now time.Time, interval time.Duration) time.Time {
			return now.Truncate(interval).Add(interval + 700*time.Millisecond)
		}})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(prober.starts); n < 9 || n > 11 {
			t.Errorf("%d probes in 20 s", n)
		}
		for _, at := range prober.starts[1:] {
			if phase := at.Sub(at.Truncate(2 * time.Second)); phase != 700*time.Millisecond {
				t.Errorf("a probe at phase %v", phase)
			}
		}
		if late := c.Status().Late; late != 0 {
			t.Errorf("late by %v", late)
		}
		c.Take(Turn{Off: true})
		before := len(prober.starts)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(prober.starts); n != before {
			t.Errorf("%d probes while off again", n-before)
		}
	})
}

// Whoever watches hears of every failure and of every change, not of probes that find what the last one found.
func TestCheckerWatch(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		prober := script("+++--++++")
		var seen []uint64
		watch(t, 20*time.Second, func(emit func(Transition)) *Checker {
			c := NewChecker(backend(), Options{Prober: prober, Interval: time.Second}, emit)
			c.Watch(func() { seen = append(seen, c.Status().Probes) })
			return c
		})
		if d := cmp.Diff([]uint64{1, 4, 5, 6}, seen); d != "" {
			t.Errorf("told after probes (-want +got):\n%s", d)
		}
	})
}

func TestJitterBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "d"))
		r := rapid.Float64Range(0, 0.999999).Draw(t, "r")
		percent := rapid.IntRange(-1, 100).Draw(t, "percent")
		most := d*time.Duration(max(percent, 0))/100 + 1
		if got := jitter(d, percent, r); got < d-most || got > d+most || percent <= 0 && got != d {
			t.Fatalf("%v becomes %v by %d percent", d, got, percent)
		}
	})
}

func TestCheckerEmitsTransitionsOnly(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		start := time.Now()
		b := backend()
		c, got := watch(t, 60*time.Second, func(emit func(Transition)) *Checker {
			return NewChecker(b, Options{Prober: script("+++--+---+-++"), Interval: time.Second, FastInterval: time.Second, Rise: 2, Fall: 3}, emit)
		})
		want := []Transition{{Backend: b, Up: true}, {Backend: b, Cause: errSick}, {Backend: b, Up: true}}
		same := cmp.Comparer(func(a, b *upstream.Backend) bool { return a == b })
		if diff := cmp.Diff(want, got, same, cmpopts.EquateErrors(), cmpopts.IgnoreFields(Transition{}, "At")); diff != "" {
			t.Fatalf("transitions (-want +got):\n%s", diff)
		}
		within(t, "time of the fall", got[1].At.Sub(start), 8*time.Second)
		s := c.Status()
		if s.Health != upstream.Up || !s.Since.Equal(got[2].At) || s.Failures != 6 || s.Err != nil {
			t.Errorf("status %+v", s)
		}
		if s.Probes < 54 || s.Streak < 40 {
			t.Errorf("%d probes, the last %d alike, in a minute of one a second", s.Probes, s.Streak)
		}
	})
}

func TestCheckerStatusExplainsTransition(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		var c *Checker
		var seen Status
		c, _ = watch(t, time.Second, func(func(Transition)) *Checker {
			c = NewChecker(backend(), Options{Prober: script("-")}, func(Transition) { seen = c.Status() })
			return c
		})
		if seen.Health != upstream.Down || !errors.Is(seen.Err, errSick) {
			t.Errorf("the status during the transition is %+v", seen)
		}
	})
}

func TestCheckerProbesTimeOut(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		slow := &scripted{probe: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		c, got := watch(t, 20*time.Second, func(emit func(Transition)) *Checker {
			return NewChecker(backend(), Options{Prober: slow, Interval: time.Second, Timeout: 3 * time.Second}, emit)
		})
		if slow.most.Load() != 1 {
			t.Errorf("%d probes at once", slow.most.Load())
		}
		for i := range len(slow.starts) - 1 {
			// Longer than the interval: the next one is overdue and follows at once, never earlier.
			if wait := slow.starts[i+1].Sub(slow.starts[i]); wait != 3*time.Second {
				t.Errorf("wait %v", wait)
			}
		}
		if len(got) != 1 || got[0].Up || !errors.Is(got[0].Cause, context.DeadlineExceeded) || !strings.Contains(got[0].Cause.Error(), "3s") {
			t.Errorf("transitions %v", got)
		}
		if s := c.Status(); s.Duration != 3*time.Second {
			t.Errorf("duration %v", s.Duration)
		}
	})
}

func TestCheckerStopsAtOnceAndCountsNoCutProbe(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		inProbe := make(chan struct{})
		prober := &scripted{probe: func(ctx context.Context, _ int) error {
			close(inProbe)
			<-ctx.Done()
			return ctx.Err()
		}}
		c := NewChecker(backend(), Options{Prober: prober, Timeout: time.Hour}, func(tr Transition) { t.Errorf("transition %v", tr) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			c.Run(ctx)
			close(done)
		}()
		<-inProbe
		before := time.Now()
		cancel()
		<-done
		if time.Since(before) != 0 {
			t.Errorf("Run returned after %v", time.Since(before))
		}
		if diff := cmp.Diff(Status{}, c.Status()); diff != "" {
			t.Errorf("status of a cut probe:\n%s", diff)
		}
	})
}

func TestCheckerResume(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		b := backend()
		// Up, and two failures into a fall of five.
		old, _ := watch(t, 11*time.Second+500*time.Millisecond, func(emit func(Transition)) *Checker {
			return NewChecker(b, Options{Prober: script("+--"), Interval: 10 * time.Second, FastInterval: time.Second, Fall: 5}, emit)
		})
		was := old.Status()
		if was.Health != upstream.Up || was.Streak < 1 {
			t.Fatalf("status before the reload: %+v", was)
		}
		prober := script("-")
		next, got := watch(t, 20*time.Second, func(emit func(Transition)) *Checker {
			c := NewChecker(b, Options{Prober: prober, Interval: 10 * time.Second, FastInterval: time.Second, Fall: was.Streak + 1}, emit)
			c.Resume(was)
			return c
		})
		if len(got) != 1 || got[0].Up {
			t.Fatalf("transitions after the reload: %v", got)
		}
		within(t, "first probe after the reload, counted from the last before", prober.starts[0].Sub(was.At), time.Second)
		within(t, "the failure that was one short of a fall", got[0].At.Sub(was.At), time.Second)
		if s := next.Status(); s.Probes <= was.Probes || s.Failures <= was.Failures {
			t.Errorf("counts %d, %d after %d, %d", s.Probes, s.Failures, was.Probes, was.Failures)
		}
	})
}

func TestCheckerResumeKeepsVerdictSilently(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		down := Status{Health: upstream.Down, Err: errSick, Streak: 7, Probes: 7, Failures: 7, At: time.Now().Add(-time.Hour)}
		prober := script("-")
		start := time.Now()
		_, got := watch(t, 10*time.Second, func(emit func(Transition)) *Checker {
			c := NewChecker(backend(), Options{Prober: prober}, emit)
			c.Resume(down)
			return c
		})
		if len(got) != 0 {
			t.Errorf("transitions %v though nothing changed", got)
		}
		if !prober.starts[0].Equal(start) {
			t.Errorf("an overdue probe waits %v", prober.starts[0].Sub(start))
		}
	})
}

func BenchmarkCheckerProbe(b *testing.B) {
	c := NewChecker(backend(), Options{Prober: proberFunc(func(context.Context, netip.AddrPort) error { return nil })}, func(Transition) {})
	b.ReportAllocs()
	for b.Loop() {
		c.probe(b.Context(), 0)
	}
}

type proberFunc func(ctx context.Context, addr netip.AddrPort) error

func (f proberFunc) Probe(ctx context.Context, addr netip.AddrPort) error { return f(ctx, addr) }
