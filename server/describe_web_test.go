package server

import "crypto/tls"

// describeFront writes the HTTP side of an entrypoint, nothing if it has none.
func describeFront(say func(string, ...any), f *frontPlan) {
	if f == nil {
		return
	}
	say("  http %+v", f.options)
	for _, r := range f.routes {
		say("    router %s %q via %v", r.router, r.config, r.middlewares)
	}
	for _, h := range f.hosts {
		say("    tls for %s by %q", h.host.Name, h.config)
	}
}

// describeWeb writes what the http section asks for.
func describeWeb(say func(string, ...any), w webPlan) {
	for _, name := range sorted(w.routers) {
		r := w.routers[name]
		say("http router %s priority %d: %s to %q", name, r.priority, r.text, r.service)
	}
	for _, name := range sorted(w.middlewares) {
		m := w.middlewares[name]
		say("http middleware %s add=%q strip=%q redirect=%+v rate=%+v", name, m.addPrefix, m.stripPrefix, m.redirect, m.rate)
		if m.allow != nil {
			say("  allow %v, else %d", m.allow.ranges, m.allow.status)
		}
	}
	for _, name := range sorted(w.services) {
		describeWebService(say, name, w.services[name])
	}
}

func describeWebService(say func(string, ...any), name string, s webServicePlan) {
	say("http service %s is %s of %v", name, s.kind(), s.children())
	switch {
	case s.weighted != nil:
		say("  by %v sticky %+v", s.weighted.children, cookieOf(s.weighted.sticky))
	case s.highest != nil:
		say("  by %v", s.highest)
	case s.failover != nil:
		say("  on %v, bodies up to %d", s.failover.statuses, s.failover.maxBody)
	case s.mirroring != nil:
		say("  to %v bodies=%v up to %d", s.mirroring.mirrors, s.mirroring.body, s.mirroring.maxBody)
	}
	if s.pool == nil {
		return
	}
	describePool(say, "http service "+name, s.pool)
	b, t := s.balancer, s.balancer.transport
	say("  rewriteHost=%v countErrors=%v sticky %+v base paths %v", b.rewriteHost, b.countErrors, cookieOf(b.sticky), b.basePaths)
	say("  idle %d for %v, response %v, requests %d, proxy %d", t.maxIdle, t.idleTimeout, t.responseTimeout, t.maxRequests, t.proxyProtocol)
	if c := t.secure; c != nil {
		say("  tls as %q insecure=%v cas=%d bytes own=%d %s to %s suites=%v", c.serverName, c.insecure, len(c.cas), len(c.own),
			tls.VersionName(c.min), tls.VersionName(c.max), c.suites)
	}
}

// cookieOf shows a cookie without the key that signs it.
func cookieOf(p *stickyPlan) any {
	if p == nil {
		return nil
	}
	return p.cookie
}
