package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// topology is everything that runs because a plan asks for it. It has one writer: Server.Run's goroutine.
type topology struct {
	engine    *l4.Server
	accessLog *accesslog.Writer
	tracer    tracer
	log       *slog.Logger
	who       probing
	wake      func() // a pool has tripped; must not block
	tellFound func(context.Context, *source, discovery.Update)
	setLog    func(logPlan)

	plan        *plan // what all of this was made from
	store       atomic.Pointer[certificates]
	selfSigned  *tls.Certificate // made when it is first needed
	configs     map[string]*tls.Config
	middlewares map[string]l4.Middleware
	pools       map[string]*pool
	services    map[string]*l4.Service
	udpServices map[string]*l4.UDPService   // by udpKey
	choosers    map[string]upstream.Chooser // what each service leads to
	web         web
	entrypoints map[string]*entrypoint
	leaving     []*leaving

	resolvers     map[string]*discovery.Resolver
	recollections map[upstream.Key]recollection
	orders        *cluster.Commands // of operators
}

// entrypoint is an open entrypoint: either live or udp.
type entrypoint struct {
	live   *l4.Entrypoint
	udp    *l4.UDPEntrypoint
	addrs  []netip.AddrPort // as bound
	routes []*l4.Route      // of the table in force
	route  *l4.UDPRoute     // of udp, nil without a router
}

// close lets nothing new in.
func (e *entrypoint) close() {
	if e.udp != nil {
		e.udp.Close()
		return
	}
	e.live.Close()
}

// cutReasons are the words of flows for the reasons for which connections are cut.
var cutReasons = map[accesslog.Reason]flow.Reason{accesslog.Drain: flow.Removed, accesslog.Shutdown: flow.Stopped}

// cutEntrypoint ends what came in by an entrypoint, because it was taken away (Drain) or weir stops (Shutdown).
func (t *topology) cutEntrypoint(e *entrypoint, reason accesslog.Reason) {
	if e.udp != nil {
		e.udp.Cut(cutReasons[reason])
		return
	}
	t.engine.CloseEntrypoint(e.live, reason)
}

// remaining is how many connections and flows there are.
func (t *topology) remaining() int64 {
	n := t.engine.Active()
	for _, e := range t.entrypoints {
		if e.udp != nil {
			n += e.udp.Flows()
		}
	}
	for _, l := range t.leaving {
		if l.entrypoint != nil && l.entrypoint.udp != nil {
			n += l.entrypoint.udp.Flows()
		}
	}
	return n
}

func newTopology(engine *l4.Server, web web, accessLog *accesslog.Writer, log *slog.Logger) *topology {
	t := &topology{
		engine: engine, web: web, accessLog: accessLog, log: log,
		who:         probing{emit: func(context.Context, health.Transition) {}},
		wake:        func() {},
		tellFound:   func(context.Context, *source, discovery.Update) {},
		setLog:      func(logPlan) {},
		plan:        &plan{},
		configs:     make(map[string]*tls.Config),
		middlewares: make(map[string]l4.Middleware),
		pools:       make(map[string]*pool),
		services:    make(map[string]*l4.Service),
		udpServices: make(map[string]*l4.UDPService),
		choosers:    make(map[string]upstream.Chooser),
		entrypoints: make(map[string]*entrypoint),

		resolvers:     make(map[string]*discovery.Resolver),
		recollections: make(map[upstream.Key]recollection),
		orders:        cluster.NewCommands("", nil),
	}
	t.store.Store(newCertificates(nil))
	return t
}

// apply makes the topology what the plan asks for. When it fails, the topology is as before.
func (t *topology) apply(to *plan, now time.Time) ([]step, error) {
	steps := diff(t.plan, to)
	if err := newApplier(t, to, steps, now).run(steps); err != nil {
		return nil, err
	}
	t.plan = to
	for _, text := range to.warnings {
		t.log.Warn(text)
	}
	return steps, nil
}

// member finds a backend that is in service, nil if it is not.
func (t *topology) member(b *upstream.Backend) (*pool, *member) {
	p := t.pools[b.Key().Service]
	if p == nil {
		return nil, nil
	}
	if m := p.find(b.Addr()); m != nil && m.backend == b {
		return p, m
	}
	return nil, nil
}

// healthChanged takes a verdict over and reports whether it concerned anybody.
func (t *topology) healthChanged(change health.Transition, now time.Time) bool {
	p, m := t.member(change.Backend)
	if m == nil {
		return false // it has left meanwhile
	}
	verdict := upstream.Down
	if change.Up {
		verdict = upstream.Up
	}
	m.backend.SetHealth(verdict, now)
	p.update(now)
	if verdict == upstream.Down && p.options.CloseOnDown {
		t.closeBackend(m.backend, accesslog.BackendDown)
	}
	return true
}

// closeBackend ends what a backend still has open.
func (t *topology) closeBackend(b *upstream.Backend, reason accesslog.Reason) {
	switch _, protocol := cutKey(b.Key().Service); protocol {
	case "http":
		t.web.server.CloseBackend(b, reason)
	case "udp":
		t.engine.CutBackend(b)
	default:
		t.engine.CloseBackend(b, reason)
	}
}

// tripped updates the pools whose backends failed too often and returns the backends that were ejected.
func (t *topology) tripped(now time.Time) []*upstream.Backend {
	var ejected []*upstream.Backend
	for _, p := range t.pools {
		if !p.tripped.Load() {
			continue
		}
		before := p.ejections()
		p.update(now)
		for i, n := range p.ejections() {
			if n > before[i] {
				ejected = append(ejected, p.members[i].backend)
			}
		}
	}
	return ejected
}

func (p *pool) ejections() []int64 {
	var counts []int64
	for _, m := range p.members {
		counts = append(counts, m.backend.Status().Ejections)
	}
	return counts
}

// settle does what is due: pools that want an update, and leavers whose time is up.
func (t *topology) settle(now time.Time) {
	for _, p := range t.pools {
		if !p.next.IsZero() && !now.Before(p.next) {
			p.update(now)
		}
	}
	t.release(now)
	t.forgetOld(now)
}

// next is when settle is due again, zero if nothing is to be done.
func (t *topology) next(now time.Time) time.Time {
	var next time.Time
	for _, p := range t.pools {
		next = earlier(next, p.next)
	}
	return earlier(next, t.nextRelease(now))
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// close stops all probes and all accepting. Connections go on until the engine is closed.
func (t *topology) close() {
	for _, p := range t.pools {
		p.stopSources()
		p.unwatch()
	}
	for _, e := range t.entrypoints {
		e.close()
	}
}
