package config

import (
	"fmt"
	"strings"

	"github.com/weirlb/weir/internal/rule"
)

func (c *checker) http() {
	h := c.cfg.HTTP
	if h == nil {
		return
	}
	for _, name := range sortedKeys(h.Routers) {
		r, at := h.Routers[name], "http.routers."+name
		c.routerEntryPoints(at, &r.EntryPoints, "tcp")
		c.rule(at+".rule", r.Rule, rule.HTTP, r.TLS != nil)
		refer(c, at+".service", &r.Service, "http.services", h.Services)
		c.middlewareNames(at+".middlewares", r.Middlewares)
		if r.TLS != nil {
			c.tlsOptionsName(at+".tls.options", &r.TLS.Options)
		}
	}
	for _, name := range sortedKeys(h.Middlewares) {
		c.httpMiddleware("http.middlewares."+name, h.Middlewares[name])
	}
	c.chains(h)
	for _, t := range c.cfg.httpTransports() {
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, 0)
		if strings.ContainsFunc(t.ServerName, notVisible) {
			c.failf(t.at+".serverName", "%q is not a host name", abbreviated(t.ServerName))
		}
	}
	c.httpServices(h)
}

// middlewareNames checks the names of HTTP middlewares.
func (c *checker) middlewareNames(at string, names []string) {
	var known map[string]*HTTPMiddleware
	if c.cfg.HTTP != nil {
		known = c.cfg.HTTP.Middlewares
	}
	for i := range names {
		refer(c, fmt.Sprintf("%s[%d]", at, i), &names[i], "http.middlewares", known)
	}
}

// entryPointHTTP checks what an entrypoint says for all HTTP requests.
func (c *checker) entryPointHTTP(at string, h *EntryPointHTTP) {
	c.middlewareNames(at+".middlewares", h.Middlewares)
	if h.TLS != nil {
		c.tlsOptionsName(at+".tls.options", &h.TLS.Options)
	}
}

// redirections checks where entrypoints redirect to, and that no client is
// sent around in a circle. A redirect to https ends: only plain requests are
// redirected.
func (c *checker) redirections(names []string) {
	next := map[string][]reference{}
	for _, name := range names {
		r := c.cfg.EntryPoints[name].HTTP.Redirections
		if r == nil || r.EntryPoint == nil {
			continue
		}
		at := "entryPoints." + name + ".http.redirections.entryPoint.to"
		c.redirectionGoal(at, r.EntryPoint)
		if c.cfg.EntryPoints[r.EntryPoint.To] != nil && r.EntryPoint.Scheme == "http" {
			next[name] = []reference{{at, r.EntryPoint.To}}
		}
	}
	c.circles(names, func(name string) []reference { return next[name] })
}

func (c *checker) redirectionGoal(at string, r *EntryPointRedirection) {
	if strings.HasPrefix(r.To, ":") {
		if _, ok := redirectPort(r.To); !ok {
			c.fail(at, fmt.Sprintf("%q is not a port", abbreviated(r.To)), `write it like ":443"`)
		}
		return
	}
	refer(c, at, &r.To, "entryPoints", c.cfg.EntryPoints)
	e := c.cfg.EntryPoints[r.To]
	if e == nil {
		return
	}
	l, err := ParseListen(e.Address)
	switch {
	case err != nil: // reported there
	case l.Network != "tcp":
		c.failf(at, "%q listens on %s and HTTP is for tcp", r.To, l.Network)
	case l.First != l.Last || l.First == 0:
		c.fail(at, fmt.Sprintf("%q listens on %s, which is not one port to send clients to", r.To, e.Address), `write the port, like ":443"`)
	}
}
