package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"runtime"

	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/l7"
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
}

func newWeb(server *l7.Server) web {
	return web{
		server:      server,
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
	r := &l7.Router{Name: at.router, Service: a.web.services[service], TLSOptions: at.config, Counters: a.web.routers[at.router]}
	if r.Counters == nil {
		r.Counters = a.web.server.NewCounters()
		a.web.routers[at.router] = r.Counters
	}
	for _, m := range at.middlewares {
		r.Middlewares = append(r.Middlewares, a.web.middlewares[m])
	}
	return r
}

var hostKinds = map[rule.HostKind]sni.Kind{
	rule.Exact: sni.Exact, rule.Wildcard: sni.Wildcard, rule.Regexp: sni.Regexp, rule.Any: sni.Default,
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
		if f := a.web.fronts[name]; f != nil {
			nothing, _ := route.NewTable[*l7.Router](nil) // nothing is wrong with nothing
			f.Set(l7.FrontSettings{FrontOptions: f.Settings().FrontOptions, Table: nothing})
		}
		return func() {}
	}
	before := t.front.Settings()
	undoMap := replace(a.web.fronts, name, t.front)
	t.front.Set(t.web)
	return func() { undoMap(); t.front.Set(before) }
}

// fillWebService gives a new service what it leads to.
func (a *applier) fillWebService(name string) (undo func(), err error) {
	before := a.web.transports[name]
	a.setWebService(name)
	return func() {
		if before == nil {
			delete(a.web.transports, name)
		} else {
			a.web.transports[name] = before
		}
	}, nil
}

// setWebService makes a service lead to what the plan says.
func (a *applier) setWebService(name string) {
	p := a.to.web.services[name]
	var target l7.Target
	switch {
	case p.pool != nil:
		target = a.balancer(name, p.balancer)
	case p.weighted != nil:
		target = a.webWeighted(name, p.weighted)
	case p.highest != nil:
		target = nil
	case p.failover != nil:
		target = a.webFailover(p.failover)
	default:
		target = a.mirroring(p.mirroring)
	}
	a.web.services[name].Set(target)
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

func newTransport(p transportPlan, loops int) *l7.Transport {
	t := &l7.Transport{
		MaxIdle:         (p.maxIdle + loops - 1) / loops,
		IdleTimeout:     p.idleTimeout,
		MaxRequests:     p.maxRequests,
		ResponseTimeout: p.responseTimeout,
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
