package server

import "github.com/weirlb/weir/upstream"

// changes are the names of what differs between two plans, such as "service orders".
type changes struct{ added, changed, removed []string }

// changesOf sums up for people what leads from one plan to another.
func changesOf(from, to *plan) changes {
	var c changes
	compare(&c, "entrypoint", from.entrypoints, to.entrypoints)
	compare(&c, "router", from.routers, to.routers)
	compare(&c, "udp router", from.udpRouters, to.udpRouters)
	compare(&c, "middleware", from.middlewares, to.middlewares)
	compare(&c, "service", from.services, to.services)
	for _, key := range union(from.services, to.services) {
		name, _ := cutKey(key)
		compare(&c, "backend", backendsOf(name, from.services[key].pool), backendsOf(name, to.services[key].pool))
	}
	compare(&c, "http router", from.web.routers, to.web.routers)
	compare(&c, "http middleware", from.web.middlewares, to.web.middlewares)
	compare(&c, "http service", from.web.services, to.web.services)
	for _, name := range union(from.web.services, to.web.services) {
		compare(&c, "backend", backendsOf(name, from.web.services[name].pool), backendsOf(name, to.web.services[name].pool))
	}
	compare(&c, "resolver", from.resolvers, to.resolvers)
	if !same(from.certificates, to.certificates) {
		c.changed = append(c.changed, "certificates")
	}
	if !same(from.tls, to.tls) {
		c.changed = append(c.changed, "tls options")
	}
	if from.accessLog != to.accessLog {
		c.changed = append(c.changed, "access log")
	}
	if from.log != to.log {
		c.changed = append(c.changed, "log")
	}
	return c
}

func compare[V any](c *changes, noun string, from, to map[string]V) {
	for _, name := range union(from, to) {
		old, was := from[name]
		now, is := to[name]
		switch what := called(noun, name); {
		case !was:
			c.added = append(c.added, what)
		case !is:
			c.removed = append(c.removed, what)
		case !same(old, now):
			c.changed = append(c.changed, what)
		}
	}
}

// called is what people call something: its key says of which protocol it is.
func called(noun, key string) string {
	if name, protocol := cutKey(key); protocol == "udp" {
		return "udp " + noun + " " + name
	}
	return noun + " " + key
}

// backendsOf returns the backends of a service's pool, which may be nil, by what the log calls them.
func backendsOf(service string, pool *poolPlan) map[string]int {
	out := make(map[string]int)
	if pool != nil {
		for _, e := range pool.endpoints {
			out[upstream.Key{Service: service, Addr: e.Addr}.String()] = e.Weight
		}
	}
	return out
}
