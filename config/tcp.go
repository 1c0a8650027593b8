package config

import (
	"net/netip"
	"time"
)

// TCP is the routing of TCP connections.
type TCP struct {
	Routers           map[string]*TCPRouter           `yaml:"routers" doc:"Which connection goes to which service, by name."`
	Middlewares       map[string]*TCPMiddleware       `yaml:"middlewares" doc:"Checks a connection passes before its service, by name."`
	Services          map[string]*TCPService          `yaml:"services" doc:"Where connections go, by name."`
	ServersTransports map[string]*TCPServersTransport `yaml:"serversTransports" doc:"How servers are spoken to, by name."`
}

// TCPRouter sends the connections its rule matches to a service. In a loaded
// Config EntryPoints is never empty and names are plain (an "@file" at their
// end, as Traefik writes it, is gone).
type TCPRouter struct {
	EntryPoints []string   `yaml:"entryPoints" doc:"Entrypoints the router listens to; without the key, the default ones."`
	Rule        string     `yaml:"rule" need:"true" doc:"Matchers HostSNI, HostSNIRegexp, ClientIP and ALPN, joined by && || ! ( )."`
	RuleSyntax  string     `yaml:"ruleSyntax" enum:"v3" doc:"Syntax of the rule."`
	Priority    int        `yaml:"priority" doc:"Higher is tried first; 0 means the length of the rule."`
	Middlewares []string   `yaml:"middlewares" doc:"TCP middlewares in the order they are asked."`
	Service     string     `yaml:"service" need:"true" doc:"TCP service the connection goes to."`
	TLS         *RouterTLS `yaml:"tls" doc:"The router takes TLS connections only. {} ends TLS in weir."`
}

// RouterTLS says what a router does with TLS. Its presence alone means that
// the router takes TLS connections and ends TLS itself.
type RouterTLS struct {
	Passthrough bool   `yaml:"passthrough" doc:"Pass the TLS bytes on as they are instead of ending TLS."`
	Options     string `yaml:"options" doc:"Name in tls.options; without the key, default."`
}

// TCPMiddleware is exactly one of its members.
type TCPMiddleware struct {
	IPAllowList  *IPAllowList  `yaml:"ipAllowList" doc:"Lets only listed client addresses pass."`
	InFlightConn *InFlightConn `yaml:"inFlightConn" doc:"Limits the open connections of one client address."`
	RateLimit    *RateLimit    `yaml:"rateLimit" doc:"Limits the new connections of one client address."`
}

// IPAllowList lets only clients from the listed networks pass.
type IPAllowList struct {
	SourceRange []netip.Prefix `yaml:"sourceRange" need:"true" doc:"Addresses or networks that may pass."`
}

// InFlightConn limits how many connections one client address has open.
type InFlightConn struct {
	Amount int `yaml:"amount" need:"true" min:"1" doc:"Open connections of one client address."`
}

// RateLimit is a token bucket for each client address: Average new connections,
// datagrams or requests each Period, Burst of them at once.
type RateLimit struct {
	Average int      `yaml:"average" need:"true" min:"1" doc:"New connections, datagrams or requests allowed in each period, on average."`
	Burst   int      `yaml:"burst" min:"1" doc:"How many may come at once."`
	Period  Duration `yaml:"period" min:"1ms" doc:"The time average counts over."`
}

func (r *RateLimit) setDefaults() { *r = RateLimit{Burst: 1, Period: Duration(time.Second)} }

// TCPService is exactly one of its members. Weighted and Failover name other
// services and nest without cycles.
type TCPService struct {
	LoadBalancer *LoadBalancer `yaml:"loadBalancer" doc:"Servers that share the connections."`
	Weighted     *Weighted     `yaml:"weighted" doc:"Other services that share the connections by weight."`
	Failover     *Failover     `yaml:"failover" doc:"A service, and another one for when it has no usable server."`
}

// Weighted shares traffic between services.
type Weighted struct {
	Services    []WeightedService `yaml:"services" need:"true" doc:"The services and their weights."`
	HealthCheck *Propagation      `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always skips a service without a usable server."`
}

// WeightedService is one member of a Weighted.
type WeightedService struct {
	Name   string `yaml:"name" need:"true" doc:"A service."`
	Weight int    `yaml:"weight" min:"0" max:"65535" doc:"Its share; 0 means it gets nothing."`
}

func (w *WeightedService) setDefaults() { w.Weight = 1 }

// Failover uses Fallback while Service has no usable server.
type Failover struct {
	Service     string       `yaml:"service" need:"true" doc:"The service used while it can be."`
	Fallback    string       `yaml:"fallback" need:"true" doc:"The service used otherwise."`
	HealthCheck *Propagation `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always looks at the health behind a service."`
}

// Propagation is the empty object by which Traefik switches on that health is
// passed up from a service to those that use it. In weir it always is.
type Propagation struct{}
