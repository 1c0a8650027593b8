package cluster

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestNodeOptions(t *testing.T) {
	valid := NodeOptions{
		Name: "prod", Node: "lb-1", Bind: netip.MustParseAddrPort("10.0.0.1:7946"), Keys: [][]byte{secret}, Join: []string{"10.0.0.2"},
	}
	tests := []struct {
		name   string
		change func(*NodeOptions)
		want   string // in the error; empty: there is none
	}{
		{"valid", func(o *NodeOptions) {}, ""},
		{"loopback needs no key", func(o *NodeOptions) { o.Keys, o.Bind = nil, netip.MustParseAddrPort("[::1]:7946") }, ""},
		{"no key", func(o *NodeOptions) { o.Keys = nil }, "without a key"},
		{"no key, and others reach it", func(o *NodeOptions) {
			o.Keys, o.Advertise, o.Bind = nil, o.Bind, netip.MustParseAddrPort("127.0.0.1:7946")
		}, "without a key"},
		{"a short key", func(o *NodeOptions) { o.Keys = [][]byte{secret, secret[:15]} }, "key 2 has 15 bytes"},
		{"too many keys", func(o *NodeOptions) { o.Keys = slices.Repeat([][]byte{secret}, 5) }, "5 keys, at most 4"},
		{"no cluster", func(o *NodeOptions) { o.Name = "" }, "the cluster's name"},
		{"a long name", func(o *NodeOptions) { o.Name = strings.Repeat("x", 129) }, "more than 128 bytes"},
		{"an unprintable name", func(o *NodeOptions) { o.Node = "lb\n1" }, "cannot be printed"},
		{"nowhere", func(o *NodeOptions) { o.Bind = netip.AddrPort{} }, "no address to bind to"},
		{"everywhere", func(o *NodeOptions) { o.Bind = netip.MustParseAddrPort("[::]:7946") }, "needs an address to advertise"},
		{"everywhere, but advertised", func(o *NodeOptions) {
			o.Advertise, o.Bind = o.Bind, netip.MustParseAddrPort("0.0.0.0:7946")
		}, ""},
		{"an unknown profile", func(o *NodeOptions) { o.Profile = "fast" }, `profile "fast"`},
		{"a long version", func(o *NodeOptions) { o.Version = strings.Repeat("1", 65) }, "a version of 65 bytes"},
		{"a name that nobody resolves", func(o *NodeOptions) { o.Join = []string{"lb-2"} }, `"lb-2" is not an address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := valid
			tt.change(&o)
			_, err := o.check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && !errors.Is(err, ErrSettings) {
				t.Error("not an ErrSettings")
			}
		})
	}
}

func TestLiteral(t *testing.T) {
	tests := []struct {
		in, want string
	}{
		{"10.0.0.1", "10.0.0.1:7946"},
		{"10.0.0.1:80", "10.0.0.1:80"},
		{"10.0.0.1:0", "10.0.0.1:7946"},
		{"::1", "[::1]:7946"},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80"},
		{"lb-1", ""},
		{"lb-1:80", ""},
		{"srv+_weir._tcp.example.com", ""},
	}
	for _, tt := range tests {
		addr, ok := literal(tt.in)
		if ok != (tt.want != "") || ok && addr.String() != tt.want {
			t.Errorf("%s: %s, %t", tt.in, addr, ok)
		}
	}
}

func TestDerive(t *testing.T) {
	a, err := derive(secret, "prod")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := derive(secret, "test")
	c, _ := derive(append(slices.Clone(secret), 'x'), "prod")
	if a == b || a == c || a.Fingerprint() == b.Fingerprint() {
		t.Error("different clusters or secrets have one key")
	}
	if again, _ := derive(secret, "prod"); again != a {
		t.Error("one secret makes two keys")
	}
}
