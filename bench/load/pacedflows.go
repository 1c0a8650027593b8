package load

import (
	"sync/atomic"
	"time"
)

// paced is Run of an open loop: the flows send in turn, one datagram whenever one is due. Each phase ends
// when its datagrams have come home, so that the count of those that did not is exact.
func (c *Flows) paced(stop *atomic.Bool, measuring func()) (Result, error) {
	err := punctual(func() error {
		if err := c.play(stop, c.spec.Warm); err != nil {
			return err
		}
		measuring()
		c.begin()
		begun := c.now()
		err := c.play(stop, c.spec.Duration)
		c.res.Elapsed = c.now() - begun
		return err
	})
	c.conclude()
	return c.res, err
}

// play sends at the rate for as long as d.
func (c *Flows) play(stop *atomic.Bool, d time.Duration) error {
	now := c.now()
	c.pace = &pace{rate: c.spec.Rate, from: now, until: now + d}
	for ; !stop.Load(); now = c.now() {
		if err := c.dispatch(now); err != nil {
			return err
		}
		if _, more := c.pace.next(); !more && c.underWay() == 0 {
			return nil
		}
		events, err := c.poll.waitFor(min(c.pace.wait(now), c.spec.Patience/4))
		if err != nil {
			return err
		}
		for _, ev := range events {
			if err := c.receive(c.bySock[ev.Fd]); err != nil {
				return err
			}
		}
		c.sweep()
		if err := c.res.worthIt(); err != nil {
			return err
		}
	}
	return nil
}

// dispatch sends what is due, up to a batch before answers have their turn.
func (c *Flows) dispatch(now time.Duration) error {
	for range batchSize {
		due, ok := c.pace.take(now)
		if !ok {
			break
		}
		if err := c.send(c.turnOf, due, c.flows[c.turnOf].ask); err != nil {
			return err
		}
		c.turnOf = (c.turnOf + 1) % uint32(len(c.flows))
	}
	return c.flush()
}

// underWay is how many datagrams are neither answered nor given up.
func (c *Flows) underWay() int {
	n := 0
	for i := range c.flows {
		n += c.flows[i].open
	}
	return n
}
