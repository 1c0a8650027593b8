package l4

import (
	"errors"
	"syscall"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/upstream"
)

// pick asks the service for a backend and connects to it, or queues for one.
func (c *session) pick(now time.Time) {
	c.mark = now.Sub(c.start)
	if c.leg == nil {
		c.leg = c.worker.newLeg()
	}
	pool, _ := (*c.route.Service.chooser.Load()).Choose(0)
	if pool == nil {
		c.giveUp(accesslog.NoBackend)
		return
	}
	c.pool = pool
	o := pool.Options()
	key := uint64(0)
	if o.Strategy.Hashes() {
		key = upstream.KeyOf(o.HashKey, c.source(), c.name)
	}
	b, err := pool.Acquire(key, c.tried, now)
	switch {
	case err == nil:
		c.dial(b, o.Connect.Timeout)
	case errors.Is(err, upstream.ErrFull):
		c.queue(key, o.Queue.Timeout)
	default:
		c.giveUp(accesslog.NoBackend)
	}
}

// giveUp ends a connection that no backend takes, for the reason of the last attempt if there was one.
func (c *session) giveUp(reason accesslog.Reason) {
	if c.failure != accesslog.Unknown {
		reason = c.failure
	}
	by := accesslog.Weir
	switch reason {
	case accesslog.Refused, accesslog.ConnectTimeout, accesslog.ConnectFailed:
		by = accesslog.Backend
	}
	c.end(by, reason)
}

// ticket is a session's place in a pool's queue. It is not part of the session, because a grant may be on its way from
// another loop when the session has become another connection.
type ticket struct {
	upstream.Waiter
	session *session
	pool    *upstream.Pool
}

func (c *session) queue(key uint64, timeout time.Duration) {
	c.phase = queueing
	t := &ticket{session: c, pool: c.pool}
	loop := c.worker.loop
	t.Waiter = upstream.Waiter{Key: key, Tried: c.tried, Grant: func(b *upstream.Backend) {
		if loop.Post(func() { t.granted(b) }) != nil {
			t.pool.Release(b)
		}
	}}
	c.ticket = t
	c.deadline(timeout)
	if err := c.pool.Wait(&t.Waiter); err != nil {
		c.ticket = nil
		c.end(accesslog.Weir, accesslog.QueueFull)
	}
}

// granted takes the slot on the session's loop, or gives it back when the session has gone meanwhile.
func (t *ticket) granted(b *upstream.Backend) {
	c := t.session
	if c.leg == nil || c.ticket != t {
		t.pool.Release(b)
		return
	}
	c.ticket = nil
	c.worker.loop.Disarm(&c.timer)
	now := time.Now()
	c.queued += c.sinceMark(now)
	c.mark = now.Sub(c.start)
	c.dial(b, t.pool.Options().Connect.Timeout)
}

func (c *session) leaveQueue() {
	if c.leg != nil && c.ticket != nil {
		c.pool.Cancel(&c.ticket.Waiter) // false: a grant is on its way, and gives the slot back when it finds us gone
		c.ticket = nil
	}
}

// dial connects to b, on which this session holds a slot.
func (c *session) dial(b *upstream.Backend, timeout time.Duration) {
	c.phase, c.backend = connecting, b
	if c.tried = append(c.tried, b); len(c.tried) > 1 {
		c.serviceShare().retries.Add(1)
		c.share().retries.Add(1)
	}
	c.deadline(timeout)
	if err := c.server.Dial(c.worker.loop, b.Addr(), c); err != nil {
		c.Connected(&c.server, err)
	}
}

// Connected goes on after a connection attempt.
func (c *session) Connected(_ *eventloop.Stream, err error) {
	switch {
	case err == nil:
		c.greet()
	case local(err):
		// Weir's own host is out of something; it would be unjust to blame the backend.
		c.end(accesslog.Weir, accesslog.Internal)
	case errors.Is(err, syscall.ECONNREFUSED):
		c.connectFailed(accesslog.Refused)
	case errors.Is(err, syscall.ETIMEDOUT):
		c.connectFailed(accesslog.ConnectTimeout)
	default:
		c.connectFailed(accesslog.ConnectFailed)
	}
}

// local tells errors of this host from those of the backend or the way to it.
func local(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// connectFailed counts a failed attempt against the backend and tries another one.
func (c *session) connectFailed(reason accesslog.Reason) {
	now := time.Now()
	c.backend.AddConnectFailure(reason == accesslog.ConnectTimeout)
	c.pool.Failed(c.backend, now)
	c.tryAnother(reason, now)
}

// tryAnother goes on with another backend, if there is one and the budgets allow it. The client's bytes are all still
// here, so it does not notice.
func (c *session) tryAnother(reason accesslog.Reason, now time.Time) {
	b := c.backend
	c.server.Close()
	c.worker.loop.Disarm(&c.timer)
	c.connected += c.sinceMark(now)
	c.backend = nil
	c.pool.Release(b)
	c.failure = reason
	if len(c.tried) > c.pool.Options().Connect.Retries || !c.pool.AllowRetry(now) {
		c.giveUp(reason)
		return
	}
	c.pick(now)
}

// greet says what goes before the client's bytes: the PROXY header, and the SSLRequest a PostgreSQL client has made and
// weir has answered in the backend's place.
func (c *session) greet() {
	if version := c.pool.Options().ProxyProtocol; version != 0 {
		var room [peek.MaxProxyHeader]byte
		c.server.Lead(c.appendProxy(room[:0], version))
	}
	if c.postgres && c.route.TLS != Terminate {
		c.phase = greeting
		c.server.SetHandler(c)
		if c.server.Write(peek.PostgresSSLRequest) != nil {
			c.connectFailed(accesslog.ConnectFailed)
			return
		}
		c.greeted() // a backend that has left already is not reported again
		return
	}
	c.join()
}

func (c *session) appendProxy(dst []byte, version int) []byte {
	if version == 1 {
		return peek.AppendProxyV1(dst, c.source(), c.calledAddr())
	}
	return peek.AppendProxyV2(dst, c.source(), c.calledAddr(), false)
}

// greeted reads the one byte with which a PostgreSQL server answers an SSLRequest. Anything but yes means that the
// backend cannot speak TLS, which the client has been promised. A plain no is no failure of the backend, though: whoever
// asked for TLS could have it ejected otherwise, and libpq asks unless it is told not to.
func (c *session) greeted() {
	var answer [2]byte // a second byte would be one the client has not asked for in the clear
	n, err := c.server.Read(answer[:])
	switch {
	case n == 1 && answer[0] == postgresYes:
		c.join()
	case n == 1 && answer[0] == postgresNo:
		c.tryAnother(accesslog.ConnectFailed, time.Now())
	case err == eventloop.ErrAgain:
	default:
		c.connectFailed(accesslog.ConnectFailed)
	}
}

// join begins the relay.
func (c *session) join() {
	now := time.Now()
	took := c.sinceMark(now)
	c.connected += took
	c.backend.AddConnect(took)
	c.pool.Succeeded(c.backend, now)
	c.worker.loop.Disarm(&c.timer)
	if c.worker.log.Enabled() {
		c.calledAddr() // the relay closes the client before the record is written
	}
	c.phase = relaying
	c.relay.Start(&c.client, &c.server, c.set.IdleTimeout, c)
}

// Relayed ends the session.
func (c *session) Relayed(_ *eventloop.Relay, end eventloop.End) {
	by := sides[end.By]
	switch {
	case end.Err == nil:
		c.end(by, accesslog.Done)
	case errors.Is(end.Err, eventloop.ErrIdle):
		c.end(by, accesslog.IdleTimeout)
	case errors.Is(end.Err, eventloop.ErrStopped):
		c.end(by, c.cause)
	case errors.Is(end.Err, eventloop.ErrPanicked):
		c.end(by, accesslog.Internal)
	case end.By == eventloop.SideB:
		c.end(by, accesslog.BackendAbort)
	default:
		c.end(by, accesslog.ClientAbort)
	}
}

var sides = [...]accesslog.Side{
	eventloop.Neither: accesslog.Weir,
	eventloop.SideA:   accesslog.Client,
	eventloop.SideB:   accesslog.Backend,
}
