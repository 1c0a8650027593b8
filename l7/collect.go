package l7

import (
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

// collection is what is held of a response.
type collection struct {
	bytes []byte
	body  http1.Body // how far they reach
}

// collects begins to hold the response, of whose body rest is here, if that is wanted and it is not too long. It reports
// whether it does, or has ended the exchange because the response may not be so long.
func (x *Exchange) collects(rest []byte) bool {
	f := x.res.Framing()
	switch {
	case x.hold == (held{}) || !f.HasBody() || string(x.req.Method()) == "HEAD":
		return false
	case x.hold.max > 0 && f.Length > x.hold.max:
		x.tooLong()
		return true
	case x.hold.mem == 0 || f.Length > x.hold.mem || begins(x.res.Value(head.ContentType), "text/event-stream"):
		return false
	}
	x.res.Keep()
	x.phase = collecting
	x.collected.body = x.resBody
	if n, over := x.take(rest); !over {
		x.link.stream.Hold(rest[n:])
		x.collect()
	}
	return true
}

// take adds what is here to what is held, and reports whether the exchange has gone on, or is over, by that.
func (x *Exchange) take(b []byte) (n int, over bool) {
	c := &x.collected
	n, err := c.body.Scan(b)
	c.bytes = append(c.bytes, b[:n]...)
	x.worker.kept += n
	switch {
	case err != nil:
		x.blame()
		_, x.detail = head.Refusal(err)
		x.fail(502, accesslog.Backend, accesslog.BadResponse)
		return n, true
	case x.hold.max > 0 && c.body.Content() > x.hold.max:
		x.tooLong()
		return n, true
	}
	return n, false
}

// collect takes in what has come of the response, and passes it on when it is here, or too much to be held.
func (x *Exchange) collect() {
	c := &x.collected
	for budget := turnBudget; !c.body.Done(); {
		l := x.link
		switch {
		case int64(len(c.bytes)) > x.hold.mem, x.worker.kept > maxKept:
			x.passOn()
			return
		case budget <= 0:
			l.stream.Again()
			return
		}
		b, err := l.stream.Receive(bodyRead)
		if len(b) > 0 {
			n, over := x.take(b)
			if over {
				return
			}
			l.stream.Hold(b[n:])
			budget -= n
			x.conn.quiet = 0
			continue
		}
		if err = ended(&c.body, err); err == eventloop.ErrAgain {
			return
		}
		if err != nil {
			x.blame()
			x.fail(502, accesslog.Backend, accesslog.BackendAbort)
			return
		}
	}
	x.passOn()
}

// passOn gives the client what is held, and what still comes as it comes.
func (x *Exchange) passOn() {
	c := x.collected
	x.collected = collection{}
	x.worker.kept -= len(c.bytes)
	if !x.finishHead(c.bytes) {
		return
	}
	out := x.conn.appendHead(x.worker.scratch(), &x.res, string(x.req.Method()) == "HEAD")
	out, _, _ = x.appendBody(out, c.bytes) // all of it is the body's, and good
	if c.body.Done() && !x.resBody.Done() {
		_ = x.resBody.End() // the connection's end was the body's
		if x.filtered {
			out = x.seal(out)
		}
	}
	_ = x.conn.stream.Write(out) // an error stays with the stream, where download sees it
	x.worker.sent(out)
	x.phase = answering
	x.spend()
	x.down.Open(&x.link.stream, x.conn.stream)
	x.download()
}

// tooLong ends an exchange whose response is longer than it may be.
func (x *Exchange) tooLong() {
	x.detail = "long-response"
	x.fail(500, accesslog.Weir, accesslog.BadResponse)
}

// dropCollected holds nothing any more.
func (x *Exchange) dropCollected() {
	x.worker.kept -= len(x.collected.bytes)
	x.collected = collection{}
}
