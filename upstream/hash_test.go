package upstream

import (
	"net/netip"
	"strings"
	"testing"
)

func TestKeyOf(t *testing.T) {
	const client = "192.0.2.7:40000"
	tests := []struct {
		name     string
		key      HashKey
		a, b     string // clients
		sniA     string
		sniB     string
		sameKeys bool
	}{
		{"address without port", SourceIP, client, "192.0.2.7:40001", "", "", true},
		{"default is the address", "", client, "192.0.2.7:40001", "", "", true},
		{"other address", SourceIP, client, "192.0.2.8:40000", "", "", false},
		{"mapped address is the same client", SourceIP, client, "[::ffff:192.0.2.7]:1", "", "", true},
		{"mapped address with port", SourceIPPort, client, "[::ffff:192.0.2.7]:40000", "", "", true},
		{"port", SourceIPPort, client, "192.0.2.7:40001", "", "", false},
		{"zone is local to a node", SourceIP, "[fe80::1%eth0]:1", "[fe80::1%eth1]:1", "", "", true},
		{"name whatever the client", SNI, client, "192.0.2.8:1", "db.example.com", "db.example.com", true},
		{"name in any case", SNI, client, client, "DB.example.COM", "db.EXAMPLE.com", true},
		{"other name", SNI, client, client, "db.example.com", "dc.example.com", false},
		{"without a name the address counts", SNI, client, "192.0.2.8:1", "", "", false},
		{"without a name the port does not", SNI, client, "192.0.2.7:1", "", "", true},
		{"a name is not looked at unless asked", SourceIP, client, client, "a", "b", true},
		{"a name too long is cut", SNI, client, client, strings.Repeat("a", 255) + "b", strings.Repeat("a", 300), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := KeyOf(tt.key, netip.MustParseAddrPort(tt.a), tt.sniA)
			b := KeyOf(tt.key, netip.MustParseAddrPort(tt.b), []byte(tt.sniB))
			if (a == b) != tt.sameKeys {
				t.Errorf("keys %x and %x, same: %v, want %v", a, b, a == b, tt.sameKeys)
			}
		})
	}
}

// Nodes of every version and architecture must compute these very keys.
func TestKeyOfGolden(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("[2001:db8::7]:40000")
	tests := []struct {
		name string
		got  uint64
		want uint64
	}{
		{"IPv4", KeyOf(SourceIP, v4, ""), 0x750363e68386a2ef},
		{"IPv4 and port", KeyOf(SourceIPPort, v4, ""), 0x3a2d9e09e882faa6},
		{"IPv6", KeyOf(SourceIP, v6, ""), 0x77b20ee2299658c6},
		{"name", KeyOf(SNI, v4, "DB.example.com"), 0xc8406349b20cfee4},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %#x, want %#x: nodes of two versions would disagree", tt.name, tt.got, tt.want)
		}
	}
}

func TestKeyOfDoesNotAllocate(t *testing.T) {
	client, name := netip.MustParseAddrPort("192.0.2.7:40000"), []byte("db.example.com")
	if n := testing.AllocsPerRun(100, func() {
		KeyOf(SNI, client, name)
		KeyOf(SourceIPPort, client, name)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
