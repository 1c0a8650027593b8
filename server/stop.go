package server

import (
	"os"
	"syscall"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// stopping is a graceful stop: readiness goes red at once; each entrypoint accepts for its requestAcceptGraceTimeout
// more, then lets its connections go on for its graceTimeOut, then ends them.
type stopping struct {
	begun, over bool
	drained     bool // all entrypoints are closed, and HTTP knows
	at          time.Time
	stages      []*stage
}

// stage is an entrypoint on its way to be closed.
type stage struct {
	name       string
	entrypoint *entrypoint
	closes     time.Time // when it stops accepting
	cuts       time.Time // when its connections end
	closed     bool
	cut        bool
}

// drainPoll is how often a stop looks whether the last connection has ended.
const drainPoll = 20 * time.Millisecond

func (s *Server) signal(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		s.requestReload("SIGHUP", nil)
	case syscall.SIGUSR1:
		s.reopenLogs()
	case syscall.SIGTERM, syscall.SIGINT:
		if s.stop.begun {
			s.stopNow(sig.String())
			return
		}
		s.beginStop(sig.String())
	}
}

func (s *Server) reopenLogs() {
	if err := s.accessLog.Reopen(); err != nil {
		s.log.Error("access log is not reopened, the old file stays in use", "error", err)
		return
	}
	s.log.Info("log files reopened")
}

func (s *Server) beginStop(cause string) {
	if s.stop.begun {
		return
	}
	now := time.Now()
	s.stop = stopping{begun: true, at: now}
	for _, name := range sorted(s.entrypoints) {
		p := s.plan.entrypoints[name]
		closes := now.Add(p.acceptGrace)
		s.stop.stages = append(s.stop.stages, &stage{name: name, entrypoint: s.entrypoints[name], closes: closes, cuts: closes.Add(p.grace)})
	}
	s.notifyStopping()
	s.publish()
	s.log.Info("stopping", "cause", cause, "connections", s.remaining())
	s.goOnStopping(now)
}

// goOnStopping closes and cuts what is due, and ends the stop when nothing is left to wait for.
func (s *Server) goOnStopping(now time.Time) {
	closed, cut := true, true
	for _, g := range s.stop.stages {
		if !g.closed && !now.Before(g.closes) {
			g.closed = true
			g.entrypoint.close() // first: clients whose connections end come again at once, and must be refused, not cut off
			if f := s.web.fronts[g.name]; f != nil {
				f.Retire()
			}
		}
		if !g.cut && !now.Before(g.cuts) {
			g.cut = true
			s.cutEntrypoint(g.entrypoint, accesslog.Shutdown)
		}
		closed, cut = closed && g.closed, cut && g.cut
	}
	if closed && !s.stop.drained {
		s.stop.drained = true
		s.web.server.Drain() // for connections that were accepted and have said nothing yet, too
		if n := s.remaining(); n > 0 {
			s.log.Info("nothing new is accepted, waiting for what is open", "connections", n)
		}
	}
	// What came in by entrypoints that are gone has deadlines of its own, and is waited for as long.
	if closed && (s.remaining() == 0 || cut && len(s.leaving) == 0) {
		s.stop.over = true
	}
}

// stopNow ends a stop without waiting for anybody.
func (s *Server) stopNow(cause string) {
	s.log.Warn("stopping at once", "cause", cause, "connections", s.remaining())
	for _, g := range s.stop.stages {
		g.entrypoint.close()
	}
	s.engine.CloseAll(accesslog.Shutdown)
	s.stop.over = true
}

// nextStop is when the stop wants to go on, zero while there is none.
func (s *Server) nextStop(now time.Time) time.Time {
	if !s.stop.begun {
		return time.Time{}
	}
	return now.Add(drainPoll)
}
