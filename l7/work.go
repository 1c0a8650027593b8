package l7

import (
	"errors"
	"fmt"

	"github.com/weirlb/weir/internal/accesslog"
)

// ErrBusy is returned by Exchange.Go when as many exchanges wait for their work as may.
var ErrBusy = errors.New("too much blocking work at once")

// maxWaiting is how much work may wait for a goroutine, for each loop.
const maxWaiting = 1024

// Go runs work, which may block, on a goroutine of a bounded number, and then on the exchange's loop, which goes on
// meanwhile. work must not touch the exchange. then is not called when the exchange has ended while work ran; it calls
// Continue or Answer. It is for a middleware's Request hook, which returns Wait after it. The error is ErrBusy.
func (x *Exchange) Go(work, then func()) error {
	s, loop, gen := x.worker.server, x.worker.loop, x.gen
	if s.waiting.Add(1) > int64(maxWaiting*len(s.workers)) {
		s.waiting.Add(-1)
		return ErrBusy
	}
	go func() {
		s.blocking <- struct{}{}
		err := protect(work)
		<-s.blocking
		s.waiting.Add(-1)
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
