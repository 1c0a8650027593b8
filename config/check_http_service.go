package config

import (
	"fmt"
	"strings"
)

func (c *checker) httpServices(h *HTTP) {
	next := make(map[string][]reference, len(h.Services))
	for _, name := range sortedKeys(h.Services) {
		s, at := h.Services[name], "http.services."+name
		c.one(at, s)
		if s.LoadBalancer != nil {
			c.httpLoadBalancer(at+".loadBalancer", s.LoadBalancer)
		}
		if s.Weighted != nil {
			c.sticky(at+".weighted.sticky", s.Weighted.Sticky)
		}
		if s.Failover != nil && s.Failover.Errors != nil {
			settleBodyCopy(&s.Failover.Errors.MaxRequestBodyBytes)
		}
		if s.Mirroring != nil {
			settleBodyCopy(&s.Mirroring.MaxBodySize)
		}
		next[name] = references(c, "http.services", h.Services, s.mentions(at))
	}
	c.circles(sortedKeys(h.Services), func(name string) []reference { return next[name] })
}

// mentions returns the services that s names.
func (s *HTTPService) mentions(at string) []mention {
	var out []mention
	if w := s.Weighted; w != nil {
		out = append(out, weightedMentions(at+".weighted", w.Services)...)
	}
	if w := s.HighestRandomWeight; w != nil {
		out = append(out, weightedMentions(at+".highestRandomWeight", w.Services)...)
	}
	if f := s.Failover; f != nil {
		out = append(out, mention{at + ".failover.service", &f.Service}, mention{at + ".failover.fallback", &f.Fallback})
	}
	if m := s.Mirroring; m != nil {
		out = append(out, mention{at + ".mirroring.service", &m.Service})
		for i := range m.Mirrors {
			out = append(out, mention{fmt.Sprintf("%s.mirroring.mirrors[%d].name", at, i), &m.Mirrors[i].Name})
		}
	}
	return out
}

func (c *checker) httpLoadBalancer(at string, l *HTTPLoadBalancer) {
	c.discovery(at+".discovery", l.Discovery)
	c.httpServers(at, l)
	c.scheme(at, l)
	c.shared(at, l)
	c.sticky(at+".sticky", l.Sticky)
	if l.HealthCheck != nil {
		c.healthCheck(at+".healthCheck", l.HealthCheck, "HTTP")
	}
	ref := &l.ServersTransport
	refer(c, at+".serversTransport", &ref.Name, "http.serversTransports", c.cfg.HTTP.ServersTransports)
	if dial := c.cfg.HTTP.Transport(l).ForwardingTimeouts.DialTimeout; dial > 0 && !c.written(at+".connect.timeout") {
		l.Connect.Timeout = dial
	}
}

// httpServers checks the URLs of a service's servers. Two of one address would
// be one server, with one health and one count of connections.
func (c *checker) httpServers(at string, l *HTTPLoadBalancer) {
	if len(l.Servers) == 0 && len(l.Discovery) == 0 && !c.brokenWithin(at) {
		c.fail(at+".servers", "the service has no servers", `add one, such as { url: "http://10.0.0.9:8080" }, or write discovery`)
	}
	first := map[string]int{}
	for i := range l.Servers {
		s, here := &l.Servers[i], fmt.Sprintf("%s.servers[%d].url", at, i)
		if s.URL == "" {
			continue // reported as missing
		}
		u, wrong := parseServerURL(s.URL)
		if wrong != nil {
			c.fail(here, wrong.message, wrong.hint)
			continue
		}
		if u.path != "" && !s.PreservePath {
			c.fail(here, fmt.Sprintf("the path %q would not be used", abbreviated(u.path)),
				"write preservePath: true to put it before the path of every request, or remove it")
		}
		if j, twice := first[u.place()]; twice {
			c.failf(here, "%s is servers[%d] already", abbreviated(u.place()), j)
			continue
		}
		first[u.place()] = i
	}
}

// scheme settles how discovered servers are spoken to. All servers of a service
// are spoken to in one way.
func (c *checker) scheme(at string, l *HTTPLoadBalancer) {
	for i := range l.Servers {
		u, wrong := parseServerURL(l.Servers[i].URL)
		if wrong != nil {
			continue // reported there
		}
		if u.scheme == "unix" {
			if u.scheme = "http"; l.Scheme == "h2c" {
				u.scheme = "h2c"
			}
		}
		const apart = "make two services and join them with weighted"
		l.Scheme = orDefault(l.Scheme, u.scheme)
		switch {
		case l.Scheme == u.scheme:
		case c.written(at + ".scheme"):
			c.fail(at+".scheme", fmt.Sprintf("servers[%d] is spoken to in %s", i, u.scheme), apart)
			return
		default:
			c.fail(fmt.Sprintf("%s.servers[%d].url", at, i), fmt.Sprintf("%s and %s servers in one service are not supported by weir", min(l.Scheme, u.scheme), max(l.Scheme, u.scheme)), apart)
		}
	}
	l.Scheme = orDefault(l.Scheme, "http")
}

// shared checks that servers to which clients share connections are not to be told who the client of a connection is.
func (c *checker) shared(at string, l *HTTPLoadBalancer) {
	if l.Scheme == "h2c" && c.cfg.HTTP.Transport(l).ProxyProtocol != nil {
		c.fail(at+".serversTransport", "proxyProtocol names one client for a connection, and over h2c many clients share one",
			"remove proxyProtocol: servers read X-Forwarded-For; or write http instead of h2c")
	}
}

// sticky checks that the cookie can be written into a Set-Cookie header
// (RFC 6265 section 4.1.1).
func (c *checker) sticky(at string, s *Sticky) {
	if s == nil || s.Cookie == nil {
		return
	}
	at += ".cookie"
	if name := s.Cookie.Name; name != "" && !isToken(name) {
		c.failf(at+".name", "%q is not the name of a cookie", abbreviated(name))
	}
	if path := s.Cookie.Path; !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notInCookie) {
		c.fail(at+".path", fmt.Sprintf("%q is not the path of a cookie", abbreviated(path)), "it starts with /")
	}
	if strings.ContainsFunc(s.Cookie.Domain, notInCookie) {
		c.failf(at+".domain", "%q is not a domain", abbreviated(s.Cookie.Domain))
	}
}

// notInCookie reports what may not stand in an attribute of a cookie.
func notInCookie(r rune) bool { return notVisible(r) || r > '~' || r == ';' || r == ',' }
