package l7

import (
	"errors"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
)

// tunnel joins client and backend once they have switched to another protocol.
type tunnel struct {
	eventloop.Relay
	x    *Exchange
	link *link
}

// switchProtocols passes a 101 on and joins the two connections. Nothing behind the request's head was forwarded before
// (a request that asks to switch has no body), so what the client has sent ahead goes only now.
func (x *Exchange) switchProtocols(rest []byte) {
	if x.req.Upgrade() == nil || x.res.Upgrade() == nil {
		x.detail = "unasked-101"
		x.blame()
		x.fail(502, accesslog.Backend, accesslog.BadResponse)
		return
	}
	c, l := x.conn, x.link
	if c.lane != nil && !x.acceptsKey() {
		x.detail = "bad-websocket-accept"
		x.blame()
		x.fail(502, accesslog.Backend, accesslog.BadResponse)
		return
	}
	x.firstAt = time.Now()
	x.origin = 101
	x.judge()
	if x.outcome(101, nil) || !x.respond() {
		return
	}
	x.stick()
	x.capture()
	x.res.StripHop()
	x.agree(rest)

	x.by, x.reason = accesslog.Weir, accesslog.Unknown // of earlier attempts
	x.phase, c.state = switched, tunnelling
	x.tunnel = &tunnel{x: x, link: l}
	x.link = nil
	c.worker.loop.Disarm(&c.timer)
	c.localAddr() // the relay closes the client before the record is written
	x.tunnel.Start(c.stream, &l.stream, c.set.IdleTimeout, x.tunnel)
}

// agree tells the client that it may go on. rest is what the backend has said behind that.
func (x *Exchange) agree(rest []byte) {
	c, s := x.conn, &x.link.stream
	if c.lane != nil {
		x.status = 200
		c.lane.connected(&x.res)
		s.Hold(rest)
		return
	}
	x.status = 101
	x.res.SetHop(head.HopUpgrade)
	out := x.res.AppendResponse(x.worker.scratch())
	s.Hold(rest)
	_ = c.stream.Write(out) // an error stays with the stream, where the relay sees it
	x.worker.sent(out)
}

// lost ends a tunnel whose client has no stream any more. What a client has sent before it left still goes to the backend.
func (t *tunnel) lost(by accesslog.Side, reason accesslog.Reason) {
	x := t.x
	if by == accesslog.Client && reason == accesslog.ClientAbort {
		x.conn.stream.Notify() // reading says so behind that
		return
	}
	x.by, x.reason = by, reason
	t.Stop(eventloop.ErrStopped, true)
}

// Relayed ends the exchange.
func (t *tunnel) Relayed(r *eventloop.Relay, end eventloop.End) {
	x := t.x
	c := x.conn
	if c == nil || x.tunnel != t {
		return
	}
	defer c.rescue()
	in, out := r.Moved()
	x.bodyIn += in
	x.bodyOut += out
	if !errors.Is(end.Err, eventloop.ErrStopped) || x.reason == accesslog.Unknown { // else whoever has stopped it has said why
		x.by, x.reason = whyRelayed(end)
	}
	t.link.give()
	x.release()
	x.close()
	c.stream = nil // the relay has closed it
	c.close()
}

// whyRelayed says for the log how a relay ended.
func whyRelayed(end eventloop.End) (by accesslog.Side, reason accesslog.Reason) {
	by = [...]accesslog.Side{eventloop.Neither: accesslog.Weir, eventloop.SideA: accesslog.Client, eventloop.SideB: accesslog.Backend}[end.By]
	switch {
	case end.Err == nil:
		return by, accesslog.Done
	case errors.Is(end.Err, eventloop.ErrIdle):
		return by, accesslog.IdleTimeout
	case errors.Is(end.Err, eventloop.ErrClosed):
		return by, accesslog.Shutdown
	case end.By == eventloop.SideB:
		return by, accesslog.BackendAbort
	case end.By == eventloop.SideA:
		return by, accesslog.ClientAbort
	}
	return by, accesslog.Internal
}
