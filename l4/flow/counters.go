package flow

import "sync/atomic"

// Counters are one loop's share of an entrypoint's or a service's numbers: one loop writes, anybody reads, and the padding
// keeps two loops off one cache line.
type Counters struct {
	opened, moved      atomic.Uint64
	inCount, inBytes   atomic.Uint64
	outCount, outBytes atomic.Uint64
	ended              [NumReasons]atomic.Uint64
	dropped            [NumCauses]atomic.Uint64
	_                  [64]byte
}

// Dropped counts a datagram that goes nowhere. The shell calls it for those it could not receive or send. Counting in nil
// counters counts nothing.
func (c *Counters) Dropped(why Cause) { c.DroppedMany(why, 1) }

// DroppedMany counts n of them.
func (c *Counters) DroppedMany(why Cause, n uint64) {
	if c != nil {
		c.dropped[why].Add(n)
	}
}

func (c *Counters) in(n int) {
	if c != nil {
		c.inCount.Add(1)
		c.inBytes.Add(uint64(n))
	}
}

func (c *Counters) out(n int) {
	if c != nil {
		c.outCount.Add(1)
		c.outBytes.Add(uint64(n))
	}
}

func (c *Counters) open() {
	if c != nil {
		c.opened.Add(1)
	}
}

func (c *Counters) move() {
	if c != nil {
		c.moved.Add(1)
	}
}

func (c *Counters) end(why Reason) {
	if c != nil {
		c.ended[why].Add(1)
	}
}

// Traffic is what went one way.
type Traffic struct {
	Datagrams, Bytes uint64 // bytes without headers
}

func (t *Traffic) add(n int) {
	t.Datagrams++
	t.Bytes += uint64(n)
}

// Stats are the numbers of an entrypoint or a service since it came to be. They are read one after the other while
// datagrams flow, so they may be apart by what happened in between. With shared sockets a flow is one query of DNS.
type Stats struct {
	Opened  uint64  // flows
	Active  uint64  // of those, not ended
	Moved   uint64  // times that a flow went to another backend
	In      Traffic // from clients, given to backends
	Out     Traffic // from backends, given to clients
	Ended   [NumReasons]uint64
	Dropped [NumCauses]uint64 // datagrams, both ways
}

// Sum adds the numbers of the loops' shares.
func Sum(shares ...*Counters) Stats {
	var s Stats
	var ended uint64
	for _, c := range shares {
		for i := range c.ended {
			n := c.ended[i].Load()
			s.Ended[i] += n
			ended += n
		}
		for i := range c.dropped {
			s.Dropped[i] += c.dropped[i].Load()
		}
		s.Opened += c.opened.Load() // after ended: Active is never negative
		s.Moved += c.moved.Load()
		s.In.Datagrams += c.inCount.Load()
		s.In.Bytes += c.inBytes.Load()
		s.Out.Datagrams += c.outCount.Load()
		s.Out.Bytes += c.outBytes.Load()
	}
	s.Active = s.Opened - ended
	return s
}
