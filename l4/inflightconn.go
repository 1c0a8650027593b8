package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// InFlightConn bounds how many connections a client has open at one time.
type InFlightConn struct {
	amount uint64
	table  sources // a slot: 40 bits of tag, 24 bits of count; free while the count is 0
}

const (
	countBits = 24
	countMask = 1<<countBits - 1
)

// NewInFlightConn returns a limit of amount connections, 1 to 2^24-1, for each client.
func NewInFlightConn(amount int) *InFlightConn {
	return &InFlightConn{amount: uint64(min(amount, countMask)), table: newSources()}
}

// Admit implements Middleware; it counts the connection.
func (f *InFlightConn) Admit(client netip.Addr, _ time.Time) accesslog.Reason {
	home, tag := f.table.find(client)
	tag &= 1<<(64-countBits) - 1
	for {
		at, seen, open := f.look(home, tag)
		switch {
		case open >= f.amount:
			return accesslog.Limit
		case at < 0:
			return accesslog.Unknown // no room: uncounted
		}
		next := seen + 1
		if seen&countMask == 0 {
			next = tag<<countBits | 1
		}
		if f.table.slot(home, at).CompareAndSwap(seen, next) {
			return accesslog.Unknown
		}
	}
}

// look returns the client's slot, or a free one, or -1; what is in it; and how many connections the client has open.
func (f *InFlightConn) look(home int, tag uint64) (at int, seen, open uint64) {
	at = -1
	own := false
	for i := range sourceProbes {
		v := f.table.slot(home, i).Load()
		switch n := v & countMask; {
		case n == 0 && at < 0:
			at, seen = i, v
		case n > 0 && v>>countBits == tag:
			open += n
			if !own {
				at, seen, own = i, v, true
			}
		}
	}
	return at, seen, open
}

// Leave implements Leaver.
func (f *InFlightConn) Leave(client netip.Addr) {
	home, tag := f.table.find(client)
	tag &= 1<<(64-countBits) - 1
	for {
		at, seen, open := f.look(home, tag)
		if open == 0 || f.table.slot(home, at).CompareAndSwap(seen, seen-1) {
			return // open is 0 for a connection that went uncounted
		}
	}
}
