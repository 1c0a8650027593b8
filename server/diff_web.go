package server

import "slices"

// web compares the http sections.
func (d *differ) web() {
	from, to := d.from.web, d.to.web
	for _, name := range union(from.middlewares, to.middlewares) {
		old, was := from.middlewares[name]
		now, is := to.middlewares[name]
		switch {
		case is && (!was || !same(old, now)):
			d.add(makeWebMiddleware, name)
		case !is:
			d.add(dropWebMiddleware, name)
		}
	}
	for _, name := range union(from.services, to.services) {
		old, was := from.services[name]
		now, is := to.services[name]
		d.pool(webKey(name), old.pool, now.pool)
		switch {
		case !was:
			d.add(makeWebService, name)
			d.add(fillWebService, name)
		case !is:
			d.add(dropWebService, name)
		case (old.pool == nil) != (now.pool == nil) || !same(old.target(), now.target()):
			d.add(setWebService, name)
		}
	}
	for _, name := range union(from.routers, to.routers) {
		_, was := from.routers[name]
		_, is := to.routers[name]
		switch {
		case !was:
			d.add(makeWebRouter, name)
		case !is:
			d.add(dropWebRouter, name)
		}
	}
}

// frontsDiffer reports whether the HTTP side of an entrypoint is another one than before. What its services lead to is
// their own affair.
func (d *differ) frontsDiffer(old, now *frontPlan) bool {
	if old == nil || now == nil {
		return old != now
	}
	if !same(old.options, now.options) || !same(old.routes, now.routes) || !same(old.hosts, now.hosts) {
		return true
	}
	for _, host := range now.hosts {
		if !same(d.from.tls[host.config], d.to.tls[host.config]) {
			return true
		}
	}
	return slices.ContainsFunc(now.routes, d.webRouteDiffers)
}

func (d *differ) webRouteDiffers(r webRoutePlan) bool {
	old, now := d.from.web.routers[r.router], d.to.web.routers[r.router]
	if !same(old, now) {
		return true
	}
	_, served := d.from.web.services[now.service]
	if _, serves := d.to.web.services[now.service]; served != serves {
		return true
	}
	return slices.ContainsFunc(r.middlewares, func(m string) bool {
		return !same(d.from.web.middlewares[m], d.to.web.middlewares[m])
	})
}
