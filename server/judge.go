package server

import (
	"math"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/upstream"
)

// lookWithin spreads the looks of all nodes at a backend that one of them has seen fail.
const lookWithin = 50 * time.Millisecond

// In a cluster the jury decides about the health of every backend that is probed: checkers and connections tell what this node sees,
// the other nodes what they see, and what comes of it is set here.

// seat brings the backends of all pools before the jury.
func (s *Server) seat() {
	t := s.tier
	if t == nil {
		return
	}
	clear(t.seats)
	for name, p := range s.pools {
		var subjects []cluster.Subject
		if plan := s.plan.pool(name); plan != nil && plan.check != nil {
			subjects = t.subjects(p, plan.check)
		}
		t.jury.Seat(name, p.juryOptions(), subjects)
	}
	for name := range t.seated {
		if s.pools[name] == nil {
			t.jury.Seat(name, cluster.Options{}, nil)
			delete(t.seated, name)
		}
	}
	for name := range s.pools {
		t.seated[name] = true
	}
	s.judge(nil)
}

// subjects are the backends of a pool that are probed.
func (t *tier) subjects(p *pool, check *checkPlan) []cluster.Subject {
	spec := cluster.SpecOf(check.spec)
	// A server that accepts connections has shown as much as such a probe asks for, but not what any other does.
	plain := check.kind == "tcp" && len(check.params.Exchange.Expect) == 0 && check.params.Port == 0
	var subjects []cluster.Subject
	for _, m := range p.members {
		if m.checker == nil {
			continue
		}
		id := cluster.IDOf(p.live.Service(), m.backend.Addr())
		key := cluster.HealthKey(id, spec)
		t.seats[key] = seat{p, m}
		subjects = append(subjects, cluster.Subject{
			ID: id, Spec: spec, State: states[m.backend.Health()], Look: func() cluster.Sight { return p.sight(m, plain) },
		})
	}
	return subjects
}

var (
	states  = map[upstream.Health]cluster.State{upstream.Unknown: cluster.Unknown, upstream.Up: cluster.Up, upstream.Down: cluster.Down}
	healths = map[cluster.State]upstream.Health{cluster.Unknown: upstream.Unknown, cluster.Up: upstream.Up, cluster.Down: upstream.Down}
)

// juryOptions is how the verdicts on a pool's backends are reached.
func (p *pool) juryOptions() cluster.Options {
	o := cluster.Options{Failures: p.options.Passive.MaxFailedAttempts, PanicThreshold: p.options.PanicThreshold}
	if o.Failures <= 0 {
		o.Failures = math.MaxInt // passive checks are off: connections prove nothing
	}
	if o.PanicThreshold == 0 {
		o.PanicThreshold = -1
	}
	for _, m := range p.members {
		if m.check != nil {
			c := m.check.options
			o.Interval, o.Timeout, o.Looks = max(c.Interval, leastInterval), c.Timeout, c.Fall
		}
	}
	return o
}

// leastInterval is the shortest interval for the jury, who would find everything stale that is seen more often than it meets.
const leastInterval = 2 * judgeInterval

// sight is what this node sees of a backend. plain: a connection that is accepted says as much as a probe.
func (p *pool) sight(m *member, plain bool) cluster.Sight {
	probes, seen, status := m.checker.Status(), p.live.Sight(m.backend), m.backend.Status()
	e := cluster.Evidence{
		Probe: states[probes.Health], Since: probes.Since, Probed: probes.Ended(), ProbeFailed: probes.Err != nil, Streak: probes.Streak,
		Failures: seen.Failures, Failed: seen.Failed,
	}
	if plain {
		e.Served = seen.Served
	}
	return cluster.Sight{
		Evidence: e, Late: probes.Late, Drained: status.Draining, Out: status.Ejected() || status.Weight == 0,
	}
}

// judge has the jury meet about the backends that are named, and those whose time has come.
func (s *Server) judge(named []cluster.Key) {
	t, now := s.tier, time.Now()
	t.judged = now
	f, err := t.node.Judge(t.jury, named)
	if err != nil {
		s.log.Error("cluster: what this node sees cannot be told to the others", "error", err)
	}
	t.disagreements.Store(t.jury.Disagreements())
	changed := make(map[*pool]bool)
	for _, r := range f.Rulings {
		if at, ok := t.seats[r.Key]; ok && s.obeyRuling(at, r, now) {
			changed[at.pool] = true
		}
	}
	for p := range changed {
		p.update(now)
	}
}

// obeyRuling does what the jury has found, and reports whether the pool is to be updated.
func (s *Server) obeyRuling(at seat, r cluster.Ruling, now time.Time) (changed bool) {
	m := at.member
	if r.Duty != m.duty {
		m.duty = r.Duty
		id := cluster.IDOf(at.pool.live.Service(), m.backend.Addr())
		m.checker.Take(turnOf(id, r.Duty))
	}
	if r.Look {
		m.checker.Look(lookWithin)
	}
	verdict, before := healths[r.Verdict.State], m.backend.Health()
	if verdict != before {
		m.backend.SetHealth(verdict, now)
		s.logVerdict(m, before, r.Verdict, now)
	}
	// What only others say about a backend is no reason to end connections that may well do: they end if this node sees it, too.
	hearsay := r.Verdict.State == cluster.Down && r.Verdict.Remote
	if verdict == upstream.Down && !hearsay && (before != upstream.Down || m.hearsay) && at.pool.options.CloseOnDown {
		s.closeBackend(m.backend, accesslog.BackendDown)
	}
	m.hearsay = hearsay
	return verdict != before
}

// turnOf is when a node probes that has a duty.
func turnOf(id cluster.BackendID, d cluster.Duty) health.Turn {
	switch {
	case !d.On:
		return health.Turn{Off: true}
	case d.Of <= 1:
		return health.Turn{}
	}
	return health.Turn{Next: func(now time.Time, interval time.Duration) time.Time {
		return cluster.NextProbe(now, cluster.Phase(id, d.Rank, d.Of, interval), interval)
	}}
}

func (s *Server) logVerdict(m *member, before upstream.Health, v cluster.Verdict, now time.Time) {
	k := m.backend.Key()
	log := s.log.With("service", serviceName(k), "backend", upstream.Show(k.Addr))
	switch {
	case v.State == cluster.Down:
		cause := v.Reason(now)
		if err := m.checker.Status().Err; err != nil {
			cause += ": " + err.Error()
		}
		log.Warn("backend is down", "cause", cause)
	case before == upstream.Down || v.State == cluster.Up:
		log.Info("backend is up", "cause", v.Reason(now))
	}
}

// suspected has the jury meet about backends to which a connection has failed that did not before.
func (s *Server) suspected() {
	pools := make(map[*pool]bool)
	for _, p := range s.pools {
		if p.suspected.Swap(false) {
			pools[p] = true
		}
	}
	if s.tier == nil || len(pools) == 0 {
		return
	}
	var named []cluster.Key
	for key, at := range s.tier.seats {
		if pools[at.pool] && at.pool.live.Sight(at.member.backend).Failures > 0 {
			named = append(named, key)
		}
	}
	s.judge(named)
}
