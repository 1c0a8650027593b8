package l7

import (
	"strconv"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/limit"
	"github.com/weirlb/weir/l7/head"
)

// RateLimit returns a middleware that passes average requests per period and client, and burst, at least 1, at once. Clients
// are told apart by their address, IPv6 ones by their /64. An average of 0 is no limit. What is too much is answered with
// 429 and the seconds to wait in Retry-After (RFC 6585 section 4). now is where its clock begins.
func RateLimit(name string, average, burst int, period time.Duration, now time.Time) *Middleware {
	return RateLimitBy(name, average, burst, period, SourceCriterion{}, now)
}

// RateLimitBy is RateLimit with clients told apart by something else.
func RateLimitBy(name string, average, burst int, period time.Duration, by SourceCriterion, now time.Time) *Middleware {
	rate, source := limit.NewRate(average, burst, period, now), newSource(by)
	key := rate.Key
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		wait := rate.AdmitKey(source.key(x, key), x.mark)
		if wait == 0 {
			return Next
		}
		x.RejectWith(429, accesslog.RateLimited, func(h *head.Head) {
			_ = h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second))) // both are good
		})
		return Answered
	}}
}
