package limit

import (
	"net/netip"
	"time"
)

// Rate bounds how often a client may do something, by the generic cell rate algorithm (ITU-T I.371): a client has one
// instant up to which what it did is paid for, and may run ahead of the clock by its burst. Safe from any goroutine.
type Rate struct {
	epoch    time.Time
	interval uint64  // ticks that one costs; 0 = no limit
	ahead    uint64  // ticks a client may be ahead
	table    sources // a slot: 18 bits of tag, 46 bits of instant; free once the instant has passed
}

const (
	instantBits = 46
	instantMask = 1<<instantBits - 1
	rateTick    = 4 * time.Microsecond // 2^46 of them are nine years
)

// NewRate allows average per period and client, and burst, at least 1, at once. An average of 0 is no limit. now is where
// the limiter's clock begins.
func NewRate(average, burst int, period time.Duration, now time.Time) *Rate {
	l := &Rate{epoch: now, table: newSources()}
	if average > 0 {
		l.interval = max(uint64(period/time.Duration(average)/rateTick), 1)
		l.ahead = l.interval * uint64(max(burst, 1)-1)
	}
	return l
}

// Admit takes one for the client, unless it has had enough: then it returns how long it has to wait for the next, above 0.
func (l *Rate) Admit(client netip.Addr, now time.Time) (wait time.Duration) {
	if l.interval == 0 {
		return 0
	}
	home, tag := l.table.find(client)
	return l.admit(home, tag, now)
}

// Key is the key of a source that is told apart by b.
func (l *Rate) Key(b []byte) Key { return l.table.key(b) }

// AdmitKey is Admit for a key.
func (l *Rate) AdmitKey(k Key, now time.Time) (wait time.Duration) {
	if l.interval == 0 {
		return 0
	}
	home, tag := l.table.place(k)
	return l.admit(home, tag, now)
}

func (l *Rate) admit(home int, tag uint64, now time.Time) (wait time.Duration) {
	tick := uint64(max(now.Sub(l.epoch), 0)/rateTick) + 1
	tag &= 1<<(64-instantBits) - 1
	for {
		at, seen := l.look(home, tag, tick)
		if at < 0 {
			return 0 // no room: unlimited
		}
		paid := max(seen&instantMask, tick) // of a free slot: tick
		if paid-tick > l.ahead {
			return time.Duration(paid-tick-l.ahead) * rateTick
		}
		if l.table.slot(home, at).CompareAndSwap(seen, tag<<instantBits|(paid+l.interval)&instantMask) {
			return 0
		}
	}
}

// look returns the client's slot, or one whose client's debt is over, or -1; and what is in it.
func (l *Rate) look(home int, tag, tick uint64) (at int, seen uint64) {
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
