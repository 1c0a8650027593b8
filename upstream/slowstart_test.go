package upstream

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRamp(t *testing.T) {
	const window = 10 * time.Second
	tests := []struct {
		name    string
		since   time.Time
		after   time.Duration
		window  time.Duration
		percent int
		next    time.Duration // after since; 0 = none
	}{
		{"never began", time.Time{}, 0, window, 100, 0},
		{"off", start, 0, 0, 100, 0},
		{"begins", start, 0, window, 10, time.Second},
		{"within the first step", start, 999 * time.Millisecond, window, 10, time.Second},
		{"second step", start, time.Second, window, 19, 2 * time.Second},
		{"half", start, 5 * time.Second, window, 55, 6 * time.Second},
		{"last step", start, 9999 * time.Millisecond, window, 91, 10 * time.Second},
		{"over", start, 10 * time.Second, window, 100, 0},
		{"clock went back", start, -time.Second, window, 10, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			percent, next := ramp(tt.since, start.Add(tt.after), tt.window)
			var want time.Time
			if tt.next != 0 {
				want = start.Add(tt.next)
			}
			if percent != tt.percent || !next.Equal(want) {
				t.Errorf("%d %%, next %v; want %d %%, next %v", percent, next, tt.percent, want)
			}
		})
	}
}

// Following next reaches 100 % in at most ten rising steps, for every window.
func TestRampEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "window"))
		now, last := start, 0
		for range rampSteps + 1 {
			percent, next := ramp(start, now, window)
			if percent <= last {
				t.Fatalf("%d %% after %d %% at %v", percent, last, now.Sub(start))
			}
			if next.IsZero() {
				if percent != 100 || now.Sub(start) < window {
					t.Fatalf("ended with %d %% after %v of %v", percent, now.Sub(start), window)
				}
				return
			}
			now, last = next, percent
		}
		t.Fatalf("still at %d %%", last)
	})
}

// weightShare returns the backend's share of all effective weight in use.
func weightShare(p *Pool, b *Backend) float64 {
	mine, all := 0, 0
	for _, s := range p.snapshot.Load().shares {
		all += s.Weight
		if s.Backend == b {
			mine = s.Weight
		}
	}
	return float64(mine) / float64(all)
}

// expectRamp follows a slow start that began at now to its end.
func expectRamp(t *testing.T, p *Pool, b *Backend, now, next time.Time) {
	t.Helper()
	o := p.Options()
	for percent := 10; percent < 100; percent += 9 {
		want := float64(percent) / float64(100+percent)
		if got := weightShare(p, b); math.Abs(got-want) > 1e-9 {
			t.Fatalf("at %d %%: share %v, want %v", percent, got, want)
		}
		if want := now.Add(o.SlowStart / 10); !next.Equal(want) {
			t.Fatalf("at %d %%: next %v, want %v", percent, next, want)
		}
		now = next
		next = p.Update(o, p.Backends(), now)
	}
	if got := weightShare(p, b); got != 0.5 || !next.IsZero() {
		t.Fatalf("at the end: share %v, next %v", got, next)
	}
}

// A backend that is new or comes back gets a growing share; the first set and the
// strategies that hash do not know slow start.
func TestPoolSlowStart(t *testing.T) {
	down := func(b *Backend) { b.SetHealth(Down, start) }
	up := func(b *Backend, now time.Time) { b.SetHealth(Up, now) }
	tests := []struct {
		name     string
		strategy Strategy
		first    int                       // backends in the first set, of two
		before   func(*Backend)            // what the second one was at first; may be nil
		then     func(*Backend, time.Time) // what happens to it; may be nil
		slow     bool
	}{
		{name: "new in a running pool", first: 1, slow: true},
		{name: "of the first set", first: 2},
		{name: "first set after none", first: 0},
		{name: "back from down", first: 2, before: down, then: up, slow: true},
		{name: "first verdict", first: 2, then: up},
		{
			name:   "back from draining",
			first:  2,
			before: func(b *Backend) { b.SetDraining(true, start) },
			then:   func(b *Backend, now time.Time) { b.SetDraining(false, now) },
			slow:   true,
		},
		{name: "maglev must not depend on when", strategy: Maglev, first: 2, before: down, then: up},
		{name: "nor must hrw", strategy: HRW, first: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Strategy: tt.strategy, SlowStart: 10 * time.Second}
			backends := backendsOf(3, 3)
			if tt.before != nil {
				tt.before(backends[1])
			}
			p := poolOf(o, backends[:tt.first]...)
			now := start.Add(time.Minute)
			if tt.then != nil {
				tt.then(backends[1], now)
			}
			next := p.Update(o, backends, now)
			if tt.slow {
				expectRamp(t, p, backends[1], now, next)
			} else if got := weightShare(p, backends[1]); got != 0.5 || !next.IsZero() {
				t.Fatalf("share %v, next %v; want half of it at once", got, next)
			}
		})
	}
}
