package l7

import (
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
)

// send writes the request's head to the link, and as much of the body as is here, in one write.
func (x *Exchange) send() {
	x.phase, x.heard = waiting, false
	x.conn.quiet = 0
	x.link.served++
	x.sentAt, x.firstAt = time.Now(), time.Time{}
	x.req.StripHop()
	x.req.SetHop(hopOf(&x.req))
	x.traced.pass(x.worker, &x.req)
	x.traced.attempt.way = x.link.version()
	if x.copies != 0 && x.template == nil {
		x.template = x.req.AppendRequest(nil)
	}
	if x.adapt() != nil {
		x.fail(500, accesslog.Weir, accesslog.Internal)
		return
	}
	out := x.link.appendRequest(x.worker.scratch(), &x.req)
	out, err := x.firstOfBody(append(out, x.replay.sent...))
	if err != nil {
		x.refuse(err)
		return
	}
	if len(out) > 0 {
		_ = x.link.stream.Write(out) // an error stays with the stream, where upload and listen see it
	}
	x.worker.sent(out)
	x.up.Open(x.conn.stream, &x.link.stream)
	x.await()
	if x.copies != 0 && x.reqBody.Done() {
		x.reflect()
	}
	x.upload()
	if x.phase == waiting {
		x.listen() // a server that answered while it was connected to is not reported again
	}
}

// adapt makes the request one for the server that gets it: with its name as Host where the client's is not passed on, and
// its base path before the path.
func (x *Exchange) adapt() (err error) {
	if x.lb.RewriteHost {
		if (x.failovers.n > 0 || x.outer > 0) && x.host == "" {
			x.host = string(x.req.Host())
		}
		if err := x.req.SetHost(x.lb.host(x.backend)); err != nil {
			return err
		}
	}
	x.based, err = x.worker.rebase(&x.req, x.based, x.lb.BasePaths[x.backend.Addr()])
	return err
}

// rebase puts base before the path, in place of the first bytes of it that are another server's base; the asterisk of
// OPTIONS is no path. It returns how much of the path is base now. The error is head.ErrFull, after very many attempts.
func (w *worker) rebase(h *head.Head, before int, base string) (int, error) {
	target := h.Target()[before:]
	if base == "" && before == 0 || target[0] != '/' {
		return before, nil
	}
	out := append(append(w.scratch(), base...), target...)
	err := h.SetTargetBytes(out)
	w.sent(out)
	if err != nil {
		return before, err
	}
	return len(base), nil
}

// hopOf is what a request says about its next connection: nothing, which keeps it, or that it asks to switch protocols.
func hopOf(h *head.Head) head.Hop {
	if h.Upgrade() != nil {
		return head.HopUpgrade
	}
	return head.HopDefault
}

// firstOfBody appends what has come of the request's body.
func (x *Exchange) firstOfBody(out []byte) ([]byte, error) {
	b := x.conn.stream.Peeked()
	if x.reqBody.Done() || len(b) == 0 {
		return out, nil
	}
	n, err := x.reqBody.Scan(b)
	x.wantsMore = false
	out = append(out, b[:n]...)
	x.keep(b[:n])
	x.conn.stream.Consume(n)
	x.bodyIn += int64(n)
	if err == nil && x.tooLarge() {
		err = errBodyTooLarge
	}
	return out, err
}

var errBodyTooLarge error = head.NewError(413, "long-body", "body is longer than the entrypoint allows")

func (x *Exchange) tooLarge() bool {
	limit := x.conn.set.MaxBody
	return limit > 0 && x.bodyIn > limit || x.mostBody > 0 && x.reqBody.Content() > x.mostBody
}

// upload moves what can be moved of the request's body.
func (x *Exchange) upload() {
	if x.reqBody.Done() || (x.phase < waiting || x.phase > answering) {
		return
	}
	c, dst := x.conn, &x.link.stream
	for budget := turnBudget; !x.reqBody.Done(); {
		switch {
		case dst.Failed() != nil || !dst.HasRoom():
			return // the server may have said why it takes no more: reading finds out
		case budget <= 0:
			dst.Again()
			return
		}
		n, err := x.uploadPiece()
		if n > 0 {
			budget -= n
			x.bodyIn += int64(n)
			c.quiet = 0
			x.wantsMore = false
		}
		switch {
		case err == eventloop.ErrAgain:
			return
		case err != nil && isRefusal(err):
			x.refuse(err)
			return
		case err != nil:
			x.cut(accesslog.Client, accesslog.ClientAbort)
			return
		case x.tooLarge():
			x.refuse(errBodyTooLarge)
			return
		}
	}
	x.await()
	if x.copies != 0 {
		x.reflect()
	}
}
