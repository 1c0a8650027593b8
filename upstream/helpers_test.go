package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// start is when tests begin; every later time is given by them.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// backendsOf returns backends 10.0.0.1:80, 10.0.0.2:80, ... of the given weights.
func backendsOf(weights ...int) []*Backend {
	set := make([]*Backend, len(weights))
	for i, w := range weights {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte((i + 1) >> 8), byte(i + 1)}), 80)
		set[i] = NewBackend("shop", Endpoint{Addr: addr, Weight: w})
	}
	return set
}

// sharesOf returns the backends with their full weights.
func sharesOf(backends []*Backend) []Share {
	set := make([]Share, len(backends))
	for i, b := range backends {
		set[i] = Share{Backend: b, Weight: b.Endpoint().Weight}
	}
	return set
}

// equal returns n weights of 1.
func equal(n int) []int { return slices.Repeat([]int{1}, n) }

// poolOf returns a pool that Update was called on once, at start.
func poolOf(o Options, backends ...*Backend) *Pool {
	p := NewPool("shop", nil)
	p.Update(o, backends, start)
	return p
}

// edit changes the endpoint of a backend.
func edit(b *Backend, change func(*Endpoint)) {
	e := b.Endpoint()
	change(&e)
	b.SetEndpoint(e)
}

// limitAll sets the connection limit of all backends.
func limitAll(backends []*Backend, limit int) {
	for _, b := range backends {
		edit(b, func(e *Endpoint) { e.MaxConnections = limit })
	}
}

// mustAcquire acquires without anything tried.
func mustAcquire(t testing.TB, p *Pool, key uint64, now time.Time) *Backend {
	t.Helper()
	b, err := p.Acquire(key, nil, now)
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return b
}

// inUse returns the position in backends of each backend that gets new connections.
func inUse(p *Pool, backends []*Backend) []int {
	var got []int
	for i, b := range backends {
		if p.snapshot.Load().uses(b) {
			got = append(got, i)
		}
	}
	return got
}

// every lists the strategies in a fixed order.
func every() []Strategy {
	var all []Strategy
	for s := range strategies {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func percent(part, whole float64) string { return fmt.Sprintf("%.2f %%", 100*part/whole) }
