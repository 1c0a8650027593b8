package l7

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/upstream"
)

// maxBlocking bounds the goroutines that work for exchanges at one time, for each loop.
const maxBlocking = 64

// Options are what a Server holds for its whole life.
type Options struct {
	Loops     []*eventloop.Loop // those whose connections it will be handed
	Hostname  string            // what X-Forwarded-Server says; empty = the field is left out
	AccessLog *accesslog.Writer // nil = no access log
	Spans     *span.Queue       // where spans go; nil = nowhere
	MaxLinks  int               // connections to servers at one time, idle ones included; 0 = no limit
	Others    func() int64      // connections that count towards MaxLinks and are not HTTP's; nil = there are none. Any loop calls it
	Log       *slog.Logger
}

// maxLinks is how many connections to servers there may be now: what others leave, and a quarter in any case.
func (o *Options) maxLinks() int64 {
	if o.MaxLinks == 0 {
		return math.MaxInt64
	}
	most := int64(o.MaxLinks)
	if o.Others == nil {
		return most
	}
	return max(most-o.Others(), most/4, 1)
}

// Server is the HTTP side of a running weir: what is open on its loops.
type Server struct {
	options  Options
	workers  []*worker
	hands    // for Exchange.Go
	panics   atomic.Int64
	links    atomic.Int64 // to servers
	draining atomic.Bool
	tracing  atomic.Pointer[Tracing] // nil = requests are not traced; writer: the owner of the topology
	places   sync.Map                // *upstream.Backend to its *Counters; loops write when a backend is first used
}

// NewServer returns a server for the loops. It starts nothing: connections bring it to life.
func NewServer(o Options) *Server {
	if o.Spans == nil {
		o.Spans = span.NewQueue()
	}
	s := &Server{options: o}
	s.hands.init(maxBlocking*len(o.Loops), maxWaiting*len(o.Loops))
	for _, loop := range o.Loops {
		w := newWorker(s, loop)
		s.workers = append(s.workers, w)
		_ = loop.Post(func() { loop.SetShed(w.makeRoom) }) // fails only when the loop has ended
	}
	return s
}

// NewCounters returns counters for a router, to be given to each of its lives.
func (s *Server) NewCounters() *Counters { return newCounters(len(s.workers)) }

// Panics is the number of requests that ended because of a bug in weir or in a middleware. Safe from any goroutine.
func (s *Server) Panics() int64 { return s.panics.Load() }

// Drain closes connections that are between requests and lets all others end with the request they are at. It is for a
// graceful stop and cannot be taken back. Safe from any goroutine, but not to be called on a loop.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.each(func(w *worker) {
		w.forEach((*conn).retire)
		w.forEachSession(func(s *session) { s.retire(leavesStop) })
		w.stopMirrors(func(*mirrorCall) bool { return true }) // nobody waits for their responses
		w.closeIdle(func(*link) bool { return true })
		for _, p := range w.places {
			p.closeIdleTrunks()
		}
	})
}

// CloseBackend ends the requests that a backend is answering, and its idle connections. reason is BackendDown or Drain.
func (s *Server) CloseBackend(b *upstream.Backend, reason accesslog.Reason) {
	s.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if x := c.x; x != nil && x.backend == b {
				x.lose(reason)
			}
		})
		w.stopMirrors(func(m *mirrorCall) bool { return m.backend == b })
		w.forget(b)
	})
	s.places.Delete(b)
}

// Idle is the number of idle connections to a backend. Safe from any goroutine.
func (s *Server) Idle(b *upstream.Backend) int64 {
	if c, ok := s.places.Load(b); ok {
		return c.(*Counters).Stats().Idle
	}
	return 0
}

// BackendStats are the numbers of a backend. Safe from any goroutine.
func (s *Server) BackendStats(b *upstream.Backend) Stats {
	if c, ok := s.places.Load(b); ok {
		return c.(*Counters).Stats()
	}
	return Stats{}
}

// counters finds or makes the counters of a backend.
func (s *Server) counters(b *upstream.Backend) *Counters {
	if c, ok := s.places.Load(b); ok {
		return c.(*Counters)
	}
	c, _ := s.places.LoadOrStore(b, s.NewCounters())
	return c.(*Counters)
}

// each runs do on every loop, one after the other, and waits.
func (s *Server) each(do func(*worker)) {
	for _, w := range s.workers {
		_ = w.loop.Call(func() { do(w) }) // fails only when the loop has ended, and all on it with it
	}
}

// Flush hands what is left of the access log and of the spans to those who write them, who are given some time to take it.
func (s *Server) Flush(patience time.Duration) {
	for deadline := time.Now().Add(patience); ; time.Sleep(logFlush / 10) {
		left := false
		s.each(func(w *worker) { left = !w.flush() || left })
		if !left || time.Now().After(deadline) {
			return
		}
	}
}
