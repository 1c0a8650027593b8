package server

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4"
)

// describe writes a plan as text, each thing on a line of its own in a fixed order.
func describe(p *plan) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("log %s %s", p.log.level, p.log.format)
	if p.accessLog.Format != accesslog.Off {
		say("access log %d to %s", p.accessLog.Format, p.accessLog.Path)
	}
	say("start admin=%s loops=%d maxConnections=%d", p.start.admin, p.start.loops, p.start.maxConnections)
	for _, name := range sorted(p.entrypoints) {
		e := p.entrypoints[name]
		var addrs []string
		for _, a := range e.addrs {
			if !a.Addr().IsValid() {
				addrs = append(addrs, fmt.Sprintf("*:%d", a.Port()))
				continue
			}
			addrs = append(addrs, a.String())
		}
		say("entrypoint %s %s grace %v+%v", name, strings.Join(addrs, " "), e.acceptGrace, e.grace)
		say("  %+v", e.options)
		say("  routers %s", strings.Join(e.routers, " "))
		describeFront(say, e.front)
		if e.udp != nil {
			say("  udp %+v to router %q", e.udp.options, e.udp.router)
		}
	}
	for _, name := range sorted(p.routers) {
		r := p.routers[name]
		say("router %s priority %d: %s", name, r.priority, r.rule)
		say("  %s %q via %v to %s", tlsNames[r.tls], r.config, r.middlewares, r.service)
	}
	for _, name := range sorted(p.udpRouters) {
		r := p.udpRouters[name]
		say("udp router %s via %v to %s, shared %+v", name, r.middlewares, r.service, r.shared)
	}
	for _, name := range sorted(p.middlewares) {
		m := p.middlewares[name]
		say("middleware %s allow=%v inFlight=%d rate=%+v", name, m.allow, m.inFlight, m.rate)
	}
	for _, name := range sorted(p.services) {
		describeService(say, name, p.services[name])
	}
	describeWeb(say, p.web)
	for _, key := range sorted(p.tls) {
		t := p.tls[key]
		say("tls %q %s to %s suites=%v curves=%v auth=%v cas=%d bytes strict=%v protocols=%v", key,
			tls.VersionName(t.min), tls.VersionName(t.max), t.suites, t.curves, t.auth, len(t.cas), t.strict, t.protocols)
	}
	for _, name := range sorted(p.resolvers) {
		say("resolver %s %+v", name, p.resolvers[name])
	}
	for _, c := range p.certificates {
		say("certificate %s %s", c.certFile, c.keyFile)
	}
	return b.String()
}

var tlsNames = map[l4.TLSMode]string{l4.NoTLS: "plain", l4.Passthrough: "passthrough", l4.Terminate: "terminate"}

func describeService(say func(string, ...any), name string, s servicePlan) {
	for _, c := range s.weighted {
		say("service %s leads to %s by %d", name, c.service, c.weight)
	}
	if s.failover != nil {
		say("service %s leads to %s, else %s", name, s.failover.service, s.failover.fallback)
	}
	if s.pool != nil {
		describePool(say, "service "+name, s.pool)
	}
}

func describePool(say func(string, ...any), whose string, p *poolPlan) {
	say("%s pool %+v", whose, p.options)
	for _, e := range p.endpoints {
		say("  %s weight %d priority %d max %d", e.Addr, e.Weight, e.Priority, e.MaxConnections)
	}
	for _, s := range p.sources {
		say("  source srv=%+v host=%+v file=%q resolver=%q", s.srv, s.host, s.file, s.resolver)
		if h := s.http; h != nil {
			say("    %s every %v within %v, %v, tls %+v", h.url, h.interval, h.timeout, h.headers, h.secure)
		}
	}
	if c := p.check; c != nil {
		o := c.options
		say("  check %s every %v, %v, %v within %v rise %d fall %d jitter %d port %d proxy %d", c.kind,
			o.Interval, o.FastInterval, o.UnhealthyInterval, o.Timeout, o.Rise, o.Fall, o.Jitter, c.params.Port, c.params.ProxyProtocol)
		say("    exchange %q %q http %+v login %+v tls %+v", c.params.Exchange.Send, c.params.Exchange.Expect, c.params.HTTP, c.params.Login, c.params.TLS)
	}
}
