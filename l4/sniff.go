package l4

import (
	"errors"
	"io"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/sni"
)

// peekLimit bounds what is held of a client before it is routed.
const peekLimit = sni.MaxStream

// postgresYes and postgresNo answer PostgreSQL's requests for encryption (PostgreSQL documentation, "SSL Session
// Encryption" and "GSSAPI Session Encryption" in the message flow).
const (
	postgresYes = 'S'
	postgresNo  = 'N'
)

// look reads and judges until a decision is made or more bytes must arrive.
func (c *session) look() {
	for c.phase == readingProxy || c.phase == sniffing {
		if held := c.client.Peeked(); len(held) > 0 {
			if done := c.judge(held); done {
				return
			}
		}
		switch err := c.client.Fill(peekLimit); {
		case err == nil:
		case err == eventloop.ErrAgain:
			return
		case errors.Is(err, io.EOF):
			c.hungUp()
			return
		case err == eventloop.ErrPeekFull:
			c.end(accesslog.Weir, c.malformed())
			return
		default:
			c.end(accesslog.Client, accesslog.ClientAbort)
			return
		}
	}
}

// judge looks at the bytes held. It returns false when more are needed.
func (c *session) judge(held []byte) (done bool) {
	if c.phase == readingProxy {
		return c.readProxy(held)
	}
	kind, err := peek.Classify(held)
	if err != nil && (c.set.table.http != nil || held[0] < ' ') {
		return false // without HTTP, what begins like text is plain whatever it may become
	}
	switch {
	case kind == peek.TLS:
		return c.readHello(held)
	case c.postgres:
		// TLS was promised, and asked for by the client: whoever speaks plainly now is somebody else, or confused.
		c.end(accesslog.Client, accesslog.MalformedPostgres)
		return true
	case kind == peek.PostgresSSL && c.set.table.secure:
		return c.answerPostgres(held, postgresYes)
	case kind == peek.PostgresGSS && c.set.table.secure:
		return c.answerPostgres(held, postgresNo)
	}
	c.toBare() // with requests for encryption too where no route is for TLS: they are the backend's to answer
	return true
}

// malformed is the reason for bytes that are not what the phase wants.
func (c *session) malformed() accesslog.Reason {
	if c.phase == readingProxy {
		return accesslog.MalformedProxy
	}
	return accesslog.MalformedHello
}

// readProxy takes a PROXY header off the front. A trusted peer may do without one unless it is required.
func (c *session) readProxy(held []byte) (done bool) {
	header, n, err := peek.ParseProxy(held)
	switch {
	case errors.Is(err, peek.ErrShort):
		return false
	case errors.Is(err, peek.ErrNotProxy) && !c.set.Proxy.Require:
	case err != nil:
		c.end(accesslog.Client, accesslog.MalformedProxy)
		return true
	default:
		c.client.Consume(n)
		if header.Source.IsValid() {
			c.client.SetRemote(header.Source)
			c.called = header.Destination
		}
	}
	if !c.set.table.sniffs {
		c.toBare()
		return true
	}
	c.phase = sniffing
	if held = c.client.Peeked(); len(held) > 0 {
		return c.judge(held)
	}
	return false
}

// readHello routes by the ClientHello.
func (c *session) readHello(held []byte) (done bool) {
	var err error
	hello := &c.worker.hello
	*hello, err = sni.Parse(held)
	if errors.Is(err, sni.ErrShort) {
		return false
	}
	if err != nil {
		_ = c.client.Write(sni.AlertFor(err).Append(nil)) // a courtesy to a peer that is cut off anyway
		c.end(accesslog.Client, accesslog.MalformedHello)
		return true
	}
	c.name = append(c.name[:0], hello.ServerName...)
	for protocol := range hello.ALPN() {
		c.alpn = append(c.alpn[:0], protocol...)
		break
	}
	c.tls = accesslog.Passthrough
	route, handler := c.set.table.tls(hello, c.source().Addr())
	switch {
	case handler != nil:
		c.serve(handler)
	case route != nil:
		c.follow(route)
	case c.postgres && c.fallsToBare():
	default:
		_ = c.client.Write(sni.AlertUnrecognizedName.Append(nil))
		c.end(accesslog.Weir, accesslog.NoRoute)
	}
	return true
}

// fallsToBare gives a PostgreSQL client whose server name nobody wants to the plain catch-all: its backend is asked the
// SSLRequest again and gets the hello as it came, so that between client and backend nothing is different.
func (c *session) fallsToBare() bool {
	route := c.set.table.bare(c.source().Addr())
	if route == nil {
		return false
	}
	c.follow(route)
	return true
}

// answerPostgres answers a request for encryption and waits for what the client does then: a hello after yes, another
// request or a plain start-up after no.
func (c *session) answerPostgres(held []byte, answer byte) (done bool) {
	if len(held) > peek.PostgresRequestSize || c.answered && answer == postgresNo {
		// Bytes behind the request were sent before the answer: what looks like a hello could have been put there by
		// somebody in between (CVE-2021-23214). And no client asks for GSSAPI again.
		c.end(accesslog.Client, accesslog.MalformedPostgres)
		return true
	}
	c.client.Consume(len(held))
	c.answered, c.postgres = true, answer == postgresYes
	if c.client.Write([]byte{answer}) != nil {
		c.end(accesslog.Client, accesslog.ClientAbort)
		return true
	}
	return false
}

// hungUp deals with a client that closed its side before it was routed. What it has sent may be all it has to say, so
// a plain route gets it; a server that speaks first may still have something to tell.
func (c *session) hungUp() {
	if c.phase == sniffing && !c.answered && c.set.table.bare(c.source().Addr()) != nil {
		c.toBare()
		return
	}
	c.end(accesslog.Client, accesslog.ClientAbort)
}

// silent deals with a client that has not sent enough in time. One that has sent nothing at all may be waiting for the
// server to speak first: it falls to the plain catch-all where there is one.
func (c *session) silent() {
	asked := c.phase == readingProxy && c.set.Proxy.Require || c.answered
	if len(c.client.Peeked()) == 0 && !asked && c.set.table.bare(c.source().Addr()) != nil {
		c.toBare()
		return
	}
	c.end(accesslog.Weir, accesslog.SniffTimeout)
}

// toBare routes a connection without TLS.
func (c *session) toBare() {
	if route := c.set.table.bare(c.source().Addr()); route != nil {
		c.follow(route)
		return
	}
	if h := c.set.table.http; h != nil {
		c.serve(h)
		return
	}
	c.end(accesslog.Weir, accesslog.NoRoute)
}

// follow sends the connection along its route: past the middlewares, through the TLS handshake if the route terminates,
// to the service.
func (c *session) follow(r *Route) {
	c.worker.loop.Disarm(&c.timer)
	now := time.Now()
	c.route, c.routed = r, now.Sub(c.start)
	c.mark = c.routed
	c.serviceShare().opened.Add(1)
	for _, m := range r.Middlewares {
		reason := accesslog.Internal // of one that panics
		c.worker.guard(func() { reason = m.Admit(c.source().Addr(), now) })
		if reason != accesslog.Unknown {
			c.end(accesslog.Weir, reason)
			return
		}
		c.admitted++
	}
	if r.TLS == Terminate {
		c.secure()
		return
	}
	c.pick(now)
}

func (c *session) leaveMiddlewares() {
	if c.route == nil {
		return
	}
	for _, m := range c.route.Middlewares[:c.admitted] {
		if l, ok := m.(Leaver); ok {
			c.worker.guard(func() { l.Leave(c.source().Addr()) })
		}
	}
}

// secure begins the TLS handshake with the client, under a deadline of its own: the decision is made.
func (c *session) secure() {
	c.phase, c.tls, c.routed = securing, accesslog.Terminated, accesslog.NotReached
	c.deadline(c.set.SniffTimeout)
	if err := c.client.StartTLS(c.route.secure, c); err != nil {
		c.end(accesslog.Weir, accesslog.Limit)
	}
}

// Secured goes on after the handshake.
func (c *session) Secured(s *eventloop.Stream, err error) {
	c.worker.loop.Disarm(&c.timer)
	if err != nil {
		c.end(accesslog.Client, accesslog.TLSHandshake)
		return
	}
	if state, ok := s.State(); ok {
		c.version = state.Version
		c.alpn = append(c.alpn[:0], state.NegotiatedProtocol...)
	}
	now := time.Now()
	c.routed = now.Sub(c.start)
	c.pick(now)
}
