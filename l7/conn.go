package l7

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	headRoom     = 4 << 10         // read beyond the limit of a head, so that it is the codec that finds it too long
	lingerTime   = 2 * time.Second // for which what a client still sends is taken in, so that it can read the answer
	lingerBytes  = 1 << 20         // and how much of it
	turnRequests = 64              // begun for one client before others on the loop get their turn
)

// state is what a client's connection is at.
type state uint8

const (
	securing   state = iota // a TLS handshake
	idle                    // between requests: nothing of the next one has come
	reading                 // a head is arriving
	busy                    // an exchange has it
	lingering               // all is said, or waits for the client to take it; what the client still sends is dropped
	tunnelling              // a relay has it
	closed
)

// conn is a client's connection that speaks HTTP/1, or one request of a client that speaks HTTP/2. It lives on one loop.
type conn struct {
	worker     *worker
	prev, next *conn // neighbours among the worker's open connections
	front      *Front
	set        *settings // of the request that is at hand, or was last
	stream     *eventloop.Stream
	lane       *lane     // of a session whose one request this is; nil for a connection of its own
	x          *Exchange // the request at hand; nil while there is none
	parser     http1.Parser
	timer      eventloop.Timer

	state    state
	last     bool   // no request follows the one at hand
	quiet    int    // ticks since something happened that the state's timeout waits for
	count    int    // requests begun
	renewal  uint32 // the front's when the connection came
	lingered int    // bytes dropped
	unsent   int    // bytes that waited for the client to take them at the last tick
	began    time.Time
	local    netip.AddrPort
	security *Security // nil = plain
	name     string    // server name of the hello
	version  uint16    // of TLS
	cipher   uint16
}

// take gives a blank connection and links it among the open ones.
func (w *worker) take() *conn {
	c := pop(&w.conns)
	c.worker = w
	c.next = w.first
	if w.first != nil {
		w.first.prev = c
	}
	w.first = c
	return c
}

// give takes a closed connection back.
func (w *worker) give(c *conn) {
	if c.prev == nil {
		w.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.lane != nil {
		w.release(c.lane)
	}
	*c = conn{}
	push(&w.conns, c)
}

// begin starts the connection's life.
func (c *conn) begin(f *Front, s *eventloop.Stream, security *Security) {
	defer c.rescue()
	c.front, c.stream, c.security = f, s, security
	c.renewal = f.renewals.Load()
	c.set = f.settings.Load()
	c.began = time.Now()
	s.SetHandler(c)
	if security == nil {
		c.open()
		return
	}
	c.state = securing
	c.worker.loop.Arm(&c.timer, c.set.HandshakeTimeout, c)
	if err := s.StartTLS(func(n net.Conn) *tls.Conn { return tls.Server(n, security.Config) }, c); err != nil {
		c.refused(accesslog.Limit)
	}
}

// Secured goes on after the TLS handshake.
func (c *conn) Secured(s *eventloop.Stream, err error) {
	defer c.rescue()
	if err != nil {
		c.refused(accesslog.TLSHandshake)
		return
	}
	if t, ok := s.State(); ok {
		c.name, c.version, c.cipher = t.ServerName, t.Version, t.CipherSuite
		if t.NegotiatedProtocol == "h2" {
			c.converse()
			return
		}
	}
	c.open()
}

// secureState is what TLS has come to with the client, whose connection a session may hold; ok is false without TLS.
func (c *conn) secureState() (state tls.ConnectionState, ok bool) {
	s := c.stream
	if c.lane != nil {
		s = c.lane.session.stream
	}
	if s == nil {
		return state, false
	}
	return s.State()
}

func (c *conn) open() {
	c.state = idle
	c.worker.loop.Arm(&c.timer, c.set.tick, c)
}

// Ready goes on with what the connection is at.
func (c *conn) Ready(s *eventloop.Stream) {
	defer c.rescue()
	switch {
	case c.state == closed:
	case !s.IsOpen():
		c.revoked()
	case c.state == busy:
		c.x.clientReady()
	case c.state == lingering:
		c.drop()
	}
}

// rescue ends what an event has led to; it is deferred, so that a panic costs this connection only.
func (c *conn) rescue() {
	if cause := recover(); cause != nil {
		c.worker.panicked(cause)
		c.broken()
	}
	c.settle()
}

// broken ends a connection whose state is not to be trusted after a panic.
func (c *conn) broken() {
	defer func() { _ = recover() }() // the first panic is logged; this one may come from the same broken state
	if c.x != nil {
		c.x.cut(accesslog.Weir, accesslog.Internal)
	}
	c.close()
}

// settle gives back an exchange that is over and goes on with the next request, until there is none, and gives back a
// connection that is closed. Whoever has had an event calls it last: nothing else begins a request or takes objects out
// from under those who still use them.
func (c *conn) settle() {
	for turn := 0; ; turn++ {
		if x := c.x; x != nil && x.phase == over {
			c.x = nil
			x.give()
		}
		switch c.state {
		case closed:
			if c.worker != nil && c.x == nil {
				c.worker.give(c)
			}
			return
		case idle, reading:
			if turn == turnRequests {
				c.stream.Again()
				return
			}
			if !c.read() {
				return
			}
		default:
			return
		}
	}
}

// read looks for a request. It reports whether something has come of it.
func (c *conn) read() bool {
	if !c.stream.HasRoom() {
		return c.stream.Failed() != nil && c.left()
	}
	limit := max(c.set.Limits.Head, 32<<10) + headRoom
	b, err := c.stream.Receive(limit)
	if len(b) > 0 {
		if c.parse(b) {
			return true
		}
		c.stream.Hold(b)
	}
	switch err {
	case nil:
		return true
	case eventloop.ErrAgain:
		return false
	}
	return c.left()
}

// left ends a connection that the client has ended, or broken, while no request was at hand.
func (c *conn) left() bool {
	if c.x != nil {
		c.keep()
		c.x.cut(accesslog.Client, accesslog.ClientAbort)
	}
	c.close()
	return true
}

// keep makes what has come of a head last, so that it can be written to the log: it was in a buffer that others use too.
func (c *conn) keep() {
	c.x.req.Attach(c.stream.Peeked())
	c.x.req.Keep()
}

// parse reads a head from all bytes that have come of it. It reports whether it is complete, or wrong.
func (c *conn) parse(b []byte) bool {
	whole := c.x == nil
	if whole {
		c.x = c.worker.exchange(c)
		c.state, c.quiet = reading, 0
		c.set = c.front.settings.Load()
		c.parser.Limits, c.parser.Underscores = c.set.Limits, c.set.Underscores
	}
	if switched, short := c.prefaced(b); switched || short {
		return switched
	}
	x := c.x
	n, err := c.parser.Request(b, &x.req)
	if err == http1.ErrShort {
		return false
	}
	x.req.Keep()
	c.stream.Hold(b[n:])
	c.state, c.quiet = busy, 0
	c.count++
	if err != nil {
		c.last = true
		x.refuse(err)
		return true
	}
	at := x.began
	if !whole {
		at = time.Now()
	}
	x.start(at)
	return true
}

// preface is how far that of HTTP/2 looks like a head (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\n"

// prefaced reports whether b, what has come of the first head, is the preface of HTTP/2, with which a session has begun,
// or may become it. Over TLS it is agreed on before.
func (c *conn) prefaced(b []byte) (is, short bool) {
	n := min(len(b), len(preface))
	switch {
	case c.count > 0 || c.security != nil || string(b[:n]) != preface[:n]:
		return false, false
	case n < len(preface):
		return false, true
	}
	c.stream.Hold(b)
	c.converse()
	return true, false
}

// Expired looks at the timeout of the state.
func (c *conn) Expired(*eventloop.Timer) {
	defer c.rescue()
	set := c.set
	switch c.state {
	case securing:
		c.refused(accesslog.TLSHandshake)
		return
	case lingering:
		if c.unsent == 0 || c.stuck() {
			c.close()
			return
		}
	case tunnelling, closed:
		return
	case idle:
		switch {
		case c.stream.Buffered() > 0:
			if c.stuck() {
				c.close()
			}
		case c.overdue(set.KeepAliveTimeout):
			c.finish()
		}
	case reading:
		if c.overdue(set.ReadTimeout) {
			c.keep()
			c.state, c.last = busy, true
			c.x.fail(408, accesslog.Client, accesslog.RequestTimeout)
		}
	case busy:
		c.x.tick()
	}
	if c.state == idle || c.state == reading || c.state == busy || c.state == lingering && c.unsent > 0 {
		c.worker.loop.Arm(&c.timer, set.tick, c)
	}
}

// stuck reports whether the client has taken nothing for too long of what was written for it. Where it has, the end of the
// connection is a reset: the client must not take what it has for the whole.
func (c *conn) stuck() bool {
	if n := c.stream.Buffered(); n != c.unsent {
		c.unsent, c.quiet = n, 0
	}
	if !c.overdue(c.set.ReadTimeout) {
		return false
	}
	c.stream.Reset()
	return true
}

// overdue counts a tick and reports whether as many have passed as d has.
func (c *conn) overdue(d time.Duration) bool {
	c.quiet++
	return d > 0 && time.Duration(c.quiet-1)*c.set.tick >= d
}

// done goes on after an exchange: to the next request, or to the end.
func (c *conn) done() {
	switch {
	case c.stream.Failed() != nil:
		c.close()
	case c.last:
		c.finish()
	default:
		c.state, c.quiet = idle, 0
	}
}

// finish ends a connection on which everything is said. What the client has not taken yet it may take as slowly as before.
// Bytes that it has sent and nobody has read would make the kernel send a reset, which can overtake the answer: they are
// taken in for a while.
func (c *conn) finish() {
	unread := c.lane == nil && (len(c.stream.Peeked()) > 0 || c.stream.MayRead() || c.x != nil && (!c.x.reqBody.Done() || c.x.unread))
	if c.lane != nil || c.security != nil || unread || c.stream.Buffered() > 0 {
		_ = c.stream.CloseWrite() // an error stays with the stream
	}
	if c.stream.Buffered() == 0 && !unread || c.stream.Failed() != nil {
		c.close()
		return
	}
	c.state, c.quiet = lingering, 0
	if c.unsent = c.stream.Buffered(); c.unsent > 0 {
		c.worker.loop.Arm(&c.timer, c.set.tick, c)
	} else {
		c.worker.loop.Arm(&c.timer, c.worker.linger, c)
	}
	c.drop()
}

// drop takes in what a client still sends.
func (c *conn) drop() {
	if c.lane != nil {
		if c.stream.Buffered() == 0 || c.stream.Failed() != nil {
			c.close()
		}
		return
	}
	if c.unsent > 0 && c.stream.Buffered() == 0 {
		c.unsent = 0
		c.worker.loop.Arm(&c.timer, c.worker.linger, c)
	}
	for c.state == lingering {
		c.stream.Hold(nil)
		b, err := c.stream.Receive(1 << 16)
		c.lingered += len(b)
		switch {
		case c.stream.Failed() != nil, c.lingered > lingerBytes:
			c.close()
		case err == eventloop.ErrAgain:
			return
		case err != nil:
			if c.stream.Buffered() == 0 {
				c.close()
			}
			return
		}
	}
}

// retire ends the connection with the request that is at hand, or now.
func (c *conn) retire() {
	c.last = true
	if c.state == idle {
		c.finish()
	}
}

// close closes the connection. What is at hand must have been ended before.
func (c *conn) close() {
	if c.state == closed {
		return
	}
	c.state = closed
	c.worker.loop.Disarm(&c.timer)
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil // somebody else's from now on
	}
}

// revoked deals with a connection that was closed from outside.
func (c *conn) revoked() {
	if c.x != nil {
		if c.state == reading {
			c.x.req.Reset() // its bytes are gone
		}
		c.x.cut(accesslog.Weir, accesslog.Shutdown)
	}
	c.close()
}

// refused ends a connection that never came to HTTP.
func (c *conn) refused(reason accesslog.Reason) {
	w := c.worker
	if w.log.Enabled() {
		by := accesslog.Client
		if reason == accesslog.Limit {
			by = accesslog.Weir
		}
		r := &w.line
		*r = accesslog.Record{
			Start: c.began, By: by, Reason: reason, Client: c.stream.Remote(), Local: c.localAddr(), Entrypoint: c.front.name,
			TLS: accesslog.Terminated, Total: time.Since(c.began),
			Route: accesslog.NotReached, Queue: accesslog.NotReached, Connect: accesslog.NotReached,
		}
		w.record(r)
	}
	c.close()
}

// appendHead writes the head of a response: to out, or to the lane, past it. bodiless says that no body follows, whatever
// the head says.
func (c *conn) appendHead(out []byte, h *head.Head, bodiless bool) []byte {
	if c.lane != nil {
		c.lane.respond(h, bodiless)
		return out
	}
	return h.AppendResponse(out)
}

// localAddr is the address the client called.
func (c *conn) localAddr() netip.AddrPort {
	if !c.local.IsValid() && c.stream != nil {
		c.local = c.stream.Local()
	}
	return c.local
}
