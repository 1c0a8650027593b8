package server

import (
	"cmp"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/l4"
)

// compiler carries the configuration being compiled and what was found wrong with it.
type compiler struct {
	cfg      *config.Config
	udp      *config.UDP // of cfg, never nil
	files    files
	kinds    *ownKinds
	plan     *plan
	problems config.Problems
}

// compile is compileWith for a weir into which nobody has built anything.
func compile(cfg *config.Config, contents files) (*plan, error) {
	return compileWith(new(ownKinds), cfg, contents)
}

// compileWith turns a loaded configuration and the contents of the files it names into a plan. The error is a
// config.Problems with everything that only the packages behind the plan can know: that a certificate does not fit its
// key, that a payload has a bad escape.
func compileWith(kinds *ownKinds, cfg *config.Config, contents files) (*plan, error) {
	c := &compiler{kinds: kinds, cfg: cfg, udp: cmp.Or(cfg.UDP, &config.UDP{}), files: contents, plan: &plan{
		log:       logOf(cfg.Log),
		accessLog: accessLogOf(cfg.AccessLog),
		start: startPlan{
			admin:          cfg.Admin.Address,
			loops:          cfg.Engine.Loops,
			maxConnections: cfg.Engine.MaxConnections,
		},
		entrypoints: make(map[string]entrypointPlan),
		routers:     make(map[string]routerPlan),
		middlewares: make(map[string]middlewarePlan),
		services:    make(map[string]servicePlan),
		udpRouters:  make(map[string]udpRouterPlan),
		tls:         make(map[string]tlsPlan),
		resolvers:   make(map[string]discovery.ResolverOptions),
	}}
	for _, name := range sorted(cfg.TCP.Middlewares) {
		c.plan.middlewares[name] = middlewareOf(cfg.TCP.Middlewares[name])
	}
	for _, name := range sorted(cfg.TCP.Services) {
		c.plan.services[name] = c.service(name)
	}
	for _, name := range sorted(cfg.TCP.Routers) {
		c.plan.routers[name] = c.router(name)
	}
	c.compileUDP()
	for _, name := range sorted(cfg.EntryPoints) {
		c.plan.entrypoints[name] = c.entrypoint(name)
	}
	c.compileWeb()
	c.certificates()
	c.plan.start.cluster = c.cluster()
	c.plan.tracing = c.tracing()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.plan, nil
}

// fail notes what is wrong with the value at a path of the configuration.
func (c *compiler) fail(at string, message string, hint string) {
	file, line, col := c.cfg.Position(at)
	c.problems = append(c.problems, config.Problem{
		File: file, Line: line, Col: col, Path: at, Message: message, Hint: hint,
	})
}

// levels are the levels of the program's log by their names in the file.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func logOf(l config.Log) logPlan { return logPlan{level: levels[l.Level], format: l.Format} }

func accessLogOf(a *config.AccessLog) accesslog.Options {
	switch {
	case a == nil:
		return accesslog.Options{}
	case a.Format == "common":
		return accesslog.Options{Format: accesslog.Common, Path: a.Path}
	}
	return accesslog.Options{Format: accesslog.JSON, Path: a.Path}
}

func (c *compiler) entrypoint(name string) entrypointPlan {
	e := c.cfg.EntryPoints[name]
	p := entrypointPlan{
		addrs: addressesOf(e.Listen()),
		options: l4.EntrypointOptions{
			Proxy:          proxyOf(e.ProxyProtocol),
			SniffTimeout:   time.Duration(e.Transport.SniffTimeout),
			IdleTimeout:    time.Duration(e.Transport.IdleTimeout),
			MaxConnections: e.MaxConnections,
		},
		acceptGrace: time.Duration(e.Transport.LifeCycle.RequestAcceptGraceTimeout),
		grace:       time.Duration(e.Transport.LifeCycle.GraceTimeOut),
		udp:         c.udpEntrypoint(name),
	}
	for _, router := range sorted(c.cfg.TCP.Routers) {
		if slices.Contains(c.cfg.TCP.Routers[router].EntryPoints, name) {
			p.routers = append(p.routers, router)
		}
	}
	return p
}

// addressesOf expands a range of ports.
func addressesOf(l config.Listen) []netip.AddrPort {
	var addrs []netip.AddrPort
	for port := int(l.First); port <= int(l.Last); port++ {
		addrs = append(addrs, netip.AddrPortFrom(l.Addr, uint16(port)))
	}
	return addrs
}

func proxyOf(p *config.ProxyProtocol) l4.ProxyOptions {
	switch {
	case p == nil:
		return l4.ProxyOptions{}
	case p.Insecure:
		return l4.ProxyOptions{Trusted: everyone(), Require: p.Require}
	}
	return l4.ProxyOptions{Trusted: slices.Clone(p.TrustedIPs), Require: p.Require}
}

func (c *compiler) router(name string) routerPlan {
	r := c.cfg.TCP.Routers[name]
	at := "tcp.routers." + name
	p := routerPlan{text: r.Rule, priority: r.Priority, middlewares: slices.Clone(r.Middlewares), service: r.Service}
	expr, err := rule.Parse(r.Rule)
	if err != nil {
		c.fail(at+".rule", err.Error(), "")
		return p
	}
	p.rule = expr
	if p.priority == 0 {
		p.priority = rule.Priority(r.Rule, expr)
	}
	switch {
	case r.TLS == nil:
	case r.TLS.Passthrough:
		p.tls = l4.Passthrough
	default:
		p.tls = l4.Terminate
		p.config = c.terminated(r.TLS.Options, expr)
	}
	return p
}

func middlewareOf(m *config.TCPMiddleware) middlewarePlan {
	switch {
	case m.IPAllowList != nil:
		return middlewarePlan{allow: slices.Clone(m.IPAllowList.SourceRange)}
	case m.InFlightConn != nil:
		return middlewarePlan{inFlight: m.InFlightConn.Amount}
	case m.RateLimit != nil:
		return middlewarePlan{rate: &ratePlan{m.RateLimit.Average, m.RateLimit.Burst, time.Duration(m.RateLimit.Period)}}
	}
	return middlewarePlan{}
}

// sorted returns the keys of a map in order, so that everything that is made from one is always made alike.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Check is CheckWith for a weir into which nobody has built anything.
func Check(cfg *config.Config) error { return CheckWith(nil, cfg) }

// CheckWith reports everything that is wrong with a configuration beyond what config.Load finds, as a config.Problems. It
// reads the files the configuration names, and neither binds nor connects.
func CheckWith(middlewares map[string]Maker, cfg *config.Config) error {
	contents, err := readFiles(cfg)
	if err != nil {
		return err
	}
	_, err = compileWith(&ownKinds{middlewares}, cfg, contents)
	return err
}
