package l7

import (
	"net/http"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// fail ends the exchange without the backend's answer: the client gets a short one with the status, or is cut off where a
// response has begun.
func (x *Exchange) fail(status int, by accesslog.Side, reason accesslog.Reason) {
	if x.phase == over {
		return
	}
	if x.status != 0 {
		x.cut(by, reason)
		return
	}
	x.by, x.reason = by, reason
	x.detach()
	x.reply(status, nil)
}

// refuse ends a request that broke HTTP.
func (x *Exchange) refuse(err error) {
	status, detail := head.Refusal(err)
	x.detail = detail
	reason := accesslog.BadRequest
	if status == 413 {
		reason = accesslog.BodyTooLarge
	}
	x.fail(status, accesslog.Client, reason)
}

// Answer gives the client weir's own response. edit may change its head and may be nil; body is copied. It is for
// middlewares, before the request is sent on.
func (x *Exchange) Answer(status int, edit func(*head.Head), body string) {
	x.answerFor(accesslog.Answered, status, edit, body)
}

// Deny is Answer for a request that may not pass. The access log says "denied", with word to say why; word is one of a small
// set, such as "no-key", and nothing that a client sends.
func (x *Exchange) Deny(word string, status int, edit func(*head.Head), body string) {
	if x.phase == routing {
		x.detail = word
		x.answerFor(accesslog.Denied, status, edit, body)
	}
}

// answerFor is Answer with a reason for the log.
func (x *Exchange) answerFor(reason accesslog.Reason, status int, edit func(*head.Head), body string) {
	if x.phase != routing {
		return
	}
	x.by, x.reason = accesslog.Weir, reason
	x.write(status, edit, body)
}

// Reject is Answer with a reason for the log, and with the status in words for a body.
func (x *Exchange) Reject(status int, reason accesslog.Reason) { x.RejectWith(status, reason, nil) }

// RejectWith is Reject with an edit of the answer's head.
func (x *Exchange) RejectWith(status int, reason accesslog.Reason, edit func(*head.Head)) {
	if x.phase != routing {
		return
	}
	x.by, x.reason = accesslog.Weir, reason
	x.reply(status, edit)
}

// reply says the status in words.
func (x *Exchange) reply(status int, edit func(*head.Head)) {
	x.write(status, func(h *head.Head) {
		_ = h.Set("Content-Type", "text/plain; charset=utf-8") // name and value are good
		if edit != nil {
			edit(h)
		}
	}, http.StatusText(status)+"\n")
}

// write puts a response together and sends it.
func (x *Exchange) write(status int, edit func(*head.Head), body string) {
	h := &x.res
	h.Reset()
	_ = h.SetStatus(status, http.StatusText(status)) // both are good
	if edit != nil {
		edit(h)
	}
	if x.by != accesslog.Client && x.outcome(status, nil) {
		return
	}
	x.replied = true
	x.swallow()
	framing := head.Framing{Kind: head.Length, Length: int64(len(body))}
	if status == 204 || status == 304 { // they have no body, whatever else is said (RFC 9112 section 6.3)
		framing, body = head.Framing{}, ""
	}
	h.SetFraming(framing)
	if x.rpc.is && status != 200 {
		body = ""
		x.excuse(h, status)
	}
	if !x.respond() {
		return
	}
	x.noteStatus(h)
	x.capture()
	c := x.conn
	c.last = c.last || !x.reqBody.Done() // said to the client, which finish could not
	h.SetHop(c.persist(false, &x.req))
	bodiless := string(x.req.Method()) == "HEAD"
	out := c.appendHead(x.worker.scratch(), h, bodiless)
	if !bodiless {
		out = append(out, body...)
		x.bodyOut = int64(len(body))
	}
	_ = c.stream.Write(out) // an error stays with the stream
	x.worker.sent(out)
	x.finish()
}

// swallow takes in what has come of the body of a request that nobody wants, so that its connection can live on if that
// is all of it.
func (x *Exchange) swallow() {
	b := x.conn.stream.Peeked()
	if len(b) == 0 || x.reqBody.Done() {
		return
	}
	n, _ := x.reqBody.Scan(b) // what is wrong with it does not matter: then it is not done
	x.conn.stream.Consume(n)
	x.bodyIn += int64(n)
}
