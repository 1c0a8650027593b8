package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/limit"
)

// RateLimit bounds how fast a client opens connections.
type RateLimit struct{ rate *limit.Rate }

// NewRateLimit allows average connections per period and client, and burst, at least 1, at once. An average of 0 is no
// limit. now is where the limiter's clock begins.
func NewRateLimit(average, burst int, period time.Duration, now time.Time) *RateLimit {
	return &RateLimit{limit.NewRate(average, burst, period, now)}
}

// Admit implements Middleware.
func (l *RateLimit) Admit(client netip.Addr, now time.Time) accesslog.Reason {
	if l.rate.Admit(client, now) > 0 {
		return accesslog.RateLimited
	}
	return accesslog.Unknown
}
