package server

import (
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/upstream"
)

// plan is what a configuration asks for, in the words of the packages that do it. It holds values only, never a running
// object, and is not changed once compile has made it. The zero plan asks for nothing.
type plan struct {
	log          logPlan
	accessLog    accesslog.Options
	tracing      *tracingPlan // nil = requests are not traced
	start        startPlan
	entrypoints  map[string]entrypointPlan
	routers      map[string]routerPlan
	middlewares  map[string]middlewarePlan
	services     map[string]servicePlan // of TCP by name, of UDP by udpKey; middlewares likewise
	udpRouters   map[string]udpRouterPlan
	web          webPlan
	tls          map[string]tlsPlan // by routerPlan.config
	resolvers    map[string]discovery.ResolverOptions
	certificates []certificatePlan // the first is the default
	warnings     []string          // what is allowed and hardly meant, for the log
}

// logPlan is the program's own log.
type logPlan struct {
	level  slog.Level
	format string // text or json
}

// startPlan is what takes effect at start only.
type startPlan struct {
	admin          string // ip:port
	loops          int    // 0 = one for each CPU
	maxConnections int    // 0 = what the descriptor limit allows
	cluster        *clusterPlan
}

// entrypointPlan is one place to listen.
type entrypointPlan struct {
	addrs       []netip.AddrPort // without an address: all of IPv4 and IPv6
	options     l4.EntrypointOptions
	acceptGrace time.Duration // at a stop: how long connections are still accepted
	grace       time.Duration // how long open connections may go on after that
	routers     []string      // of TCP, by name
	front       *frontPlan    // nil = no HTTP
	udp         *udpPlan      // nil = it is one for TCP
}

// routerPlan leads connections to a service.
type routerPlan struct {
	rule        rule.Expr
	text        string // of the rule, for people
	priority    int
	tls         l4.TLSMode
	config      string // key in plan.tls; empty unless tls is Terminate
	middlewares []string
	service     string
}

// middlewarePlan is exactly one of its members.
type middlewarePlan struct {
	allow    []netip.Prefix
	inFlight int
	rate     *ratePlan
}

type ratePlan struct {
	average, burst int
	period         time.Duration
}

// servicePlan is exactly one of its members.
type servicePlan struct {
	pool     *poolPlan
	weighted []childPlan
	failover *failoverPlan
}

type childPlan struct {
	service string
	weight  int
}

type failoverPlan struct{ service, fallback string }

// poolPlan is a service with backends of its own.
type poolPlan struct {
	options   upstream.Options
	endpoints []upstream.Endpoint // those that are listed
	sources   []sourcePlan        // where further ones are looked for
	check     *checkPlan          // nil = no active checks
}

// checkPlan is how backends are probed.
type checkPlan struct {
	kind    string
	params  health.Params
	options health.Options // without the prober
	spec    string         // all of this in one text, the same on all nodes of a cluster that probe in the same way
	secure  *clientTLSPlan // how TLS is spoken where params.TLS leaves it open; nil = as params say
}

// same reports whether two parts of plans ask for the same.
func same[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

// children are the services a service is made of, none for a pool.
func (s servicePlan) children() []string {
	if s.failover != nil {
		return []string{s.failover.service, s.failover.fallback}
	}
	var names []string
	for _, c := range s.weighted {
		names = append(names, c.service)
	}
	return names
}

// terminates reports whether any router ends TLS.
func (p *plan) terminates() bool { return len(p.tls) > 0 }

// grace is how long a backend that was taken away may keep its connections: as long as the most patient entrypoint,
// because they may have come in by any.
func (p *plan) grace() time.Duration {
	var longest time.Duration
	for _, e := range p.entrypoints {
		longest = max(longest, e.grace)
	}
	return longest
}
