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
	Payload     []byte        // the request, of Exchange.Request bytes; nil means any bytes; not with HTTP
	Targets     Targets       // of HTTP requests, in turn
	TLS         *TLS          // nil means plain TCP
	Warm        time.Duration // load before the measurement
	Duration    time.Duration // of the measurement
	// Rate makes it an open loop: so many exchanges begin in a second, whether or not those before have ended, and
	// latencies count from when an exchange was to begin. 0 is a closed loop.
	Rate float64
	// Lenient means that errors are what is measured: they end nothing, and what a sound balancer may say
	// when its backend is gone is an error, but no wrong answer.
	Lenient bool
	// Hold makes the client stop at one exchange per connection, and keep
	// all of them open and silent. Warm and Duration mean nothing then.
	Hold bool
}

// Result is what the client saw during the measurement.
type Result struct {
	Elapsed   time.Duration
	Exchanges int    // finished
	Bytes     int64  // of requests or of answers, whichever is longer, also of unfinished exchanges
	Errors    int    // connections that were refused, reset, cut short or answered wrongly
	Wrong     int    // those of them that were cut short or answered wrongly
	LastError string // the last of the wrong ones if there are any
	Stalled   int    // connections that finished no exchange
	// Unanswered are the exchanges of an open loop that were due and had not ended long after the last one was.
	// They are in the latencies, with the time that they had taken so far.
	Unanswered int `json:",omitempty"`
	// Latencies of the exchanges, and those at the quantiles between.
	P50, P99, P999 time.Duration
	Curve          []Point    `json:",omitempty"`
	Latency        *Histogram `json:",omitempty"`

	// Of UDP, in datagrams; a flow is a connection above.
	Sent       int `json:",omitempty"`
	Lost       int `json:",omitempty"` // given up, and not answered since
	Late       int `json:",omitempty"` // answered after they had been given up
	Reordered  int `json:",omitempty"` // answered after a later one of their flow
	Duplicated int `json:",omitempty"` // answers beyond the first
}

// timed enters latencies.
func (r *Result) timed(h *Histogram) {
	r.P50, r.P99, r.P999 = h.Quantile(0.50), h.Quantile(0.99), h.Quantile(0.999)
	r.Curve = h.Curve()
	r.Latency = h.clone()
}

// ErrTooManyErrors ends a load that is not worth measuring.
var ErrTooManyErrors = errors.New("too many errors")

// errWrong marks an answer that is not the one the server gives, which a sound
// balancer never passes on; a connection that fails may be bad luck.
var errWrong = errors.New("wrong answer")

// errFailing marks a wrong answer that even a sound balancer gives when its
// backend fails: one that is cut short, or one of the statuses for that.
var errFailing = errors.New("failing backend")

// maxErrors bounds how often a client tries again.
const maxErrors = 1000

// window is how many connections a holding client opens at once.
const window = 64

// Client is a closed loop over its connections, unless the spec gives a rate,
// all on the goroutine that calls Run or Hold.
type Client struct {
	spec    ClientSpec
	to      *unix.SockaddrInet4
	poll    *poller
	conns   []*asked // by descriptor
	asks    []*message
	next    int // of asks
	answer  []byte
	buf     [small]byte
	start   time.Time
	latency Histogram
	res     Result
	held    int    // connections that a holding client has done its exchange on
	vacant  []*int // places whose connection failed, for the next turn to fill

	// Of an open loop.
	pace *pace
	idle []idle // the one that has been so for the longest comes first
}

// asked is one connection of a client.
type asked struct {
	slot      *int // exchanges of this place, which outlives the connection
	ask       *message
	sent, got int           // of the request; of the answer, or of its body
	heading   heading       // of the HTTP answer under way
	inBody    bool          // its head has come
	begun     time.Duration // since Client.start
	out       bool          // watched for room to write
	held      bool
	resting   bool // nothing is under way
	last      bool // the balancer has said that it closes after this answer
}

// NewClient checks a spec; it opens nothing yet but the poller.
func NewClient(spec ClientSpec) (*Client, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if spec.TLS != nil {
		return nil, errors.New("TLS is for a Secure client")
	}
	to, err := sockaddr(spec.Addr)
	if err != nil {
		return nil, err
	}
	asks, err := spec.requests()
	if err != nil {
		return nil, err
	}
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	answer := pattern(spec.Exchange.Answer)
	return &Client{spec: spec, to: to, poll: poll, asks: asks, answer: answer, start: time.Now()}, nil
}

// check reports a spec that makes no sense.
func (s ClientSpec) check() error {
	if s.Connections <= 0 {
		return fmt.Errorf("%d connections", s.Connections)
	}
	if s.Payload != nil && len(s.Payload) != s.Exchange.Request {
		return fmt.Errorf("a payload of %d bytes for requests of %d", len(s.Payload), s.Exchange.Request)
	}
	if err := checkRate(s.Rate); err != nil {
		return err
	}
	if s.Hold && s.Rate > 0 {
		return errors.New("a rate for a client that holds its connections")
	}
	if s.Targets.Hosts < 0 || s.Targets.Paths < 0 {
		return fmt.Errorf("%d hosts with %d paths", s.Targets.Hosts, s.Targets.Paths)
	}
	if s.Exchange.Proxy && s.Exchange.HTTP {
		return errors.New("PROXY headers before HTTP")
	}
	return s.Exchange.check()
}

// requests returns what the connections send in turn.
func (s ClientSpec) requests() ([]*message, error) {
	if s.Exchange.HTTP {
		return s.Targets.requests(s.Exchange), nil
	}
	body := s.Payload
	if body == nil {
		body = pattern(s.Exchange.Request)
	}
	if !s.Exchange.Proxy {
		return []*message{newMessage(nil, body, s.Exchange.Request)}, nil
	}
	heads, err := announcements()
	if err != nil {
		return nil, err
	}
	var all []*message
	for _, head := range heads {
		all = append(all, newMessage(head, body, s.Exchange.Request))
	}
	return all, nil
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
	run := c.closed
	if c.spec.Rate > 0 {
		run = c.paced
	}
	err := run(stop, slots, measuring)
	c.res.timed(&c.latency)
	for _, n := range slots {
		if n == 0 {
			c.res.Stalled++
		}
	}
	return c.res, err
}

// closed is Run of a closed loop.
func (c *Client) closed(stop *atomic.Bool, slots []int, measuring func()) error {
	for i := range slots {
		c.open(&slots[i], c.now())
	}
	if err := c.drive(stop, c.now()+c.spec.Warm); err != nil {
		return err
	}
	measuring()
	c.begin(slots)
	begun := c.now()
	err := c.drive(stop, begun+c.spec.Duration)
	c.res.Elapsed = c.now() - begun
	return err
}

// begin forgets what was counted before it.
func (c *Client) begin(slots []int) {
	clear(slots)
	c.latency.Reset()
	c.res = Result{}
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
			c.open(&slots[opened], c.now())
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
		if err := c.worthIt(); err != nil {
			return err
		}
	}
	return nil
}

// worthIt returns ErrTooManyErrors if the load is not worth measuring.
func (c *Client) worthIt() error {
	if c.spec.Lenient {
		return nil
	}
	return c.res.worthIt()
}

// turn fills vacant places, waits at most limit, and at most 100 ms, and
// serves what is ready.
func (c *Client) turn(limit time.Duration) error {
	vacant := c.vacant
	c.vacant = nil
	for _, slot := range vacant {
		c.open(slot, c.now())
	}
	longest := 100 * time.Millisecond
	if len(c.vacant) > 0 {
		longest = time.Millisecond
	}
	return c.serve(c.poll.wait(min(max(0, limit), longest)))
}

// serve moves on the connections that are ready.
func (c *Client) serve(events []unix.EpollEvent, err error) error {
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
// at once. The exchange counts from begun.
func (c *Client) open(slot *int, begun time.Duration) {
	fd, err := dial(c.to)
	if err != nil {
		c.fault(slot, err)
		return
	}
	for fd >= len(c.conns) {
		c.conns = append(c.conns, make([]*asked, 1024)...)
	}
	a := &asked{slot: slot, begun: begun, ask: c.turnOf()}
	c.conns[fd] = a
	if !c.spec.Exchange.Close {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = c.write(fd, a)
	}
	if err == nil {
		a.out = a.sent < a.ask.size
		err = c.poll.add(fd, a.out)
	}
	if err != nil {
		c.drop(fd)
		c.fault(slot, err)
	}
}

// turnOf returns the request whose turn it is.
func (c *Client) turnOf() *message {
	ask := c.asks[c.next]
	c.next = (c.next + 1) % len(c.asks)
	return ask
}

// ready moves one connection on.
func (c *Client) ready(fd int, a *asked) error {
	e := c.spec.Exchange
	if a.sent < a.ask.size {
		if err := c.write(fd, a); err != nil {
			return err
		}
	}
	ended, err := c.read(fd, a)
	if err != nil {
		return err
	}
	if ended {
		if a.resting && e.HTTP {
			c.drop(fd)
			c.idle = append(c.idle, idle{a.slot, -1})
			return nil // it may at any time (RFC 9112, 9.3)
		}
		return c.ended(fd, a)
	}
	if a.got == e.Answer && !e.Close {
		if err := c.finished(fd, a); err != nil || c.conns[fd] != a {
			return err
		}
	}
	if blocked := a.sent < a.ask.size && !a.held; blocked != a.out {
		a.out = blocked
		return c.poll.change(fd, blocked)
	}
	return nil
}

// ended handles the end of the stream: the end of an exchange that closes, an
// error for any other.
func (c *Client) ended(fd int, a *asked) error {
	if !c.spec.Exchange.Close || a.got != c.spec.Exchange.Answer {
		err := fmt.Errorf("closed after %d of %d bytes", a.got, c.spec.Exchange.Answer)
		if a.got > 0 || a.inBody {
			err = fmt.Errorf("%w: %w: %w", errWrong, errFailing, err)
		}
		return err
	}
	if _, err := c.count(a); err != nil {
		return err
	}
	return c.another(fd, a)
}

// another puts a new connection into the place of one whose exchange has ended.
func (c *Client) another(fd int, a *asked) error {
	c.drop(fd)
	if c.pace != nil {
		c.idle = append(c.idle, idle{a.slot, -1})
		return nil
	}
	c.open(a.slot, c.now())
	return nil
}

// finished counts an exchange and begins the next one.
func (c *Client) finished(fd int, a *asked) error {
	now, err := c.count(a)
	if err != nil {
		return err
	}
	if c.spec.Hold {
		a.held = true
		c.held++
		return nil
	}
	switch {
	case a.last:
		return c.another(fd, a)
	case c.pace != nil:
		a.resting = true
		a.got, a.inBody = 0, false
		c.idle = append(c.idle, idle{a.slot, fd})
		return nil
	}
	return c.again(fd, a, now)
}

// again begins another exchange on a connection; it counts from begun.
func (c *Client) again(fd int, a *asked, begun time.Duration) error {
	a.begun = begun
	a.sent, a.got, a.inBody = 0, 0, false
	a.ask = c.turnOf()
	return c.write(fd, a)
}

// count enters an exchange that has just ended, and returns the time.
func (c *Client) count(a *asked) (time.Duration, error) {
	if a.sent < a.ask.size {
		return 0, fmt.Errorf("%w: it came after %d of %d bytes of the request", errWrong, a.sent, a.ask.size)
	}
	now := c.now()
	c.latency.Add(now - a.begun)
	c.res.Exchanges++
	*a.slot++
	return now, nil
}

// write sends what the socket takes of the request.
func (c *Client) write(fd int, a *asked) error {
	uploads := c.spec.Exchange.Request > c.spec.Exchange.Answer
	for budget := chunk; a.sent < a.ask.size && budget > 0; {
		n, err := unix.Write(fd, a.ask.from(a.sent))
		if again(err) || err == unix.ENOTCONN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		a.sent += n
		budget -= n
		if uploads {
			c.res.Bytes += int64(n)
		}
	}
	return nil
}

// read takes answer bytes, compares small answers, and reports the end of the
// stream.
func (c *Client) read(fd int, a *asked) (ended bool, err error) {
	e := c.spec.Exchange
	var n int
	if e.Answer > small && (a.inBody || !e.HTTP) {
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
	b := c.buf[:min(n, len(c.buf))]
	if e.HTTP && !a.inBody {
		if b, err = a.head(b, e.Answer); err != nil {
			return false, err
		}
		n = len(b)
	}
	return false, c.take(a, b, n)
}

// head takes bytes of an HTTP answer until its head is complete, and returns
// those that follow it.
func (a *asked) head(b []byte, length int) ([]byte, error) {
	head, rest, err := a.heading.take(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errWrong, err)
	}
	if head == nil {
		return nil, nil
	}
	a.inBody = true
	a.last = bytes.EqualFold(field(head, "connection"), []byte("close"))
	return rest, checkAnswer(head, length)
}

// take counts n answer bytes. They are in b if the answer is small, and are
// compared then.
func (c *Client) take(a *asked, b []byte, n int) error {
	total := c.spec.Exchange.Answer
	if a.resting {
		return fmt.Errorf("%w: %d bytes that nobody has asked for", errWrong, n)
	}
	if a.got+n > total || a.held {
		return fmt.Errorf("%w: %d bytes too many", errWrong, a.got+n-total)
	}
	if total <= small && !bytes.Equal(b, c.answer[a.got:a.got+n]) {
		return errWrong
	}
	a.got += n
	if total >= c.spec.Exchange.Request {
		c.res.Bytes += int64(n)
	}
	return nil
}

// fault counts a failed connection and leaves its place to be filled.
func (c *Client) fault(slot *int, err error) {
	wrong := errors.Is(err, errWrong)
	if c.spec.Lenient && errors.Is(err, errFailing) {
		wrong = false
	}
	c.res.enterFault(err, wrong)
	if c.pace != nil {
		c.idle = append(c.idle, idle{slot, -1})
		return
	}
	c.vacant = append(c.vacant, slot)
}

// fault enters a failed connection. A wrong answer is not forgotten over a
// later, lesser error.
func (r *Result) fault(err error) { r.enterFault(err, errors.Is(err, errWrong)) }

func (r *Result) enterFault(err error, wrong bool) {
	r.Errors++
	if wrong {
		r.Wrong++
	}
	if wrong || r.Wrong == 0 {
		r.LastError = err.Error()
	}
}

// worthIt returns ErrTooManyErrors if the load is not worth measuring.
func (r *Result) worthIt() error {
	if r.Errors > maxErrors {
		return fmt.Errorf("%w: %s", ErrTooManyErrors, r.LastError)
	}
	return nil
}

func (c *Client) drop(fd int) {
	unix.Close(fd)
	c.conns[fd] = nil
}
