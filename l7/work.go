package l7

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/weirlb/weir/internal/accesslog"
)

// ErrBusy is returned by Exchange.Go when as many exchanges wait for their work as may.
var ErrBusy = errors.New("too much blocking work at once")

// maxWaiting is how much work may wait for a goroutine, for each loop.
const maxWaiting = 1024

// Go runs work, which may block, on a goroutine of a bounded number, and then on the exchange's loop, which goes on
// meanwhile. work must not touch the exchange. then is not called when the exchange has ended while work ran; it calls
// Continue or Answer. It is for a middleware's Request hook, which returns Wait after it. The error is ErrBusy.
func (x *Exchange) Go(work, then func()) error { return x.goAmong(&x.worker.server.hands, work, then) }

// hands are goroutines of a bounded number, and what waits for them. Work that waits for somebody else has hands of its
// own, so that whoever is slow holds nobody up but those who wait for him anyway.
type hands struct {
	blocking chan struct{} // holds a token for each goroutine
	waiting  atomic.Int64  // those that wait for one, too
	most     int64         // of them
}

// init makes them n, and most those that may have work or wait for it.
func (h *hands) init(n, most int) { h.blocking, h.most = make(chan struct{}, n), int64(most) }

func (x *Exchange) goAmong(h *hands, work, then func()) error {
	loop, gen := x.worker.loop, x.gen
	if h.waiting.Add(1) > h.most {
		h.waiting.Add(-1)
		return ErrBusy
	}
	go func() {
		h.blocking <- struct{}{}
		err := protect(work)
		<-h.blocking
		h.waiting.Add(-1)
		_ = loop.Post(func() { x.resume(gen, err, then) }) // fails only when the loop is gone, and the exchange with it
	}()
	return nil
}

// protect turns a panic of work into an error: it must cost one request, not the program.
func protect(work func()) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	work()
	return nil
}

func (x *Exchange) resume(gen uint32, err error, then func()) {
	if x.gen != gen || x.phase != routing || !x.suspended {
		return
	}
	defer x.conn.rescue()
	x.suspended = false
	x.conn.quiet = 0
	if err != nil {
		x.worker.panicked(err)
		x.fail(500, accesslog.Weir, accesslog.Internal)
		return
	}
	if x.worker.guard(then) {
		return
	}
	if x.phase != routing {
		x.conn.broken()
		return
	}
	x.fail(500, accesslog.Weir, accesslog.Internal)
}

// Continue goes on with the middlewares behind the one that has waited. It is for the function that Go calls in the end,
// and does nothing when the request has gone on already.
func (x *Exchange) Continue() {
	if x.phase == routing && !x.suspended {
		x.run()
	}
}
