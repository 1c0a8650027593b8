package l4

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

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

// The limits themselves are tested where they are made; here is what connections are told.
func TestLimits(t *testing.T) {
	now := time.Unix(0, 0)
	inFlight := NewInFlightConn(1)
	for _, tt := range []struct {
		name string
		m    Middleware
		over accesslog.Reason
	}{
		{"in flight", inFlight, accesslog.Limit},
		{"rate", NewRateLimit(1, 1, time.Second, now), accesslog.RateLimited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, want := range []accesslog.Reason{accesslog.Unknown, tt.over} {
				if got := tt.m.Admit(alice, now); got != want {
					t.Errorf("connection %d: Admit = %v, want %v", i, got, want)
				}
			}
			if got := tt.m.Admit(bob, now); got != accesslog.Unknown {
				t.Errorf("another client: Admit = %v", got)
			}
		})
	}
	inFlight.Leave(alice)
	if got := inFlight.Admit(alice, now); got != accesslog.Unknown {
		t.Errorf("after Leave: Admit = %v", got)
	}
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
