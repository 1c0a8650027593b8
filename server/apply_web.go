package server

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"runtime"

	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/sni"
)

// web is the HTTP part of a topology.
type web struct {
	server      *l7.Server
	fronts      map[string]*l7.Front // by entrypoint
	middlewares map[string]*l7.Middleware
	services    map[string]*l7.Service
	transports  map[string]*l7.Transport // by service
	routers     map[string]*l7.Counters  // they outlive what is routed
	key         []byte                   // of cookies that are not to outlive this process
}

func newWeb(server *l7.Server) web {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return web{
		server:      server,
		key:         key,
		fronts:      make(map[string]*l7.Front),
		middlewares: make(map[string]*l7.Middleware),
		services:    make(map[string]*l7.Service),
		transports:  make(map[string]*l7.Transport),
		routers:     make(map[string]*l7.Counters),
	}
}

// secureNames is a front as the TLS side of a table.
type secureNames struct{ *l7.Front }

// HandlerFor implements l4.HostHandler.
func (n secureNames) HandlerFor(serverName []byte) l4.Handler {
	if h, ok := n.Front.HandlerFor(serverName); ok {
		return h
	}
	return nil
}

// makeFront prepares the HTTP side of an entrypoint and returns what its table hands connections to, nil where it has none.
func (a *applier) makeFront(name string, t *table) (http l4.Handler, https l4.HostHandler, err error) {
	p := a.to.entrypoints[name].front
	if p == nil {
		return nil, nil, nil
	}
	t.web = l7.FrontSettings{FrontOptions: p.options}
	secure := false
	var routes []*route.Route[*l7.Router]
	for _, at := range p.routes {
		r, tls := a.to.web.routers[at.router], at.config != ""
		routes = append(routes, &route.Route[*l7.Router]{Name: at.router, Rule: r.rule, Priority: r.priority, TLS: tls, Value: a.webRouter(at, r.service)})
		secure = secure || tls
	}
	if t.web.Table, err = route.NewTable(routes); err != nil {
		return nil, nil, err
	}
	if t.front = a.web.fronts[name]; t.front == nil {
		t.front = a.web.server.NewFront(name, t.web)
	}
	if !secure {
		return t.front, nil, nil
	}
	t.web.Security, err = a.security(p.hosts)
	return t.front, secureNames{t.front}, err
}

func (a *applier) webRouter(at webRoutePlan, service string) *l7.Router {
	r := &l7.Router{Name: at.router, Rule: a.to.web.routers[at.router].text, Service: a.web.services[service], Counters: a.web.routers[at.router]}
	if a.to.tls[at.config].demanding() {
		r.Demands = a.configs[at.config]
	}
	for _, m := range at.middlewares {
		r.Middlewares = append(r.Middlewares, a.web.middlewares[m])
	}
	return r
}

var hostKinds = map[rule.HostKind]sni.Kind{
	rule.Exact: sni.Exact, rule.Wildcard: sni.Wildcard, rule.Regexp: sni.Regexp, rule.Any: sni.Default,
}

// makeWebMiddleware makes a middleware anew: its state begins anew with it. It is made only when its plan is another, and
// stays the same object, with all that it has counted, as long as the plan does.
func (a *applier) makeWebMiddleware(name string) (undo func(), err error) {
	p := a.to.web.middlewares[name]
	var m *l7.Middleware
	if p.maker != nil {
		m, err = p.maker.make(name)
	} else {
		m, err = a.newPathBody(name, p.pathBodyPlan)
	}
	if err != nil {
		return nil, err
	}
	if m == nil {
		m = newWebMiddleware(name, p, a.now)
	}
	return replace(a.web.middlewares, name, m), nil
}

// security indexes how TLS is ended by server name.
func (a *applier) security(hosts []securityPlan) (*sni.Table[*l7.Security], error) {
	b := sni.NewBuilder[*l7.Security]()
	made := make(map[string]*l7.Security)
	for _, h := range hosts {
		if made[h.config] == nil {
			made[h.config] = &l7.Security{Name: h.config, Config: a.configs[h.config]}
		}
		slot, err := b.Slot(hostKinds[h.host.Kind], h.host.Name)
		if err != nil {
			return nil, err
		}
		*slot = made[h.config]
	}
	return b.Build(), nil
}

// setFront puts the HTTP side of an entrypoint in force and returns how to undo that. An entrypoint that has lost it
// answers what comes on old connections that there is nothing.
func (a *applier) setFront(name string, t *table) (undo func()) {
	if t.front == nil {
		f := a.web.fronts[name]
		if f == nil {
			return func() {}
		}
		before := f.Settings()
		nothing, _ := route.NewTable[*l7.Router](nil) // nothing is wrong with nothing
		f.Set(l7.FrontSettings{FrontOptions: before.FrontOptions, Table: nothing})
		return func() { f.Set(before) }
	}
	before := t.front.Settings()
	undoMap := replace(a.web.fronts, name, t.front)
	t.front.Set(t.web)
	return func() { undoMap(); t.front.Set(before) }
}

// fillWebService gives a new service what it leads to.
func (a *applier) fillWebService(name string) (undo func(), err error) {
	before := a.web.transports[name]
	if err := a.setWebService(name); err != nil {
		return nil, err
	}
	return func() {
		if before == nil {
			delete(a.web.transports, name)
		} else {
			a.web.transports[name] = before
		}
	}, nil
}

// setWebService makes a service lead to what the plan says.
func (a *applier) setWebService(name string) error {
	p := a.to.web.services[name]
	target, err := a.target(name, p)
	if err != nil {
		return err
	}
	a.web.services[name].Set(target)
	if p.pool == nil {
		delete(a.web.transports, name)
	}
	return nil
}

// target makes what a service consists of.
func (a *applier) target(name string, p webServicePlan) (l7.Target, error) {
	switch {
	case p.pool != nil:
		sticky, err := a.sticky(name, p.balancer.sticky)
		return &l7.LoadBalancer{
			Pool: a.pools[webKey(name)].live, Transport: a.transport(name, p.balancer.transport), Sticky: sticky,
			RewriteHost: p.balancer.rewriteHost, CountErrors: p.balancer.countErrors, BasePaths: p.balancer.basePaths,
		}, err
	case p.weighted != nil:
		sticky, err := a.sticky(name, p.weighted.sticky)
		return a.web.server.NewWeighted(a.webChildren(p.weighted.children), sticky), err
	case p.highest != nil:
		return l7.NewHighestRandomWeight(a.webChildren(p.highest)), nil
	case p.failover != nil:
		f := &l7.Failover{Main: a.web.services[p.failover.service], Fallback: a.web.services[p.failover.fallback]}
		if len(p.failover.statuses) > 0 {
			f.Errors = &l7.Errors{MaxBody: p.failover.maxBody}
			for _, r := range p.failover.statuses {
				f.Errors.Statuses.Add(r.First, r.Last)
			}
		}
		return f, nil
	}
	m := &l7.Mirror{Main: a.web.services[p.mirroring.service], Body: p.mirroring.body, MaxBody: p.mirroring.maxBody}
	for _, r := range p.mirroring.mirrors {
		m.Mirrors = append(m.Mirrors, l7.Reflection{Service: a.web.services[r.service], Percent: r.percent})
	}
	return m, nil
}

// sticky makes the cookie of a service, nil if it has none.
func (a *applier) sticky(name string, p *stickyPlan) (*l7.Sticky, error) {
	if p == nil {
		return nil, nil
	}
	key := p.key
	if key == nil {
		key = a.web.key
	}
	return a.web.server.NewSticky(name, key, p.cookie)
}

func (a *applier) webChildren(plans []childPlan) (children []l7.Child) {
	for _, c := range plans {
		children = append(children, l7.Child{Service: a.web.services[c.service], Weight: c.weight})
	}
	return children
}

// transport returns how a service's servers are spoken to: the same object as long as nothing of it changes, so that
// connections to the servers stay in use.
func (a *applier) transport(name string, p transportPlan) *l7.Transport {
	if old := a.plan.web.services[name].balancer; old != nil && same(old.transport, p) && a.web.transports[name] != nil {
		return a.web.transports[name]
	}
	t := newTransport(p, a.engine.Loops())
	a.web.transports[name] = t
	return t
}

// maxResponseHead bounds the head of a server's response, and a line in it: servers are given more room than clients,
// because policies and cookies that they set may be long.
const maxResponseHead = 64 << 10

func newTransport(p transportPlan, loops int) *l7.Transport {
	t := &l7.Transport{
		MaxIdle:         (p.maxIdle + loops - 1) / loops,
		IdleTimeout:     p.idleTimeout,
		MaxRequests:     p.maxRequests,
		ResponseTimeout: p.responseTimeout,
		HTTP2:           p.http2,
		PingAfter:       p.pingAfter,
		PingTimeout:     p.pingTimeout,
		ResponseLimits:  http1.Limits{Line: maxResponseHead, Head: maxResponseHead, Fields: 256},
	}
	switch p.proxyProtocol {
	case 1:
		t.Greeting = peek.AppendProxyV1
	case 2:
		t.Greeting = func(dst []byte, source, destination netip.AddrPort) []byte {
			return peek.AppendProxyV2(dst, source, destination, false)
		}
	}
	if p.secure != nil {
		t.TLS = newClientTLS(p.secure)
	}
	return t
}

func newClientTLS(p *clientTLSPlan) *tls.Config {
	c := &tls.Config{
		ServerName:         p.serverName,
		InsecureSkipVerify: p.insecure,
		MinVersion:         p.min,
		MaxVersion:         p.max,
		CipherSuites:       p.suites,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(64 * runtime.GOMAXPROCS(0)),
	}
	if len(p.cas) > 0 {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(p.cas)
	}
	for _, own := range p.own {
		if cert, err := own.load(); err == nil { // compile has loaded it before
			c.Certificates = append(c.Certificates, *cert)
		}
	}
	return c
}
