package upstream

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAcquireThis(t *testing.T) {
	tests := []struct {
		name   string
		o      Options
		change func(b *Backend) // before the update
		later  func(p *Pool, b *Backend)
		want   error
	}{
		{name: "unknown"},
		{name: "up", change: func(b *Backend) { b.SetHealth(Up, start) }},
		{name: "down", change: func(b *Backend) { b.SetHealth(Down, start) }, want: ErrNoBackend},
		{name: "down in panic", o: Options{PanicThreshold: 100}, change: func(b *Backend) { b.SetHealth(Down, start) }, want: ErrNoBackend},
		{name: "draining", change: func(b *Backend) { b.SetDraining(true, start) }, want: ErrNoBackend},
		{name: "without weight", change: func(b *Backend) { edit(b, func(e *Endpoint) { e.Weight = 0 }) }},
		{name: "without weight and down", change: func(b *Backend) {
			edit(b, func(e *Endpoint) { e.Weight = 0 })
			b.SetHealth(Down, start)
		}, want: ErrNoBackend},
		{name: "without weight and draining", change: func(b *Backend) {
			edit(b, func(e *Endpoint) { e.Weight = 0 })
			b.SetDraining(true, start)
		}, want: ErrNoBackend},
		{name: "a tier that is not in use", change: func(b *Backend) { edit(b, func(e *Endpoint) { e.Priority = 5 }) }},
		{name: "ejected", o: Options{Passive: PassiveOptions{MaxFailedAttempts: 1, EjectionTime: time.Minute, MaxEjectionPercent: 100}},
			later: func(p *Pool, b *Backend) {
				p.Failed(b, start)
				p.Update(p.Options(), p.Backends(), start)
			}, want: ErrNoBackend},
		{name: "at its limit", change: func(b *Backend) { edit(b, func(e *Endpoint) { e.MaxConnections = 1 }) },
			later: func(_ *Pool, b *Backend) { b.acquire() }, want: ErrFull},
		{name: "below its limit", change: func(b *Backend) { edit(b, func(e *Endpoint) { e.MaxConnections = 2 }) },
			later: func(_ *Pool, b *Backend) { b.acquire() }},
		{name: "gone from the pool", later: func(p *Pool, b *Backend) { p.Update(p.Options(), p.Backends()[1:], start) }, want: ErrNoBackend},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backends := backendsOf(1, 1, 1)
			b := backends[0]
			if tt.change != nil {
				tt.change(b)
			}
			p := poolOf(tt.o, backends...)
			if tt.later != nil {
				tt.later(p, b)
			}
			before := b.Active()
			err := p.AcquireThis(b, start)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if got := b.Active() - before; (err == nil) != (got == 1) || err != nil && got != 0 {
				t.Errorf("%d connections counted, error %v", got, err)
			}
			if err != nil {
				return
			}
			p.Release(b)
			if b.Active() != before {
				t.Errorf("%d connections after the release, %d before", b.Active(), before)
			}
		})
	}
}

// A backend of another pool, of the same address even, and none at all are no backends.
func TestAcquireThisOfAnotherPool(t *testing.T) {
	p := poolOf(Options{}, backendsOf(1)...)
	for name, b := range map[string]*Backend{"twin": backendsOf(1)[0], "none": nil} {
		if err := p.AcquireThis(b, start); !errors.Is(err, ErrNoBackend) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := NewPool("new", nil).AcquireThis(backendsOf(1)[0], start); !errors.Is(err, ErrNoBackend) {
		t.Errorf("pool without backends: %v", err)
	}
}

// Who comes back does not overtake those who wait for the slot that is free just now.
func TestAcquireThisRespectsTheQueue(t *testing.T) {
	p, backends := fullPool(t, 2, 1)
	w := &Waiter{Grant: func(*Backend) {}, Tried: []*Backend{backends[0]}}
	if err := p.Wait(w); err != nil {
		t.Fatal(err)
	}
	p.Release(backends[0]) // not for the waiter, which has tried it
	if err := p.AcquireThis(backends[0], start); !errors.Is(err, ErrFull) {
		t.Errorf("while one waits: %v, want ErrFull", err)
	}
	if !p.Cancel(w) {
		t.Fatal("the waiter was granted what it had tried")
	}
	if err := p.AcquireThis(backends[0], start); err != nil {
		t.Errorf("with nobody waiting: %v", err)
	}
}

// Connections that are led back allow retries like any other.
func TestAcquireThisFeedsTheRetryBudget(t *testing.T) {
	b := backendsOf(1)[0]
	p := poolOf(Options{}, b)
	for range 1000 {
		if err := p.AcquireThis(b, start); err != nil {
			t.Fatal(err)
		}
		p.Release(b)
	}
	granted := 0
	for range 1000 {
		if p.AllowRetry(start) {
			granted++
		}
	}
	if granted != 200 {
		t.Errorf("%d retries allowed after 1000 connections, want a fifth", granted)
	}
}

// Find knows the backends of the last update, all of them and no others.
func TestFind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := backendsOf(equal(rapid.IntRange(0, 40).Draw(t, "backends"))...)
		p := NewPool("shop", nil)
		for range 3 {
			in := make(map[*Backend]bool)
			var set []*Backend
			for _, b := range all {
				if rapid.Bool().Draw(t, "in") {
					in[b] = true
					set = append(set, b)
				}
			}
			p.Update(Options{}, set, start)
			for _, b := range all {
				if got := p.Find(b.ID()); (got == b) != in[b] || got != nil && got != b {
					t.Fatalf("found %v for %v, in the pool: %v", got, b.Key(), in[b])
				}
			}
			if id := rapid.Uint64().Draw(t, "id"); p.Find(id) != nil && p.Find(id).ID() != id {
				t.Fatalf("found %v for %x", p.Find(id).Key(), id)
			}
		}
	})
}

// IDs go out in cookies: they must outlive restarts, versions and the service's name.
func TestIDGolden(t *testing.T) {
	backends := backendsOf(1, 1)
	for i, want := range []uint64{0x11facba8043b217, 0xcb0d0ee5a6a29d16} {
		other := NewBackend("other", backends[i].Endpoint())
		if got := backends[i].ID(); got != want || other.ID() != want {
			t.Errorf("%v: %#x and %#x, want %#x: clients would lose their server", backends[i].Addr(), got, other.ID(), want)
		}
	}
}

func TestStickinessDoesNotAllocate(t *testing.T) {
	backends := backendsOf(equal(20)...)
	p := poolOf(Options{}, backends...)
	id := backends[7].ID()
	if n := testing.AllocsPerRun(100, func() {
		b := p.Find(id)
		if p.AcquireThis(b, start) == nil {
			p.Release(b)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if total := backends[7].Stats().Connections; total == 0 {
		t.Error("nothing was acquired")
	}
}
