package server

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/discovery"
)

// sources compiles where further servers of a load balancer are looked for. at is where the list stands.
func (c *compiler) sources(at string, d config.Discovery) (plans []sourcePlan) {
	for i, s := range d {
		here := fmt.Sprintf("%s[%d]", at, i)
		p := c.source(here, s)
		if _, err := p.provider(c.asker(p.resolver)); err != nil {
			c.fail(here, err.Error(), "")
			continue
		}
		plans = append(plans, p)
	}
	return plans
}

var families = map[string]discovery.Family{"both": discovery.Both, "v4": discovery.IPv4Only, "v6": discovery.IPv6Only}

func (c *compiler) source(at string, s *config.Source) sourcePlan {
	switch {
	case s.DNSSRV != nil:
		r := c.cfg.Resolver(s.DNSSRV.Resolver)
		return sourcePlan{resolver: c.resolver(s.DNSSRV.Resolver), srv: &discovery.SRVOptions{
			Name: s.DNSSRV.Name, Family: families[s.DNSSRV.Family], AllowLoopback: s.DNSSRV.AllowLoopback,
			HoldObsolete: time.Duration(r.HoldObsolete), MaxStale: time.Duration(r.MaxStale),
		}}
	case s.DNS != nil:
		r := c.cfg.Resolver(s.DNS.Resolver)
		return sourcePlan{resolver: c.resolver(s.DNS.Resolver), host: &hostPlan{
			weight: s.DNS.Weight, priority: s.DNS.Priority,
			options: discovery.HostOptions{
				Name: s.DNS.Name, Port: uint16(s.DNS.Port), Family: families[s.DNS.Family], AllowLoopback: s.DNS.AllowLoopback,
				HoldObsolete: time.Duration(r.HoldObsolete), MaxStale: time.Duration(r.MaxStale),
			},
		}}
	case s.HTTP != nil:
		return sourcePlan{http: c.httpSource(at+".http", s.HTTP)}
	}
	return sourcePlan{file: s.File.Path}
}

func (c *compiler) httpSource(at string, s *config.HTTPSource) *httpSourcePlan {
	p := &httpSourcePlan{url: s.URL, interval: time.Duration(s.Interval), timeout: time.Duration(s.Timeout)}
	if len(s.Headers) > 0 {
		p.headers = make(http.Header, len(s.Headers))
		for name, value := range s.Headers {
			p.headers.Set(name, value)
		}
	}
	if s.TLS != nil {
		p.secure = &clientTLSPlan{
			serverName: s.TLS.ServerName, insecure: s.TLS.InsecureSkipVerify, cas: c.authorities(at+".tls.rootCAs", s.TLS.RootCAs),
		}
	}
	return p
}

var transports = map[string]discovery.Transport{"udp": discovery.UDP, "tcp": discovery.TCP, "tls": discovery.TLS}

// resolver compiles the resolver that a source names and returns its key. Resolvers that no source names are not made.
func (c *compiler) resolver(name string) (key string) {
	key = cmp.Or(name, "default")
	if _, done := c.plan.resolvers[key]; done {
		return key
	}
	c.plan.resolvers[key] = c.resolverOptions(name)
	return key
}

// resolverOptions compiles a resolver: the default one if name is empty.
func (c *compiler) resolverOptions(name string) discovery.ResolverOptions {
	r := c.cfg.Resolver(name)
	o := discovery.ResolverOptions{
		Nameservers: slices.Clone(r.Nameservers), Transport: transports[r.Transport], ServerName: r.ServerName,
		Timeout: time.Duration(r.Timeout), Attempts: r.Attempts, MinTTL: time.Duration(r.MinTTL), MaxTTL: time.Duration(r.MaxTTL),
		Search: r.Search,
	}
	if _, err := discovery.NewResolver(o); err != nil {
		c.fail("resolvers."+cmp.Or(name, "default"), err.Error(), "")
	}
	return o
}

// asker makes a resolver to see whether it can be made, nil for no name.
func (c *compiler) asker(key string) *discovery.Resolver {
	if key == "" {
		return nil
	}
	r, err := discovery.NewResolver(c.plan.resolvers[key])
	if err != nil {
		r, _ = discovery.NewResolver(discovery.ResolverOptions{}) // reported already
	}
	return r
}
