package config

import "slices"

// HTTP is the routing of HTTP requests.
type HTTP struct {
	Routers           map[string]*HTTPRouter           `yaml:"routers" doc:"Which request goes to which service, by name."`
	Middlewares       map[string]*HTTPMiddleware       `yaml:"middlewares" doc:"What is done to requests and responses on their way, by name."`
	Services          map[string]*HTTPService          `yaml:"services" doc:"Where requests go, by name."`
	ServersTransports map[string]*HTTPServersTransport `yaml:"serversTransports" doc:"How servers are spoken to, by name."`
}

// HTTPRouter sends the requests its rule matches to a service. In a loaded
// Config EntryPoints is never empty and names are plain (an "@file" at their
// end, as Traefik writes it, is gone). What an entrypoint adds to a router is
// not in it, because it may listen to several: see [Config.RouterTLS] and
// [Config.RouterMiddlewares].
type HTTPRouter struct {
	EntryPoints []string       `yaml:"entryPoints" doc:"Entrypoints the router listens to; without the key, the default ones."`
	Rule        string         `yaml:"rule" need:"true" doc:"Matchers Host, HostRegexp, Path, PathPrefix, PathRegexp, Method, Header, HeaderRegexp, Query, QueryRegexp and ClientIP, joined by && || ! ( )."`
	RuleSyntax  string         `yaml:"ruleSyntax" enum:"v3" doc:"Syntax of the rule."`
	Priority    int            `yaml:"priority" doc:"Higher is tried first; 0 means the length of the rule."`
	Middlewares []string       `yaml:"middlewares" doc:"HTTP middlewares in the order they see the request."`
	Service     string         `yaml:"service" need:"true" doc:"HTTP service the request goes to."`
	TLS         *HTTPRouterTLS `yaml:"tls" doc:"The router takes HTTPS requests only."`
}

// HTTPRouterTLS makes a router take HTTPS requests only.
type HTTPRouterTLS struct {
	Options string `yaml:"options" doc:"Name in tls.options; without the key, default."`
}

// RouterTLS returns the TLS of a router at one of its entrypoints: its own, or
// else the entrypoint's. nil means that the router takes plain HTTP there.
func (c *Config) RouterTLS(r *HTTPRouter, entryPoint string) *HTTPRouterTLS {
	if e := c.EntryPoints[entryPoint]; r.TLS == nil && e != nil {
		return e.HTTP.TLS
	}
	return r.TLS
}

// RouterMiddlewares returns the names of the middlewares of a router at one of
// its entrypoints, in the order they see a request: the entrypoint's first. The
// slice is the caller's.
func (c *Config) RouterMiddlewares(r *HTTPRouter, entryPoint string) []string {
	if e := c.EntryPoints[entryPoint]; e != nil {
		return slices.Concat(e.HTTP.Middlewares, r.Middlewares)
	}
	return slices.Clone(r.Middlewares)
}
