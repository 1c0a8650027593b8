package server

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/upstream"
)

// applier runs the steps from a topology's plan to another. What is staged here is not in the topology yet.
type applier struct {
	*topology
	to  *plan
	now time.Time

	choosing map[string]bool // services whose chooser a step replaces
	made     map[string]upstream.Chooser
	tables   map[string]*table
	sockets  map[string]*l4.Sockets
	inlets   map[string]*l4.UDPSockets
	moved    map[string]*entrypoint // those another one of the same name has replaced
	removed  map[upstream.Key]*member
	replaced *certificates // those before; nil = they stay
}

// table is a routing table and the routes it was made from.
type table struct {
	live   *l4.Table
	routes []*l4.Route
	front  *l7.Front // nil = no HTTP
	web    l7.FrontSettings
	udp    *l4.UDPRoute // of an entrypoint for UDP; nil = it has no router
}

func newApplier(t *topology, to *plan, steps []step, now time.Time) *applier {
	a := &applier{
		topology: t, to: to, now: now,
		choosing: make(map[string]bool),
		made:     make(map[string]upstream.Chooser),
		tables:   make(map[string]*table),
		sockets:  make(map[string]*l4.Sockets),
		inlets:   make(map[string]*l4.UDPSockets),
		moved:    make(map[string]*entrypoint),
		removed:  make(map[upstream.Key]*member),
	}
	for _, s := range steps {
		if s.do == makeService || s.do == chooseService {
			a.choosing[s.name] = true
		}
	}
	return a
}

// run does the steps. When one fails, what was done is undone, last first.
func (a *applier) run(steps []step) error {
	var undo []func()
	for _, s := range steps {
		back, err := a.step(s)
		if err != nil {
			for _, f := range slices.Backward(undo) {
				f()
			}
			return fmt.Errorf("%s: %w", s, err)
		}
		if back != nil {
			undo = append(undo, back)
		}
	}
	a.drainFound()
	a.renew(steps)
	return nil
}

// step does one step and returns how to undo it. Steps after openEntrypoint neither fail nor are undone.
func (a *applier) step(s step) (undo func(), err error) {
	switch s.do {
	case makeTLS:
		return replace(a.configs, s.name, newTLSConfig(a.to.tls[s.name], &a.store)), nil
	case makeResolver:
		return a.makeResolver(s.name)
	case makeMiddleware:
		return replace(a.middlewares, s.name, newMiddleware(a.to.middlewares[s.name], a.now)), nil
	case makePool:
		return a.makePool(s.name), nil
	case makeService:
		return a.makeService(s.name), nil
	case makeWebMiddleware:
		return a.makeWebMiddleware(s.name)
	case makeWebService:
		return replace(a.web.services, s.name, a.web.server.NewService(s.name, nil)), nil
	case fillWebService:
		return a.fillWebService(s.name)
	case makeWebRouter:
		return replace(a.web.routers, s.name, a.web.server.NewCounters()), nil
	case makeTable:
		return nil, a.makeTable(s.name)
	case storeCertificate:
		return a.storeCertificates()
	case switchAccessLog:
		return a.switchAccessLog()
	case bindEntrypoint:
		return a.bind(s.name)
	case openEntrypoint:
		return a.open(s.name)
	}
	a.commit(s)
	return nil, nil
}

// commit does a step that cannot fail.
func (a *applier) commit(s step) {
	switch s.do {
	case seekBackends:
		a.seek(a.pools[s.name], a.to.pool(s.name).sources)
	case updatePool:
		a.updatePool(s.name)
	case chooseService:
		a.chooseService(s.name)
	case setWebService:
		if err := a.setWebService(s.name); err != nil {
			a.log.Error("service stays as it was", "service", s.name, "error", err) // compile has seen that the cookie is good
		}
	case setEntrypoint:
		a.setEntrypoint(s.name)
	case watchPool:
		a.watchPool(s.name)
	case setTracing:
		a.setTracing()
	case closeEntrypoint:
		a.closeEntrypoint(s.name)
	case drainBackend:
		a.drain(s.backend)
	case retirePool:
		a.retire(s.name)
	case dropService:
		delete(a.services, s.name)
		delete(a.udpServices, s.name)
		delete(a.choosers, s.name)
	case dropMiddleware:
		delete(a.middlewares, s.name)
	case dropWebService:
		delete(a.web.services, s.name)
		delete(a.web.transports, s.name)
	case dropWebRouter:
		delete(a.web.routers, s.name)
	case dropWebMiddleware:
		delete(a.web.middlewares, s.name)
	case dropTLS:
		delete(a.configs, s.name)
	case dropResolver:
		delete(a.resolvers, s.name)
	case setLog:
		a.setLog(a.to.log)
	}
}

// replace sets a key of a map and returns how to undo that.
func replace[V any](m map[string]V, key string, value V) (undo func()) {
	old, was := m[key]
	m[key] = value
	return func() {
		if was {
			m[key] = old
		} else {
			delete(m, key)
		}
	}
}

func newMiddleware(p middlewarePlan, now time.Time) l4.Middleware {
	switch {
	case p.rate != nil:
		return l4.NewRateLimit(p.rate.average, p.rate.burst, p.rate.period, now)
	case p.inFlight > 0:
		return l4.NewInFlightConn(p.inFlight)
	}
	return l4.NewIPAllowList(p.allow)
}

// makeResolver makes what asks DNS.
func (a *applier) makeResolver(name string) (undo func(), err error) {
	r, err := discovery.NewResolver(a.to.resolvers[name])
	if err != nil {
		return nil, err
	}
	return replace(a.resolvers, name, r), nil
}

// makePool makes a pool with its backends, or takes back one that was leaving.
func (a *applier) makePool(name string) (undo func()) {
	p, back := newPool(name, a.wake), a.reclaimPool(name)
	switch {
	case back != nil:
		p = back.pool
	case a.who.looked != nil:
		p.heed(a.wake)
	}
	options, members, endpoints := p.options, p.members, endpointsOf(p.members)
	reclaimed := a.fill(p, name)
	a.pools[name] = p
	before := len(a.leaving)
	for _, m := range members {
		if p.find(m.backend.Addr()) == nil { // the pool came back without it
			m.backend.SetDraining(true, a.now)
			a.leaving = append(a.leaving, &leaving{until: back.until, member: m})
		}
	}
	return func() {
		delete(a.pools, name)
		for _, l := range a.leaving[before:] {
			l.member.backend.SetDraining(false, a.now)
		}
		a.leaving = a.leaving[:before]
		for _, l := range reclaimed {
			l.member.backend.SetDraining(true, a.now)
			a.leaving = append(a.leaving, l)
		}
		if back == nil {
			return
		}
		for i, m := range members {
			m.backend.SetEndpoint(endpoints[i])
		}
		p.set(options, members, a.now)
		a.leaving = append(a.leaving, back)
	}
}

func endpointsOf(members []*member) []upstream.Endpoint {
	var endpoints []upstream.Endpoint
	for _, m := range members {
		endpoints = append(endpoints, m.backend.Endpoint())
	}
	return endpoints
}

// fill gives a pool the options that the plan names, and the backends that it lists or that were found. Those that are gone are
// noted as removed.
func (a *applier) fill(p *pool, name string) (reclaimed []*leaving) {
	want := a.to.pool(name)
	reclaimed, removed := a.topology.fill(p, name, want.options, p.endpoints(want.endpoints), a.now)
	for _, m := range removed {
		a.removed[m.backend.Key()] = m
	}
	return reclaimed
}

// fill gives a pool options and backends, with the weights that operators have ordered. Backends that are there already stay, and
// those that were leaving come back and are returned, as are those that have no place any more.
func (t *topology) fill(p *pool, name string, o upstream.Options, endpoints []upstream.Endpoint, now time.Time) (
	reclaimed []*leaving, removed []*member) {
	known := make(map[netip.AddrPort]*member, len(p.members))
	for _, m := range p.members {
		known[m.backend.Addr()] = m
	}
	var members []*member
	for _, e := range endpoints {
		order := t.orders.Order(name, e.Addr)
		if order.Weighed {
			e.Weight = order.Weight
		}
		m := known[e.Addr]
		delete(known, e.Addr)
		if m == nil {
			k := upstream.Key{Service: name, Addr: e.Addr}
			if back := t.reclaim(k); back != nil {
				m = back.member
				reclaimed = append(reclaimed, back)
			} else {
				m = t.newMember(k, e, now)
			}
		}
		if m.backend.Endpoint() != e {
			m.backend.SetEndpoint(e)
		}
		if m.backend.Draining() != order.Drained {
			m.backend.SetDraining(order.Drained, now)
		}
		members = append(members, m)
	}
	for _, m := range p.members {
		if known[m.backend.Addr()] == m {
			removed = append(removed, m)
		}
	}
	p.set(o, members, now)
	return reclaimed, removed
}

func (a *applier) updatePool(name string) { a.fill(a.pools[name], name) }

// watchPool has the pool's backends probed as the plan says.
func (a *applier) watchPool(name string) {
	if err := a.pools[name].watch(a.to.pool(name).check, a.who, a.now); err != nil {
		// compile has made a prober from the same values.
		a.log.Error("health check does not start", "service", name, "error", err)
	}
}

func (a *applier) makeService(name string) (undo func()) {
	chooser := a.chooser(name)
	undoChooser := replace(a.choosers, name, chooser)
	var undoService func()
	if name, protocol := cutKey(name); protocol == "udp" {
		undoService = replace(a.udpServices, udpKey(name), a.engine.NewUDPService(name, chooser))
	} else {
		undoService = replace(a.services, name, a.engine.NewService(name, chooser))
	}
	return func() { undoService(); undoChooser() }
}

// chooseService makes a service lead to what the plan says.
func (a *applier) chooseService(name string) {
	chooser := a.chooser(name)
	a.choosers[name] = chooser
	if s := a.udpServices[name]; s != nil {
		s.SetChooser(chooser)
		return
	}
	a.services[name].SetChooser(chooser)
}

// chooser returns what a service will lead to. Choosers that no step replaces stay: a weighted service knows whose turn
// it is.
func (a *applier) chooser(name string) upstream.Chooser {
	if !a.choosing[name] {
		return a.choosers[name]
	}
	if c, ok := a.made[name]; ok {
		return c
	}
	var c upstream.Chooser
	switch p := a.to.services[name]; {
	case p.pool != nil:
		c = a.pools[name].live
	case p.failover != nil:
		c = upstream.Failover{Service: a.chooser(p.failover.service), Fallback: a.chooser(p.failover.fallback)}
	default:
		var children []upstream.Child
		for _, w := range p.weighted {
			children = append(children, upstream.Child{Chooser: a.chooser(w.service), Weight: w.weight})
		}
		c = upstream.NewWeighted(children)
	}
	a.made[name] = c
	return c
}

func (a *applier) makeTable(name string) error {
	t := &table{}
	if p := a.to.entrypoints[name].udp; p != nil {
		t.udp = a.udpRoute(p.router)
		a.tables[name] = t
		return nil
	}
	for _, router := range a.to.entrypoints[name].routers {
		p := a.to.routers[router]
		r := &l4.Route{
			Name: router, Rule: p.rule, Priority: p.priority, TLS: p.tls,
			Config: a.configs[p.config], Service: a.services[p.service],
		}
		for _, m := range p.middlewares {
			r.Middlewares = append(r.Middlewares, a.middlewares[m])
		}
		t.routes = append(t.routes, r)
	}
	http, https, err := a.makeFront(name, t)
	if err != nil {
		return err
	}
	t.live, err = l4.NewTable(t.routes, http, https)
	a.tables[name] = t
	return err
}

// storeCertificates replaces all certificates. While there are none and TLS is ended, a made-up one is shown.
func (a *applier) storeCertificates() (undo func(), err error) {
	var certs []*tls.Certificate
	for _, p := range a.to.certificates {
		cert, err := p.load()
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 && a.to.terminates() {
		if a.selfSigned == nil {
			if a.selfSigned, err = newSelfSigned(a.now); err != nil {
				return nil, err
			}
			a.log.Warn("tls.certificates is empty: TLS is ended with a self-signed certificate that no client will believe")
		}
		certs = append(certs, a.selfSigned)
	}
	a.replaced = a.store.Swap(newCertificates(certs))
	return func() { a.store.Store(a.replaced) }, nil
}

// renew lets sessions end that were made with certificates or TLS settings that are not in force any more.
func (a *applier) renew(steps []step) {
	if !slices.ContainsFunc(steps, func(s step) bool { return s.do == storeCertificate || s.do == makeTLS || s.do == setEntrypoint }) {
		return
	}
	was, is := a.replaced, a.store.Load()
	changed := func(name string) bool { return was != nil && !serveAlike(was, is, name) }
	for _, f := range a.web.fronts {
		f.Renew(changed)
	}
}

func (a *applier) switchAccessLog() (undo func(), err error) {
	if err := a.accessLog.Configure(a.to.accessLog); err != nil {
		return nil, err
	}
	old := a.plan.accessLog
	return func() {
		if err := a.accessLog.Configure(old); err != nil {
			a.log.Error("access log does not go back to what it was", "error", err)
		}
	}, nil
}

func (a *applier) bind(name string) (undo func(), err error) {
	if a.to.entrypoints[name].udp != nil {
		return a.bindUDP(name)
	}
	sockets, err := a.engine.Bind(a.to.entrypoints[name].addrs)
	if err != nil {
		return nil, err
	}
	a.sockets[name] = sockets
	return func() {
		if s := a.sockets[name]; s != nil {
			s.Close()
		}
	}, nil
}

func (a *applier) open(name string) (undo func(), err error) {
	if a.to.entrypoints[name].udp != nil {
		return a.openUDP(name)
	}
	sockets, t := a.sockets[name], a.tables[name]
	delete(a.sockets, name) // the entrypoint's now, whether it opens or not
	bound := slices.Clone(sockets.Addrs())
	undoFront := a.setFront(name, t)
	live, err := a.engine.Open(name, sockets, a.to.entrypoints[name].options, t.live)
	if err != nil {
		undoFront()
		return nil, err
	}
	if old := a.entrypoints[name]; old != nil {
		a.moved[name] = old
	}
	undoOpen := replace(a.entrypoints, name, &entrypoint{live: live, addrs: bound, routes: t.routes})
	return func() {
		undoOpen()
		live.Close()
		undoFront()
		a.engine.CloseEntrypoint(live, accesslog.Drain)
	}, nil
}

// setEntrypoint replaces options and routing of an entrypoint.
func (a *applier) setEntrypoint(name string) {
	e, t, p := a.entrypoints[name], a.tables[name], a.to.entrypoints[name]
	if e.udp != nil {
		e.udp.Set(p.udp.options, t.udp)
		e.route = t.udp
		return
	}
	a.setFront(name, t)
	e.live.Set(p.options, t.live)
	e.routes = t.routes
}

func (a *applier) closeEntrypoint(name string) {
	e := a.moved[name]
	if e == nil {
		e = a.entrypoints[name]
		delete(a.entrypoints, name)
	}
	e.close()
	if f := a.web.fronts[name]; f != nil {
		f.Retire()
	}
	if a.entrypoints[name] == nil {
		delete(a.web.fronts, name)
	}
	a.leaving = append(a.leaving, &leaving{until: a.now.Add(a.plan.entrypoints[name].grace), entrypoint: e})
}

// drain sees a backend off that was listed. If it is still found elsewhere, it stays.
func (a *applier) drain(k upstream.Key) {
	if m := a.removed[k]; m != nil {
		delete(a.removed, k)
		a.topology.drain(m, a.now)
	}
}

// drainFound sees those off that were found by a source that is not asked any more.
func (a *applier) drainFound() {
	for _, m := range a.removed {
		a.topology.drain(m, a.now)
	}
}

// drain sees a backend off that its pool does not have any more.
func (t *topology) drain(m *member, now time.Time) {
	m.unwatch()
	m.backend.SetDraining(true, now)
	t.leaving = append(t.leaving, &leaving{until: now.Add(t.plan.grace()), member: m})
}

// retire sees a pool off that no service is any more.
func (a *applier) retire(name string) {
	p := a.pools[name]
	p.stopSources()
	p.unwatch()
	delete(a.pools, name)
	a.leaving = append(a.leaving, &leaving{until: a.now.Add(a.plan.grace()), pool: p})
}
