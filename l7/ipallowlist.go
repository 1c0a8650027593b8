package l7

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/weirlb/weir/internal/accesslog"
)

// IPAllowList returns a middleware that passes requests of clients in the given networks only; single addresses are
// networks of their full length. Others are answered with rejectStatus; 0 = 403.
func IPAllowList(name string, ranges []netip.Prefix, rejectStatus int) *Middleware {
	allowed := new(bart.Lite)
	for _, p := range ranges {
		allowed.Insert(p)
	}
	if rejectStatus == 0 {
		rejectStatus = 403
	}
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if allowed.Contains(x.Client().Addr().Unmap().WithZone("")) {
			return Next
		}
		x.Reject(rejectStatus, accesslog.Denied)
		return Answered
	}}
}
