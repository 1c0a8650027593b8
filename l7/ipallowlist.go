package l7

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/weirlb/weir/internal/accesslog"
)

// IPAllowList returns a middleware that passes requests of clients in the given networks only; single addresses are
// networks of their full length. Others are answered with rejectStatus; 0 = 403.
func IPAllowList(name string, ranges []netip.Prefix, rejectStatus int) *Middleware {
	return IPAllowListBy(name, ranges, rejectStatus, IPStrategy{})
}

// IPAllowListBy is IPAllowList with the client's address found as the strategy says. Where it finds none, nobody passes.
func IPAllowListBy(name string, ranges []netip.Prefix, rejectStatus int, by IPStrategy) *Middleware {
	return ipList(name, ranges, rejectStatus, by, true)
}

// IPDenyList returns a middleware that passes requests of all clients but those in the given networks. Where the strategy
// finds no address, nobody passes.
func IPDenyList(name string, ranges []netip.Prefix, rejectStatus int, by IPStrategy) *Middleware {
	return ipList(name, ranges, rejectStatus, by, false)
}

// ipList passes requests of clients that are listed, or of all that are not.
func ipList(name string, ranges []netip.Prefix, rejectStatus int, by IPStrategy, passes bool) *Middleware {
	listed := new(bart.Lite)
	for _, p := range ranges {
		listed.Insert(p)
	}
	if rejectStatus == 0 {
		rejectStatus = 403
	}
	addresses := newAddresses(by)
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if addr := addresses.of(&x.req, x.Client().Addr()); addr.IsValid() && listed.Contains(addr) == passes {
			return Next
		}
		x.Reject(rejectStatus, accesslog.Denied)
		return Answered
	}}
}
