package config

import (
	"fmt"
	"strings"
)

func (c *checker) udp() {
	u := c.cfg.UDP
	if u == nil {
		return
	}
	for _, name := range sortedKeys(u.Routers) {
		r, at := u.Routers[name], "udp.routers."+name
		c.routerEntryPoints(at, &r.EntryPoints, "udp")
		refer(c, at+".service", &r.Service, "udp.services", u.Services)
		for i := range r.Middlewares {
			refer(c, fmt.Sprintf("%s.middlewares[%d]", at, i), &r.Middlewares[i], "udp.middlewares", u.Middlewares)
		}
	}
	for _, name := range sortedKeys(u.Middlewares) {
		c.one("udp.middlewares."+name, u.Middlewares[name])
	}
	for _, name := range sortedKeys(u.ServersTransports) {
		c.udpTransport("udp.serversTransports."+name, u.ServersTransports[name])
	}
	next := make(map[string][]reference, len(u.Services))
	for _, name := range sortedKeys(u.Services) {
		s, at := u.Services[name], "udp.services."+name
		c.one(at, s)
		if s.LoadBalancer != nil {
			c.udpLoadBalancer(at+".loadBalancer", s.LoadBalancer)
		}
		next[name] = references(c, "udp.services", u.Services, mentions(at, s.Weighted, s.Failover))
	}
	c.circles(sortedKeys(u.Services), func(name string) []reference { return next[name] })
	c.soleRouters()
	c.udpFits(c.udpLeaders(next))
}

func (c *checker) udpLoadBalancer(at string, l *UDPLoadBalancer) {
	c.servers(at, l.Servers, l.Discovery)
	if l.HealthCheck != nil {
		c.healthCheck(at+".healthCheck", l.HealthCheck, "UDP")
	}
	ref := &l.ServersTransport
	refer(c, at+".serversTransport", &ref.Name, "udp.serversTransports", c.cfg.UDP.ServersTransports)
	c.udpTransport(at+".serversTransport", ref.Inline)
	c.affinity(at, l)
	l.settle()
}

// affinity checks the keys that have a meaning only for flows, or only for
// datagrams that are led each by itself.
func (c *checker) affinity(at string, l *UDPLoadBalancer) {
	switch {
	case c.brokenAt(at + ".affinity"): // which keys fit is not known
	case l.Affinity == "none":
		if l.Responses > 0 {
			c.fail(at+".responses", "has no meaning with affinity none", "there is no flow that could end; remove the key")
		}
		if l.Protocol == "oneWay" && l.QueryTimeout > 0 {
			c.fail(at+".queryTimeout", "has no meaning with protocol oneWay", "no answer is waited for; remove the key")
		}
	default:
		const hint = "only with affinity: none"
		if l.Protocol != "" {
			c.fail(at+".protocol", "has no meaning with affinity source", hint)
		}
		if l.QueryTimeout > 0 {
			c.fail(at+".queryTimeout", "has no meaning with affinity source", hint)
		}
	}
}

// udpTransport checks how servers are spoken to; t may be nil.
func (c *checker) udpTransport(at string, t *UDPServersTransport) {
	if t != nil && t.ProxyProtocol != nil && t.ProxyProtocol.Version == 1 {
		c.fail(at+".proxyProtocol.version", "version 1 has no header for datagrams", "write 2, or remove the key")
	}
}

// soleRouters reports entrypoints that several routers listen to. There is no
// rule that could tell whose a datagram is.
func (c *checker) soleRouters() {
	owner := map[string]string{} // of each entrypoint, its first router
	for _, name := range sortedKeys(c.cfg.UDP.Routers) {
		at := "udp.routers." + name + ".entryPoints"
		for i, e := range c.cfg.UDP.Routers[name].EntryPoints {
			other, taken := owner[e]
			switch {
			case !taken:
				owner[e] = name
			case other != name:
				here := at
				if c.written(at) {
					here = fmt.Sprintf("%s[%d]", at, i)
				}
				file, line, col := c.cfg.Position("udp.routers." + other)
				c.fail(here, fmt.Sprintf("%q has a router already, udp.routers.%s at %s:%d:%d", e, other, file, line, col),
					"nothing in a datagram says whose it is: give each router entrypoints of its own")
			}
		}
	}
}

// manner is how a load balancer leads datagrams. An entrypoint leads all of
// its datagrams in one manner.
type manner struct {
	affinity, protocol string
	queryTimeout       Duration
}

func (l *UDPLoadBalancer) manner() manner { return manner{l.Affinity, l.Protocol, l.QueryTimeout} }

func (m manner) String() string {
	words := []string{"affinity " + m.affinity}
	if m.protocol != "" {
		words = append(words, "protocol "+m.protocol)
	}
	if m.queryTimeout > 0 {
		words = append(words, "queryTimeout "+m.queryTimeout.String())
	}
	return strings.Join(words, ", ")
}

// udpLeaders reports load balancers below one service that do not lead in the
// same manner. It returns for each service the first load balancer at or below
// it, "" where there is none that is sound. next holds the services one names.
func (c *checker) udpLeaders(next map[string][]reference) map[string]string {
	services := c.cfg.UDP.Services
	leaders := make(map[string]string, len(services))
	var visit func(string) string
	visit = func(name string) string {
		if leader, seen := leaders[name]; seen {
			return leader
		}
		leaders[name] = "" // for a circle, which is reported elsewhere
		if services[name].LoadBalancer != nil && c.mannerKnown(name) {
			leaders[name] = name
		}
		for _, r := range next[name] {
			first, other := leaders[name], visit(r.name)
			switch {
			case first == "" || other == "":
				leaders[name] = orDefault(first, other)
			case services[first].LoadBalancer.manner() != services[other].LoadBalancer.manner():
				c.fail(r.at, fmt.Sprintf("udp.services.%s has %s, and udp.services.%s beside it %s", other,
					services[other].LoadBalancer.manner(), first, services[first].LoadBalancer.manner()),
					"all datagrams of a service are led in one manner")
			}
		}
		return leaders[name]
	}
	for _, name := range sortedKeys(services) {
		visit(name)
	}
	return leaders
}

// mannerKnown reports whether the keys that make the manner of a load balancer
// could be taken.
func (c *checker) mannerKnown(service string) bool {
	at := "udp.services." + service + ".loadBalancer"
	return !c.brokenAt(at+".affinity") && !c.brokenAt(at+".protocol") && !c.brokenAt(at+".queryTimeout")
}

// udpFits reports bounds of flows on the way to a service that has no flows.
// Ignored, they would leave open what somebody thinks is closed.
func (c *checker) udpFits(leaders map[string]string) {
	u := c.cfg.UDP
	for _, name := range sortedKeys(u.Routers) {
		r := u.Routers[name]
		leader := leaders[r.Service]
		if leader == "" || u.Services[leader].LoadBalancer.Affinity != "none" {
			continue
		}
		for i, m := range r.Middlewares {
			if m := u.Middlewares[m]; m != nil && m.MaxSessionsPerSource != nil {
				c.fail(fmt.Sprintf("udp.routers.%s.middlewares[%d]", name, i),
					fmt.Sprintf("limits flows, and udp.services.%s has affinity none", leader), "write a rateLimit, which counts datagrams")
			}
		}
		for _, listens := range r.EntryPoints {
			if e := c.cfg.EntryPoints[listens]; e != nil && e.UDP != nil && e.UDP.MaxAmplification > 0 {
				c.fail("entryPoints."+listens+".udp.maxAmplification",
					fmt.Sprintf("bounds flows, and udp.services.%s has affinity none", leader),
					"have the servers limit their responses, or write affinity: source there")
			}
		}
	}
}
