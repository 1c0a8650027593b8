package load

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pour sends datagrams that nobody answers. What the backend reports tells
// how many are still under way.
type pour struct {
	c       *Flows
	fd      int // speaks with the backend's counter
	in, out *batch
	counter unix.RawSockaddrInet4
	got     report        // the last one
	heard   time.Duration // when it came
	sent    uint64        // since the beginning, as the report counts
	written uint64        // off, as lost
	next    uint32        // flow that sends next
}

// hailLimit is how long the backend may take to answer for the first time.
const hailLimit = 5 * time.Second

// pour runs a client that is not answered.
func (c *Flows) pour(stop *atomic.Bool, measuring func()) (Result, error) {
	p, err := c.newPour()
	if err != nil {
		return c.res, err
	}
	defer unix.Close(p.fd)
	if err := p.hail(stop); err != nil {
		return c.res, err
	}
	err = p.drive(stop, c.now()+c.spec.Warm)
	if err == nil {
		err = p.comeHome(stop)
	}
	if err != nil {
		return c.res, err
	}
	measuring()
	c.begin()
	begun, before := c.now(), p.got
	err = p.drive(stop, begun+c.spec.Duration)
	c.res.Elapsed = c.now() - begun
	if err == nil {
		err = p.comeHome(stop)
	}
	p.conclude(before)
	return c.res, err
}

func (c *Flows) newPour() (*pour, error) {
	counter, err := udpAddr("counter", c.spec.Counter)
	if err != nil {
		return nil, err
	}
	fd, _, err := listenUDP(netip.IPv4Unspecified())
	if err != nil {
		return nil, err
	}
	p := &pour{c: c, fd: fd, in: newBatch(reportSize + 1), out: newBatch(len(hail)), counter: rawAddr(counter)}
	if err := c.poll.add(fd, false); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// hail asks the backend for its reports until the first comes.
func (p *pour) hail(stop *atomic.Bool) error {
	for begun := p.c.now(); p.heard == 0 && !stop.Load(); {
		copy(p.out.add(len(hail), &p.counter, netip.Addr{}, 0), hail)
		if err := p.out.send(p.fd); err != nil {
			return fmt.Errorf("counter: %w", err)
		}
		if err := p.listen(quiet); err != nil {
			return err
		}
		if p.c.now() > begun+hailLimit {
			return fmt.Errorf("the counter at %s does not answer", p.c.spec.Counter)
		}
	}
	return nil
}

// listen waits for reports.
func (p *pour) listen(limit time.Duration) error {
	if _, err := p.c.poll.wait(limit); err != nil {
		return err
	}
	n, err := p.in.receive(p.fd)
	if err != nil {
		return fmt.Errorf("counter: %w", err)
	}
	for i := range n {
		for b := range p.in.arrival(i).datagrams {
			if r, ok := readReport(b); ok && (p.heard == 0 || r.total() > p.got.total()) {
				p.got, p.heard = r, p.c.now()
			}
		}
	}
	return nil
}

// underWay is how many datagrams neither arrived nor were written off. One that
// arrives after all leaves room for one that does not.
func (p *pour) underWay() int {
	return max(0, int(int64(p.sent)-int64(p.written)-int64(p.got.total())))
}

// drive keeps as many datagrams under way as the flows may have together.
func (p *pour) drive(stop *atomic.Bool, until time.Duration) error {
	c := p.c
	most := c.spec.Flows * c.spec.InFlight
	least := max(1, min(batchSize, most/4)) // not one at a time, which costs more
	for now := c.now(); now < until && !stop.Load(); now = c.now() {
		room := most - p.underWay()
		if room >= least {
			if err := p.send(min(room, batchSize), now); err != nil {
				return err
			}
			continue
		}
		if err := p.listen(min(until-now, c.spec.Patience/4)); err != nil {
			return err
		}
		if c.now() > p.heard+c.spec.Patience {
			p.written += uint64(p.underWay())
			p.heard = c.now()
		}
	}
	return nil
}

// send lets the next n flows send one datagram each.
func (p *pour) send(n int, now time.Duration) error {
	for range n {
		if err := p.c.send(p.next, now, p.c.flows[p.next].push); err != nil {
			return err
		}
		p.next = (p.next + 1) % uint32(len(p.c.flows))
	}
	p.sent += uint64(n)
	return p.c.flush()
}

// comeHome waits until all have arrived, or no more do.
func (p *pour) comeHome(stop *atomic.Bool) error {
	for begun := p.c.now(); p.underWay() > 0 && !stop.Load(); {
		before := p.got
		if err := p.listen(quiet); err != nil {
			return err
		}
		if p.got == before || p.c.now() > begun+homecoming {
			return nil
		}
	}
	return nil
}

// conclude says what has arrived since a report.
func (p *pour) conclude(before report) {
	res, now := &p.c.res, p.got
	res.Exchanges = int(now.Good - before.Good)
	res.Bytes = int64(res.Exchanges) * int64(p.c.spec.Datagrams.size())
	res.Duplicated, res.Reordered = int(now.Double-before.Double), int(now.Overtaken-before.Overtaken)
	res.Lost = max(0, res.Sent-res.Exchanges)
	if res.Wrong = int(now.Wrong); res.Wrong > 0 {
		res.Errors = res.Wrong
		res.LastError = "the backend got datagrams that nobody sent"
	}
}
