package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseListen(t *testing.T) {
	tests := []struct {
		name, address string
		want          Listen
		err           string
	}{
		{"all addresses", ":80", Listen{"tcp", netip.Addr{}, 80, 80}, ""},
		{"tcp said", ":80/tcp", Listen{"tcp", netip.Addr{}, 80, 80}, ""},
		{"udp", ":53/udp", Listen{"udp", netip.Addr{}, 53, 53}, ""},
		{"range", "10.0.0.1:1000-1009/udp", Listen{"udp", netip.MustParseAddr("10.0.0.1"), 1000, 1009}, ""},
		{"range of one", ":7-7", Listen{"tcp", netip.Addr{}, 7, 7}, ""},
		{"IPv6", "[2001:db8::1]:443", Listen{"tcp", netip.MustParseAddr("2001:db8::1"), 443, 443}, ""},
		{"IPv6 with a zone", "[fe80::1%eth0]:443", Listen{"tcp", netip.MustParseAddr("fe80::1%eth0"), 443, 443}, ""},
		{"mapped", "[::ffff:10.0.0.1]:443", Listen{"tcp", netip.MustParseAddr("10.0.0.1"), 443, 443}, ""},
		{"all IPv6", "[::]:80", Listen{"tcp", netip.IPv6Unspecified(), 80, 80}, ""},
		{"all IPv4", "0.0.0.0:80", Listen{"tcp", netip.IPv4Unspecified(), 80, 80}, ""},
		{"any port", "127.0.0.1:0", Listen{"tcp", netip.MustParseAddr("127.0.0.1"), 0, 0}, ""},
		{"last port", ":65535", Listen{"tcp", netip.Addr{}, 65535, 65535}, ""},

		{"nothing", "", Listen{}, "has no port"},
		{"no port", "10.0.0.1", Listen{}, "has no port"},
		{"empty port", "10.0.0.1:", Listen{}, `"" is not a port`},
		{"port too high", ":65536", Listen{}, "is not a port"},
		{"port with a sign", ":+80", Listen{}, "is not a port"},
		{"port with a zero", ":080", Listen{}, "is not a port"},
		{"open range", ":80-", Listen{}, "is not a port"},
		{"backward range", ":81-80", Listen{}, "is not a range"},
		{"range from zero", ":0-80", Listen{}, "is not a range"},
		{"star", "*:80", Listen{}, "leave it out"},
		{"host name", "localhost:80", Listen{}, "is not an IP address"},
		{"bare IPv6", "2001:db8::1:443", Listen{}, "stands in [ ]"},
		{"IPv4 in brackets", "[10.0.0.1]:443", Listen{}, "stands in [ ]"},
		{"unknown network", ":80/quic", Listen{}, "unknown network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseListen(tt.address)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if e := (&EntryPoint{Address: tt.address}); e.Listen() != got {
				t.Errorf("EntryPoint.Listen gives %v", e.Listen())
			}
		})
	}
}

func TestListenOverlaps(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"same", ":80", ":80", true},
		{"other port", ":80", ":81", false},
		{"other network", ":80", ":80/udp", false},
		{"all and one", ":80", "10.0.0.1:80", true},
		{"all and all IPv6", ":80", "[::]:80", true},
		{"two addresses", "10.0.0.1:80", "10.0.0.2:80", false},
		{"all IPv4 and one", "0.0.0.0:80", "10.0.0.1:80", true},
		{"all IPv4 and an IPv6", "0.0.0.0:80", "[::1]:80", false},
		{"all IPv4 and all IPv6", "0.0.0.0:80", "[::]:80", false},
		{"inside a range", ":1000-2000", ":1500", true},
		{"ranges that touch", ":1000-2000", ":2000-3000", true},
		{"ranges that do not", ":1000-1999", ":2000-3000", false},
		{"any port", ":0", ":0", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, errA := ParseListen(tt.a)
			b, errB := ParseListen(tt.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if a.overlaps(b) != tt.want || b.overlaps(a) != tt.want {
				t.Errorf("%v, the other way %v, want %v", a.overlaps(b), b.overlaps(a), tt.want)
			}
		})
	}
}

func FuzzParseListen(f *testing.F) {
	for _, seed := range []string{":80", "[::1]:1-2/udp", "10.0.0.1:0/tcp", "[fe80::1%a]:5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		l, err := ParseListen(address)
		if err != nil {
			return
		}
		if l.Network != "tcp" && l.Network != "udp" || l.First > l.Last || l.First == 0 && l.Last != 0 {
			t.Errorf("%q gives %+v", address, l)
		}
		if !l.overlaps(l) && l.First != 0 {
			t.Errorf("%q does not overlap itself", address)
		}
	})
}
