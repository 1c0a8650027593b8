package server

import (
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/flow"
)

// compileUDP compiles the udp section.
func (c *compiler) compileUDP() {
	udp := c.udp
	for _, name := range sorted(udp.Middlewares) {
		c.plan.middlewares[udpKey(name)] = udpMiddlewareOf(udp.Middlewares[name])
	}
	for _, name := range sorted(udp.Services) {
		c.plan.services[udpKey(name)] = c.udpService(name)
	}
	for _, name := range sorted(udp.Routers) {
		r := udp.Routers[name]
		p := udpRouterPlan{service: udpKey(r.Service), shared: c.sharedSockets(r.Service)}
		for _, m := range r.Middlewares {
			p.middlewares = append(p.middlewares, udpKey(m))
		}
		c.plan.udpRouters[name] = p
	}
}

func udpMiddlewareOf(m *config.UDPMiddleware) middlewarePlan {
	switch {
	case m.IPAllowList != nil:
		return middlewarePlan{allow: slices.Clone(m.IPAllowList.SourceRange)}
	case m.MaxSessionsPerSource != nil:
		return middlewarePlan{inFlight: m.MaxSessionsPerSource.Amount}
	case m.RateLimit != nil:
		return middlewarePlan{rate: &ratePlan{m.RateLimit.Average, m.RateLimit.Burst, time.Duration(m.RateLimit.Period)}}
	}
	return middlewarePlan{}
}

func (c *compiler) udpService(name string) servicePlan {
	s := c.udp.Services[name]
	var p servicePlan
	switch {
	case s.LoadBalancer != nil:
		p.pool = c.udpPool("udp.services."+name+".loadBalancer", s.LoadBalancer)
	case s.Weighted != nil:
		for _, w := range s.Weighted.Services {
			p.weighted = append(p.weighted, childPlan{udpKey(w.Name), w.Weight})
		}
	case s.Failover != nil:
		p.failover = &failoverPlan{udpKey(s.Failover.Service), udpKey(s.Failover.Fallback)}
	}
	return p
}

func (c *compiler) udpPool(at string, l *config.UDPLoadBalancer) *poolPlan {
	version := 0
	if send := c.udp.Transport(l).ProxyProtocol; send != nil {
		version = send.Version
	}
	p := &poolPlan{options: poolOptions(l.Strategy, l.HashKey, l.PassiveHealthCheck, l.SlowStart, l.PanicThreshold,
		config.Connect{Retries: l.Retries}, config.Queue{})}
	p.options.ProxyProtocol, p.options.Responses = version, l.Responses
	for i := range l.Servers {
		s := &l.Servers[i]
		p.endpoints = append(p.endpoints, endpointOf(s.AddrPort(), s.Weight, s.Priority, s.MaxConnections))
	}
	p.sources = c.sources(at+".discovery", l.Discovery)
	if l.HealthCheck != nil {
		p.check = c.check(at+".healthCheck", l.HealthCheck, version)
	}
	return p
}

// sharedSockets says how the datagrams for a service are led, by the first of the load balancers below it: config has seen
// that they all agree. nil means that every client has a flow.
func (c *compiler) sharedSockets(name string) *l4.SharedSockets {
	l := firstBalancer(c.udp, name, make(map[string]bool))
	if l == nil || l.Affinity != "none" {
		return nil
	}
	return &l4.SharedSockets{Protocol: protocols[l.Protocol], QueryTimeout: time.Duration(l.QueryTimeout)}
}

var protocols = map[string]flow.Protocol{"auto": flow.Auto, "dns": flow.DNS, "oneWay": flow.OneWay}

// firstBalancer finds a load balancer below a service, nil if there is none.
func firstBalancer(udp *config.UDP, name string, seen map[string]bool) *config.UDPLoadBalancer {
	s := udp.Services[name]
	if s == nil || seen[name] {
		return nil
	}
	seen[name] = true
	if s.LoadBalancer != nil {
		return s.LoadBalancer
	}
	var children []string
	if s.Weighted != nil {
		for _, w := range s.Weighted.Services {
			children = append(children, w.Name)
		}
	}
	if s.Failover != nil {
		children = append(children, s.Failover.Service, s.Failover.Fallback)
	}
	for _, child := range children {
		if l := firstBalancer(udp, child, seen); l != nil {
			return l
		}
	}
	return nil
}

// udpEntrypoint compiles what is particular to an entrypoint for UDP, nil for another.
func (c *compiler) udpEntrypoint(name string) *udpPlan {
	e := c.cfg.EntryPoints[name]
	if e.Listen().Network != "udp" {
		return nil
	}
	p := &udpPlan{options: l4.UDPOptions{
		IdleTimeout:       time.Duration(e.UDP.Timeout),
		MaxFlows:          e.UDP.MaxSessions,
		MaxFlowsPerSource: e.UDP.MaxSessionsPerSource,
		Amplification:     e.UDP.MaxAmplification,
	}}
	for _, router := range sorted(c.udp.Routers) {
		if slices.Contains(c.udp.Routers[router].EntryPoints, name) {
			p.router = router // there is one at most
		}
	}
	return p
}
