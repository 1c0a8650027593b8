package upstream

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// passive is what the tests of this file use unless they say so.
var passive = PassiveOptions{MaxFailedAttempts: 3, FailureWindow: 10 * time.Second, EjectionTime: 10 * time.Second, MaxEjectionPercent: 50}

// trip fails a backend until it should be ejected.
func trip(p *Pool, b *Backend, now time.Time) {
	for range p.Options().Passive.MaxFailedAttempts {
		p.Failed(b, now)
	}
}

func TestStreak(t *testing.T) {
	const ok = -1 // a success; the other steps are failures, in milliseconds
	tests := []struct {
		name   string
		window time.Duration
		steps  []int
		trips  int
	}{
		{"too few", time.Second, []int{0, 1}, 0},
		{"enough", time.Second, []int{0, 1, 2}, 1},
		{"a success between", time.Second, []int{0, 1, ok, 2, 3}, 0},
		{"enough after a success", time.Second, []int{0, ok, 1, 2, 3}, 1},
		{"at the end of the window", time.Second, []int{0, 1, 1000}, 1},
		{"after the window", time.Second, []int{0, 1, 1001}, 0},
		{"the late one begins anew", time.Second, []int{0, 1, 1001, 1002, 1003}, 1},
		{"no window", 0, []int{0, 1, 1 << 30}, 1},
		{"clocks apart", time.Second, []int{500, 400, 300}, 1},
		{"once until update", time.Second, []int{0, 0, 0, 0, 0, 0, 0, 0}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trips := 0
			p := NewPool("shop", func(*Backend) { trips++ })
			backends := backendsOf(1, 1)
			p.Update(Options{Passive: PassiveOptions{MaxFailedAttempts: 3, FailureWindow: tt.window}}, backends, start)
			for _, ms := range tt.steps {
				if now := start.Add(time.Duration(ms) * time.Millisecond); ms == ok {
					p.Succeeded(backends[0], now)
				} else {
					p.Failed(backends[0], now)
				}
			}
			if trips != tt.trips {
				t.Errorf("notified %d times, want %d", trips, tt.trips)
			}
		})
	}
}

// Many loops that see failures at once notify once, and again after Update refused.
func TestTripNotifiesOncePerCrossing(t *testing.T) {
	var trips atomic.Int64
	p := NewPool("shop", func(*Backend) { trips.Add(1) })
	backends := backendsOf(1) // alone: never ejected
	o := Options{Passive: PassiveOptions{MaxFailedAttempts: 50}}
	for round := range int64(20) {
		p.Update(o, backends, start)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					p.Failed(backends[0], start)
				}
			})
		}
		wg.Wait()
		if got := trips.Load(); got != round+1 {
			t.Fatalf("round %d: notified %d times in all", round, got)
		}
	}
}

func TestPassiveOff(t *testing.T) {
	p := NewPool("shop", func(*Backend) { t.Error("notified") })
	backends := backendsOf(1, 1)
	p.Update(Options{}, backends, start)
	for range 100 {
		p.Failed(backends[0], start)
	}
	if got := backends[0].Stats().FailureStreak; got != 0 {
		t.Errorf("streak of %d", got)
	}
}

// What limits an ejection: share, at least one, never the last usable one.
func TestEjectionLimits(t *testing.T) {
	tests := []struct {
		name    string
		n       int
		percent int
		down    []int // positions
		zero    []int // positions without weight
		trip    []int
		want    []int // positions left in use
	}{
		{name: "one backend is never ejected", n: 1, percent: 100, trip: []int{0}, want: []int{0}},
		{name: "one of two", n: 2, percent: 10, trip: []int{0, 1}, want: []int{1}},
		{name: "one of three though 10 % is nothing", n: 3, percent: 10, trip: []int{0, 1, 2}, want: []int{1, 2}},
		{name: "half of four", n: 4, percent: 50, trip: []int{0, 1, 2, 3}, want: []int{2, 3}},
		{name: "half of five is two", n: 5, percent: 50, trip: []int{4, 3, 2, 1, 0}, want: []int{2, 3, 4}},
		{name: "not the last usable one", n: 4, percent: 100, trip: []int{0, 1, 2, 3}, want: []int{3}},
		{name: "not the last that is up", n: 3, percent: 100, down: []int{0, 1}, trip: []int{2}, want: []int{2}},
		{name: "backends without weight do not count", n: 3, percent: 100, zero: []int{0, 1}, trip: []int{2}, want: []int{2}},
		{name: "a down one needs no ejection", n: 4, percent: 25, down: []int{0}, trip: []int{0, 1}, want: []int{2, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Passive: passive}
			o.Passive.MaxEjectionPercent = tt.percent
			backends := backendsOf(equal(tt.n)...)
			for _, i := range tt.down {
				backends[i].SetHealth(Down, start)
			}
			for _, i := range tt.zero {
				edit(backends[i], func(e *Endpoint) { e.Weight = 0 })
			}
			p := poolOf(o, backends...)
			for _, i := range tt.trip {
				trip(p, backends[i], start)
			}
			next := p.Update(o, backends, start)
			if diff := cmp.Diff(tt.want, inUse(p, backends)); diff != "" {
				t.Errorf("in use (-want +got):\n%s", diff)
			}
			ejected := 0
			for _, b := range backends {
				if b.Status().Ejected() {
					ejected++
				}
			}
			var want time.Time
			if ejected > 0 {
				want = start.Add(passive.EjectionTime)
			}
			if !next.Equal(want) {
				t.Errorf("%d ejected, next %v, want %v", ejected, next, want)
			}
		})
	}
}

// Ejections in a row get longer up to the maximum; a good while in between starts over.
func TestEjectionBacksOff(t *testing.T) {
	o := Options{Passive: passive}
	backends := backendsOf(1, 1)
	p := poolOf(o, backends...)
	b := backends[0]
	now := start
	eject := func(want time.Duration) {
		t.Helper()
		trip(p, b, now)
		next := p.Update(o, backends, now)
		if got := next.Sub(now); got != want {
			t.Fatalf("ejection %d lasts %v, want %v", b.Status().Ejections, got, want)
		}
		if got := b.Status().EjectedUntil; !got.Equal(next) {
			t.Fatalf("ejected until %v, next update %v", got, next)
		}
		// A moment before its end it is still out, at its end it is back.
		p.Update(o, backends, next.Add(-1))
		if diff := cmp.Diff([]int{1}, inUse(p, backends)); diff != "" {
			t.Fatalf("while ejected (-want +got):\n%s", diff)
		}
		now = next
		p.Update(o, backends, now)
		if diff := cmp.Diff([]int{0, 1}, inUse(p, backends)); diff != "" {
			t.Fatalf("afterwards (-want +got):\n%s", diff)
		}
	}
	for n := 1; n <= 40; n++ {
		eject(min(time.Duration(n)*passive.EjectionTime, MaxEjectionTime))
		now = now.Add(time.Second)
	}
	now = now.Add(MaxEjectionTime)
	eject(passive.EjectionTime)
	eject(2 * passive.EjectionTime)
	if got := b.Stats().Ejections; got != 42 {
		t.Errorf("%d ejections counted, want 42", got)
	}
}

func TestEjectionEndsEarly(t *testing.T) {
	tests := []struct {
		name string
		then func(p *Pool, o *Options, backends []*Backend)
	}{
		{"when the probe says up again", func(_ *Pool, _ *Options, backends []*Backend) {
			backends[0].SetHealth(Down, start)
			backends[0].SetHealth(Up, start)
		}},
		{"when passive health is switched off", func(_ *Pool, o *Options, _ []*Backend) { o.Passive = PassiveOptions{} }},
		{"when the others go down", func(_ *Pool, _ *Options, backends []*Backend) { backends[1].SetHealth(Down, start) }},
		{"when the others are drained", func(_ *Pool, _ *Options, backends []*Backend) { backends[1].SetDraining(true, start) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Passive: passive}
			backends := backendsOf(1, 1)
			p := poolOf(o, backends...)
			trip(p, backends[0], start)
			p.Update(o, backends, start)
			if diff := cmp.Diff([]int{1}, inUse(p, backends)); diff != "" {
				t.Fatalf("not ejected at first (-want +got):\n%s", diff)
			}
			tt.then(p, &o, backends)
			next := p.Update(o, backends, start)
			if !p.snapshot.Load().uses(backends[0]) || backends[0].Status().Ejected() || !next.IsZero() {
				t.Errorf("still out: %+v, next %v", backends[0].Status(), next)
			}
		})
	}
}

// Failures of connections that were open at the ejection do not prolong it.
func TestFailuresWhileEjectedDoNotCount(t *testing.T) {
	o := Options{Passive: passive}
	backends := backendsOf(1, 1)
	p := poolOf(o, backends...)
	trip(p, backends[0], start)
	end := p.Update(o, backends, start)
	trip(p, backends[0], start)
	p.Update(o, backends, start)
	p.Update(o, backends, end)
	if s := backends[0].Status(); s.Ejected() || s.Ejections != 1 {
		t.Errorf("after the ejection: %+v", s)
	}
}

// A backend that returns from ejection starts slowly like one that was down.
func TestSlowStartAfterEjection(t *testing.T) {
	o := Options{Passive: passive, SlowStart: 10 * time.Second}
	backends := backendsOf(1, 1)
	p := poolOf(o, backends...)
	trip(p, backends[0], start)
	end := p.Update(o, backends, start)
	next := p.Update(o, backends, end)
	if want := end.Add(time.Second); !next.Equal(want) {
		t.Errorf("next %v, want the first step at %v", next, want)
	}
	if got := p.snapshot.Load().shares[0].Weight; got != 10 {
		t.Errorf("weight of %d, want 10", got)
	}
}

// However backends fail, recover and pass: the limit holds, and as long as anybody
// is not down, somebody serves without panic.
func TestEjectionInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Passive: passive}
		o.Passive.MaxEjectionPercent = rapid.IntRange(1, 100).Draw(t, "percent")
		backends := backendsOf(equal(rapid.IntRange(1, 8).Draw(t, "n"))...)
		p := poolOf(o, backends...)
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			b := rapid.SampledFrom(backends).Draw(t, "backend")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				trip(p, b, now)
			case 2:
				b.SetHealth(rapid.SampledFrom([]Health{Unknown, Up, Down}).Draw(t, "health"), now)
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			case 4:
				b.SetDraining(rapid.Bool().Draw(t, "draining"), now)
			}
			next := p.Update(o, backends, now)
			ejected, alive := 0, 0
			for _, b := range backends {
				s := b.Status()
				if s.Ejected() {
					ejected++
					if !s.EjectedUntil.After(now) || next.IsZero() || next.After(s.EjectedUntil) {
						t.Fatalf("ejected until %v at %v, next %v", s.EjectedUntil, now, next)
					}
				}
				if s.Health != Down && !s.Draining {
					alive++
				}
			}
			if limit := ejectionLimit(len(backends), o.Passive.MaxEjectionPercent); ejected > limit {
				t.Fatalf("%d of %d ejected, limit %d", ejected, len(backends), limit)
			}
			if got := p.Stats(); (alive > 0) != (got.InUse > 0) || got.Panic {
				t.Fatalf("%d alive, but %+v", alive, got)
			}
		}
	})
}
