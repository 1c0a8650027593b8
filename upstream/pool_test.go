package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Which backends serve, for every combination of verdict, weight, tier and threshold.
func TestPoolChoosesBackends(t *testing.T) {
	type server struct {
		tier, weight int
		health       Health
		draining     bool
	}
	up, down := server{weight: 1, health: Up}, server{weight: 1, health: Down}
	unknown := server{weight: 1}
	idle := server{weight: 0, health: Up}
	draining := server{weight: 1, health: Up, draining: true}
	second := func(s server) server { s.tier = 20; return s }
	tests := []struct {
		name      string
		threshold int
		servers   []server
		want      []int
		panics    bool
		tier      int
	}{
		{name: "nobody"},
		{name: "unknown is usable", servers: []server{unknown, down}, want: []int{0}},
		{name: "down is not", servers: []server{up, down, up}, want: []int{0, 2}},
		{name: "weight 0 gets nothing new", servers: []server{idle, up}, want: []int{1}},
		{name: "weight 0 gets nothing even alone and in panic", threshold: 100, servers: []server{idle, idle}},
		{name: "draining gets nothing even alone and in panic", threshold: 100, servers: []server{draining}},
		{name: "all down without panic", servers: []server{down, down}},
		{name: "all down with panic", threshold: 1, servers: []server{down, down, idle, draining}, want: []int{0, 1}, panics: true},
		{name: "at the threshold", threshold: 50, servers: []server{up, down}, want: []int{0}},
		{name: "under the threshold", threshold: 50, servers: []server{up, down, down}, want: []int{0, 1, 2}, panics: true},
		{name: "weight 0 and draining do not count for the share", threshold: 50, servers: []server{up, down, idle, draining}, want: []int{0}},
		{name: "lowest tier serves", servers: []server{second(up), up, second(up)}, want: []int{1}},
		{name: "next tier takes over", threshold: 50, servers: []server{down, second(up), second(up)}, want: []int{1, 2}, tier: 20},
		{name: "a tier below the threshold serves on while another stands behind it", threshold: 50,
			servers: []server{up, down, down, second(up)}, want: []int{0}},
		{name: "panic in the first tier when the others are down", threshold: 50,
			servers: []server{up, down, down, second(down)}, want: []int{0, 1, 2}, panics: true},
		{name: "panic in the tier that is left", threshold: 50,
			servers: []server{down, second(up), second(down), second(down)}, want: []int{1, 2, 3}, panics: true, tier: 20},
		{name: "all tiers down", threshold: 50, servers: []server{second(down), down}, want: []int{1}, panics: true},
		{name: "all tiers down without panic", servers: []server{second(down), down}},
		{name: "a tier without weight is no tier", threshold: 50, servers: []server{idle, second(down)}, want: []int{1}, panics: true, tier: 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backends := backendsOf(equal(len(tt.servers))...)
			for i, s := range tt.servers {
				edit(backends[i], func(e *Endpoint) { e.Weight, e.Priority = s.weight, s.tier })
				backends[i].SetHealth(s.health, start)
				backends[i].SetDraining(s.draining, start)
			}
			p := poolOf(Options{PanicThreshold: tt.threshold}, backends...)
			if diff := cmp.Diff(tt.want, inUse(p, backends)); diff != "" {
				t.Errorf("backends in use (-want +got):\n%s", diff)
			}
			want := PoolStats{Backends: len(backends), InUse: len(tt.want), Panic: tt.panics, Tier: tt.tier}
			for _, s := range tt.servers {
				if s.health != Down && s.weight > 0 && !s.draining {
					want.Usable++
				}
			}
			if diff := cmp.Diff(want, p.Stats()); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
			_, err := p.Acquire(1, nil, start)
			if _, usable := p.Choose(1); usable != (len(tt.want) > 0) || (err == nil) != usable {
				t.Errorf("Choose says %v, Acquire %v, with %d backends", usable, err, len(tt.want))
			}
			if err != nil && !errors.Is(err, ErrNoBackend) {
				t.Errorf("Acquire: %v, want ErrNoBackend", err)
			}
		})
	}
}

// Connections never exceed a limit, all slots are used before ErrFull, nothing
// tried comes again, and all counts return to zero: for each strategy.
func TestAcquireKeepsLimits(t *testing.T) {
	for _, s := range every() {
		t.Run(string(s), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				limits := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 12).Draw(t, "limits")
				backends := backendsOf(rapid.SliceOfN(rapid.IntRange(1, 20), len(limits), len(limits)).Draw(t, "weights")...)
				slots := 0
				for i, b := range backends {
					edit(b, func(e *Endpoint) { e.MaxConnections = limits[i] })
					slots += limits[i]
				}
				p := poolOf(Options{Strategy: s}, backends...)
				var held []*Backend
				for range slots {
					b, err := p.Acquire(rapid.Uint64().Draw(t, "key"), nil, start)
					if err != nil {
						t.Fatalf("%d of %d slots in use: %v", len(held), slots, err)
					}
					held = append(held, b)
				}
				if _, err := p.Acquire(0, nil, start); !errors.Is(err, ErrFull) {
					t.Fatalf("all slots in use: %v, want ErrFull", err)
				}
				if _, err := p.Acquire(0, backends, start); !errors.Is(err, ErrNoBackend) {
					t.Fatalf("all tried: %v, want ErrNoBackend", err)
				}
				for i, b := range backends {
					if got := b.Active(); got != int64(limits[i]) {
						t.Fatalf("backend %d has %d connections of %d", i, got, limits[i])
					}
				}
				for _, b := range held {
					p.Release(b)
				}
				for i, b := range backends {
					if b.Active() != 0 || b.Stats().Connections != uint64(limits[i]) {
						t.Fatalf("backend %d ends with %+v", i, b.Stats())
					}
				}
			})
		})
	}
}

// Trying one after the other visits every backend exactly once, however many there are.
func TestAcquireVisitsEveryBackendOnce(t *testing.T) {
	for _, s := range every() {
		for _, n := range []int{1, 2, 5, maxSkips, maxSkips + 1, 40} {
			backends := backendsOf(equal(n)...)
			p := poolOf(Options{Strategy: s}, backends...)
			var tried []*Backend
			for {
				b, err := p.Acquire(42, tried, start)
				if err != nil {
					if !errors.Is(err, ErrNoBackend) {
						t.Errorf("%s, %d of %d tried: %v", s, len(tried), n, err)
					}
					break
				}
				if slices.Contains(tried, b) {
					t.Fatalf("%s: %v a second time after %d of %d", s, b.Addr(), len(tried), n)
				}
				tried = append(tried, b)
			}
			if len(tried) != n {
				t.Errorf("%s: visited %d of %d backends", s, len(tried), n)
			}
		}
	}
}

// Two nodes agree on the choice for a key even among full backends.
func TestFullBackendsAgreeAcrossNodes(t *testing.T) {
	for _, s := range []Strategy{Maglev, HRW} {
		here, there := backendsOf(equal(30)...), backendsOf(equal(30)...)
		limitAll(here, 1)
		limitAll(there, 1)
		slices.Reverse(there)
		a, b := poolOf(Options{Strategy: s}, here...), poolOf(Options{Strategy: s}, there...)
		for key := range uint64(30) {
			x, y := mustAcquire(t, a, 7, start), mustAcquire(t, b, 7, start)
			if x.Addr() != y.Addr() {
				t.Fatalf("%s, choice %d: %v here, %v there", s, key, x.Addr(), y.Addr())
			}
		}
	}
}

// What does not change keeps its balancer; building one may take milliseconds.
func TestUpdateReusesTheBalancer(t *testing.T) {
	backends := backendsOf(1, 2, 3)
	p := poolOf(Options{Strategy: Maglev}, backends...)
	before := p.snapshot.Load().balancer
	backends[0].SetHealth(Up, start)
	p.Update(Options{Strategy: Maglev, PanicThreshold: 30}, backends, start)
	if p.snapshot.Load().balancer != before {
		t.Error("built anew although nothing changed for it")
	}
	backends[0].SetHealth(Down, start)
	p.Update(Options{Strategy: Maglev, PanicThreshold: 30}, backends, start)
	if p.snapshot.Load().balancer == before {
		t.Error("not built anew although a backend went down")
	}
}

// An endpoint keeps its identity and its counters when everything else changes.
func TestSetEndpointKeepsIdentity(t *testing.T) {
	b := backendsOf(1)[0]
	key := b.Key()
	b.AddBytes(10, 20)
	other := backendsOf(1, 1)[1].Endpoint()
	other.Weight, other.MaxConnections, other.Name = MaxWeight+5, -3, "db"
	b.SetEndpoint(other)
	want := Endpoint{Addr: key.Addr, Weight: MaxWeight, Name: "db"}
	if diff := cmp.Diff(want, b.Endpoint(), cmp.Comparer(func(a, b Endpoint) bool { return a == b })); diff != "" {
		t.Errorf("endpoint (-want +got):\n%s", diff)
	}
	if b.Key() != key || b.Stats().BytesIn != 10 || b.Stats().BytesOut != 20 {
		t.Errorf("key %v, stats %+v", b.Key(), b.Stats())
	}
}

// An IPv4 address in IPv6 clothes is the same backend, on every node.
func TestMappedAddressIsTheSameBackend(t *testing.T) {
	plain := NewBackend("shop", Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:80")})
	mapped := NewBackend("shop", Endpoint{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:80")})
	if plain.Key() != mapped.Key() || plain.hash != mapped.hash {
		t.Errorf("%v and %v differ", plain.Key(), mapped.Key())
	}
}

func TestStats(t *testing.T) {
	b := backendsOf(1)[0]
	p := poolOf(Options{Passive: PassiveOptions{MaxFailedAttempts: 3}}, b)
	p.Release(mustAcquire(t, p, 0, start))
	mustAcquire(t, p, 0, start)
	b.AddBytes(1, 2)
	b.AddBytes(-5, -5)
	b.AddConnect(3 * time.Millisecond)
	b.AddFirstByte(4 * time.Millisecond)
	b.AddConnectFailure(false)
	b.AddConnectFailure(true)
	p.Failed(b, start)
	want := BackendStats{
		Active: 1, Connections: 2, ConnectFailures: 2, ConnectTimeouts: 1,
		BytesIn: 1, BytesOut: 2, FailureStreak: 1, LastConnect: 3 * time.Millisecond, FirstByte: 4 * time.Millisecond,
	}
	if diff := cmp.Diff(want, b.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// The data path allocates nothing, whatever the strategy and the outcome.
func TestAcquireDoesNotAllocate(t *testing.T) {
	for _, s := range every() {
		backends := backendsOf(equal(20)...)
		p := poolOf(Options{Strategy: s, Passive: PassiveOptions{MaxFailedAttempts: 5, FailureWindow: time.Second}}, backends...)
		full := backendsOf(equal(20)...)
		limitAll(full, 1)
		q := poolOf(Options{Strategy: s}, full...)
		for range full {
			mustAcquire(t, q, 0, start)
		}
		if n := testing.AllocsPerRun(100, func() {
			tried := [2]*Backend{backends[3]}
			b, _ := p.Acquire(9, tried[:1], start)
			p.Failed(b, start)
			p.Succeeded(b, start)
			p.AllowRetry(start)
			p.Release(b)
			q.Acquire(9, tried[:], start)
		}); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}
