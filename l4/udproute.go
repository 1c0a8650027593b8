package l4

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4/flow"
)

// UDPRoute leads what comes in by an entrypoint to a service. It is a value of the configuration and never changes.
type UDPRoute struct {
	Name        string
	Middlewares []Middleware // a RateLimit is asked about each datagram, all others about new flows
	Service     *UDPService
	Shared      *SharedSockets // nil = each client has a flow
}

// SharedSockets is how datagrams are led that go one by one, over sockets that all clients share.
type SharedSockets struct {
	Protocol     flow.Protocol
	QueryTimeout time.Duration // until a query is given up
}

// sameWay reports whether both lead datagrams in the same manner. What flow.Shared takes over by SetOptions may differ.
func (r *UDPRoute) sameWay(other *UDPRoute) bool {
	if r.Shared == nil || other.Shared == nil {
		return r.Shared == other.Shared
	}
	return r.Shared.Protocol == other.Shared.Protocol
}

// rates are the middlewares that are asked about each datagram.
func (r *UDPRoute) rates() (rates []*RateLimit) {
	for _, m := range r.Middlewares {
		if rate, ok := m.(*RateLimit); ok {
			rates = append(rates, rate)
		}
	}
	return rates
}

// flowGate lets the flows of an entrypoint in, if all its middlewares do.
type flowGate struct{ middlewares []Middleware }

// newFlowGate returns the gate of a route, with a bound of its entrypoint's own before it if there is one. old is returned
// if it asks the same, so that flows need not pass another one; nil means that there is nothing to ask.
func newFlowGate(old *flowGate, perSource *InFlightConn, r *UDPRoute) *flowGate {
	var middlewares []Middleware
	if perSource != nil {
		middlewares = append(middlewares, perSource)
	}
	for _, m := range r.Middlewares {
		if _, rate := m.(*RateLimit); !rate {
			middlewares = append(middlewares, m)
		}
	}
	switch {
	case len(middlewares) == 0:
		return nil
	case old != nil && slices.Equal(old.middlewares, middlewares):
		return old
	}
	return &flowGate{middlewares}
}

// Enter implements flow.Gate.
func (g *flowGate) Enter(source netip.Addr, now time.Time) flow.Cause {
	for i, m := range g.middlewares {
		if why := m.Admit(source, now); why != accesslog.Unknown {
			leaveAll(g.middlewares[:i], source)
			return causeOf(why)
		}
	}
	return flow.Kept
}

// Leave implements flow.Gate.
func (g *flowGate) Leave(source netip.Addr) { leaveAll(g.middlewares, source) }

func leaveAll(middlewares []Middleware, source netip.Addr) {
	for _, m := range middlewares {
		if l, ok := m.(Leaver); ok {
			l.Leave(source)
		}
	}
}

// causeOf is what a middleware's refusal means for a datagram.
func causeOf(why accesslog.Reason) flow.Cause {
	switch why {
	case accesslog.Limit:
		return flow.TooManySource
	case accesslog.RateLimited:
		return flow.RateLimited
	}
	return flow.Denied
}
