package cluster

import (
	"context"
	"sync"
	"time"
)

const (
	// maxStreams is how many streams this node opens at a time.
	maxStreams = 16
	// laneDepth is how many messages wait for one member. The oldest gives way: what it would have told is asked for again.
	laneDepth = 8
	// streamRate is how many bytes a second one member gets, so that answering those who ask for everything leaves room for
	// the rest.
	streamRate = 8 << 20
)

// courier carries messages that go over connections, which take their time, so that the loop need not wait. To one member
// there is one connection at a time.
type courier struct {
	ctx     context.Context
	deliver func(to string, b []byte) error
	slots   chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	lanes   map[string][]Message // of the members that are being served
	closed  bool
	dropped uint64
	failed  uint64
}

func newCourier(ctx context.Context, deliver func(to string, b []byte) error) *courier {
	return &courier{ctx: ctx, deliver: deliver, slots: make(chan struct{}, maxStreams), lanes: map[string][]Message{}}
}

// post queues a message. It does not wait. The courier encodes it later, so nobody may change it.
func (c *courier) post(to string, m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	lane, served := c.lanes[to]
	if len(lane) >= laneDepth {
		lane = lane[1:]
		c.dropped++
	}
	c.lanes[to] = append(lane, m)
	if !served {
		c.done.Go(func() { c.serve(to) })
	}
}

// next returns the next message to a member, and ends its lane if there is none.
func (c *courier) next(to string) (Message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lane := c.lanes[to]
	if len(lane) == 0 || c.closed {
		delete(c.lanes, to)
		return Message{}, false
	}
	c.lanes[to] = lane[1:]
	return lane[0], true
}

// serve delivers what waits for a member, at its pace.
func (c *courier) serve(to string) {
	for {
		m, ok := c.next(to)
		if !ok {
			return
		}
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			continue
		}
		b := Encode(m)
		err := c.deliver(to, b)
		<-c.slots
		if err != nil {
			c.mu.Lock()
			c.failed++
			c.mu.Unlock()
		}
		pause(c.ctx, time.Duration(len(b))*time.Second/streamRate)
	}
}

// close takes nothing more and waits for what is on its way.
func (c *courier) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.done.Wait()
}

// measure returns how many messages were dropped and could not be delivered.
func (c *courier) measure() (dropped, failed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped, c.failed
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
