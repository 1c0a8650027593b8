package discovery

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

func TestUnion(t *testing.T) {
	heavy := upstream.Endpoint{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 9, Priority: 1, Name: "heavy", MaxConnections: 5}
	mapped := upstream.Endpoint{Addr: netip.MustParseAddrPort("[::ffff:10.0.0.1]:80"), Weight: 9, Priority: 1, Name: "heavy", MaxConnections: 5}
	socket := upstream.Endpoint{Addr: upstream.UnixAddr("/run/x.sock"), Weight: 1}
	other := upstream.Endpoint{Addr: upstream.UnixAddr("/run/y.sock"), Weight: 1}
	tests := []struct {
		name    string
		sources [][]upstream.Endpoint
		want    []upstream.Endpoint
	}{
		{"nothing", nil, endpoints()},
		{"nobody", [][]upstream.Endpoint{nil, {}}, endpoints()},
		{"one source", [][]upstream.Endpoint{endpoints("10.0.0.2:80", "10.0.0.1:80")}, endpoints("10.0.0.1:80", "10.0.0.2:80")},
		{"two sources", [][]upstream.Endpoint{endpoints("10.0.0.2:80"), endpoints("10.0.0.1:80")}, endpoints("10.0.0.1:80", "10.0.0.2:80")},
		{"the first decides", [][]upstream.Endpoint{{heavy}, endpoints("10.0.0.1:80", "10.0.0.2:80")}, []upstream.Endpoint{endpoint("10.0.0.2:80"), heavy}},
		{"the first decides, the other way", [][]upstream.Endpoint{endpoints("10.0.0.1:80"), {heavy}}, endpoints("10.0.0.1:80")},
		{"twice in one source", [][]upstream.Endpoint{{heavy, endpoint("10.0.0.1:80")}}, []upstream.Endpoint{heavy}},
		{"IPv4 in IPv6 clothes", [][]upstream.Endpoint{{mapped}, endpoints("10.0.0.1:80")}, []upstream.Endpoint{heavy}},
		{"another port is another server", [][]upstream.Endpoint{endpoints("10.0.0.1:81"), endpoints("10.0.0.1:80")}, endpoints("10.0.0.1:80", "10.0.0.1:81")},
		{"Unix sockets", [][]upstream.Endpoint{{other}, {socket, other}}, []upstream.Endpoint{socket, other}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := sameEndpoints(tt.want, Union(tt.sources...)); diff != "" {
				t.Errorf("union (-want +got):\n%s", diff)
			}
		})
	}
}

// anySet draws few different addresses, so that sources conflict.
func anySet() *rapid.Generator[[]upstream.Endpoint] {
	one := rapid.Custom(func(t *rapid.T) upstream.Endpoint {
		return upstream.Endpoint{
			Addr:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 6).Draw(t, "host"))}), uint16(rapid.IntRange(80, 81).Draw(t, "port"))),
			Weight: rapid.IntRange(0, 3).Draw(t, "weight"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
			Name: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"),
		}
	})
	return rapid.SliceOfN(one, 0, 12)
}

func TestUnionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anySet().Draw(t, "a"), anySet().Draw(t, "b"), anySet().Draw(t, "c")
		before := slices.Concat(a, b, c)
		all := Union(a, b, c)
		if !slices.Equal(before, slices.Concat(a, b, c)) {
			t.Fatal("a source was changed")
		}
		if !slices.IsSortedFunc(all, Compare) {
			t.Fatalf("not sorted: %v", all)
		}
		for name, same := range map[string][]upstream.Endpoint{
			"idempotent":           Union(all),
			"idempotent over both": Union(all, all),
			"associative":          Union(Union(a, b), c),
			"what is in is in":     Union(all, c, a, b),
		} {
			if !slices.Equal(all, same) {
				t.Fatalf("not %s: %v, %v", name, all, same)
			}
		}
		turned := Union(c, b, a)
		if !slices.Equal(addresses(all), addresses(turned)) {
			t.Fatalf("the order of sources decides who is in: %v, %v", all, turned)
		}
		for _, e := range all {
			said := slices.DeleteFunc(slices.Clone(before), func(o upstream.Endpoint) bool { return o.Addr != e.Addr })
			if len(said) == 0 || said[0] != e {
				t.Fatalf("%v is not what was said of it first: %v", e, said)
			}
		}
	})
}

// TestUnionWithoutConflicts: where no address comes twice, the order of the sources decides nothing.
func TestUnionWithoutConflicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := Union(anySet().Draw(t, "set"))
		at := rapid.IntRange(0, len(set)).Draw(t, "at")
		if ab, ba := Union(set[:at], set[at:]), Union(set[at:], set[:at]); !slices.Equal(ab, ba) || !slices.Equal(ab, set) {
			t.Fatalf("%v, %v, want %v", ab, ba, set)
		}
	})
}

func addresses(set []upstream.Endpoint) []string {
	var all []string
	for _, e := range set {
		all = append(all, e.Addr.String())
	}
	slices.Sort(all)
	return all
}
