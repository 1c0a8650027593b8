package l7

import (
	"errors"
	"syscall"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/upstream"
)

// pick asks the load balancer for a backend, or queues for one.
func (x *Exchange) pick(now time.Time) {
	x.mark = now
	x.pool = x.lb.Pool
	o := x.pool.Options()
	key := uint64(0)
	if o.Strategy.Hashes() {
		key = upstream.KeyOf(o.HashKey, x.conn.stream.Remote(), x.req.Hostname())
	}
	b, err := x.acquire(key, now)
	switch {
	case err == nil:
		x.use(b)
	case errors.Is(err, upstream.ErrFull):
		x.queue(key, o.Queue.Timeout)
	default:
		x.giveUp(accesslog.NoBackend)
	}
}

// acquire counts the exchange on a backend: on the one its session is with, if that takes it.
func (x *Exchange) acquire(key uint64, now time.Time) (*upstream.Backend, error) {
	if x.session != nil && len(x.tried) == 0 && x.pool.AcquireThis(x.session, now) == nil {
		return x.session, nil
	}
	return x.pool.Acquire(key, x.tried, now)
}

// statuses are what a client is told when no backend has taken its request.
var statuses = map[accesslog.Reason]int{
	accesslog.NoBackend:      503,
	accesslog.QueueFull:      503,
	accesslog.QueueTimeout:   503,
	accesslog.ConnectTimeout: 504,
	accesslog.BackendDown:    503,
	accesslog.Drain:          503,
}

// giveUp ends a request that no backend takes, for the reason of the last attempt if there was one.
func (x *Exchange) giveUp(reason accesslog.Reason) {
	if x.failure != accesslog.Unknown {
		reason = x.failure
	}
	by := accesslog.Weir
	switch reason {
	case accesslog.Refused, accesslog.ConnectTimeout, accesslog.ConnectFailed, accesslog.BackendAbort:
		by = accesslog.Backend
	}
	status := statuses[reason]
	if status == 0 {
		status = 502
	}
	x.miss(status, by, reason)
}

// ticket is an exchange's place in a pool's queue. It is not part of the exchange, because a grant may be on its way from
// another loop when the exchange has become another one.
type ticket struct {
	upstream.Waiter
	x    *Exchange
	pool *upstream.Pool
}

func (x *Exchange) queue(key uint64, timeout time.Duration) {
	x.phase = queueing
	t := &ticket{x: x, pool: x.pool}
	loop := x.worker.loop
	t.Waiter = upstream.Waiter{Key: key, Tried: x.tried, Grant: func(b *upstream.Backend) {
		if loop.Post(func() { t.granted(b) }) != nil {
			t.pool.Release(b)
		}
	}}
	x.ticket = t
	loop.Arm(&x.timer, timeout, x)
	if err := x.pool.Wait(&t.Waiter); err != nil {
		x.ticket = nil
		x.miss(503, accesslog.Weir, accesslog.QueueFull)
	}
}

// granted takes the slot on the exchange's loop, or gives it back when the exchange has gone meanwhile.
func (t *ticket) granted(b *upstream.Backend) {
	x := t.x
	if x.ticket != t {
		t.pool.Release(b)
		return
	}
	defer x.conn.rescue()
	x.ticket = nil
	x.worker.loop.Disarm(&x.timer)
	now := time.Now()
	x.queued += now.Sub(x.mark)
	x.mark = now
	x.use(b)
}

func (x *Exchange) leaveQueue() {
	if x.ticket != nil {
		x.pool.Cancel(&x.ticket.Waiter) // false: a grant is on its way, and gives the slot back when it finds us gone
		x.ticket = nil
	}
}

// Expired ends the wait for a slot, for a connection or for a response.
func (x *Exchange) Expired(t *eventloop.Timer) {
	defer x.conn.rescue()
	if t == &x.deadline {
		x.expire()
		return
	}
	switch x.phase {
	case pausing:
		x.restart()
	case queueing:
		x.queued += time.Since(x.mark)
		x.miss(503, accesslog.Weir, accesslog.QueueTimeout)
	case connecting:
		if x.link != nil && x.link.branch != nil {
			x.miss(503, accesslog.Weir, accesslog.QueueTimeout)
			return
		}
		x.connectFailed(accesslog.ConnectTimeout)
	case waiting:
		if x.sniffing {
			x.sniffing, x.late = false, true
			x.listen()
			return
		}
		if x.reqBody.Done() || x.wantsMore { // else it was the leave to send the body that was waited for, and it has come
			x.silent()
		}
	}
}

// use sends the request to b, on which this exchange holds a slot: on an idle connection or on a new one.
func (x *Exchange) use(b *upstream.Backend) {
	x.backend, x.lapse = b, accesslog.Unknown
	if x.traced.recorded() {
		x.traced.attempt = x.call(x.mark)
	}
	if x.tried = append(x.tried, b); len(x.tried) > 1 {
		x.service.counters.shares[x.worker.loop.ID()].retries.Add(1)
	}
	x.reach()
}

// reach finds a connection to the backend, or makes one.
func (x *Exchange) reach() {
	if l := x.worker.reuse(x, x.backend, x.lb.Transport, !x.safe(), x.apart()); l != nil {
		x.link, x.reused = l, l.served > 0
		x.send()
		return
	}
	x.connect()
}

// apart reports whether the request needs a connection of its own, because it asks to switch protocols: HTTP/2 does not know
// that. A server that is known to speak HTTP/2 alone gets it as one that does not ask (RFC 9110 section 7.8).
func (x *Exchange) apart() bool { return x.req.Upgrade() != nil && x.lb.Transport.HTTP2 != OnlyHTTP2 }

func (x *Exchange) connect() {
	x.phase, x.reused = connecting, false
	o := x.pool.Options()
	var err error
	x.link, err = x.worker.dial(x, x.backend, x.lb.Transport, o, x.apart())
	x.worker.loop.Arm(&x.timer, x.link.timeout(o), x)
	if err != nil {
		x.connected(err)
	}
}

// connected goes on after a connection attempt.
func (x *Exchange) connected(err error) {
	switch {
	case err == nil:
		now := time.Now()
		took := now.Sub(x.mark)
		x.dialled += took
		x.mark = now
		if !x.link.shared {
			x.backend.AddConnect(took)
		}
		x.worker.loop.Disarm(&x.timer)
		x.link.stream.SetHandler(x.link)
		x.send()
	case err == errHTTP1:
		l := x.link
		x.link = nil
		l.close()
		x.worker.loop.Disarm(&x.timer)
		x.reach()
	case err == errNoStream:
		x.miss(503, accesslog.Weir, accesslog.QueueFull)
	case err == errNoLink:
		x.detail = "server-connections"
		x.miss(503, accesslog.Weir, accesslog.Limit)
	case local(err):
		// Weir's own host is out of something; it would be unjust to blame the backend.
		x.fail(503, accesslog.Weir, accesslog.Internal)
	case errors.Is(err, syscall.ECONNREFUSED):
		x.connectFailed(accesslog.Refused)
	case errors.Is(err, syscall.ETIMEDOUT):
		x.connectFailed(accesslog.ConnectTimeout)
	default:
		x.detail = "connect"
		x.connectFailed(accesslog.ConnectFailed)
	}
}

// local tells errors of this host from those of the backend or the way to it.
func local(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, eventloop.ErrHandshakes)
}

// connectFailed counts a failed attempt against the backend and tries another one.
func (x *Exchange) connectFailed(reason accesslog.Reason) {
	now := time.Now()
	x.dialled += now.Sub(x.mark)
	if x.link == nil || !x.link.shared {
		x.backend.AddConnectFailure(reason == accesslog.ConnectTimeout)
		x.pool.Failed(x.backend, now)
	}
	x.tryAnother(reason, now)
}

// tryAnother goes on with another backend, if there is one and the budgets allow it.
func (x *Exchange) tryAnother(reason accesslog.Reason, now time.Time) {
	x.lapse = reason
	x.detach()
	x.failure = reason
	if len(x.tried) > x.pool.Options().Connect.Retries || !x.pool.AllowRetry(now) {
		x.giveUp(reason)
		return
	}
	x.phase = choosing
	x.pick(now)
}
