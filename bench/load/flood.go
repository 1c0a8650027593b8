package load

import (
	"sync/atomic"
	"time"
)

// quiet is how long nothing must come until what is under way has come home or
// is lost, and homecoming the longest that a client waits for that.
const (
	quiet      = 100 * time.Millisecond
	homecoming = 2 * time.Second
)

// flood sends whatever comes back. Every phase ends when its datagrams have
// come home, so that the count of those that did not is exact.
func (c *Flows) flood(stop *atomic.Bool, measuring func()) (Result, error) {
	err := c.push(stop, c.now()+c.spec.Warm)
	if err == nil {
		err = c.comeHome(stop)
	}
	if err != nil {
		return c.res, err
	}
	measuring()
	c.begin()
	begun := c.now()
	err = c.push(stop, begun+c.spec.Duration)
	c.res.Elapsed = c.now() - begun
	if err == nil {
		err = c.comeHome(stop)
	}
	c.res.Lost = max(0, c.res.Sent-c.res.Exchanges)
	c.conclude()
	return c.res, err
}

// push sends a batch of each socket's flows in turn until a time, and takes
// what has come back on it meanwhile.
func (c *Flows) push(stop *atomic.Bool, until time.Duration) error {
	next := uint32(0)
	for now := c.now(); now < until && !stop.Load(); now = c.now() {
		socket := c.socketOf(next)
		for !c.out.full() {
			if err := c.send(next, now, c.flows[next].push); err != nil {
				return err
			}
			if next = (next + 1) % uint32(len(c.flows)); c.socketOf(next) != socket {
				break
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err := c.receive(socket); err != nil {
			return err
		}
		if err := c.res.worthIt(); err != nil {
			return err
		}
	}
	return nil
}

// comeHome takes answers until no more come.
func (c *Flows) comeHome(stop *atomic.Bool) error {
	for begun := c.now(); c.now() < begun+homecoming && !stop.Load(); {
		events, err := c.poll.wait(quiet)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, ev := range events {
			if err := c.receive(c.bySock[ev.Fd]); err != nil {
				return err
			}
		}
	}
	return nil
}
