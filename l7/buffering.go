package l7

import (
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/predicate"
)

// maxExpressedAttempts bounds how often an expression may have a request sent.
const maxExpressedAttempts = 10

// BufferingOptions say how much of bodies is held back, and when a request is sent again.
type BufferingOptions struct {
	MaxRequest, MemRequest   int64  // bytes of a request's body: that it may have, 0 = no limit; that are held
	MaxResponse, MemResponse int64  // the same of a response's
	RetryExpression          string // as [predicate.Retry] has it; empty = never
}

// Buffering returns a middleware that gives the service a request when its body is here, and the client a response when its
// body is here, as far as they are no longer than is held: a longer one is passed on as it comes. What is longer than it may
// be is answered with 413, or 500 where it is the response. Server-sent events are not held. The error is the expression's.
func Buffering(name string, o BufferingOptions) (*Middleware, error) {
	m := &Middleware{Name: name, Request: o.request}
	if o.RetryExpression == "" {
		return m, nil
	}
	condition, err := predicate.Parse(o.RetryExpression, predicate.Retry())
	if err != nil {
		return nil, err
	}
	calls := condition.Calls()
	m.Outcome = func(x *Exchange, status int) bool {
		if x.attempts == 0 || x.attempts >= maxExpressedAttempts || x.page.of != nil || status < 200 || !x.replayable(o.MemRequest) ||
			!condition.Holds(func(i int) predicate.Value { return x.expressed(calls[i].Name, status) }) || !x.affords(time.Now()) {
			return false
		}
		x.again(status, 0)
		return true
	}
	return m, nil
}

// expressed is what a call of a retry expression comes to.
func (x *Exchange) expressed(call string, status int) predicate.Value {
	switch call {
	case "Attempts":
		return predicate.Value{Number: float64(x.attempts)}
	case "IsNetworkError":
		return predicate.Value{Bool: status == 502 || status == 504}
	case "RequestMethod":
		return predicate.Value{Text: string(x.req.Method())}
	}
	return predicate.Value{Number: float64(status)}
}

func (o *BufferingOptions) request(x *Exchange) Action {
	x.hold = tighter(x.hold, held{mem: o.MemResponse, max: o.MaxResponse})
	f := x.req.Framing()
	if !f.HasBody() {
		return Next
	}
	if o.MaxRequest > 0 {
		if max(f.Length, x.reqBody.Content()) > o.MaxRequest { // it may have been taken in already
			x.Reject(413, accesslog.BodyTooLarge)
			return Answered
		}
		x.mostBody = tighterOf(x.mostBody, o.MaxRequest)
	}
	if x.reqBody.Done() {
		return Next
	}
	if f.Length > o.MemRequest || o.MemRequest == 0 {
		return Next
	}
	x.beginGathering(o.MemRequest)
	switch {
	case x.phase != routing:
		return Answered
	case x.gathering:
		return Wait
	}
	return Next
}

// held is how much of a response is held, and how much there may be; 0 = nothing is held, and no limit.
type held struct{ mem, max int64 }

func tighter(a, b held) held { return held{max(a.mem, b.mem), tighterOf(a.max, b.max)} }

// tighterOf is the lower of two limits, of which 0 is none.
func tighterOf(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
