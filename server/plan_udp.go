package server

import (
	"slices"

	"github.com/weirlb/weir/l4"
)

// udpRouterPlan leads what comes in by its entrypoint to a service.
type udpRouterPlan struct {
	service     string // its key
	middlewares []string
	shared      *l4.SharedSockets // nil = every client has a flow
}

// udpPlan is a UDP entrypoint.
type udpPlan struct {
	options l4.UDPOptions
	router  string // empty = nothing is led anywhere
}

// udpSuffix tells names of UDP services and middlewares from those of TCP where both stand together: in the keys of
// services, pools and middlewares.
const udpSuffix = "@udp"

func udpKey(name string) string { return name + udpSuffix }

// udpRouterDiffers reports whether what an entrypoint does with datagrams is another than before.
func (d *differ) udpRouterDiffers(old, now *udpPlan) bool {
	if old == nil || now == nil {
		return old != now
	}
	if *old != *now || !same(d.from.udpRouters[old.router], d.to.udpRouters[now.router]) {
		return true
	}
	return slices.ContainsFunc(d.to.udpRouters[now.router].middlewares, func(m string) bool {
		return !same(d.from.middlewares[m], d.to.middlewares[m])
	})
}
