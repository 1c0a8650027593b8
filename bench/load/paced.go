package load

import (
	"sync/atomic"
	"time"
)

// idle is a place of an open loop that has nothing to do. One that has no connection yet, or has lost it,
// has the descriptor -1.
type idle struct {
	slot *int
	fd   int
}

// paced is Run of an open loop. Each phase ends when its exchanges have, so that the count of those that
// did not is exact.
func (c *Client) paced(stop *atomic.Bool, slots []int, measuring func()) error {
	for i := range slots {
		c.idle = append(c.idle, idle{&slots[i], -1})
	}
	return punctual(func() error {
		if err := c.play(stop, c.spec.Warm); err != nil {
			return err
		}
		measuring()
		c.begin(slots)
		begun := c.now()
		err := c.play(stop, c.spec.Duration)
		c.res.Elapsed = c.now() - begun
		return err
	})
}

// play begins exchanges at the rate for as long as d, each on the place that has been idle for the longest. Where
// none is, the exchange waits for one, and that counts.
func (c *Client) play(stop *atomic.Bool, d time.Duration) error {
	now := c.now()
	c.pace = &pace{rate: c.spec.Rate, from: now, until: now + d}
	for ; !stop.Load() && now < c.pace.until+homecoming; now = c.now() {
		c.dispatch(now)
		if _, more := c.pace.next(); !more && c.underWay() == 0 {
			return nil
		}
		limit := longestWait
		if len(c.idle) > 0 {
			limit = c.pace.wait(now)
		}
		if err := c.serve(c.poll.waitFor(limit)); err != nil {
			return err
		}
		if err := c.worthIt(); err != nil {
			return err
		}
	}
	c.abandon(now)
	return nil
}

// dispatch begins what is due.
func (c *Client) dispatch(now time.Duration) {
	for len(c.idle) > 0 {
		place := c.idle[0]
		var a *asked
		if place.fd >= 0 {
			// Its connection may have ended since; the place is in the list again then.
			if a = c.conns[place.fd]; a == nil || a.slot != place.slot || !a.resting {
				c.idle = c.idle[1:]
				continue
			}
		}
		due, ok := c.pace.take(now)
		if !ok {
			return
		}
		c.idle = c.idle[1:]
		if a == nil {
			c.open(place.slot, due)
			continue
		}
		a.resting = false
		if err := c.again(place.fd, a, due); err != nil {
			c.drop(place.fd)
			c.fault(a.slot, err)
		}
	}
}

// underWay is how many exchanges have begun and not ended.
func (c *Client) underWay() int {
	n := 0
	for _, a := range c.conns {
		if a != nil && !a.resting {
			n++
		}
	}
	return n
}

// abandon gives up what has not ended. It counts with the time that it has taken so far.
func (c *Client) abandon(now time.Duration) {
	missed := func(due time.Duration) bool {
		c.latency.Add(now - due)
		c.res.Unanswered++
		return true
	}
	for fd, a := range c.conns {
		if a != nil && !a.resting {
			missed(a.begun)
			c.drop(fd)
			c.idle = append(c.idle, idle{a.slot, -1})
		}
	}
	c.pace.owed(missed)
}
