package l4

import (
	"cmp"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// Options size a Server. They hold for its whole life.
type Options struct {
	Loops          int               // event loops, at least 1
	MaxConnections int               // open client connections in all; 0 = no limit
	MaxFlows       int               // UDP flows with a socket of their own in all; 0 = no limit
	AccessLog      *accesslog.Writer // nil = no access log
	Log            *slog.Logger
}

// Server is the TCP and UDP side of a running weir: its loops, and what is open on them.
type Server struct {
	options Options
	workers []*worker
	active  atomic.Int64  // open client connections; loops write
	flows   *flow.Budget  // UDP flows, all entrypoints together
	own     *ownAddresses // nil while there was no UDP entrypoint
	ending  func()        // ends what is neither a loop nor on one

	// The owner of the topology's.
	ports, udpPorts map[uint16]int // bound by this server, how often
	lingering       []*UDPEntrypoint
	running         sync.WaitGroup
}

// NewServer opens the loops and runs them. The caller must Close it.
func NewServer(o Options) (*Server, error) {
	s := &Server{
		options: o, ending: func() {}, flows: flow.NewBudget(cmp.Or(o.MaxFlows, math.MaxInt)),
		ports: make(map[uint16]int), udpPorts: make(map[uint16]int),
	}
	gate := eventloop.NewGate(o.Loops)
	for i := range max(o.Loops, 1) {
		loop, err := eventloop.New(i, gate, o.Log)
		if err != nil {
			s.Close()
			return nil, err
		}
		w := &worker{server: s, loop: loop, log: o.AccessLog.NewBuffer()}
		s.workers = append(s.workers, w)
		s.running.Go(func() {
			if err := loop.Run(); err != nil {
				o.Log.Error("event loop ended", "loop", i, "error", err)
			}
		})
	}
	return s, nil
}

// Loops is the number of event loops.
func (s *Server) Loops() int { return len(s.workers) }

// EventLoops are the loops by number. What handlers hold lives on them.
func (s *Server) EventLoops() []*eventloop.Loop {
	loops := make([]*eventloop.Loop, len(s.workers))
	for i, w := range s.workers {
		loops[i] = w.loop
	}
	return loops
}

// Active is the number of open client connections.
func (s *Server) Active() int64 { return s.active.Load() }

// Relayed is the number of client connections that have a backend of a TCP service, or are on the way to one.
func (s *Server) Relayed() int64 {
	var n int64
	for _, w := range s.workers {
		n += w.taken.Load()
	}
	return n
}

// Panics is the number of connections that were closed because their handler panicked: each is a bug in weir.
func (s *Server) Panics() int64 {
	var n int64
	for _, w := range s.workers {
		n += w.loop.Panics() + w.panics.Load()
	}
	return n
}

// each runs do on every loop, one after the other, and waits.
func (s *Server) each(do func(*worker)) {
	for _, w := range s.workers {
		_ = w.loop.Call(func() { do(w) }) // fails only when the loop has ended, and its sessions with it
	}
}

// Flows is the number of UDP flows that have a socket of their own.
func (s *Server) Flows() int64 { return s.flows.Used() }

// Sync brings the byte counters of entrypoints, services and backends up to date with connections and flows that are
// still open.
func (s *Server) Sync() {
	s.forEach((*session).countBytes)
	s.each((*worker).syncDoors)
}

// CloseBackend ends the connections of a backend, and leads those that are not connected to it yet elsewhere. reason is
// BackendDown or Drain.
func (s *Server) CloseBackend(b *upstream.Backend, reason accesslog.Reason) {
	s.forEach(func(c *session) {
		if c.leg != nil && c.backend == b {
			c.lose(reason)
		}
	})
}

// CloseEntrypoint ends the connections that came in by an entrypoint.
func (s *Server) CloseEntrypoint(e *Entrypoint, reason accesslog.Reason) {
	s.forEach(func(c *session) {
		if c.entry == e {
			c.stop(reason)
		}
	})
}

// CloseAll ends every connection.
func (s *Server) CloseAll(reason accesslog.Reason) {
	s.forEach(func(c *session) { c.stop(reason) })
}

// forEach does something to every open session, on its loop.
func (s *Server) forEach(do func(*session)) {
	s.each(func(w *worker) {
		for c := w.first; c != nil; {
			next := c.next // do may end c, which unlinks it
			do(c)
			c = next
		}
	})
}

// Close ends what is still open, stops the loops and waits for them. Entrypoints must have been closed before.
func (s *Server) Close() {
	s.CloseAll(accesslog.Shutdown)
	s.each((*worker).closeDoors)
	s.flushLogs()
	s.ending()
	for _, w := range s.workers {
		_ = w.loop.Close() // fails only when the loop has ended
	}
	s.running.Wait()
}

// flushLogs hands the last records to the access log's writer, which is given a second to catch up.
func (s *Server) flushLogs() {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(logFlush / 10) {
		left := false
		s.each(func(w *worker) { left = !w.log.Flush() || left })
		if !left || time.Now().After(deadline) {
			return
		}
	}
}

// admit counts a new connection, unless that would pass the limit of the whole server.
func (s *Server) admit() bool {
	if n := s.active.Add(1); s.options.MaxConnections > 0 && n > int64(s.options.MaxConnections) {
		s.active.Add(-1)
		return false
	}
	return true
}
