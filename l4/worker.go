package l4

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/sni"
)

const (
	logFlush     = 100 * time.Millisecond // how long a record may wait before it is handed to the writer
	sessionsKept = 1024                   // finished sessions, and legs, kept for the next connections; more go to the garbage collector
)

// worker is one loop's share of the server. Only that loop touches it.
type worker struct {
	server *Server
	loop   *eventloop.Loop
	log    *accesslog.Buffer
	panics atomic.Int64     // calls of middlewares and handlers that panicked; anybody reads
	hello  sni.Hello        // of the connection looked at just now; this and line are here, so that they are not allocated
	line   accesslog.Record // of the session that is ending just now

	first *session     // the open ones, newest first
	free  []*session   // finished ones
	legs  []*leg       // of finished ones
	taken atomic.Int64 // legs of the open ones; anybody reads
	flush eventloop.Timer

	batcher  *eventloop.Batcher // of all UDP sockets; nil until there is one
	doors    []*udpDoor         // of UDP entrypoints, the closing ones too
	wires    []*flowWire        // for new flows
	greeting []byte             // scratch: a PROXY header and the datagram behind it
}

// take gives a blank session and links it among the open ones.
func (w *worker) take() *session {
	var c *session
	if n := len(w.free); n > 0 {
		c = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		c = new(session)
	}
	c.worker = w
	c.next = w.first
	if w.first != nil {
		w.first.prev = c
	}
	w.first = c
	return c
}

// give takes a finished session back.
func (w *worker) give(c *session) {
	if c.prev == nil {
		w.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.leg != nil {
		w.giveLeg(c.leg)
	}
	c.reset()
	if len(w.free) < sessionsKept {
		w.free = append(w.free, c)
	}
}

// guard calls what is not this package's own code, a middleware or a handler, and reports whether it came back. A panic
// must cost one connection, with everything that connection counts for given back, whatever the loop was at: a timer or
// a round through all sessions has no stream by which the loop itself could close the right one.
func (w *worker) guard(call func()) (back bool) {
	defer func() {
		if cause := recover(); cause != nil {
			w.panics.Add(1)
			w.server.options.Log.Error("middleware or handler panicked; the connection is closed",
				"loop", w.loop.ID(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	call()
	return true
}

// record writes one line and sees to it that it leaves the loop soon.
func (w *worker) record(r *accesslog.Record) {
	w.log.Append(r)
	if !w.flush.Armed() {
		w.loop.Arm(&w.flush, logFlush, w)
	}
}

// Expired hands the lines over; when the writer lags behind they are tried again.
func (w *worker) Expired(*eventloop.Timer) {
	if !w.log.Flush() {
		w.loop.Arm(&w.flush, logFlush, w)
	}
}
