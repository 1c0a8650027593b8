package discovery

import (
	"net/netip"

	"github.com/weirlb/weir/upstream"
)

// Union joins what several sources say about one service, such as its listed servers and a provider's. Two endpoints with the
// same address are one server, and the first to name it decides all about it: weight, priority, name, connections. So the
// source that is to have the last word comes first. An IPv4 address in IPv6 clothes is the IPv4 address. The result is sorted,
// is not nil, and shares no memory with the sources.
func Union(sources ...[]upstream.Endpoint) []upstream.Endpoint {
	joined := []upstream.Endpoint{}
	seen := make(map[netip.AddrPort]struct{})
	for _, source := range sources {
		for _, e := range source {
			e.Addr = netip.AddrPortFrom(e.Addr.Addr().Unmap(), e.Addr.Port())
			if _, ok := seen[e.Addr]; ok {
				continue
			}
			seen[e.Addr] = struct{}{}
			joined = append(joined, e)
		}
	}
	Sort(joined)
	return joined
}
