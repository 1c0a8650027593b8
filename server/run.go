package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/upstream"
)

// Options say what a Server is made from.
type Options struct {
	Config  *config.Config                 // loaded and without errors; what the server starts with
	Load    func() (*config.Config, error) // how a reload loads; nil = there are no reloads
	Watch   bool                           // reload when the files of Config change
	Signals <-chan os.Signal               // SIGHUP, SIGUSR1, SIGTERM, SIGINT; may be nil
	Log     *Log
	Build   Build

	// Middlewares are kinds of HTTP middlewares that are not weir's own, by the name below http.middlewares.*.plugin.
	Middlewares map[string]Maker
}

// lastRecords is how long, at the end, the access log is given to take the last records.
const lastRecords = time.Second

// Build says what runs.
type Build struct{ Version, Commit string }

// Server is a running weir.
type Server struct {
	o         Options
	log       *slog.Logger
	kinds     *ownKinds
	start     time.Time
	admin     *admin.Server
	view      atomic.Pointer[view] // writer: Run's goroutine
	sync      freshener
	explained opinions
	ready     chan struct{} // closed when everything is open

	loads       chan loaded // configurations that were loaded because somebody asked
	transitions chan health.Transition
	findings    chan finding
	trips       chan struct{} // holds one: some pool has tripped
	commands    chan func()   // run on Run's goroutine
	ended       chan struct{} // closed when Run returns
	asides      sync.WaitGroup
	loadings    atomic.Uint64 // loads begun; orders their results

	// Everything below is Run's goroutine's own.
	*topology
	tier      *tier // nil = this weir is on its own
	reload    reloading
	stop      stopping
	started   startPlan
	maxOpen   int // client connections, 0 = no limit
	maxLinks  int // connections to HTTP servers, 0 = no limit
	maxFlows  int // UDP flows, 0 = no limit
	timer     *time.Timer
	begun     bool      // everything is open
	published time.Time // when the view was last made
	told      bool      // ready is closed
}

// New returns a server that does nothing until Run.
func New(o Options) *Server {
	s := &Server{
		o: o, log: o.Log.Logger, kinds: &ownKinds{o.Middlewares}, start: time.Now(), ready: make(chan struct{}),
		loads:       make(chan loaded),
		transitions: make(chan health.Transition),
		findings:    make(chan finding),
		trips:       make(chan struct{}, 1),
		commands:    make(chan func()),
		ended:       make(chan struct{}),
	}
	s.view.Store(&view{notReady: []string{"starting: entrypoints are not open yet"}})
	return s
}

// Ready is closed when all entrypoints are open, the first configuration is in force, and servers that are to be looked up
// have been looked up once, whatever came of it.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run balances until ctx ends or a signal stops it, and then for as long as connections take to end gracefully. It
// returns nil after a stop that was asked for, and may be called once.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.ended)
	aside, cancel := context.WithCancel(context.Background())
	defer s.asides.Wait()
	defer cancel()
	if err := s.begin(aside); err != nil {
		return err
	}
	defer s.finish()
	done, others := ctx.Done(), s.tier.channels()
	for !s.stop.over {
		select {
		case <-done:
			done = nil
			s.beginStop("context ended")
		case sig := <-s.o.Signals:
			s.signal(sig)
		case r := <-s.loads:
			s.reloaded(r)
		case t := <-s.transitions:
			s.transition(t)
		case f := <-s.findings:
			s.finding(f)
		case <-s.trips:
			s.passive()
		case <-s.timer.C:
			s.due()
		case n := <-others.news:
			s.hear(n)
		case <-others.looked:
			s.judge(s.tier.looked.take())
		case <-others.settled:
			others.settled = nil // so that becomeReady is called below
		case do := <-s.commands:
			do()
		}
		s.becomeReady() // whatever it was: a source may have answered, or have been taken away
		s.arm()
	}
	return nil
}

// begin opens everything: the admin endpoint first, so that it can tell what is still missing.
func (s *Server) begin(aside context.Context) error {
	contents, err := readFiles(s.o.Config)
	if err != nil {
		return err
	}
	first, err := compileWith(s.kinds, s.o.Config, contents)
	if err != nil {
		return err
	}
	hash := hashOf(s.o.Config)
	s.o.Log.set(first.log)
	s.started = first.start
	loops := s.size(first)
	ln, err := admin.Listen(first.start.admin)
	if err != nil {
		return err
	}
	s.admin = admin.New(s.adminOptions())
	s.asides.Go(func() {
		if err := s.admin.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("admin endpoint ended", "error", err)
		}
	})
	if err := s.openAll(first, loops); err != nil {
		_ = s.admin.Close()
		return err
	}
	s.reload.current, s.reload.hash, s.reload.generation = s.o.Config, hash, 1
	s.reload.last = admin.LastReload{At: time.Now(), OK: true}
	s.timer = time.NewTimer(time.Hour)
	s.arm()
	s.begun = true
	s.shareConfig()
	s.publish()
	s.log.Info("serving", "version", s.o.Build.Version, "entrypoints", len(s.entrypoints), "services", len(s.plan.services)+len(s.web.services),
		"loops", loops, "max_connections", s.maxOpen, "admin", ln.Addr().String(), "config", hash[:12], "generation", 1)
	s.becomeReady()
	s.watch(aside)
	return nil
}

// becomeReady tells those who wait, once, when every source of servers has been asked to the end, and the other nodes of the
// cluster have been heard: traffic that came before would find services empty whose servers are being looked up, and servers down
// of which this node has heard nothing yet.
func (s *Server) becomeReady() {
	if s.told || !s.begun || s.stop.begun || len(s.awaited()) > 0 {
		return
	}
	s.told = true
	s.publish()
	close(s.ready)
	s.notifyReady()
}

// size settles what is decided once for the process and returns the number of loops.
func (s *Server) size(first *plan) (loops int) {
	if limit := limitMemory("/"); limit > 0 {
		s.log.Info("garbage collector heeds the memory limit of the cgroup", "bytes", limit)
	}
	descriptors, err := raiseDescriptors()
	if err != nil {
		s.log.Warn("open files stay limited", "limit", descriptors, "error", err)
	}
	loops = first.start.loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	spareProcessor(loops)
	addrs := 0
	for _, e := range first.entrypoints {
		addrs += len(e.addrs)
	}
	s.maxFlows = flowLimit(descriptors, addrs*loops)
	s.maxOpen = first.start.maxConnections
	if s.maxOpen == 0 {
		s.maxOpen = connectionLimit(descriptors, addrs*loops)
	}
	s.maxLinks = linkLimit(descriptors, addrs*loops, s.maxOpen)
	return loops
}

// openAll makes this weir a node of its cluster, and opens the entrypoints.
func (s *Server) openAll(first *plan, loops int) error {
	if err := s.joinTier(first.start.cluster); err != nil {
		return err
	}
	if err := s.open(first, loops); err != nil {
		s.leaveTier()
		return err
	}
	s.seat()
	return nil
}

// open makes the loops and the first topology.
func (s *Server) open(first *plan, loops int) error {
	accessLog := accesslog.New(func(err error) { s.log.Error("access log is not written", "error", err) })
	engine, err := l4.NewServer(l4.Options{Loops: loops, MaxConnections: s.maxOpen, MaxFlows: s.maxFlows, AccessLog: accessLog, Log: s.log})
	if err != nil {
		return errors.Join(err, accessLog.Close(context.Background()))
	}
	hostname, err := os.Hostname()
	if err != nil {
		s.log.Warn("the host does not tell its name: X-Forwarded-Server is left out", "error", err)
	}
	spans := span.NewQueue()
	requests := l7.NewServer(l7.Options{Loops: engine.EventLoops(), Hostname: hostname, AccessLog: accessLog, Spans: spans, MaxLinks: s.maxLinks, Others: engine.Relayed, Log: s.log})
	s.topology = newTopology(engine, newWeb(requests), accessLog, s.log)
	s.tracer = tracer{queue: spans, version: s.o.Build.Version, host: hostname}
	s.who, s.wake, s.setLog, s.tellFound = probing{emit: s.tell}, s.trip, s.o.Log.set, s.find
	if s.tier != nil {
		s.who.looked, s.orders = s.tier.looked.add, s.tier.orders()
	}
	if _, err := s.apply(first, time.Now()); err != nil {
		engine.Close()
		return errors.Join(err, accessLog.Close(context.Background()))
	}
	return nil
}

// tell brings a checker's transition to Run's goroutine.
func (s *Server) tell(ctx context.Context, t health.Transition) {
	select {
	case s.transitions <- t:
	case <-ctx.Done():
	}
}

// finding is what a source has told.
type finding struct {
	source *source
	update discovery.Update
}

// find brings what a source tells to Run's goroutine.
func (s *Server) find(ctx context.Context, from *source, u discovery.Update) {
	select {
	case s.findings <- finding{from, u}:
	case <-ctx.Done():
	}
}

func (s *Server) finding(f finding) {
	change, ok := s.found(f.source, f.update, time.Now())
	if !ok {
		return
	}
	s.logFound(change)
	if change.changed {
		s.seat()
	}
	if change.news() {
		s.publish()
	}
}

// trip is called on loops.
func (s *Server) trip() {
	select {
	case s.trips <- struct{}{}:
	default: // one is waiting already
	}
}

func (s *Server) transition(t health.Transition) {
	if !s.healthChanged(t, time.Now()) {
		return
	}
	k := t.Backend.Key()
	if t.Up {
		s.log.Info("backend is up", "service", serviceName(k), "backend", upstream.Show(k.Addr))
		return
	}
	s.log.Warn("backend is down", "service", serviceName(k), "backend", upstream.Show(k.Addr), "cause", t.Cause)
}

func (s *Server) passive() {
	for _, b := range s.tripped(time.Now()) {
		k, status := b.Key(), b.Status()
		s.log.Warn("backend is ejected after failed connections", "service", serviceName(k), "backend", upstream.Show(k.Addr), "until", status.EjectedUntil)
	}
	s.suspected(time.Now())
}

// due does what time has come for.
func (s *Server) due() {
	now := time.Now()
	before := len(s.leaving)
	s.settle(now)
	if s.tier != nil {
		s.meet(now)
	}
	if s.stop.begun {
		s.goOnStopping(now)
	}
	if len(s.leaving) != before || s.seekers() && now.Sub(s.published) >= refreshView {
		s.publish()
	}
}

// arm sets the timer for what is due next.
func (s *Server) arm() {
	now := time.Now()
	next := earlier(s.next(now), s.nextStop(now))
	if s.seekers() {
		next = earlier(next, s.published.Add(refreshView))
	}
	if s.tier != nil {
		next = earlier(next, s.tier.judged.Add(judgeInterval))
		if s.tier.suspects {
			next = earlier(next, s.tier.suspected.Add(suspectInterval))
		}
	}
	if next.IsZero() {
		next = now.Add(time.Hour)
	}
	s.timer.Reset(max(next.Sub(now), 0))
}

// refreshView is how often what sources say of themselves is shown anew when nothing else has changed: a thousand of them tell
// a thousand times a second that they still know what they knew.
const refreshView = time.Second

// do runs f on Run's goroutine and waits for it. False means that Run has returned, or that ctx ended before.
func (s *Server) do(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case s.commands <- func() { defer close(done); f() }:
		<-done
		return true
	case <-s.ended:
	case <-ctx.Done():
	}
	return false
}

// finish closes everything that is left.
func (s *Server) finish() {
	s.leaveTier()
	s.topology.close()
	s.engine.CloseAll(accesslog.Shutdown)
	s.web.server.Flush(lastRecords)
	s.engine.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if e := s.tracer.exporter; e != nil {
		e.Finish()
		e.Wait(ctx)
	}
	if err := s.accessLog.Close(ctx); err != nil {
		s.log.Error("access log", "error", err)
	}
	if s.admin.Shutdown(ctx) != nil {
		_ = s.admin.Close()
	}
	s.log.Info("stopped", "took", fmt.Sprint(time.Since(s.stop.at).Round(time.Millisecond)))
}
