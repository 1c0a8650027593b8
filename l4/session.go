package l4

import (
	"errors"
	"net/netip"
	"time"
	"unsafe"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/sni"
)

// phase is how far a session has come. It only goes forward, but for a retry, which goes back to connecting.
type phase uint8

const (
	readingProxy phase = iota // waiting for a PROXY header
	sniffing                  // waiting for bytes that tell where to go
	securing                  // TLS handshake with the client
	queueing                  // waiting for a slot on a backend
	connecting                // to a backend
	greeting                  // waiting for a PostgreSQL backend's answer to the SSLRequest weir passed on
	relaying
	served // a Handler has it
	ended  // nothing may come back to it
)

// session is one client connection, from accept to its line in the access log. It lives on one loop, and is used again for
// another connection when it has ended. What only a relayed connection needs is in its leg.
type session struct {
	worker     *worker
	prev, next *session // neighbours among the worker's open sessions

	entry *Entrypoint
	set   *settings // what was in force at accept

	// Small things stand together, so that a session fits its size class of 512 bytes.
	phase    phase
	tls      accesslog.TLSMode
	postgres bool             // it began with a PostgreSQL SSLRequest, which was answered with yes
	recorded bool             // the Handler that has it writes the records
	answered bool             // a PostgreSQL request for encryption was answered, with yes or no
	failure  accesslog.Reason // of the last attempt
	cause    accesslog.Reason // why stop ends the relay
	version  uint16           // of TLS, where weir terminates it

	client eventloop.Stream
	timer  eventloop.Timer // the deadline of the current phase
	*leg                   // nil until it is for a service

	peer   netip.AddrPort // the other end of the socket
	called netip.AddrPort // what the client called; not valid while nobody has asked the kernel
	name   []byte         // server name of its hello; the memory stays for the next connection
	alpn   []byte         // likewise: the protocol agreed on, or the first one offered

	route    *Route
	admitted int // how many of the route's middlewares have let it in

	start   time.Time
	mark    time.Duration // when the current phase began, since start
	routed  time.Duration // until the decision
	in, out int64         // bytes that are counted already
}

// source is who the client is: the other end of the socket, or whom a PROXY header names.
func (c *session) source() netip.AddrPort { return c.client.Remote() }

// sinceMark is how long the current phase has taken.
func (c *session) sinceMark(now time.Time) time.Duration { return now.Sub(c.start) - c.mark }

// begin starts the session of an accepted descriptor.
func (c *session) begin(e *Entrypoint, set *settings, ln *eventloop.Listener, fd int, from netip.AddrPort) {
	c.entry, c.set, c.peer = e, set, from
	c.start = time.Now()
	c.routed = accesslog.NotReached
	if err := c.client.Open(c.worker.loop, fd, from, c); err != nil {
		c.end(accesslog.Weir, accesslog.Internal)
		return
	}
	c.client.SetOwner(c)
	if c.called = ln.Addr(); c.called.Addr().IsUnspecified() {
		c.called = netip.AddrPort{} // asked for when somebody wants to know
	}
	switch {
	case set.trusted != nil && set.trusted.Contains(from.Addr()):
		c.phase = readingProxy
	case set.Proxy.Require:
		c.end(accesslog.Weir, accesslog.MalformedProxy)
		return
	case set.table.sniffs:
		c.phase = sniffing
	default:
		c.toBare()
		return
	}
	c.deadline(set.SniffTimeout)
}

// reset makes the session blank but for the memory it keeps.
func (c *session) reset() {
	*c = session{client: c.client, name: c.name[:0], alpn: c.alpn[:0]}
}

// deadline arms the timer for the current phase.
func (c *session) deadline(d time.Duration) { c.worker.loop.Arm(&c.timer, d, c) }

// share is where this session counts for its entrypoint.
func (c *session) share() *counters { return &c.entry.shares[c.worker.loop.ID()] }

// Ready goes on with a phase that waits for bytes.
func (c *session) Ready(s *eventloop.Stream) {
	switch c.phase {
	case readingProxy, sniffing:
		c.look()
	case queueing, connecting:
		if s.Gone() {
			c.end(accesslog.Client, accesslog.ClientAbort)
		}
	case greeting:
		if s == &c.server {
			c.greeted()
		} else if s.Gone() {
			c.end(accesslog.Client, accesslog.ClientAbort)
		}
	}
}

// Expired ends the phase whose deadline has passed.
func (c *session) Expired(*eventloop.Timer) {
	switch c.phase {
	case readingProxy, sniffing:
		c.silent()
	case securing:
		c.end(accesslog.Weir, accesslog.TLSHandshake)
	case queueing:
		c.end(accesslog.Weir, accesslog.QueueTimeout)
	case connecting, greeting:
		c.connectFailed(accesslog.ConnectTimeout)
	}
}

// Closed ends a session whose connection was closed by somebody else: the Handler it was handed to, or the loop after a
// panic.
func (c *session) Closed(s *eventloop.Stream) {
	switch {
	case c.phase == served && !errors.Is(s.Failed(), eventloop.ErrPanicked):
		c.end(accesslog.Weir, accesslog.Done)
	case c.phase != relaying:
		c.end(accesslog.Weir, accesslog.Internal)
	case c.relay.Running():
		c.stop(accesslog.Internal)
	}
}

// stop ends the session from outside.
func (c *session) stop(reason accesslog.Reason) {
	if c.phase == relaying {
		c.cause = reason
		c.relay.Stop(eventloop.ErrStopped, true) // and Relayed ends the session
		return
	}
	c.end(accesslog.Weir, reason)
}

// lose takes the session off its backend: to another one while nothing of the client's was sent to this one.
func (c *session) lose(reason accesslog.Reason) {
	if c.phase == connecting || c.phase == greeting {
		c.tryAnother(reason, time.Now())
		return
	}
	c.stop(reason)
}

// serve hands the connection up. The session stays as its place in limits, counts and shutdown.
func (c *session) serve(h Handler) {
	c.worker.loop.Disarm(&c.timer)
	c.phase = served
	c.routed = time.Since(c.start)
	_, c.recorded = h.(Recorder)
	if c.worker.log.Enabled() && !c.recorded {
		c.calledAddr() // the handler closes the client before the record is written
	}
	if back := c.worker.guard(func() { h.Serve(&c.client) }); !back && c.phase == served {
		c.client.SetHandler(nil) // it has seen enough
		c.end(accesslog.Weir, accesslog.Internal)
	}
}

// end closes what is open, gives back what was taken, counts, and writes the record, unless a Handler
// writes what it has made of the connection. The session must not be touched
// afterwards: it may already be another connection's.
func (c *session) end(by accesslog.Side, reason accesslog.Reason) {
	last := c.phase
	c.phase = ended
	c.worker.loop.Disarm(&c.timer)
	c.leaveQueue()
	c.countBytes()
	if c.worker.log.Enabled() && !c.recorded {
		c.record(by, reason, last)
	}
	c.closeStreams(reason, last)
	if c.leg != nil && c.backend != nil {
		c.pool.Release(c.backend)
	}
	c.leaveMiddlewares()
	c.share().ended[reason].Add(1)
	if c.route != nil {
		c.serviceShare().ended[reason].Add(1)
	}
	c.entry.active.Add(-1)
	c.worker.server.active.Add(-1)
	c.worker.give(c)
}

// closeStreams closes with a reset where the client must not take what it got for the whole: only a relay that came to
// its end has said everything. A client that waits for a TLS server's answer is told by an alert instead, which its library
// turns into words.
func (c *session) closeStreams(reason accesslog.Reason, last phase) {
	c.client.SetOwner(nil)
	if c.leg != nil {
		c.server.Reset()
	}
	if last == served {
		c.worker.guard(c.client.Revoke) // a handler has things of its own to give back
		return
	}
	if alert, ok := alerts[reason]; ok && c.tls == accesslog.Passthrough && last < relaying {
		_ = c.client.Write(alert.Append(nil)) // a courtesy; the connection is over either way
		c.client.Close()
		return
	}
	switch reason {
	case accesslog.Done, accesslog.SniffTimeout, accesslog.MalformedHello, accesslog.NoRoute, accesslog.TLSHandshake, accesslog.IdleTimeout:
		c.client.Close() // an alert may be on its way, and a reset could overtake it
	default:
		c.client.Reset()
	}
}

// alerts are what clients are told whose hello was passed to nobody.
var alerts = map[accesslog.Reason]sni.Alert{
	accesslog.Denied:         sni.AlertAccessDenied,
	accesslog.RateLimited:    sni.AlertAccessDenied,
	accesslog.Limit:          sni.AlertAccessDenied,
	accesslog.NoBackend:      sni.AlertInternalError,
	accesslog.QueueFull:      sni.AlertInternalError,
	accesslog.QueueTimeout:   sni.AlertInternalError,
	accesslog.Refused:        sni.AlertInternalError,
	accesslog.ConnectTimeout: sni.AlertInternalError,
	accesslog.ConnectFailed:  sni.AlertInternalError,
}

// countBytes adds what was relayed since the last time to the counters of entrypoint, service and backend.
func (c *session) countBytes() {
	if c.leg == nil || c.backend == nil {
		return
	}
	in, out := c.relay.Moved()
	dIn, dOut := in-c.in, out-c.out
	if dIn == 0 && dOut == 0 {
		return
	}
	c.in, c.out = in, out
	c.backend.AddBytes(dIn, dOut)
	for _, share := range [...]*counters{c.share(), c.serviceShare()} {
		share.in.Add(dIn)
		share.out.Add(dOut)
	}
}

func (c *session) serviceShare() *counters { return &c.route.Service.shares[c.worker.loop.ID()] }

// calledAddr is the address the client called.
func (c *session) calledAddr() netip.AddrPort {
	if !c.called.IsValid() {
		c.called = c.client.Local()
	}
	return c.called
}

// record writes the session's line. last is the phase in which it ended.
func (c *session) record(by accesslog.Side, reason accesslog.Reason, last phase) {
	r := &c.worker.line
	*r = accesslog.Record{
		Start:      c.start,
		By:         by,
		Reason:     reason,
		Client:     c.source(),
		Peer:       c.peer,
		Local:      c.calledAddr(),
		Entrypoint: c.entry.name,
		ServerName: view(c.name),
		ALPN:       view(c.alpn),
		TLS:        c.tls,
		TLSVersion: c.version,
		In:         c.in,
		Out:        c.out,
		Route:      c.routed,
		Total:      time.Since(c.start),
	}
	if c.leg != nil {
		c.leg.record(r)
	}
	if c.route != nil {
		r.Router, r.Service = c.route.Name, c.route.Service.name
	}
	if last == queueing {
		r.Queue = accesslog.NotReached
	}
	if last != relaying {
		r.Connect = accesslog.NotReached
	}
	c.worker.record(r)
}

// view lends b's bytes as a string for as long as a record is encoded.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
