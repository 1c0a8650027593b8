package config

// HTTP is the routing of HTTP requests, as far as weir knows it yet.
type HTTP struct {
	Routers     map[string]*HTTPRouter     `yaml:"routers" doc:"Which request goes to which service, by name."`
	Middlewares map[string]*HTTPMiddleware `yaml:"middlewares" doc:"What is done to requests and responses on their way, by name."`
	Services    map[string]*HTTPService    `yaml:"services" doc:"Where requests go, by name."`
}

// HTTPRouter sends the requests its rule matches to a service.
type HTTPRouter struct {
	EntryPoints []string   `yaml:"entryPoints" doc:"Entrypoints the router listens to; without the key, the default ones."`
	Rule        string     `yaml:"rule" need:"true" doc:"Matchers Host, HostRegexp, Path, PathPrefix, PathRegexp, Method, Header, HeaderRegexp, Query, QueryRegexp and ClientIP, joined by && || ! ( )."`
	RuleSyntax  string     `yaml:"ruleSyntax" enum:"v3" doc:"Syntax of the rule."`
	Priority    int        `yaml:"priority" doc:"Higher is tried first; 0 means the length of the rule."`
	Middlewares []string   `yaml:"middlewares" doc:"HTTP middlewares in the order they see the request."`
	Service     string     `yaml:"service" need:"true" doc:"HTTP service the request goes to."`
	TLS         *RouterTLS `yaml:"tls" doc:"The router takes HTTPS requests only."`
}

// HTTPMiddleware is exactly one of its members.
type HTTPMiddleware struct {
	StripPrefix *StripPrefix `yaml:"stripPrefix" doc:"Removes a prefix from the path."`
	RateLimit   *RateLimit   `yaml:"rateLimit" doc:"Limits the requests of one client address."`
}

// StripPrefix removes the first of its prefixes that the path starts with.
type StripPrefix struct {
	Prefixes []string `yaml:"prefixes" need:"true" doc:"The prefixes."`
}

// HTTPService is exactly one of its members.
type HTTPService struct {
	LoadBalancer *HTTPLoadBalancer `yaml:"loadBalancer" doc:"Servers that share the requests."`
	Weighted     *Weighted         `yaml:"weighted" doc:"Other services that share the requests by weight."`
	Failover     *Failover         `yaml:"failover" doc:"A service, and another one for when it has no usable server."`
}

// HTTPLoadBalancer is an HTTP service with servers of its own.
type HTTPLoadBalancer struct {
	Strategy    string       `yaml:"strategy" enum:"wrr|leastconn|p2c|hrw|random" doc:"How a server is chosen."`
	Servers     []HTTPServer `yaml:"servers" doc:"The servers."`
	Discovery   *Discovery   `yaml:"discovery" doc:"Servers found at run time, joined with the listed ones."`
	HealthCheck *HealthCheck `yaml:"healthCheck" doc:"Active probes of every server."`
	Sticky      *Sticky      `yaml:"sticky" doc:"Keeps a client at the server that answered it first."`
}

func (l *HTTPLoadBalancer) setDefaults() { l.Strategy = "wrr" }

// HTTPServer is one server of an HTTP service.
type HTTPServer struct {
	URL    string `yaml:"url" need:"true" doc:"http or https URL of the server."`
	Weight int    `yaml:"weight" min:"0" max:"65535" doc:"Its share; 0 keeps what it has and sends it nothing new."`
}

func (s *HTTPServer) setDefaults() { s.Weight = 1 }

// Sticky keeps a client at one server by a cookie.
type Sticky struct {
	Cookie *Cookie `yaml:"cookie" need:"true" doc:"The cookie."`
}

// Cookie names the cookie of a sticky service.
type Cookie struct {
	Name string `yaml:"name" doc:"Name of the cookie."`
}
