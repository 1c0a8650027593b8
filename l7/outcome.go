package l7

import (
	"slices"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// outcome shows the status of a response to the middlewares that the request has passed, last first, and reports whether one
// of them has led the request on. rest is what has come of the response's body. A middleware that gives the answer itself
// is not asked about it.
func (x *Exchange) outcome(status int, rest []byte) bool {
	if x.router == nil || x.status != 0 {
		return false
	}
	x.rest = rest
	for i, m := range slices.Backward(x.router.Middlewares[:x.outer]) {
		if m.Outcome == nil {
			continue
		}
		x.outer = i // it is asked once, unless the request goes to the service anew
		led := false
		switch back := x.worker.guard(func() { led = m.Outcome(x, status) }); {
		case !back:
			x.next, x.outer = 0, 0
			x.fail(500, accesslog.Weir, accesslog.Internal)
			return true
		case led:
			return true
		}
	}
	x.rest = nil
	return false
}

// attempted is when the request, as far as it is at hand, began: routed first, or sent to the service anew.
func (x *Exchange) attempted() time.Time {
	if !x.tryBegan.IsZero() {
		return x.tryBegan
	}
	return x.began.Add(max(x.routed, 0))
}

// latency is how long the head of the response, or weir's own answer, was on its way. That the head may wait here for the
// first of its body is not counted.
func (x *Exchange) latency(now time.Time) time.Duration {
	if x.origin != 0 {
		now = x.firstAt
	}
	return now.Sub(x.attempted())
}

// again drops the response that has the status and sends the request to the service anew, after a while. It is for Outcome.
func (x *Exchange) again(status int, wait time.Duration) {
	now := x.drop(status)
	x.outer = x.next
	x.attempts++
	x.tryBegan = now
	if wait <= 0 {
		x.restart()
		return
	}
	x.phase = pausing
	x.worker.loop.Arm(&x.timer, wait, x)
}

// drop parts with the response and with who gave it.
func (x *Exchange) drop(status int) (now time.Time) {
	now = time.Now()
	if x.service != nil {
		x.countAttempt(status, now.Sub(x.attempted()))
	}
	x.leave(x.rest)
	x.rest = nil
	x.forget()
	x.conn.quiet = 0
	return now
}

// restart has the service choose anew where the request goes.
func (x *Exchange) restart() {
	c := x.ask(x.router.Service)
	x.follow(c)
	if c.offer == nothing {
		x.fail(503, accesslog.Weir, accesslog.NoBackend)
		return
	}
	x.pick(time.Now())
}
