package l7

import (
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

// beginGathering takes in the request's body before the request goes on, up to limit bytes and one read. It is for Request
// hooks, and leaves x.gathering true where more is to come: then the hook returns Wait.
func (x *Exchange) beginGathering(limit int64) {
	if x.wantsMore {
		x.wantsMore = false
		x.req.Discard(head.Expect) // it is weir that has asked
		if x.req.Version() != head.HTTP10 && len(x.conn.stream.Peeked()) == 0 {
			x.goOn()
		}
	}
	x.replay.limit = limit
	x.gathering = true
	x.gather()
}

// goOn tells a client to send the body that it holds back until then.
func (x *Exchange) goOn() {
	h := &x.res
	h.Reset()
	_ = h.SetStatus(100, "Continue") // both are good
	h.SetFraming(head.Framing{})
	out := x.conn.appendHead(x.worker.scratch(), h, true)
	_ = x.conn.stream.Write(out) // an error stays with the stream
	x.worker.sent(out)
	h.Reset()
}

// gather takes in what has come of the body. Where that is all, or too much to be held, gathering is over.
func (x *Exchange) gather() {
	c, r := x.conn, &x.replay
	for budget := turnBudget; !x.reqBody.Done(); {
		if budget <= 0 {
			c.stream.Again()
			return
		}
		b, err := c.stream.Receive(bodyRead)
		if len(b) > 0 {
			n, bad := x.reqBody.Scan(b)
			r.sent = append(r.sent, b[:n]...)
			x.worker.kept += n
			c.stream.Hold(b[n:])
			budget -= n
			x.bodyIn += int64(n)
			c.quiet = 0
			switch {
			case bad != nil:
				x.gathering = false
				x.refuse(bad)
				return
			case x.tooLarge():
				x.gathering = false
				x.refuse(errBodyTooLarge)
				return
			case int64(len(r.sent)) > r.limit, x.worker.kept > maxKept:
				x.gathering = false // the rest is passed on as it comes
				return
			}
			continue
		}
		if err = ended(&x.reqBody, err); err == eventloop.ErrAgain {
			return
		}
		if err != nil {
			x.gathering = false
			x.cut(accesslog.Client, accesslog.ClientAbort)
			return
		}
	}
	x.gathering = false
	x.unchunk()
}

// unchunk gives a body that is here as a whole a length, which every server understands, unless it has trailers.
func (x *Exchange) unchunk() {
	r := &x.replay
	if x.req.Framing().Kind != head.Chunked || x.req.Has(head.Trailer) {
		return
	}
	var body http1.Body
	body.Begin(head.Framing{Kind: head.Chunked})
	size := 0
	for rest := r.sent; len(rest) > 0; {
		n, piece, err := body.Next(rest)
		if err != nil || n == 0 {
			return // it was good before
		}
		if piece == http1.Data {
			size += copy(r.sent[size:], rest[:n])
		}
		rest = rest[n:]
	}
	x.worker.kept -= len(r.sent) - size
	r.sent = r.sent[:size]
	x.req.SetFraming(head.Framing{Kind: head.Length, Length: int64(size)})
}

// gathered goes on with the request when more of its body is here.
func (x *Exchange) gathered() {
	x.gather()
	if x.phase == routing && !x.gathering {
		x.suspended = false
		x.run()
	}
}
