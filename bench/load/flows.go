package load

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Flows is a UDP client, all on the goroutine that calls Run or Hold: a closed
// loop over its flows, unless the spec says otherwise.
type Flows struct {
	spec    FlowSpec
	to      unix.RawSockaddrInet4
	named   *unix.RawSockaddrInet4 // to, where sockets are not connected to it
	poll    *poller
	sockets []int         // descriptors
	bySock  map[int32]int // index of a descriptor among sockets
	flows   []ledger
	done    []int // answers of each flow
	script  *script
	in, out *batch
	filling int      // socket whose datagrams are in out
	hungry  []uint32 // flows that have room for questions but nothing that wakes them
	start   time.Time
	swept   time.Duration // when lost datagrams were last looked for
	latency Histogram
	res     Result
	held    int // flows that a holding client has had an answer on

	pace   *pace  // of an open loop at a rate
	turnOf uint32 // flow that sends next, where they take turns
}

// NewFlows checks a spec and opens its sockets; nothing is sent yet.
func NewFlows(spec FlowSpec) (*Flows, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	to, err := udpAddr("balancer", spec.Addr)
	if err != nil {
		return nil, err
	}
	if spec.spread() && !to.Addr().IsLoopback() {
		return nil, fmt.Errorf("%s is not on loopback: give each flow a socket, and renew none", to)
	}
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	room := spec.Datagrams.size()
	if spec.Datagrams.train() > 1 {
		room = maxBytes
	}
	c := &Flows{
		spec: spec, to: rawAddr(to), poll: poll, bySock: make(map[int32]int),
		flows: make([]ledger, spec.Flows), done: make([]int, spec.Flows), hungry: make([]uint32, spec.Flows),
		script: newScript(spec.Datagrams, rand.Uint64()), in: newBatch(room + 1), out: newBatch(room), start: time.Now(),
	}
	if spec.spread() {
		c.named = &c.to
	}
	for i := range c.flows {
		c.flows[i] = newLedger(spec.InFlight)
		c.hungry[i] = uint32(i)
	}
	if spec.Window > 0 {
		c.hungry, c.turnOf = c.hungry[:spec.Window], uint32(spec.Window%spec.Flows)
	}
	for range spec.sockets() {
		if err := c.open(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// open opens the next socket.
func (c *Flows) open() error {
	fd, _, err := listenUDP(netip.IPv4Unspecified())
	if err != nil {
		return err
	}
	c.bySock[int32(fd)] = len(c.sockets)
	c.sockets = append(c.sockets, fd)
	if c.spec.spread() {
		err = tellAddresses(fd)
	} else {
		err = connectUDP(fd, c.to) // which makes sending cheaper
	}
	if err == nil && c.spec.Datagrams.train() > 1 {
		err = joinTrains(fd)
	}
	if err == nil {
		err = c.poll.add(fd, false)
	}
	return err
}

// Close closes every socket.
func (c *Flows) Close() {
	for _, fd := range c.sockets {
		unix.Close(fd)
	}
	c.sockets = nil
	c.poll.close()
}

// socketOf is the socket of a flow; neighbours share one.
func (c *Flows) socketOf(flow uint32) int { return int(flow) * len(c.sockets) / len(c.flows) }

func (c *Flows) now() time.Duration { return time.Since(c.start) }

// Run drives the flows as the spec says; it calls measuring when the warm-up
// is over. The sockets stay open after it until Close.
func (c *Flows) Run(stop *atomic.Bool, measuring func()) (Result, error) {
	switch {
	case c.spec.Datagrams.OneWay:
		return c.pour(stop, measuring)
	case c.spec.Open:
		return c.flood(stop, measuring)
	case c.spec.Rate > 0:
		return c.paced(stop, measuring)
	}
	if err := c.drive(stop, c.now()+c.spec.Warm); err != nil {
		return c.res, err
	}
	measuring()
	c.begin()
	begun := c.now()
	err := c.drive(stop, begun+c.spec.Duration)
	c.res.Elapsed = c.now() - begun
	c.conclude()
	return c.res, err
}

// begin forgets what was counted before it, but no wrong answer.
func (c *Flows) begin() {
	clear(c.done)
	c.latency.Reset()
	c.res = Result{Errors: c.res.Errors, Wrong: c.res.Wrong, LastError: c.res.LastError}
}

// conclude fills in what is known at the end about answers.
func (c *Flows) conclude() {
	c.res.timed(&c.latency)
	for _, n := range c.done {
		if n == 0 {
			c.res.Stalled++
		}
	}
}

func (c *Flows) drive(stop *atomic.Bool, until time.Duration) error {
	for now := c.now(); now < until && !stop.Load(); now = c.now() {
		if err := c.turn(until - now); err != nil {
			return err
		}
		if err := c.res.worthIt(); err != nil {
			return err
		}
	}
	return nil
}

// Hold gets one answer on every flow, a few at a time, calls holding, and is silent
// until stop is set. It fails if an answer is wrong, or after limit without
// having all of them.
func (c *Flows) Hold(stop *atomic.Bool, limit time.Duration, holding func()) error {
	deadline := c.now() + limit
	for c.held < c.spec.Flows {
		if err := c.turn(deadline - c.now()); err != nil {
			return err
		}
		switch {
		case c.res.Errors > 0:
			return fmt.Errorf("flow %d of %d: %s", c.held+1, c.spec.Flows, c.res.LastError)
		case stop.Load():
			return nil
		case c.now() > deadline:
			return fmt.Errorf("%d of %d flows after %v", c.held, c.spec.Flows, limit)
		}
	}
	holding()
	for !stop.Load() {
		if err := c.turn(100 * time.Millisecond); err != nil {
			return err
		}
		if c.res.Errors > 0 {
			return fmt.Errorf("a silent flow got something: %s", c.res.LastError)
		}
	}
	return nil
}

// turn gives up what is lost, lets some hungry flows ask, waits at most
// limit, and at most 100 ms, and takes what has come.
func (c *Flows) turn(limit time.Duration) error {
	c.sweep()
	longest := c.spec.Patience / 4
	if err := c.feed(); err != nil {
		return err
	}
	if len(c.hungry) > 0 {
		longest = time.Millisecond
	}
	events, err := c.poll.wait(min(max(0, limit), longest, 100*time.Millisecond))
	if err != nil {
		return err
	}
	for _, ev := range events {
		if err := c.receive(c.bySock[ev.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// sweep gives up the datagrams that have been under way for too long.
func (c *Flows) sweep() {
	now := c.now()
	if now-c.swept < c.spec.Patience/4 {
		return
	}
	c.swept = now
	for i := range c.flows {
		if given := c.flows[i].expire(now - c.spec.Patience); given > 0 {
			c.res.Lost += given
			if c.pace == nil {
				c.hungry = append(c.hungry, uint32(i))
			}
		}
	}
}

// feed lets a batch of the hungry flows ask: at the beginning all of them
// are hungry, and all at once would overflow the balancer's queue.
func (c *Flows) feed() error {
	now := c.now()
	n := min(len(c.hungry), batchSize)
	for _, flow := range c.hungry[:n] {
		if err := c.ask(flow, now); err != nil {
			return err
		}
	}
	c.hungry = c.hungry[:copy(c.hungry, c.hungry[n:])]
	return c.flush()
}

// ask fills what a flow may have under way.
func (c *Flows) ask(flow uint32, now time.Duration) error {
	l := &c.flows[flow]
	if c.spec.Hold && c.done[flow] > 0 {
		return nil
	}
	train := c.spec.Datagrams.train()
	for l.open+train <= c.spec.InFlight {
		if err := c.send(flow, now, l.ask); err != nil {
			return err
		}
	}
	return nil
}

// send appends a datagram, or a train, of a flow to the batch on its way out.
// next gives the numbers.
func (c *Flows) send(flow uint32, now time.Duration, next func(time.Duration) uint32) error {
	if socket := c.socketOf(flow); c.out.full() || socket != c.filling {
		if err := c.flush(); err != nil {
			return err
		}
		c.filling = socket
	}
	train, size := c.spec.Datagrams.train(), c.spec.Datagrams.size()
	number := next(now)
	var source netip.Addr
	if c.spec.spread() {
		source = c.spec.source(flow, number)
	}
	segment := 0
	if train > 1 {
		segment = size
	}
	b := c.out.add(train*size, c.named, source, segment)
	c.script.write(b, flow, number)
	for i := 1; i < train; i++ {
		c.script.write(b[i*size:], flow, next(now))
	}
	c.res.Sent += train
	return nil
}

// flush sends what is on its way out.
func (c *Flows) flush() error {
	if c.out.n == 0 {
		return nil
	}
	return c.out.send(c.sockets[c.filling])
}

// turnShare is how many batches one socket may bring before the others come first
// again.
const turnShare = 8

// receive takes the answers on a socket and asks anew.
func (c *Flows) receive(socket int) error {
	for range turnShare {
		n, err := c.in.receive(c.sockets[socket])
		if err != nil {
			return err
		}
		now := c.now()
		for i := range n {
			for b := range c.in.arrival(i).datagrams {
				if err := c.take(socket, i, b, now); err != nil {
					return err
				}
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		if n < batchSize {
			return nil
		}
	}
	return nil
}

// take enters datagram b of message i, and lets its flow ask again.
func (c *Flows) take(socket, i int, b []byte, now time.Duration) error {
	flow, number, err := c.known(socket, i, b)
	if err != nil {
		c.res.fault(err)
		return nil
	}
	v, took := c.flows[flow].answer(number, now)
	if v == unexpected {
		c.res.fault(fmt.Errorf("%w: to datagram %d of flow %d, which was not sent", errWrong, number, flow))
		return nil
	}
	if v == forgotten && c.spec.Open {
		// The queues hold more than is remembered. How long it took is not
		// known any more.
		v = fresh
	}
	if !c.res.enter(v) {
		return nil
	}
	c.res.Bytes += int64(len(b))
	if took > 0 {
		c.latency.Add(took)
	}
	c.done[flow]++
	if c.spec.Hold && c.done[flow] == 1 {
		c.held++
	}
	if c.spec.Open || c.pace != nil {
		return nil
	}
	if c.spec.Window > 0 {
		flow = c.another()
	}
	return c.ask(flow, now)
}

// another is the flow whose turn it is of those that have nothing under way; there is one, because one has just been answered.
func (c *Flows) another() uint32 {
	for c.flows[c.turnOf].open > 0 {
		c.turnOf = (c.turnOf + 1) % uint32(len(c.flows))
	}
	flow := c.turnOf
	c.turnOf = (c.turnOf + 1) % uint32(len(c.flows))
	return flow
}

// known tells what an answer answers, and checks that it came to where the
// question was sent from, and from where it was sent to.
func (c *Flows) known(socket, i int, b []byte) (flow, number uint32, err error) {
	flow, number, err = c.script.read(b)
	if err != nil {
		return 0, 0, err
	}
	if flow >= uint32(len(c.flows)) || c.socketOf(flow) != socket {
		return 0, 0, fmt.Errorf("%w: one for flow %d came to another client's port", errWrong, flow)
	}
	if c.spec.spread() {
		if at, want := c.in.local(i), c.spec.source(flow, number); at != want {
			return 0, 0, fmt.Errorf("%w: one for datagram %d of flow %d came to %s instead of %s", errWrong, number, flow, at, want)
		}
	}
	if from := c.in.from(i); from.Addr != c.to.Addr || from.Port != c.to.Port {
		return 0, 0, fmt.Errorf("%w: one for flow %d came from an address that was not asked", errWrong, flow)
	}
	return flow, number, nil
}

// enter counts an answer, and reports whether it is the first to its question.
func (r *Result) enter(v verdict) (first bool) {
	switch v {
	case duplicate:
		r.Duplicated++
		return false
	case forgotten:
		r.Late++
		return false
	case late:
		r.Late++
		r.Lost = max(0, r.Lost-1)
	case overtaken:
		r.Reordered++
	}
	r.Exchanges++
	return true
}
