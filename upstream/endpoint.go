package upstream

import (
	"net/netip"
	"strings"
)

// MaxWeight is the largest weight an endpoint can have; larger ones count as MaxWeight.
const MaxWeight = 65535

// Endpoint is what a provider says about one server. It is a plain value.
type Endpoint struct {
	Addr           netip.AddrPort
	Weight         int    // share of the traffic, 0..MaxWeight; 0 keeps the backend but sends it nothing new
	Priority       int    // failover tier; lower is preferred
	Name           string // for people; may be empty
	MaxConnections int    // connections at one time; 0 = no limit
}

// UnixAddr is the address of a Unix socket, whose path is absolute, in the form in
// which everything here carries addresses: the unspecified IPv6 address, with the
// path as its zone. No interface can be called like that.
func UnixAddr(path string) netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv6Unspecified().WithZone(path), 0)
}

// UnixPath returns the path of a Unix socket's address; ok is false for others.
func UnixPath(addr netip.AddrPort) (path string, ok bool) {
	zone := addr.Addr().Zone()
	return zone, strings.HasPrefix(zone, "/")
}

// Show writes an address for people.
func Show(addr netip.AddrPort) string {
	if path, ok := UnixPath(addr); ok {
		return "unix:" + path
	}
	return addr.String()
}

// Key identifies a backend. It survives reloads and discovery updates: a server
// that comes with the same key keeps its health, its counters and its connections.
type Key struct {
	Service string
	Addr    netip.AddrPort
}

// String returns the key as service@address.
func (k Key) String() string { return k.Service + "@" + Show(k.Addr) }

// canonical brings an endpoint into the form every node compares and hashes:
// an IPv4 address in IPv6 clothes is an IPv4 address, numbers are in range.
func (e Endpoint) canonical() Endpoint {
	e.Addr = netip.AddrPortFrom(e.Addr.Addr().Unmap(), e.Addr.Port())
	e.Weight = min(max(e.Weight, 0), MaxWeight)
	e.MaxConnections = max(e.MaxConnections, 0)
	return e
}
