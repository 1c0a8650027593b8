package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/upstream"
)

// view is what others than Run's goroutine may know: an immutable value, replaced as a whole after each change. The
// objects in it count and decide on; reading them is safe.
type view struct {
	plan        *plan
	notReady    []string
	generation  uint64
	hash        string
	reloads     admin.Reloads
	max         int
	maxLinks    int
	maxFlows    int
	engine      *l4.Server
	accessLog   *accesslog.Writer
	spans       *span.Queue
	entrypoints map[string]entrypoint
	services    map[string]*l4.Service
	udpServices map[string]*l4.UDPService
	pools       map[string]*upstream.Pool
	backends    []seen
	sources     []seenSource
	web         webView
	tier        *tier // only what it knows by its node; nil = no cluster
	config      func() ([]byte, error)
}

// seen is a backend in a view.
type seen struct {
	backend *upstream.Backend
	checker *health.Checker // nil = not probed
}

// publish shows the present topology to everyone.
func (s *Server) publish() {
	r := &s.reload
	v := &view{
		plan:        s.plan,
		generation:  r.generation,
		hash:        r.hash,
		reloads:     admin.Reloads{Succeeded: r.succeeded, Failed: r.failed, Last: r.last},
		max:         s.maxOpen,
		maxLinks:    s.maxLinks,
		maxFlows:    s.maxFlows,
		engine:      s.engine,
		accessLog:   s.accessLog,
		spans:       s.tracer.queue,
		entrypoints: make(map[string]entrypoint),
		services:    make(map[string]*l4.Service),
		udpServices: make(map[string]*l4.UDPService),
		pools:       make(map[string]*upstream.Pool),
		web:         s.web.view(),
		tier:        s.tier,
		config:      r.current.Dump,
	}
	switch {
	case s.stop.begun:
		v.notReady = []string{"stopping"}
	case !s.told:
		v.notReady = s.awaited()
	}
	for name, e := range s.entrypoints {
		v.entrypoints[name] = *e
	}
	maps.Copy(v.services, s.services)
	maps.Copy(v.udpServices, s.udpServices)
	for _, name := range sorted(s.pools) {
		p := s.pools[name]
		v.pools[name] = p.live
		for _, m := range p.members {
			v.backends = append(v.backends, seen{m.backend, m.checker})
		}
	}
	v.sources = s.seenSources()
	for _, l := range s.leaving {
		if l.member != nil {
			v.backends = append(v.backends, seen{l.member.backend, nil})
		}
	}
	s.view.Store(v)
	s.published = time.Now()
}

// State implements admin.Weir.
func (s *Server) State() *admin.State {
	v := s.view.Load()
	now := time.Now()
	out := &admin.State{
		Now: now, Version: s.o.Build.Version, Commit: s.o.Build.Commit, GoVersion: runtime.Version(), Started: s.start,
		NotReady: v.notReady, Generation: v.generation, ConfigHash: v.hash, Reloads: v.reloads,
		LogLevel: strings.ToLower(s.o.Log.level.Level().String()),
		Ended:    map[string]uint64{},
	}
	if v.engine == nil {
		return out // nothing is open yet
	}
	s.sync.freshen(v.engine.Sync, now)
	out.Connections = admin.Connections{Active: v.engine.Active(), Max: int64(v.max), HTTPBackend: v.web.server.Links(), MaxHTTPBackend: int64(v.maxLinks)}
	out.Flows = admin.Flows{Active: v.engine.Flows(), Max: int64(v.maxFlows)}
	stats := v.accessLog.Stats()
	out.AccessLog = admin.AccessLog{Written: stats.Written, Dropped: stats.Dropped, Errors: stats.Errors}
	spans := v.spans.Stats()
	out.Spans = admin.Spans{Exported: spans.Exported, Failed: spans.Failed, Dropped: spans.Dropped}
	out.Loops = make([]admin.Loop, v.engine.Loops())
	for _, name := range sorted(v.entrypoints) {
		if v.entrypoints[name].udp != nil {
			out.Entrypoints = append(out.Entrypoints, v.udpEntrypoint(name))
			continue
		}
		out.Entrypoints = append(out.Entrypoints, v.entrypoint(name, out.Ended))
		for i, n := range v.entrypoints[name].live.ActiveByLoop() {
			out.Loops[i].Active += n
		}
	}
	for _, name := range sorted(v.plan.routers) {
		out.Routers = append(out.Routers, v.router(name))
	}
	for _, name := range sorted(v.plan.udpRouters) {
		out.Routers = append(out.Routers, v.udpRouter(name))
	}
	for _, name := range sorted(v.plan.web.routers) {
		out.Routers = append(out.Routers, v.webRouter(name))
	}
	for _, name := range sorted(v.services) {
		out.Services = append(out.Services, v.service(name))
	}
	for _, key := range sorted(v.udpServices) {
		out.Services = append(out.Services, v.udpService(key))
	}
	for _, name := range sorted(v.web.services) {
		out.Services = append(out.Services, v.webService(name))
	}
	for _, name := range sorted(v.web.compressions) {
		out.Compressions = append(out.Compressions, v.web.compression(name))
	}
	for _, s := range v.sources {
		out.Sources = append(out.Sources, s.state())
	}
	for _, b := range v.backends {
		out.Backends = append(out.Backends, b.state(v, now))
	}
	if v.tier == nil {
		return out
	}
	s.addCluster(out, v)
	opinions := s.opinions(now)
	for i, b := range v.backends {
		if o, ok := opinions[b.backend.Key()]; ok && b.checker != nil {
			addOpinion(&out.Backends[i], o)
		}
	}
	return out
}

func (v *view) entrypoint(name string, ended map[string]uint64) admin.Entrypoint {
	e, p := v.entrypoints[name], v.plan.entrypoints[name]
	stats := e.live.Stats()
	out := admin.Entrypoint{
		Name: name, Protocol: "tcp", Address: addressOf(e.addrs, p.addrs),
		Connections: uint64(stats.Opened), Active: stats.Active, Max: int64(p.options.MaxConnections),
		BytesIn: uint64(stats.BytesIn), BytesOut: uint64(stats.BytesOut),
		AcceptErrors: uint64(e.live.Pauses()), Rejected: map[string]uint64{},
	}
	if f := v.web.fronts[name]; f != nil {
		http := f.Stats()
		out.HTTP = httpStats(http)
		out.HTTP2 = http2Stats(f.SessionStats())
		out.BytesIn += uint64(http.In)
		out.BytesOut += uint64(http.Out)
	}
	for i, n := range stats.Ended {
		if n == 0 {
			continue
		}
		reason := accesslog.Reason(i)
		ended[reason.String()] += uint64(n)
		if reason.Rejected() {
			out.Rejected[reason.String()] = uint64(n)
		}
	}
	return out
}

// addressOf shows bound addresses as the configuration writes them: a range of ports as one.
func addressOf(bound, asked []netip.AddrPort) string {
	if len(bound) == 0 {
		return ""
	}
	first, last := bound[0], bound[len(bound)-1]
	text := first.String()
	if !asked[0].Addr().IsValid() {
		text = fmt.Sprintf(":%d", first.Port())
	}
	if first != last {
		text += fmt.Sprintf("-%d", last.Port())
	}
	return text
}

var tlsWords = map[l4.TLSMode]string{l4.Passthrough: "passthrough", l4.Terminate: "terminated"}

func (v *view) router(name string) admin.Router {
	p := v.plan.routers[name]
	out := admin.Router{
		Name: name, Protocol: "tcp", Rule: p.text, Priority: p.priority, TLS: tlsWords[p.tls],
		Middlewares: p.middlewares, Service: p.service,
	}
	for _, entrypoint := range sorted(v.plan.entrypoints) {
		if slices.Contains(v.plan.entrypoints[entrypoint].routers, name) {
			out.Entrypoints = append(out.Entrypoints, entrypoint)
		}
	}
	return out
}

func (v *view) service(name string) admin.Service {
	p, stats := v.plan.services[name], v.services[name].Stats()
	out := admin.Service{
		Name: name, Protocol: "tcp", Kind: "weighted", Services: p.children(),
		Connections: uint64(stats.Opened), Active: stats.Active,
		BytesIn: uint64(stats.BytesIn), BytesOut: uint64(stats.BytesOut), Retries: uint64(stats.Retries),
		Ended: map[string]uint64{},
	}
	for i, n := range stats.Ended {
		if n > 0 {
			out.Ended[accesslog.Reason(i).String()] = uint64(n)
		}
	}
	switch {
	case p.failover != nil:
		out.Kind = "failover"
	case p.pool != nil:
		v.addPool(&out, name, p.pool)
	}
	return out
}

// addPool tells of the pool of a service.
func (v *view) addPool(out *admin.Service, key string, p *poolPlan) {
	pool := v.pools[key].Stats()
	out.Kind, out.Strategy = "loadBalancer", string(p.options.Strategy)
	out.Backends, out.InUse, out.Tier, out.Panic = pool.Backends, pool.InUse, pool.Tier, pool.Panic
	out.Waiting, out.QueueOverflows, out.RetriesRefused = pool.Waiting, pool.QueueOverflows, pool.RetriesRefused
}

func (b seen) state(v *view, now time.Time) admin.Backend {
	k, status, stats := b.backend.Key(), b.backend.Status(), b.backend.Stats()
	service, protocol := cutKey(k.Service)
	out := admin.Backend{
		Service: service, Protocol: protocol, Address: upstream.Show(k.Addr), Name: status.Name, Health: status.Health.String(),
		Weight: status.Weight, Priority: status.Priority, Active: stats.Active, Max: int64(status.MaxConnections),
		Connections: stats.Connections, ConnectFailures: stats.ConnectFailures, ConnectTimeouts: stats.ConnectTimeouts,
		ConnectSeconds: stats.LastConnect.Seconds(), BytesIn: stats.BytesIn, BytesOut: stats.BytesOut,
		Ejections: uint64(stats.Ejections), EjectedUntil: status.EjectedUntil, Draining: status.Draining,
	}
	if b.checker != nil {
		known := b.checker.Status()
		out.Since, out.LastCheck, out.Checks, out.CheckFailures = known.Since, known.At, known.Probes, known.Failures
		if known.Err != nil {
			out.LastCheckError = known.Err.Error()
		}
	}
	out.Sources = v.namedBy(k)
	if protocol == "http" {
		out.HTTP = httpStats(v.web.server.BackendStats(b.backend))
	}
	if pool := v.plan.pool(k.Service); pool != nil && !status.Since.IsZero() {
		if until := status.Since.Add(pool.options.SlowStart); until.After(now) {
			out.SlowStartUntil = until
		}
	}
	return out
}

// freshener brings byte counters up to date for who looks at them, at most once in a while, and without letting a loop
// that is busy make anybody wait for long.
type freshener struct {
	mu      sync.Mutex
	last    time.Time
	running chan struct{} // closed when the run under way is done; nil = none is
}

const (
	freshFor  = 50 * time.Millisecond  // numbers this old are good enough
	freshWait = 100 * time.Millisecond // more than this nobody waits
)

func (f *freshener) freshen(sync func(), now time.Time) {
	f.mu.Lock()
	if f.running == nil {
		if now.Sub(f.last) < freshFor {
			f.mu.Unlock()
			return
		}
		done := make(chan struct{})
		f.running = done
		go func() {
			sync()
			f.mu.Lock()
			f.last, f.running = time.Now(), nil
			f.mu.Unlock()
			close(done)
		}()
	}
	running := f.running
	f.mu.Unlock()
	timer := time.NewTimer(freshWait)
	defer timer.Stop()
	select {
	case <-running:
	case <-timer.C:
	}
}

// adminOptions is what the admin endpoint shows and can do.
func (s *Server) adminOptions() admin.Options {
	return admin.Options{
		Pprof:       profiling,
		Weir:        s,
		Log:         s.log,
		Config:      s.configJSON,
		Reload:      s.Reload,
		SetLogLevel: s.setLogLevel,
		Commands:    admin.Commands{Order: s.order, Orders: s.allOrders, Keys: s.keys, ChangeKeys: s.changeKeys},
	}
}

// Reload loads the configuration again and returns when it is in force, or why it is not.
func (s *Server) Reload(ctx context.Context) error {
	reply := make(chan error, 1)
	if !s.do(ctx, func() { s.requestReload("admin", reply) }) {
		return errStopping
	}
	select {
	case err := <-reply:
		return err
	case <-s.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setLogLevel holds until log.level changes in the configuration.
func (s *Server) setLogLevel(level string) error {
	l, ok := levels[level]
	if !ok {
		return fmt.Errorf("no level %q", level)
	}
	s.o.Log.level.Set(l)
	s.log.Info("log level set", "level", level)
	return nil
}

// configJSON returns the effective configuration.
func (s *Server) configJSON(context.Context) ([]byte, error) {
	v := s.view.Load()
	if v.config == nil {
		return nil, fmt.Errorf("no configuration is in force yet")
	}
	text, err := v.config()
	if err != nil {
		return nil, err
	}
	var effective map[string]any
	if err := yaml.Unmarshal(text, &effective); err != nil {
		return nil, fmt.Errorf("read back the configuration: %w", err)
	}
	return json.MarshalIndent(effective, "", "  ")
}
