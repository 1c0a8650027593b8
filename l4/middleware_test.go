package l4

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/accesslog"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

func TestIPAllowList(t *testing.T) {
	l := NewIPAllowList([]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
	})
	for _, tt := range []struct {
		name, client string
		want         accesslog.Reason
	}{
		{"inside", "10.1.2.3", accesslog.Unknown},
		{"single", "192.0.2.1", accesslog.Unknown},
		{"beside", "192.0.2.2", accesslog.Denied},
		{"v4-mapped", "::ffff:10.1.2.3", accesslog.Unknown},
		{"v6", "2001:db8::1", accesslog.Unknown},
		{"v6 with zone", "2001:db8::1%eth0", accesslog.Unknown},
		{"v6 outside", "2001:db9::1", accesslog.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := l.Admit(netip.MustParseAddr(tt.client), time.Time{}); got != tt.want {
				t.Errorf("Admit(%s) = %v, want %v", tt.client, got, tt.want)
			}
		})
	}
}

func TestInFlightConnCountsPerClient(t *testing.T) {
	f := NewInFlightConn(2)
	admit := func(client netip.Addr, want accesslog.Reason) {
		t.Helper()
		if got := f.Admit(client, time.Time{}); got != want {
			t.Fatalf("Admit(%s) = %v, want %v", client, got, want)
		}
	}
	admit(alice, accesslog.Unknown)
	admit(alice, accesslog.Unknown)
	admit(alice, accesslog.Limit)
	admit(bob, accesslog.Unknown)
	f.Leave(alice)
	admit(alice, accesslog.Unknown)
	admit(alice, accesslog.Limit)

	// One customer commands a whole /64: its addresses count together.
	admit(netip.MustParseAddr("2001:db8::1"), accesslog.Unknown)
	admit(netip.MustParseAddr("2001:db8::2"), accesslog.Unknown)
	admit(netip.MustParseAddr("2001:db8::3"), accesslog.Limit)
	admit(netip.MustParseAddr("2001:db8:0:1::3"), accesslog.Unknown)
}

// TestInFlightConnProperty holds the table against a plain map.
func TestInFlightConnProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		f := NewInFlightConn(limit)
		open := map[netip.Addr]int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			client := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "client")})
			if open[client] > 0 && rapid.Bool().Draw(t, "leave") {
				f.Leave(client)
				open[client]--
				continue
			}
			want := accesslog.Unknown
			if open[client] >= limit {
				want = accesslog.Limit
			} else {
				open[client]++
			}
			if got := f.Admit(client, time.Time{}); got != want {
				t.Fatalf("with %d open, Admit = %v, want %v", open[client], got, want)
			}
		}
	})
}

func TestInFlightConnFromManyLoops(t *testing.T) {
	const loops, rounds, limit = 8, 2000, 5
	f := NewInFlightConn(limit)
	var wg sync.WaitGroup
	for i := range loops {
		client := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 2)})
		wg.Go(func() {
			for range rounds {
				if f.Admit(client, time.Time{}) == accesslog.Unknown {
					f.Leave(client)
				}
			}
		})
	}
	wg.Wait()
	for i := range f.table.slots {
		if n := f.table.slots[i].Load() & countMask; n != 0 {
			t.Fatalf("slot %d still counts %d connections", i, n)
		}
	}
}

// TestSourcesOverflow fills the table beyond its size: clients go uncounted, nobody is turned away, memory stays.
func TestSourcesOverflow(t *testing.T) {
	f := NewInFlightConn(1)
	now := time.Unix(0, 0)
	l := NewRateLimit(1, 1, time.Hour, now)
	mistaken := 0
	for i := range 4 * sourceSlots {
		client := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if got := f.Admit(client, now); got != accesslog.Unknown {
			t.Fatalf("client %d: InFlightConn says %v", i, got)
		}
		if l.Admit(client, now) != accesslog.Unknown {
			mistaken++
		}
	}
	// With a full table about one new client in 30,000 has the tag of a neighbour.
	if mistaken > 100 {
		t.Errorf("RateLimit took %d clients for others", mistaken)
	}
	for i := range 4 * sourceSlots {
		f.Leave(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	for i := range f.table.slots {
		if n := f.table.slots[i].Load() & countMask; n != 0 {
			t.Fatalf("slot %d still counts %d connections", i, n)
		}
	}
}

func TestRateLimit(t *testing.T) {
	start := time.Unix(1000, 0)
	l := NewRateLimit(10, 3, time.Second, start)
	for i, step := range []struct {
		after  time.Duration
		client netip.Addr
		want   accesslog.Reason
	}{
		{0, alice, accesslog.Unknown},
		{0, alice, accesslog.Unknown},
		{0, alice, accesslog.Unknown}, // the burst
		{0, alice, accesslog.RateLimited},
		{0, bob, accesslog.Unknown},
		{90 * time.Millisecond, alice, accesslog.RateLimited},
		{110 * time.Millisecond, alice, accesslog.Unknown}, // one is paid for by now
		{120 * time.Millisecond, alice, accesslog.RateLimited},
		{10 * time.Second, alice, accesslog.Unknown},
		{10 * time.Second, alice, accesslog.Unknown},
		{10 * time.Second, alice, accesslog.Unknown},
		{10 * time.Second, alice, accesslog.RateLimited}, // rest does not add up beyond the burst
	} {
		if got := l.Admit(step.client, start.Add(step.after)); got != step.want {
			t.Errorf("step %d at %v: Admit = %v, want %v", i, step.after, got, step.want)
		}
	}
}

func TestRateLimitWithoutAverageIsNone(t *testing.T) {
	l := NewRateLimit(0, 1, time.Second, time.Unix(0, 0))
	for range 1000 {
		if got := l.Admit(alice, time.Unix(0, 0)); got != accesslog.Unknown {
			t.Fatalf("Admit = %v", got)
		}
	}
}

// TestRateLimitProperty: over any run, no more connections pass than the burst and what the time pays for, and a client
// that keeps the pace always passes.
func TestRateLimitProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		average := rapid.IntRange(1, 1000).Draw(t, "average")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		now := time.Unix(0, 0)
		l := NewRateLimit(average, burst, time.Second, now)
		passed, begin := 0, now
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "pause")) * time.Microsecond)
			if l.Admit(alice, now) == accesslog.Unknown {
				passed++
			}
		}
		// A tick is rounded down, so the rate may be higher by a tick in an interval.
		interval := max(time.Second/time.Duration(average)/rateTick*rateTick, rateTick)
		if allowed := burst + int(now.Sub(begin)/interval) + 1; passed > allowed {
			t.Fatalf("%d passed in %v, at most %d should", passed, now.Sub(begin), allowed)
		}
	})
}

func BenchmarkMiddlewares(b *testing.B) {
	now := time.Now()
	for _, m := range []Middleware{
		NewIPAllowList([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}), NewInFlightConn(10), NewRateLimit(1000, 100, time.Second, now),
	} {
		b.Run(fmt.Sprintf("%T", m), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Admit(alice, now)
				if l, ok := m.(Leaver); ok {
					l.Leave(alice)
				}
			}
		})
	}
}
