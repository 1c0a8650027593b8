package l7

import (
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/limit"
)

// InFlightReq returns a middleware that passes as many requests of a client as amount says at one time, upgraded connections
// among them, until they end; more are answered with 429.
func InFlightReq(name string, amount int, by SourceCriterion) *Middleware {
	inFlight, source := limit.NewInFlight(amount), newSource(by)
	key := inFlight.Key
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if x.enter(inFlight, source.key(x, key)) {
			return Next
		}
		x.detail = "in-flight"
		x.Reject(429, accesslog.Limit)
		return Answered
	}}
}
