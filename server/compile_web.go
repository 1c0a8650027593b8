package server

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/upstream"
)

// webALPN is what HTTPS connections agree on, the best first.
var webALPN = []string{"h2", "http/1.1"}

// redirection is the name of the router, and of the middleware, that an entrypoint's redirection makes. No user can write
// it: names end before an @.
func redirection(entrypoint string) string { return "redirect-" + entrypoint + "@weir" }

// compileWeb plans the http section, and what entrypoints say about HTTP.
func (c *compiler) compileWeb() {
	w := &c.plan.web
	*w = webPlan{
		routers:     make(map[string]webRouterPlan),
		middlewares: make(map[string]webMiddlewarePlan),
		services:    make(map[string]webServicePlan),
	}
	h := c.cfg.HTTP
	if h == nil {
		h = &config.HTTP{}
	}
	for _, name := range sorted(h.Middlewares) {
		if h.Middlewares[name].Chain != nil {
			continue // routers name what it is made of
		}
		p := webMiddlewareOf(h.Middlewares[name])
		p.maker = c.webMaker("http.middlewares."+name, h.Middlewares[name])
		w.middlewares[name] = p
	}
	for _, name := range sorted(h.Services) {
		w.services[name] = c.webService(name, h.Services[name])
	}
	for _, name := range sorted(h.Routers) {
		w.routers[name] = c.webRouter(name, h.Routers[name])
	}
	for _, name := range sorted(c.plan.entrypoints) {
		p := c.plan.entrypoints[name]
		p.front = c.front(name, c.cfg.EntryPoints[name], h)
		c.plan.entrypoints[name] = p
	}
}

func (c *compiler) webRouter(name string, r *config.HTTPRouter) webRouterPlan {
	p := webRouterPlan{text: r.Rule, priority: r.Priority, service: r.Service}
	expr, err := rule.Parse(r.Rule)
	if err != nil {
		c.fail("http.routers."+name+".rule", err.Error(), "")
		return p
	}
	p.rule = expr
	if p.priority == 0 {
		p.priority = rule.Priority(r.Rule, expr)
	}
	if _, err := route.NewTable([]*route.Route[int]{{Name: name, Rule: expr}}); err != nil {
		c.fail("http.routers."+name+".rule", err.Error(), "")
	}
	return p
}

// front plans the HTTP side of an entrypoint, nil if it has none.
func (c *compiler) front(name string, e *config.EntryPoint, h *config.HTTP) *frontPlan {
	f := &frontPlan{options: frontOptions(e)}
	hosts := make(map[rule.HostPattern]string)
	for _, router := range sorted(h.Routers) {
		r := h.Routers[router]
		if !slices.Contains(r.EntryPoints, name) {
			continue
		}
		at := webRoutePlan{router: router, middlewares: h.Unchained(c.cfg.RouterMiddlewares(r, name))}
		if tls := c.cfg.RouterTLS(r, name); tls != nil {
			at.config = c.webTLS(tls.Options)
			c.secureHosts(hosts, name, router, at.config)
		}
		f.routes = append(f.routes, at)
	}
	if r := e.HTTP.Redirections; r != nil {
		f.routes = append(f.routes, c.redirect(name, r.EntryPoint))
	}
	if len(f.routes) == 0 {
		return nil
	}
	for host, config := range hosts {
		f.hosts = append(f.hosts, securityPlan{host, config})
	}
	slices.SortFunc(f.hosts, func(a, b securityPlan) int {
		return cmp.Or(cmp.Compare(a.host.Kind, b.host.Kind), cmp.Compare(a.host.Name, b.host.Name))
	})
	return f
}

// secureHosts notes how TLS is ended for the hosts of a router. Two routers may want it differently for one host, which is
// decided before a request is there to tell them apart: then, as in Traefik, the default settings are used, and a router
// that demands a certificate of clients gets no request at all.
func (c *compiler) secureHosts(hosts map[rule.HostPattern]string, entrypoint, router, config string) {
	names, any := rule.Hosts(c.plan.web.routers[router].rule)
	if any {
		names = []rule.HostPattern{{Kind: rule.Any, Name: "*"}}
	}
	for _, host := range names {
		if have, ok := hosts[host]; ok && have != config {
			hosts[host] = c.webTLS("")
			c.plan.warnings = append(c.plan.warnings, fmt.Sprintf("http.routers.%s and another router want different tls.options for %s at entrypoint %s:"+
				" the default ones are used; a router that demands certificates of clients answers 421 there", router, host.Name, entrypoint))
			continue
		}
		hosts[host] = config
	}
}

// webTLS plans how TLS is ended for HTTPS and returns the key of that plan.
func (c *compiler) webTLS(name string) string {
	name = cmp.Or(name, "default")
	p := c.tlsOptions(name)
	p.protocols = spoken(p.protocols)
	key := name + " for HTTP"
	c.plan.tls[key] = p
	return key
}

// spoken is what of the protocols that a user lists weir speaks; where none is listed, all of them.
func spoken(listed []string) []string {
	if len(listed) == 0 {
		return webALPN
	}
	return slices.DeleteFunc(slices.Clone(listed), func(p string) bool { return !slices.Contains(webALPN, p) })
}

func (c *compiler) redirect(entrypoint string, r *config.EntryPointRedirection) webRoutePlan {
	name := redirection(entrypoint)
	const everything = "PathPrefix(`/`)"
	expr, _ := rule.Parse(everything) // it is good
	c.plan.web.middlewares[name] = webMiddlewarePlan{
		redirect: &l7.RedirectSchemeOptions{Scheme: r.Scheme, Port: int(c.cfg.RedirectPort(r)), Permanent: r.Permanent},
	}
	c.plan.web.routers[name] = webRouterPlan{rule: expr, text: everything, priority: r.Priority}
	return webRoutePlan{router: name, middlewares: []string{name}}
}

var underscores = map[string]http1.Underscores{
	"droplookalikes": http1.DropLookalikes, "keep": http1.KeepUnderscores, "delete": http1.DropUnderscores, "reject": http1.RejectUnderscores,
}

func frontOptions(e *config.EntryPoint) l7.FrontOptions {
	t, h := e.Transport, e.HTTP
	o := l7.FrontOptions{
		Limits:            http1.Limits{Head: h.MaxHeaderBytes},
		Underscores:       underscores[h.UnderscoreHeaders],
		Paths:             route.Normalizer{Refuse: refusedIn(h.EncodedCharacters)},
		MaxBody:           int64(h.MaxRequestBodyBytes),
		MaxStreams:        e.HTTP2.MaxConcurrentStreams,
		HandshakeTimeout:  time.Duration(t.SniffTimeout),
		ReadTimeout:       time.Duration(t.RespondingTimeouts.ReadTimeout),
		WriteTimeout:      time.Duration(t.RespondingTimeouts.WriteTimeout),
		KeepAliveTimeout:  time.Duration(t.RespondingTimeouts.IdleTimeout),
		IdleTimeout:       time.Duration(t.IdleTimeout),
		KeepAliveRequests: t.KeepAliveMaxRequests,
		KeepAliveTime:     time.Duration(t.KeepAliveMaxTime),
		Trusted:           slices.Clone(e.ForwardedHeaders.TrustedIPs),
	}
	if h.MaxHeaderBytes > 32<<10 {
		o.Limits.Line = h.MaxHeaderBytes // who allows long heads means long lines, such as one cookie
	}
	if e.ForwardedHeaders.Insecure {
		o.Trusted = everyone()
	}
	return o
}

// everyone is every address.
func everyone() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

func (c *compiler) webService(name string, s *config.HTTPService) (p webServicePlan) {
	at := "http.services." + name
	switch {
	case s.LoadBalancer != nil:
		c.webPool(at+".loadBalancer", name, s.LoadBalancer, &p)
	case s.Weighted != nil:
		p.weighted = &webWeightedPlan{childrenOf(s.Weighted.Services), c.sticky(at+".weighted", s.Weighted.Sticky)}
	case s.HighestRandomWeight != nil:
		p.highest = childrenOf(s.HighestRandomWeight.Services)
	case s.Failover != nil:
		p.failover = &webFailoverPlan{service: s.Failover.Service, fallback: s.Failover.Fallback}
		if e := s.Failover.Errors; e != nil {
			p.failover.maxBody = int64(e.MaxRequestBodyBytes)
			p.failover.statuses = slices.Clone(e.Status)
		}
	case s.Mirroring != nil:
		m := s.Mirroring
		p.mirroring = &mirroringPlan{service: m.Service, body: m.MirrorBody, maxBody: int64(m.MaxBodySize)}
		for _, mirror := range m.Mirrors {
			p.mirroring.mirrors = append(p.mirroring.mirrors, mirrorPlan{mirror.Name, mirror.Percent})
		}
	}
	return p
}

func childrenOf(services []config.WeightedService) (children []childPlan) {
	for _, s := range services {
		children = append(children, childPlan{s.Name, s.Weight})
	}
	return children
}

// sticky plans the cookie of a service, nil if it has none. at is where the service's object stands.
func (c *compiler) sticky(at string, s *config.Sticky) *stickyPlan {
	if s == nil || s.Cookie == nil {
		return nil
	}
	k := s.Cookie
	p := &stickyPlan{cookie: l7.Cookie{
		Name: k.Name, Path: k.Path, Domain: k.Domain, Secure: k.Secure, HTTPOnly: k.HTTPOnly, SameSite: k.SameSite, MaxAge: k.MaxAge,
	}}
	if k.KeyFile != "" {
		if p.key = bytes.TrimSpace(c.files[k.KeyFile]); len(p.key) < l7.MinStickyKey {
			c.fail(at+".sticky.cookie.keyFile", fmt.Sprintf("%s holds %d bytes, fewer than the %d a key has at least", k.KeyFile, len(p.key), l7.MinStickyKey),
				"openssl rand -base64 32 makes a good one")
		}
	}
	return p
}

// webPool plans the pool of a load balancer and what is done on the way to it.
func (c *compiler) webPool(at, name string, l *config.HTTPLoadBalancer, p *webServicePlan) {
	t := c.cfg.HTTP.Transport(l)
	version := 0
	if t.ProxyProtocol != nil {
		version = t.ProxyProtocol.Version
	}
	p.pool = &poolPlan{options: poolOptions(l.Strategy, l.HashKey, l.PassiveHealthCheck, l.SlowStart, l.PanicThreshold, l.Connect, l.Queue)}
	b := &balancerPlan{rewriteHost: !l.PassHostHeader, countErrors: c.cfg.Written(at + ".passiveHealthCheck"), sticky: c.sticky(at, l.Sticky)}
	p.pool.sources = c.sources(at+".discovery", l.Discovery)
	for i := range l.Servers {
		s := &l.Servers[i]
		_, addr := s.AddrPort()
		if path := s.Socket(); path != "" {
			addr = upstream.UnixAddr(path)
		}
		p.pool.endpoints = append(p.pool.endpoints, endpointOf(addr, s.Weight, s.Priority, s.MaxConnections))
		if base := s.BasePath(); base != "" {
			if b.basePaths == nil {
				b.basePaths = make(map[netip.AddrPort]string)
			}
			b.basePaths[p.pool.endpoints[i].Addr] = base
		}
	}
	b.transport = transportPlan{
		maxIdle:         max(t.MaxIdleConnsPerHost, 0),
		idleTimeout:     time.Duration(t.ForwardingTimeouts.IdleConnTimeout),
		responseTimeout: time.Duration(t.ForwardingTimeouts.ResponseHeaderTimeout),
		maxRequests:     t.MaxRequestsPerConn,
		proxyProtocol:   version,
		pingAfter:       time.Duration(t.ForwardingTimeouts.ReadIdleTimeout),
		pingTimeout:     time.Duration(t.ForwardingTimeouts.PingTimeout),
	}
	switch l.Scheme {
	case "h2c":
		b.transport.http2 = l7.OnlyHTTP2
	case "https":
		b.transport.secure = c.clientTLS(at, t)
		if !t.DisableHTTP2 && version == 0 { // a connection that names its client cannot be shared
			b.transport.http2 = l7.OfferHTTP2
		}
	}
	p.balancer = b
	if l.HealthCheck != nil {
		p.pool.check = c.webCheck(at+".healthCheck", l.HealthCheck, b.transport)
	}
}

// clientTLS plans TLS to servers.
func (c *compiler) clientTLS(at string, t *config.HTTPServersTransport) *clientTLSPlan {
	p := &clientTLSPlan{
		serverName: t.ServerName, insecure: t.InsecureSkipVerify,
		min: tlsVersions[t.MinVersion], max: tlsVersions[t.MaxVersion], suites: suitesOf(t.CipherSuites),
	}
	p.cas = c.authorities(at+".serversTransport.rootCAs", t.RootCAs)
	for i, own := range t.Certificates {
		cert := certificatePlan{own.CertFile, own.KeyFile, c.files[own.CertFile], c.files[own.KeyFile]}
		if _, err := cert.load(); err != nil {
			c.fail(fmt.Sprintf("%s.serversTransport.certificates[%d]", at, i), err.Error(), "")
			continue
		}
		p.own = append(p.own, cert)
	}
	return p
}
