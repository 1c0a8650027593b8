package l4

import (
	"net/netip"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weirlb/weir/internal/accesslog"
)

// IPAllowList admits clients of the given networks only.
type IPAllowList struct{ ranges *bart.Lite }

// NewIPAllowList returns a list of networks; single addresses are networks of their full length.
func NewIPAllowList(ranges []netip.Prefix) *IPAllowList {
	l := &IPAllowList{ranges: new(bart.Lite)}
	for _, p := range ranges {
		l.ranges.Insert(p)
	}
	return l
}

// Admit implements Middleware.
func (l *IPAllowList) Admit(client netip.Addr, _ time.Time) accesslog.Reason {
	if l.ranges.Contains(client.Unmap().WithZone("")) {
		return accesslog.Unknown
	}
	return accesslog.Denied
}
