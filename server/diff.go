package server

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weirlb/weir/upstream"
)

// step is one thing to do on the way from one plan to another. What it needs beyond its name stands in the new plan.
type step struct {
	do      verb
	name    string
	backend upstream.Key // of drainBackend
}

// verb is what a step does. Steps run in the order of these numbers.
type verb int

const (
	// Make: nothing that serves is touched, and each of these is undone when a later one fails.
	makeTLS           verb = iota // settings of terminated connections
	makeResolver                  // of DNS
	makeMiddleware                // new, or in place of one with other options
	makePool                      // with its backends
	makeService                   // a name that routes lead to
	makeWebService                // without what it leads to: services lead to each other
	makeWebMiddleware             // some lead to a service
	fillWebService                // with that, for new ones
	makeWebRouter                 // its counters
	makeTable                     // routing table of an entrypoint
	storeCertificate              // all certificates, in place of those before
	switchAccessLog
	bindEntrypoint // everything that may be taken by somebody else
	openEntrypoint // starts to accept

	// Swap: from here on nothing can fail.
	seekBackends  // sources of a pool: start, stop
	updatePool    // options, or the set of backends
	chooseService // what a service leads to
	setWebService
	setEntrypoint // options, or routing table
	watchPool     // checkers: start, replace, stop
	setTracing

	// Break: what nobody is led to any more.
	closeEntrypoint
	drainBackend
	retirePool
	dropService
	dropWebService
	dropWebRouter // its counters
	dropMiddleware
	dropWebMiddleware
	dropTLS
	dropResolver
	setLog
)

var verbs = map[verb]string{
	makeTLS:        "make tls",
	makeResolver:   "make resolver",
	seekBackends:   "seek backends of",
	dropResolver:   "drop resolver",
	makeMiddleware: "make middleware",
	makePool:       "make pool",
	makeService:    "make service",

	makeWebMiddleware: "make http middleware",
	makeWebService:    "make http service",
	fillWebService:    "fill http service",
	makeWebRouter:     "make http router",
	setWebService:     "set http service",
	dropWebService:    "drop http service",
	dropWebRouter:     "drop http router",
	dropWebMiddleware: "drop http middleware",

	makeTable:        "make table of entrypoint",
	storeCertificate: "store certificates",
	switchAccessLog:  "switch access log",
	bindEntrypoint:   "bind entrypoint",
	openEntrypoint:   "open entrypoint",
	updatePool:       "update pool",
	chooseService:    "choose for service",
	setEntrypoint:    "set entrypoint",
	watchPool:        "watch pool",
	closeEntrypoint:  "close entrypoint",
	drainBackend:     "drain backend",
	retirePool:       "retire pool",
	dropService:      "drop service",
	dropMiddleware:   "drop middleware",
	dropTLS:          "drop tls",
	setTracing:       "set tracing",
	setLog:           "set log",
}

// String describes the step in one line.
func (s step) String() string {
	switch {
	case s.do == drainBackend:
		return verbs[s.do] + " " + s.backend.String()
	case s.name != "":
		return verbs[s.do] + " " + s.name
	}
	return verbs[s.do]
}

// diff returns the steps that lead from one plan to another, in the order in which they are to run.
func diff(from, to *plan) []step {
	d := &differ{from: from, to: to}
	d.tls()
	d.resolvers()
	d.middlewares()
	d.services()
	d.web()
	if !same(from.certificates, to.certificates) || from.terminates() != to.terminates() {
		d.add(storeCertificate, "")
	}
	if from.accessLog != to.accessLog {
		d.add(switchAccessLog, "")
	}
	d.entrypoints()
	if !same(from.tracing, to.tracing) {
		d.add(setTracing, "")
	}
	if from.log != to.log {
		d.add(setLog, "")
	}
	slices.SortStableFunc(d.steps, func(a, b step) int { return int(a.do) - int(b.do) })
	return d.steps
}

type differ struct {
	from, to *plan
	steps    []step
}

func (d *differ) add(do verb, name string) { d.steps = append(d.steps, step{do: do, name: name}) }

func (d *differ) tls() {
	for _, key := range union(d.from.tls, d.to.tls) {
		old, was := d.from.tls[key]
		now, is := d.to.tls[key]
		switch {
		case is && (!was || !same(old, now)):
			d.add(makeTLS, key)
		case !is:
			d.add(dropTLS, key)
		}
	}
}

func (d *differ) resolvers() {
	for _, name := range union(d.from.resolvers, d.to.resolvers) {
		_, was := d.from.resolvers[name]
		_, is := d.to.resolvers[name]
		switch {
		case is && (!was || d.resolverDiffers(name)):
			d.add(makeResolver, name)
		case !is:
			d.add(dropResolver, name)
		}
	}
}

func (d *differ) resolverDiffers(name string) bool {
	return !same(d.from.resolvers[name], d.to.resolvers[name])
}

// seeksElsewhere reports whether backends are looked for in other places than before, or by another resolver.
func (d *differ) seeksElsewhere(old, now []sourcePlan) bool {
	return !same(old, now) || slices.ContainsFunc(now, func(s sourcePlan) bool { return s.resolver != "" && d.resolverDiffers(s.resolver) })
}

func (d *differ) middlewares() {
	for _, name := range union(d.from.middlewares, d.to.middlewares) {
		old, was := d.from.middlewares[name]
		now, is := d.to.middlewares[name]
		switch {
		case is && (!was || !same(old, now)):
			d.add(makeMiddleware, name)
		case !is:
			d.add(dropMiddleware, name)
		}
	}
}

func (d *differ) services() {
	for _, name := range union(d.from.services, d.to.services) {
		old, was := d.from.services[name]
		now, is := d.to.services[name]
		d.pool(name, old.pool, now.pool)
		switch {
		case !was:
			d.add(makeService, name)
		case !is:
			d.add(dropService, name)
		case d.leadsElsewhere(name, map[string]bool{}):
			d.add(chooseService, name)
		}
	}
}

// pool compares two pools of one name, either of which may be missing.
func (d *differ) pool(name string, old, now *poolPlan) {
	switch {
	case now == nil && old == nil:
		return
	case now == nil:
		d.add(retirePool, name)
		return
	case old == nil:
		d.add(makePool, name)
		if len(now.sources) > 0 {
			d.add(seekBackends, name)
		}
		if now.check != nil {
			d.add(watchPool, name)
		}
		return
	}
	seeks := d.seeksElsewhere(old.sources, now.sources)
	if seeks {
		d.add(seekBackends, name)
	}
	if seeks || !same(old.options, now.options) || !same(old.endpoints, now.endpoints) {
		d.add(updatePool, name)
	}
	if !same(old.check, now.check) || now.check != nil && !same(addrs(old.endpoints), addrs(now.endpoints)) {
		d.add(watchPool, name)
	}
	kept := addrs(now.endpoints)
	for _, e := range old.endpoints {
		if !kept[e.Addr] {
			d.steps = append(d.steps, step{do: drainBackend, name: name, backend: upstream.Key{Service: name, Addr: e.Addr}})
		}
	}
}

// leadsElsewhere reports whether a service that stays chooses among other objects than before. Its own name stays, and
// so do pools; but a service that is composed of others holds what those choose by, so their change is its own.
func (d *differ) leadsElsewhere(name string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	old, was := d.from.services[name]
	now := d.to.services[name]
	if !was || (old.pool == nil) != (now.pool == nil) || !same(old.weighted, now.weighted) || !same(old.failover, now.failover) {
		return true
	}
	return slices.ContainsFunc(now.children(), func(child string) bool { return d.leadsElsewhere(child, seen) })
}

func (d *differ) entrypoints() {
	for _, name := range union(d.from.entrypoints, d.to.entrypoints) {
		old, was := d.from.entrypoints[name]
		now, is := d.to.entrypoints[name]
		moved := was && is && (!same(old.addrs, now.addrs) || (old.udp == nil) != (now.udp == nil))
		if is && (!was || moved) {
			d.add(makeTable, name)
			d.add(bindEntrypoint, name)
			d.add(openEntrypoint, name)
		}
		if was && (!is || moved) {
			d.add(closeEntrypoint, name)
		}
		if was && is && !moved && (!same(old.options, now.options) || d.routesDiffer(old.routers, now.routers) ||
			d.frontsDiffer(old.front, now.front) || d.udpRouterDiffers(old.udp, now.udp)) {
			d.add(makeTable, name)
			d.add(setEntrypoint, name)
		}
	}
}

// routesDiffer reports whether the routing table made from the named routers is another one than before.
func (d *differ) routesDiffer(old, now []string) bool {
	return !slices.Equal(old, now) || slices.ContainsFunc(now, d.routeDiffers)
}

func (d *differ) routeDiffers(name string) bool {
	old, now := d.from.routers[name], d.to.routers[name]
	if !same(old, now) || now.config != "" && !same(d.from.tls[now.config], d.to.tls[now.config]) {
		return true
	}
	return slices.ContainsFunc(now.middlewares, func(m string) bool {
		return !same(d.from.middlewares[m], d.to.middlewares[m])
	})
}

// addrs returns the addresses of endpoints.
func addrs(endpoints []upstream.Endpoint) map[netip.AddrPort]bool {
	set := make(map[netip.AddrPort]bool, len(endpoints))
	for _, e := range endpoints {
		set[e.Addr] = true
	}
	return set
}

// union returns the keys of both maps in order.
func union[V any](a, b map[string]V) []string {
	all := maps.Clone(b)
	if all == nil {
		all = make(map[string]V)
	}
	maps.Copy(all, a)
	return sorted(all)
}
