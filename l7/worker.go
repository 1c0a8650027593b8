package l7

import (
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/internal/trace"
	"github.com/weirlb/weir/l7/http2"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/upstream"
)

const (
	logFlush    = 100 * time.Millisecond // how long a record may wait before it is handed to the writer
	sweepEvery  = time.Second            // how often idle links are looked through
	surplusRest = time.Second / 2        // how long links above their number rest at least
	objectsKept = 1024                   // finished connections, exchanges and links kept for the next ones, each
	scratchKept = 128 << 10              // a larger scratch goes to the garbage collector
)

// worker is one loop's share of the server. Only that loop touches it.
type worker struct {
	server  *Server
	loop    *eventloop.Loop
	log     *accesslog.Buffer
	line    accesslog.Record // of the exchange that is ending just now
	spans   *span.Buffer
	names   trace.Names
	request route.Request // what rules see of the request that is routed just now
	fields  fields        // its headers
	word    []byte        // where a short value is put together; here, so that it is not allocated
	out     []byte        // where heads are put together, with the first of the body, to leave in one write

	encoders encoders
	outputs  [maxNests][]byte // what comes out of filters, one after the other

	first     *conn // the open connections, newest first
	conns     []*conn
	exchanges []*Exchange
	links     []*link
	branches  []*branch
	sessions  *session // the open ones, newest first
	lanes     []*lane
	outs      [][]byte // buffers in which sessions put frames together
	texts     http2.Texts
	places    map[*upstream.Backend]*place
	resting   int           // idle links
	copies    []*mirrorCall // on their way
	copied    int           // bytes of their bodies
	kept      int           // bytes of requests that may be sent again
	linger    time.Duration // lingerTime, but for tests
	sweeper   eventloop.Timer
	flusher   eventloop.Timer
}

func newWorker(s *Server, loop *eventloop.Loop) *worker {
	w := &worker{server: s, loop: loop, log: s.options.AccessLog.NewBuffer(), places: make(map[*upstream.Backend]*place), linger: lingerTime}
	w.request.Headers = &w.fields
	w.spans = s.options.Spans.NewBuffer()
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // it never fails
	w.names = trace.NewNames(seed)
	return w
}

// forEach does something to every open connection.
func (w *worker) forEach(do func(*conn)) {
	for c := w.first; c != nil; {
		next := c.next // do may end c, which unlinks it
		do(c)
		c.settle()
		c = next
	}
}

// scratch is the empty buffer in which a write is put together. sent gives it back, grown or not.
func (w *worker) scratch() []byte { return w.out[:0] }

func (w *worker) sent(out []byte) {
	if cap(out) <= scratchKept {
		w.out = out
	}
}

func pop[T any](list *[]*T) *T {
	if n := len(*list); n > 0 {
		v := (*list)[n-1]
		*list = (*list)[:n-1]
		return v
	}
	return new(T)
}

func push[T any](list *[]*T, v *T) {
	if len(*list) < objectsKept {
		*list = append(*list, v)
	}
}

// guard calls what is not this package's own code, a middleware, and reports whether it came back.
func (w *worker) guard(call func()) (back bool) {
	defer func() {
		if cause := recover(); cause != nil {
			w.panicked(cause)
		}
	}()
	call()
	return true
}

func (w *worker) panicked(cause any) {
	w.server.panics.Add(1)
	w.server.options.Log.Error("request handler panicked; its connection is closed",
		"loop", w.loop.ID(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// record writes one line and sees to it that it leaves the loop soon.
func (w *worker) record(r *accesslog.Record) {
	w.log.Append(r)
	w.flushSoon()
}

// flushSoon sees to it that records and spans leave the loop soon.
func (w *worker) flushSoon() {
	if !w.flusher.Armed() {
		w.loop.Arm(&w.flusher, logFlush, w)
	}
}

// flush hands records and spans over, and reports whether none are left.
func (w *worker) flush() (done bool) {
	logged, told := w.log.Flush(), w.spans.Flush()
	return logged && told
}

// Expired hands records and spans over, or closes the links that have rested for too long.
func (w *worker) Expired(t *eventloop.Timer) {
	if t == &w.sweeper {
		w.sweep(time.Now())
		return
	}
	if !w.flush() {
		w.loop.Arm(&w.flusher, logFlush, w)
	}
}
