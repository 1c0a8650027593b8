package l7

import (
	"bytes"
	"errors"

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

// errLongBody and errFullLoop are why takeIn cannot take a body in.
var (
	errLongBody = errors.New("the body is longer than is held of it")
	errFullLoop = errors.New("the loop holds as much as it may")
)

// takeIn takes in the whole of the request's body, if its content is no longer than limit. It is for Request hooks, which
// return what it returns unless that is Next or an error. After Wait they are called again.
func (x *Exchange) takeIn(limit int64) (Action, error) {
	room := limit
	if x.req.Framing().Kind == head.Chunked {
		room = 2*limit + http1.MaxChunkExcess // with chunks of some bytes each
	}
	for !x.reqBody.Done() {
		switch {
		case x.req.Framing().Length > limit, int64(len(x.replay.sent)) > room:
			return Answered, errLongBody
		case x.worker.kept > maxKept:
			return Answered, errFullLoop
		}
		x.beginGathering(room)
		switch {
		case x.phase != routing:
			return Answered, nil
		case x.gathering:
			x.next-- // its turn comes again
			return Wait, nil
		}
	}
	if x.reqBody.Content() > limit {
		return Answered, errLongBody
	}
	return Next, nil
}

// taken is the content of a body that was taken in. Nobody may write to it.
func (x *Exchange) taken() []byte {
	if x.req.Framing().Kind != head.Chunked {
		return x.replay.sent
	}
	return unchunked(bytes.Clone(x.replay.sent))
}

// replaceBody puts another content in the place of a body that was taken in.
func (x *Exchange) replaceBody(content []byte) {
	x.worker.kept += len(content) - len(x.replay.sent)
	x.replay.sent = content
	x.req.Discard(head.Trailer)
	x.req.SetFraming(head.Framing{Kind: head.Length, Length: int64(len(content))})
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
	if x.req.Framing().Kind == head.Chunked && !x.req.Has(head.Trailer) {
		x.replaceBody(unchunked(x.replay.sent))
	}
}

// unchunked moves the content of a body in chunks, which were found good, to its front.
func unchunked(b []byte) []byte {
	var body http1.Body
	body.Begin(head.Framing{Kind: head.Chunked})
	size := 0
	for rest := b; len(rest) > 0; {
		n, piece, err := body.Next(rest)
		if err != nil || n == 0 {
			break
		}
		if piece == http1.Data {
			size += copy(b[size:], rest[:n])
		}
		rest = rest[n:]
	}
	return b[:size]
}

// gathered goes on with the request when more of its body is here.
func (x *Exchange) gathered() {
	x.gather()
	if x.phase == routing && !x.gathering {
		x.suspended = false
		x.run()
	}
}
