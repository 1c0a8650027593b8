package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
)

// reloading is what is known of configurations. Only Run's goroutine touches it.
type reloading struct {
	current    *config.Config // in force
	hash       string         // of current
	generation uint64
	succeeded  uint64
	failed     uint64
	last       admin.LastReload

	number  uint64       // of the newest load that was looked at
	running bool         // a load is on its way
	again   bool         // somebody asked after it had begun
	waiting []chan error // told when the load that is running ends
	queued  []chan error // told when the one after it ends
}

// loaded is a configuration fresh from its files, or why there is none.
type loaded struct {
	number  uint64 // of the load; higher ones began later
	origin  string // who asked, for the log
	watched bool   // nobody asked: the files changed
	kinds   *ownKinds
	cfg     *config.Config
	plan    *plan
	hash    string
	err     error
}

// errStopping answers reloads that come too late.
var errStopping = errors.New("weir is stopping")

// errNoLoad answers reloads of a server that cannot.
var errNoLoad = errors.New("this weir was not started from files and has nothing to load again")

// requestReload loads the configuration aside and applies it when it comes in. reply, which may be nil, is told the
// outcome; it must have room for one.
func (s *Server) requestReload(origin string, reply chan error) {
	r := &s.reload
	switch {
	case s.o.Load == nil:
		answer([]chan error{reply}, errNoLoad)
		return
	case s.stop.begun:
		answer([]chan error{reply}, errStopping)
		return
	case r.running:
		// What is being read may be older than the wish.
		r.again = true
		r.queued = append(r.queued, reply)
		return
	}
	r.running = true
	r.waiting = append(r.waiting, reply)
	s.notifyReloading()
	s.asides.Go(func() {
		result := s.load(origin, s.o.Load)
		select {
		case s.loads <- result:
		case <-s.ended:
		}
	})
}

func answer(replies []chan error, err error) {
	for _, reply := range replies {
		if reply != nil {
			reply <- err
		}
	}
}

// load loads and compiles. It touches nothing of Run's.
func (s *Server) load(origin string, from func() (*config.Config, error)) loaded {
	r := loaded{number: s.loadings.Add(1), origin: origin, kinds: s.kinds}
	if r.cfg, r.err = from(); r.err == nil {
		r.err = r.compile()
	}
	return r
}

func (r *loaded) compile() error {
	contents, err := readFiles(r.cfg)
	if err != nil {
		return err
	}
	if r.plan, err = compileWith(cmp.Or(r.kinds, new(ownKinds)), r.cfg, contents); err != nil {
		return err
	}
	r.hash = hashOf(r.cfg)
	return nil
}

// watch reloads when files change, until ctx ends.
func (s *Server) watch(ctx context.Context) {
	if !s.o.Watch || s.o.Load == nil {
		return
	}
	var number uint64 // of the last load; Watch loads and reports on one goroutine
	load := func() (*config.Config, error) {
		number = s.loadings.Add(1)
		return s.o.Load()
	}
	report := func(cfg *config.Config, err error) {
		r := loaded{number: number, origin: "file change", watched: true, kinds: s.kinds, cfg: cfg, err: err}
		if err == nil {
			r.err = r.compile()
		}
		select {
		case s.loads <- r:
		case <-ctx.Done():
		}
	}
	s.asides.Go(func() {
		if err := config.Watch(ctx, s.o.Config, load, report); err != nil {
			s.log.Error("configuration files are not watched", "error", err)
		}
	})
}

// reloaded takes in the outcome of a load.
func (s *Server) reloaded(l loaded) {
	r := &s.reload
	err := s.adopt(l)
	if l.watched {
		return
	}
	waiting := r.waiting
	r.running, r.waiting = false, nil
	s.notifyReady()
	answer(waiting, err)
	if r.again {
		r.again = false
		queued := r.queued
		r.queued = nil
		s.requestReload(l.origin, nil)
		r.waiting = append(r.waiting, queued...)
	}
}

// adopt puts a loaded configuration in force. A failure leaves the old one in force.
func (s *Server) adopt(l loaded) error {
	r := &s.reload
	if l.number < r.number || s.stop.begun {
		return nil // a later load has been looked at already
	}
	r.number = l.number
	if l.err == nil && l.watched && l.hash == r.hash && len(diff(s.plan, l.plan)) == 0 {
		return nil // somebody asked for it before the watch noticed
	}
	if l.err != nil && l.watched && r.last.Error == l.err.Error() {
		return l.err // likewise
	}
	before := s.plan
	err := l.err
	if err == nil {
		_, err = s.apply(l.plan, time.Now())
	}
	r.last = admin.LastReload{At: time.Now(), OK: err == nil}
	if err != nil {
		r.failed++
		r.last.Error = err.Error()
		s.publish()
		s.logFailure(l.origin, err)
		return err
	}
	r.succeeded++
	r.generation++
	r.current, r.hash = l.cfg, l.hash
	s.seat()
	s.shareConfig()
	s.publish()
	s.logReload(l.origin, changesOf(before, l.plan))
	return nil
}

// logFailure logs a line for each problem, for that is what somebody has to mend.
func (s *Server) logFailure(origin string, err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			s.log.Error("configuration problem", "error", p)
		}
		err = fmt.Errorf("%d problems", len(problems))
	}
	s.log.Error("configuration not taken over, the old one stays in force", "origin", origin, "error", err, "generation", s.reload.generation)
}

func (s *Server) logReload(origin string, c changes) {
	s.log.Info("configuration taken over", "origin", origin, "generation", s.reload.generation, "config", s.reload.hash[:12],
		"added", c.added, "changed", c.changed, "removed", c.removed)
	if keys := restartKeys(s.started, s.plan.start); len(keys) > 0 {
		s.log.Warn("some changes take effect at the next start only", "keys", keys)
	}
}

// restartKeys names the keys that ask for something else than what weir was started with.
func restartKeys(started, now startPlan) []string {
	var keys []string
	if started.admin != now.admin {
		keys = append(keys, "admin.address")
	}
	if started.loops != now.loops {
		keys = append(keys, "engine.loops")
	}
	if started.maxConnections != now.maxConnections {
		keys = append(keys, "engine.maxConnections")
	}
	if !same(started.cluster, now.cluster) {
		keys = append(keys, "cluster")
	}
	return keys
}

// hashOf names a configuration: it is its checksum in hexadecimal.
func hashOf(cfg *config.Config) string {
	sum := cfg.Sum()
	return hex.EncodeToString(sum[:])
}
