package l7

import (
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/l7/http2"
)

const (
	maxInterim  = 16       // responses with 1xx to one request
	maxResponse = 68 << 10 // bytes of a response head with what else is read with it
)

// listen reads the head of the response.
func (x *Exchange) listen() {
	for x.phase == waiting {
		l := x.link
		b, err := l.stream.Receive(maxResponse)
		n, bad := l.response(b, &x.res, x.req.Method())
		if len(b) > 0 || bad == nil {
			x.heard = true
			switch {
			case bad == nil && x.sniffs(b[n:], err):
				if !x.sniffing {
					x.sniffing, x.firstAt = true, time.Now() // it is not the server that keeps the client waiting from here on
					if l.branch != nil {
						x.res.Keep()
					}
					x.worker.loop.Arm(&x.timer, sniffWait, x)
				}
			case bad == nil:
				l.heard()
				x.hear(b, n)
				continue
			case bad != http1.ErrShort:
				x.distrust(bad)
				return
			}
			l.stream.Hold(b)
		}
		switch err {
		case nil:
		case eventloop.ErrAgain:
			return
		case eventloop.ErrPeekFull:
			x.distrust(http1.ErrHeadTooLong)
			return
		default:
			if isRefusal(err) {
				x.distrust(err)
				return
			}
			x.deserted(err)
			return
		}
	}
}

// await bounds the wait for the response from when the server has all that it needs for one.
func (x *Exchange) await() {
	if d := x.lb.Transport.ResponseTimeout; d > 0 && x.phase == waiting && (x.reqBody.Done() || x.wantsMore) {
		x.worker.loop.Arm(&x.timer, d, x)
	}
}

// silent ends an exchange whose response has not come in time.
func (x *Exchange) silent() {
	x.blame()
	x.miss(504, accesslog.Backend, accesslog.ResponseTimeout)
}

// distrust ends an exchange whose response broke HTTP.
func (x *Exchange) distrust(err error) {
	x.blame()
	_, x.detail = head.Refusal(err)
	x.miss(502, accesslog.Backend, accesslog.BadResponse)
}

// deserted deals with a backend that has gone before it answered. An idle connection may have been closed at the moment
// it was used again: then the request goes out once more on a fresh one, if it may be repeated.
//
// A server of HTTP/2 may say that it has not looked at the request. Then it goes out once more whatever it is, and after that
// to another backend.
func (x *Exchange) deserted(err error) {
	now := time.Now()
	l := x.link
	unserved := l.unserved() && x.replayable(math.MaxInt64)
	if !x.heard && !x.replayed && (unserved || x.reused && x.safe()) {
		multiplexed := l.branch != nil
		x.link, x.replayed = nil, true
		l.close()
		x.mark = now
		if multiplexed {
			x.reach()
		} else {
			x.connect()
		}
		return
	}
	x.detail = whyLost(err)
	x.blame()
	if !x.heard && (unserved || x.safe()) {
		x.tryAnother(accesslog.BackendAbort, now)
		return
	}
	x.miss(502, accesslog.Backend, accesslog.BackendAbort)
}

// whyLost is a word for the log, of a closed set, about how a server of HTTP/2 has ended a response; empty for others.
func whyLost(err error) string {
	switch e := err.(type) {
	case *http2.Error:
		return e.Reason
	case resetError:
		return "h2-reset-" + http2.Code(e).Known()
	}
	return ""
}

// declare says in a field how long a response of HTTP/2 is that has ended with its head: HTTP/1 does not know otherwise.
func (x *Exchange) declare() {
	if f := x.res.Framing(); x.res.Version() == head.HTTP2 && f.Kind == head.Length && x.conn.lane == nil && !x.res.Has(head.ContentLength) {
		x.res.SetFraming(f)
	}
}

// hear goes on with a response of which the head is the first n bytes of b. The head refers to b: all that is done with it
// is done here, before anything else is read.
func (x *Exchange) hear(b []byte, n int) {
	x.worker.loop.Disarm(&x.timer)
	x.sniffing = false
	switch status := x.res.Status(); {
	case status == 101:
		x.switchProtocols(b[n:])
	case status < 200:
		x.interim(b[n:])
	case status < 300 && x.conn.connects() && x.req.Upgrade() != nil: // else it is a page in place of an answer
		x.unswitched()
	default:
		x.answer(b[n:])
	}
}

// interim passes a response on that another one follows (RFC 9110 section 15.2). Clients of HTTP/1.0 know none.
func (x *Exchange) interim(rest []byte) {
	if x.interims++; x.interims > maxInterim {
		x.detail = "many-interim"
		x.blame()
		x.fail(502, accesslog.Backend, accesslog.BadResponse)
		return
	}
	x.conn.quiet = 0
	if x.res.Status() == 100 {
		x.wantsMore = false
	}
	if x.req.Version() != head.HTTP10 {
		x.res.StripHop()
		x.res.SetHop(head.HopDefault)
		out := x.conn.appendHead(x.worker.scratch(), &x.res, true)
		_ = x.conn.stream.Write(out) // an error stays with the stream
		x.worker.sent(out)
	}
	x.link.stream.Hold(rest)
	x.await()
}

// answer sends the head of the response to the client, with what has come of the body in the same write.
func (x *Exchange) answer(rest []byte) {
	if x.firstAt.IsZero() {
		x.firstAt = time.Now()
	}
	x.conn.quiet = 0
	x.origin = x.res.Status()
	x.backend.AddFirstByte(x.firstAt.Sub(x.sentAt))
	x.heardCall()
	x.judge()
	x.resBody.Begin(x.res.Framing())
	if x.fallBack(x.effective(), rest) || x.outcome(x.shown(), rest) {
		return
	}
	if x.collects(rest) {
		return
	}
	if !x.finishHead(rest) {
		return
	}
	out := x.conn.appendHead(x.worker.scratch(), &x.res, string(x.req.Method()) == "HEAD")
	out, n, bad := x.appendBody(out, rest)
	x.link.stream.Hold(rest[n:])
	_ = x.conn.stream.Write(out) // an error stays with the stream, where download sees it
	x.worker.sent(out)
	x.phase = answering
	x.down.Open(&x.link.stream, x.conn.stream)
	x.spend()
	if bad != nil {
		x.truncated(bad)
		return
	}
	x.download()
}

// judge counts the response for or against the backend.
func (x *Exchange) judge() {
	if x.rpc.is && x.rpc.status == 0 && x.origin == 200 {
		return // what a call has come to is said at its end
	}
	x.judgeBy(x.effective(), x.firstAt)
}

func (x *Exchange) judgeBy(status int, now time.Time) {
	if x.rpc.late() {
		return // how long a call may take is the client's choice, and says nothing about the server
	}
	if status >= 500 && x.lb.CountErrors {
		x.pool.Failed(x.backend, now)
		return
	}
	x.pool.Succeeded(x.backend, now)
}

// finishHead edits the response's head for this client. rest is what has come of the body. It returns false when the exchange
// is over.
func (x *Exchange) finishHead(rest []byte) bool {
	x.rest, x.ahead = rest, x.sniffed(rest)
	responded := x.respond()
	x.rest, x.ahead = nil, nil
	if !responded {
		return false
	}
	x.noteStatus(&x.res)
	x.declare()
	x.stick()
	x.capture()
	x.conn.last = x.conn.last || x.wantsMore // the body that was announced will not come
	if x.filters.n > 0 {
		x.frameFiltered()
	}
	kind := x.res.Framing().Kind
	if kind == head.Chunked && (x.req.Version() == head.HTTP10 || x.conn.lane != nil) {
		x.unchunked, kind = true, head.UntilClose
		keep := x.res.KeepAlive
		x.res.SetFraming(head.Framing{Kind: head.UntilClose})
		x.res.KeepAlive = keep // that is about the server's connection
	}
	x.res.StripHop()
	x.res.SetHop(x.conn.persist(kind == head.UntilClose, &x.req))
	return true
}

// respond shows the response to the middlewares that have seen the request, last first. It returns false when the exchange
// is over, because one of them has panicked: none of them sees what the client is told then.
func (x *Exchange) respond() bool {
	if x.router == nil {
		return true
	}
	for _, m := range slices.Backward(x.router.Middlewares[:x.next]) {
		if m.Response != nil && !x.worker.guard(func() { m.Response(x) }) {
			x.next = 0
			x.fail(500, accesslog.Weir, accesslog.Internal)
			return false
		}
	}
	return true
}

// persist decides whether the connection outlives the response, and returns what the response says about it.
func (c *conn) persist(untilClose bool, req *head.Head) head.Hop {
	c.last = c.last || untilClose
	switch {
	case c.last:
		return head.HopClose
	case req.Version() == head.HTTP10:
		return head.HopKeepAlive
	}
	return head.HopDefault
}

// appendBody appends what rest has of the response's body, and returns how much of rest that took.
func (x *Exchange) appendBody(out, rest []byte) ([]byte, int, error) {
	if x.filtered {
		return x.appendFiltered(out, rest)
	}
	if !x.unchunked {
		n, err := x.resBody.Scan(rest)
		x.bodyOut += int64(n)
		return append(out, rest[:n]...), n, err
	}
	n := 0
	for n < len(rest) && !x.resBody.Done() {
		m, piece, err := x.resBody.Next(rest[n:])
		switch {
		case piece == http1.Data:
			out = append(out, rest[n:n+m]...)
			x.bodyOut += int64(m)
		case piece == http1.Trailer && x.conn.lane != nil:
			x.conn.lane.trailers = append(x.conn.lane.trailers, rest[n:n+m]...)
		}
		n += m
		if err != nil {
			return out, n, err
		}
	}
	return out, n, nil
}

// download moves what can be moved of the response's body, and finishes when it is complete.
func (x *Exchange) download() {
	c := x.conn
	budget := turnBudget
	if x.filtered {
		budget = filterBudget
	}
	for !x.resBody.Done() {
		switch {
		case c.stream.Failed() != nil:
			x.cut(accesslog.Client, accesslog.ClientAbort)
			return
		case !c.stream.HasRoom():
			return
		case budget <= 0:
			c.stream.Again()
			return
		}
		n, err := x.piece()
		if n > 0 {
			budget -= n
			c.quiet = 0
		}
		switch {
		case x.hold.max > 0 && x.resBody.Content() > x.hold.max:
			x.detail = "long-response"
			x.cut(accesslog.Weir, accesslog.BadResponse)
			return
		case err == eventloop.ErrAgain:
			x.catchUp()
			return
		case err != nil:
			x.truncated(err)
			return
		}
	}
	if c.stream.Failed() != nil {
		x.cut(accesslog.Client, accesslog.ClientAbort)
		return
	}
	x.complete()
}

// complete ends the exchange when the response is on its way as a whole. What a server sends behind it nobody has asked
// for: on a connection that is used again the next client would take it for an answer.
func (x *Exchange) complete() {
	l := x.link
	x.by, x.reason = accesslog.Weir, accesslog.Done
	x.sealCall()
	x.link = nil
	x.up.Close() // a server may answer while the request is still on its way
	x.down.Close()
	extra, ended := l.look()
	if extra {
		x.blame()
		x.detail = "extra-bytes"
	}
	switch {
	case !x.reqBody.Done():
		l.reset() // an end would wait behind what the server does not read
	case x.res.KeepAlive && !extra && !ended && l.reusable():
		x.worker.rest(l, x.firstAt)
	default:
		l.close()
	}
	x.release()
	x.finish()
}

// piece moves one piece of the response's body.
func (x *Exchange) piece() (int, error) {
	if x.filtered {
		return x.filterPiece()
	}
	if !x.unchunked {
		n, err := x.worker.move(&x.down, &x.resBody, x.res.Framing().Kind, &x.link.stream, x.conn.stream)
		x.bodyOut += int64(n)
		return n, err
	}
	b, err := x.link.stream.Receive(bodyRead)
	if len(b) == 0 {
		return 0, ended(&x.resBody, err)
	}
	out, n, bad := x.appendBody(x.worker.scratch(), b)
	_ = x.conn.stream.Write(out)
	x.link.stream.Hold(b[n:])
	x.worker.sent(out)
	return n, bad
}

// truncated ends an exchange whose response broke off. The client can tell that from the framing, or is told by a reset.
func (x *Exchange) truncated(err error) {
	x.blame()
	reason := accesslog.BackendAbort
	x.detail = whyLost(err)
	if isRefusal(err) {
		_, x.detail = head.Refusal(err)
		reason = accesslog.BadResponse
	}
	x.cut(accesslog.Backend, reason)
}
