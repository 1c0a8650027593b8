package server

import (
	"net/netip"
	"strings"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/upstream"
)

// webPlan is what the http section asks for.
type webPlan struct {
	routers     map[string]webRouterPlan
	middlewares map[string]webMiddlewarePlan
	services    map[string]webServicePlan
}

// webRouterPlan leads requests to a service.
type webRouterPlan struct {
	rule     rule.Expr
	text     string // of the rule, for people
	priority int
	service  string // empty where a middleware answers every request
}

// frontPlan is the HTTP side of an entrypoint.
type frontPlan struct {
	options l7.FrontOptions
	routes  []webRoutePlan // by name of the router
	hosts   []securityPlan // in the order of the hosts
}

// webRoutePlan is a router at one of its entrypoints.
type webRoutePlan struct {
	router      string
	config      string // key in plan.tls; empty = plain
	middlewares []string
}

// securityPlan is how TLS is ended for a server name.
type securityPlan struct {
	host   rule.HostPattern
	config string // key in plan.tls
}

// webServicePlan is a pool with what is done on the way to it, or one of the others.
type webServicePlan struct {
	pool      *poolPlan
	balancer  *balancerPlan // goes with pool
	weighted  *webWeightedPlan
	highest   []childPlan // highest random weight
	failover  *webFailoverPlan
	mirroring *mirroringPlan
}

// balancerPlan is what a load balancer of HTTP has beyond its pool.
type balancerPlan struct {
	transport   transportPlan
	rewriteHost bool
	countErrors bool
	sticky      *stickyPlan
	basePaths   map[netip.AddrPort]string // what goes before the path, for servers that have it
}

// transportPlan is how servers are spoken to.
type transportPlan struct {
	secure          *clientTLSPlan // nil = plain
	maxIdle         int            // to each server, all loops together
	idleTimeout     time.Duration
	responseTimeout time.Duration
	maxRequests     int
	proxyProtocol   int // version of the header; 0 = none
	http2           l7.HTTP2
	pingAfter       time.Duration
	pingTimeout     time.Duration
}

// clientTLSPlan is TLS to servers.
type clientTLSPlan struct {
	serverName string // empty = the server's address
	insecure   bool
	cas        []byte            // PEM; empty = the system's
	own        []certificatePlan // shown to servers
	min, max   uint16
	suites     []uint16
}

// stickyPlan is the cookie that keeps a client at a server or a service.
type stickyPlan struct {
	cookie l7.Cookie
	key    []byte // of its signature; nil = one that lasts as long as this process
}

type webWeightedPlan struct {
	children []childPlan
	sticky   *stickyPlan
}

type webFailoverPlan struct {
	service, fallback string
	statuses          []config.StatusRange // of answers that the fallback gives instead
	maxBody           int64
}

type mirroringPlan struct {
	service string
	mirrors []mirrorPlan
	body    bool
	maxBody int64
}

type mirrorPlan struct {
	service string
	percent int
}

// webSuffix tells names of HTTP services from those of TCP services where both stand together: in the keys of pools.
const webSuffix = "@http"

func webKey(name string) string { return name + webSuffix }

// cutKey takes the key of a service, a pool or a middleware apart.
func cutKey(key string) (name, protocol string) {
	if name, ok := strings.CutSuffix(key, webSuffix); ok {
		return name, "http"
	}
	if name, ok := strings.CutSuffix(key, udpSuffix); ok {
		return name, "udp"
	}
	return key, "tcp"
}

// serviceName is what people call the service of a backend.
func serviceName(k upstream.Key) string {
	name, _ := cutKey(k.Service)
	return name
}

// pool finds a pool by its key, nil if there is none.
func (p *plan) pool(key string) *poolPlan {
	if name, protocol := cutKey(key); protocol == "http" {
		return p.web.services[name].pool
	}
	return p.services[key].pool
}

// target is a service without its pool, which lives by itself.
func (s webServicePlan) target() webServicePlan {
	s.pool = nil
	return s
}

// children are the services a service is made of, none for a pool.
func (s webServicePlan) children() (names []string) {
	switch {
	case s.weighted != nil:
		for _, c := range s.weighted.children {
			names = append(names, c.service)
		}
	case s.failover != nil:
		names = []string{s.failover.service, s.failover.fallback}
	case s.mirroring != nil:
		names = []string{s.mirroring.service}
		for _, m := range s.mirroring.mirrors {
			names = append(names, m.service)
		}
	}
	for _, c := range s.highest {
		names = append(names, c.service)
	}
	return names
}

// kind is what the service is called in the configuration.
func (s webServicePlan) kind() string {
	switch {
	case s.weighted != nil:
		return "weighted"
	case s.highest != nil:
		return "highestRandomWeight"
	case s.failover != nil:
		return "failover"
	case s.mirroring != nil:
		return "mirroring"
	}
	return "loadBalancer"
}
