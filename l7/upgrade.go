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
	x.firstAt = time.Now()
	x.origin = 101
	x.judge()
	if x.outcome(101, nil) || !x.respond() {
		return
	}
	x.status = 101
	x.stick()
	x.capture()
	x.res.StripHop()
	x.res.SetHop(head.HopUpgrade)
	out := x.res.AppendResponse(x.worker.scratch())
	l.stream.Hold(rest)
	_ = c.stream.Write(out) // an error stays with the stream, where the relay sees it
	x.worker.sent(out)

	x.phase, c.state = switched, tunnelling
	x.tunnel = &tunnel{x: x, link: l}
	x.link = nil
	c.worker.loop.Disarm(&c.timer)
	c.localAddr() // the relay closes the client before the record is written
	x.tunnel.Start(c.stream, &l.stream, c.set.IdleTimeout, x.tunnel)
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
	x.by = [...]accesslog.Side{eventloop.Neither: accesslog.Weir, eventloop.SideA: accesslog.Client, eventloop.SideB: accesslog.Backend}[end.By]
	switch {
	case end.Err == nil:
		x.reason = accesslog.Done
	case errors.Is(end.Err, eventloop.ErrIdle):
		x.reason = accesslog.IdleTimeout
	case errors.Is(end.Err, eventloop.ErrStopped) && x.reason != accesslog.Unknown:
	case errors.Is(end.Err, eventloop.ErrClosed):
		x.reason = accesslog.Shutdown
	case end.By == eventloop.SideB:
		x.reason = accesslog.BackendAbort
	case end.By == eventloop.SideA:
		x.reason = accesslog.ClientAbort
	default:
		x.reason = accesslog.Internal
	}
	t.link.give()
	x.release()
	x.close()
	c.stream = nil // the relay has closed it
	c.close()
}
