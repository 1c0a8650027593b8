package l4

import (
	"sync/atomic"

	"github.com/weirlb/weir/internal/accesslog"
)

// counters are one loop's share of an entrypoint's or a service's numbers: one loop writes, anybody reads, and the
// padding keeps two loops off one cache line.
type counters struct {
	opened  atomic.Int64
	in, out atomic.Int64
	retries atomic.Int64
	ended   [accesslog.NumReasons]atomic.Int64
	_       [64]byte
}

// Stats are the numbers of an entrypoint or a service since it came to be. They are read one after the other while
// connections go on, so they may be apart by what happened in between.
type Stats struct {
	Opened   int64 // connections accepted, or given to the service
	Active   int64 // of those, still open
	BytesIn  int64 // from clients to backends
	BytesOut int64 // from backends to clients
	Retries  int64 // connection attempts beyond the first
	Ended    [accesslog.NumReasons]int64
}

// sum adds up the loops' shares.
func sum(shares []counters) Stats {
	var s Stats
	for i := range shares {
		c := &shares[i]
		for reason := range c.ended {
			n := c.ended[reason].Load()
			s.Ended[reason] += n
			s.Active -= n
		}
		n := c.opened.Load() // after ended: Active is never negative
		s.Opened += n
		s.Active += n
		s.BytesIn += c.in.Load()
		s.BytesOut += c.out.Load()
		s.Retries += c.retries.Load()
	}
	return s
}
