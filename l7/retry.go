package l7

import (
	"math"
	"math/rand/v2"
	"time"
)

// RetryOptions say when a request is sent to its service anew.
type RetryOptions struct {
	Attempts        int           // in all
	InitialInterval time.Duration // before the second one; it grows to twice that. 0 = no pause
	Timeout         time.Duration // after the first one began, none begins; 0 = no limit
	Statuses        Statuses      // of answers after which another attempt is made, besides those of a service that cannot be reached
	MaxBody         int64         // bytes of a request's body that are kept to be sent again, framing included; negative = DefaultMaxReplay

	IgnoreNetworkErrors bool // no further attempt because a service cannot be reached
	AnyMethod           bool // send requests again that may have had an effect although their method is not idempotent
}

// Retry returns a middleware that sends a request to its service anew where that could not be reached, or gave an answer
// with one of the statuses. Before it, load balancers have tried other backends where they may. What was sent is sent again
// only if its method is idempotent (RFC 9110 section 9.2.2), or with AnyMethod, and its body was kept. A call of gRPC to which a
// server has answered UNAVAILABLE and nothing else counts as one that did not reach it. Attempts share the
// retry budget of the pool. Of several Retry around each other, the one with the most attempts counts.
func Retry(name string, o RetryOptions) *Middleware {
	return &Middleware{
		Name: name,
		Request: func(x *Exchange) Action {
			x.wanted = max(x.wanted, allowance(o.MaxBody))
			return Next
		},
		Outcome: func(x *Exchange, status int) bool {
			now := time.Now()
			wait := backoff(x.attempts, o.Attempts, o.InitialInterval, rand.Float64())
			first := x.began.Add(max(x.routed, 0))
			if !o.mayRetry(x, status) || o.Timeout > 0 && now.Add(wait).Sub(first) > o.Timeout || !x.affords(now) {
				return false
			}
			x.again(status, wait)
			return true
		},
	}
}

// mayRetry decides whether another attempt may be made after one that ended with the status.
func (o *RetryOptions) mayRetry(x *Exchange, status int) bool {
	if x.attempts == 0 || x.attempts >= o.Attempts || x.page.of != nil || status < 200 {
		return false // it has not come to the service, or often enough, or is another request by now
	}
	declined := x.declined()
	network := x.origin == 0 && (status == 502 || status == 504) || declined
	if !(network && !o.IgnoreNetworkErrors || o.Statuses.Has(status)) {
		return false
	}
	if x.sentAt.IsZero() {
		return x.replayable(o.MaxBody)
	}
	return (o.AnyMethod || declined || idempotent(x.req.Method())) && x.replayable(o.MaxBody)
}

// affords reports whether the retry budget of the pool that was asked last has room for another attempt, and takes it.
func (x *Exchange) affords(now time.Time) bool { return x.pool == nil || x.pool.AllowRetry(now) }

// backoff is the pause after an attempt, counted from 1: from the initial one to twice that after the last, give or take a
// half of it, so that those who failed together do not come back together. random is from 0 to 1.
func backoff(attempt, attempts int, initial time.Duration, random float64) time.Duration {
	if attempts < 2 || initial <= 0 {
		return 0
	}
	grown := float64(initial) * math.Pow(2, float64(attempt-1)/float64(attempts-1))
	return time.Duration(min(grown, 2*float64(initial)) * (0.5 + random))
}
