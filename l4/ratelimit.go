package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// RateLimit bounds how fast a client opens connections, by the generic cell rate algorithm (ITU-T I.371): a client has
// one instant up to which its connections are paid for, and may run ahead of the clock by its burst.
type RateLimit struct {
	epoch    time.Time
	interval uint64  // ticks a connection costs; 0 = no limit
	ahead    uint64  // ticks a client may be ahead
	table    sources // a slot: 18 bits of tag, 46 bits of instant; free once the instant has passed
}

const (
	instantBits = 46
	instantMask = 1<<instantBits - 1
	rateTick    = 4 * time.Microsecond // 2^46 of them are nine years
)

// NewRateLimit allows average connections per period and client, and burst, at least 1, at once. An average of 0 is no
// limit. now is where the limiter's clock begins.
func NewRateLimit(average, burst int, period time.Duration, now time.Time) *RateLimit {
	l := &RateLimit{epoch: now, table: newSources()}
	if average > 0 {
		l.interval = max(uint64(period/time.Duration(average)/rateTick), 1)
		l.ahead = l.interval * uint64(max(burst, 1)-1)
	}
	return l
}

// Admit implements Middleware.
func (l *RateLimit) Admit(client netip.Addr, now time.Time) accesslog.Reason {
	if l.interval == 0 {
		return accesslog.Unknown
	}
	tick := uint64(max(now.Sub(l.epoch), 0)/rateTick) + 1
	home, tag := l.table.find(client)
	tag &= 1<<(64-instantBits) - 1
	for {
		at, seen := l.look(home, tag, tick)
		if at < 0 {
			return accesslog.Unknown // no room: unlimited
		}
		paid := max(seen&instantMask, tick) // of a free slot: tick
		if paid-tick > l.ahead {
			return accesslog.RateLimited
		}
		if l.table.slot(home, at).CompareAndSwap(seen, tag<<instantBits|(paid+l.interval)&instantMask) {
			return accesslog.Unknown
		}
	}
}

// look returns the client's slot, or one whose client's debt is over, or -1; and what is in it.
func (l *RateLimit) look(home int, tag, tick uint64) (at int, seen uint64) {
	at = -1
	for i := range sourceProbes {
		v := l.table.slot(home, i).Load()
		switch live := v&instantMask > tick; {
		case live && v>>instantBits == tag:
			return i, v
		case !live && at < 0:
			at, seen = i, v
		}
	}
	return at, seen
}
