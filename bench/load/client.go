package load

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ClientSpec says what a client does.
type ClientSpec struct {
	Addr        string // IPv4 address and port of the balancer
	Connections int    // open at once; each has one exchange under way
	Exchange    Exchange
	Payload     []byte        // the request, of Exchange.Request bytes; nil means any bytes
	Warm        time.Duration // load before the measurement
	Duration    time.Duration // of the measurement
	// Hold makes the client stop at one exchange per connection, and keep
	// all of them open and silent. Warm and Duration mean nothing then.
	Hold bool
}

// Result is what the client saw during the measurement.
type Result struct {
	Elapsed   time.Duration
	Exchanges int   // finished
	Bytes     int64 // of requests or of answers, whichever is longer, also of unfinished exchanges
	Errors    int   // connections that were refused, reset, cut short or answered wrongly
	LastError string
	Stalled   int // connections that finished no exchange
	P50, P99  time.Duration
}

// ErrTooManyErrors ends a load that is not worth measuring.
var ErrTooManyErrors = errors.New("too many errors")

// maxErrors bounds how often a client tries again.
const maxErrors = 1000

// window is how many connections a holding client opens at once.
const window = 64

// Client is a closed loop over its connections, all on the goroutine that
// calls Run or Hold.
type Client struct {
	spec    ClientSpec
	to      *unix.SockaddrInet4
	poll    *poller
	conns   []*asked // by descriptor
	request []byte
	answer  []byte
	buf     [small]byte
	start   time.Time
	latency Histogram
	res     Result
	held    int    // connections that a holding client has done its exchange on
	vacant  []*int // places whose connection failed, for the next turn to fill
}

// asked is one connection of a client.
type asked struct {
	slot      *int // exchanges of this place, which outlives the connection
	sent, got int
	begun     time.Duration // since Client.start
	out       bool          // watched for room to write
	held      bool
}

// NewClient checks a spec; it opens nothing yet but the poller.
func NewClient(spec ClientSpec) (*Client, error) {
	e := spec.Exchange
	if e.Request <= 0 || e.Answer <= 0 || spec.Connections <= 0 {
		return nil, fmt.Errorf("%d connections with exchanges of %d and %d bytes", spec.Connections, e.Request, e.Answer)
	}
	if spec.Payload != nil && len(spec.Payload) != e.Request {
		return nil, fmt.Errorf("a payload of %d bytes for requests of %d", len(spec.Payload), e.Request)
	}
	to, err := sockaddr(spec.Addr)
	if err != nil {
		return nil, err
	}
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	c := &Client{spec: spec, to: to, poll: poll, request: spec.Payload, answer: pattern(e.Answer), start: time.Now()}
	if c.request == nil {
		c.request = pattern(e.Request)
	}
	return c, nil
}

// Close closes every connection.
func (c *Client) Close() {
	for fd, a := range c.conns {
		if a != nil {
			unix.Close(fd)
		}
	}
	c.conns = nil
	c.poll.close()
}

// Run opens the connections and drives them; it calls measuring when the
// warm-up is over. The connections stay open after it until Close, silent.
func (c *Client) Run(stop *atomic.Bool, measuring func()) (Result, error) {
	slots := make([]int, c.spec.Connections)
	for i := range slots {
		c.open(&slots[i])
	}
	if err := c.drive(stop, c.now()+c.spec.Warm); err != nil {
		return c.res, err
	}
	measuring()
	clear(slots)
	c.latency.Reset()
	c.res = Result{}
	begun := c.now()
	err := c.drive(stop, begun+c.spec.Duration)
	c.res.Elapsed = c.now() - begun
	c.res.P50, c.res.P99 = c.latency.Quantile(0.50), c.latency.Quantile(0.99)
	for _, n := range slots {
		if n == 0 {
			c.res.Stalled++
		}
	}
	return c.res, err
}

// Hold opens the connections a few at a time, does one exchange on each so
// that both sides of the balancer have been used, calls holding, and keeps
// them until stop is set. It fails if a connection does, or after limit
// without having all of them.
func (c *Client) Hold(stop *atomic.Bool, limit time.Duration, holding func()) error {
	slots := make([]int, c.spec.Connections)
	deadline := c.now() + limit
	opened := 0
	for c.held < c.spec.Connections {
		for opened < c.spec.Connections && opened-c.held < window {
			c.open(&slots[opened])
			opened++
		}
		if err := c.turn(deadline - c.now()); err != nil {
			return err
		}
		switch {
		case c.res.Errors > 0:
			return fmt.Errorf("connection %d of %d: %s", c.held+1, c.spec.Connections, c.res.LastError)
		case stop.Load():
			return nil
		case c.now() > deadline:
			return fmt.Errorf("%d of %d connections after %v", c.held, c.spec.Connections, limit)
		}
	}
	holding()
	for !stop.Load() {
		if err := c.turn(100 * time.Millisecond); err != nil {
			return err
		}
		if c.res.Errors > 0 {
			return fmt.Errorf("an idle connection ended: %s", c.res.LastError)
		}
	}
	return nil
}

func (c *Client) now() time.Duration { return time.Since(c.start) }

func (c *Client) drive(stop *atomic.Bool, until time.Duration) error {
	for now := c.now(); now < until && !stop.Load(); now = c.now() {
		if err := c.turn(until - now); err != nil {
			return err
		}
		if c.res.Errors > maxErrors {
			return fmt.Errorf("%w: %s", ErrTooManyErrors, c.res.LastError)
		}
	}
	return nil
}

// turn fills vacant places, waits at most limit, and at most 100 ms, and
// serves what is ready.
func (c *Client) turn(limit time.Duration) error {
	vacant := c.vacant
	c.vacant = nil
	for _, slot := range vacant {
		c.open(slot)
	}
	longest := 100 * time.Millisecond
	if len(c.vacant) > 0 {
		longest = time.Millisecond
	}
	events, err := c.poll.wait(min(max(0, limit), longest))
	if err != nil {
		return err
	}
	for _, ev := range events {
		fd := int(ev.Fd)
		if a := c.conns[fd]; a != nil {
			if err := c.ready(fd, a); err != nil {
				c.drop(fd)
				c.fault(a.slot, err)
			}
		}
	}
	return nil
}

// open makes a connection for a place and sends what it takes of the request
// at once.
func (c *Client) open(slot *int) {
	begun := c.now()
	fd, err := dial(c.to)
	if err != nil {
		c.fault(slot, err)
		return
	}
	for fd >= len(c.conns) {
		c.conns = append(c.conns, make([]*asked, 1024)...)
	}
	a := &asked{slot: slot, begun: begun}
	c.conns[fd] = a
	if !c.spec.Exchange.Close {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = c.write(fd, a)
	}
	if err == nil {
		a.out = a.sent < c.spec.Exchange.Request
		err = c.poll.add(fd, a.out)
	}
	if err != nil {
		c.drop(fd)
		c.fault(slot, err)
	}
}

// ready moves one connection on.
func (c *Client) ready(fd int, a *asked) error {
	e := c.spec.Exchange
	if a.sent < e.Request {
		if err := c.write(fd, a); err != nil {
			return err
		}
	}
	ended, err := c.read(fd, a)
	if err != nil {
		return err
	}
	if ended {
		return c.ended(fd, a)
	}
	if a.got == e.Answer && !e.Close {
		if err := c.finished(fd, a); err != nil {
			return err
		}
	}
	if blocked := a.sent < e.Request && !a.held; blocked != a.out {
		a.out = blocked
		return c.poll.change(fd, blocked)
	}
	return nil
}

// ended handles the end of the stream: the end of an exchange that closes, an
// error for any other.
func (c *Client) ended(fd int, a *asked) error {
	if !c.spec.Exchange.Close || a.got != c.spec.Exchange.Answer {
		return fmt.Errorf("closed after %d of %d bytes", a.got, c.spec.Exchange.Answer)
	}
	c.count(a)
	c.drop(fd)
	c.open(a.slot)
	return nil
}

// finished counts an exchange and begins the next one.
func (c *Client) finished(fd int, a *asked) error {
	now := c.count(a)
	if c.spec.Hold {
		a.held = true
		c.held++
		return nil
	}
	a.begun = now
	a.sent, a.got = 0, 0
	return c.write(fd, a)
}

// count enters an exchange that has just ended, and returns the time.
func (c *Client) count(a *asked) time.Duration {
	now := c.now()
	c.latency.Add(now - a.begun)
	c.res.Exchanges++
	*a.slot++
	return now
}

// write sends what the socket takes of the request.
func (c *Client) write(fd int, a *asked) error {
	total := c.spec.Exchange.Request
	for budget := chunk; a.sent < total && budget > 0; {
		n, err := unix.Write(fd, piece(c.request, a.sent, total))
		if again(err) || err == unix.ENOTCONN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		a.sent += n
		budget -= n
		if total > c.spec.Exchange.Answer {
			c.res.Bytes += int64(n)
		}
	}
	return nil
}

// read takes answer bytes, compares small answers, and reports the end of the
// stream.
func (c *Client) read(fd int, a *asked) (ended bool, err error) {
	total := c.spec.Exchange.Answer
	var n int
	if total > small {
		n, err = discard(fd)
	} else {
		n, err = unix.Read(fd, c.buf[:])
	}
	if again(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	if n == 0 {
		return true, nil
	}
	if a.got+n > total || a.held {
		return false, fmt.Errorf("%d bytes too many", a.got+n-total)
	}
	if total <= small && !bytes.Equal(c.buf[:n], c.answer[a.got:a.got+n]) {
		return false, errors.New("wrong answer")
	}
	a.got += n
	if total >= c.spec.Exchange.Request {
		c.res.Bytes += int64(n)
	}
	return false, nil
}

// fault counts a failed connection and leaves its place to be filled.
func (c *Client) fault(slot *int, err error) {
	c.res.Errors++
	c.res.LastError = err.Error()
	c.vacant = append(c.vacant, slot)
}

func (c *Client) drop(fd int) {
	unix.Close(fd)
	c.conns[fd] = nil
}
