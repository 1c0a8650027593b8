package server

import (
	"slices"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/l7"
)

// webView is what of HTTP others than Run's goroutine may know.
type webView struct {
	server   *l7.Server
	fronts   map[string]*l7.Front
	routers  map[string]*l7.Counters
	services map[string]*l7.Service

	compressions map[string]*l7.Compression // by middleware
}

func (w *web) view() webView {
	v := webView{
		server:   w.server,
		fronts:   make(map[string]*l7.Front),
		routers:  make(map[string]*l7.Counters),
		services: make(map[string]*l7.Service),

		compressions: make(map[string]*l7.Compression),
	}
	for name, f := range w.fronts {
		v.fronts[name] = f
	}
	for name, c := range w.routers {
		v.routers[name] = c
	}
	for name, s := range w.services {
		v.services[name] = s
	}
	for name, m := range w.middlewares {
		if m.Compression != nil {
			v.compressions[name] = m.Compression
		}
	}
	return v
}

// classes are how the admin endpoint calls what l7 counts by the first digit of a status.
var classes = [...]string{"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"}

func httpStats(s l7.Stats) *admin.HTTPStats {
	out := &admin.HTTPStats{
		Requests: make(map[string]uint64, len(classes)),
		Duration: admin.Histogram{Bounds: l7.DurationBounds[:], Counts: make([]uint64, len(s.Buckets)), Sum: s.Duration.Seconds()},
		BytesIn:  uint64(s.In),
		BytesOut: uint64(s.Out),
	}
	for i, class := range classes {
		out.Requests[class] = uint64(s.Requests[i])
	}
	if s.Calls != nil {
		out.Calls = counts(s.Calls)
	}
	for i, n := range s.Buckets {
		out.Duration.Counts[i] = uint64(n)
	}
	return out
}

func http2Stats(s l7.SessionStats) *admin.HTTP2Stats {
	out := &admin.HTTP2Stats{
		Connections: uint64(s.Begun), Active: s.Active, Streams: uint64(s.Streams), ActiveStreams: s.ActiveStreams,
		Reset: make(map[string]uint64, len(s.Endings)), GoAways: make(map[string]uint64, len(s.GoAways)),
	}
	for how, n := range s.Endings {
		out.Reset[how] = uint64(n)
	}
	for why, n := range s.GoAways {
		out.GoAways[why] = uint64(n)
	}
	return out
}

func (v *view) webRouter(name string) admin.Router {
	p := v.plan.web.routers[name]
	out := admin.Router{
		Name: name, Protocol: "http", Rule: p.text, Priority: p.priority, Service: p.service,
	}
	if c := v.web.routers[name]; c != nil {
		out.HTTP = httpStats(c.Stats())
	}
	for _, entrypoint := range sorted(v.plan.entrypoints) {
		f := v.plan.entrypoints[entrypoint].front
		if f == nil {
			continue
		}
		i := slices.IndexFunc(f.routes, func(r webRoutePlan) bool { return r.router == name })
		if i < 0 {
			continue
		}
		out.Entrypoints = append(out.Entrypoints, entrypoint)
		out.Middlewares = f.routes[i].middlewares
		if f.routes[i].config != "" {
			out.TLS = "terminated"
		}
	}
	return out
}

func (v *view) webService(name string) admin.Service {
	p, stats := v.plan.web.services[name], v.web.services[name].Stats()
	out := admin.Service{
		Name: name, Protocol: "http", Kind: p.kind(), Services: p.children(), HTTP: httpStats(stats),
		BytesIn: uint64(stats.In), BytesOut: uint64(stats.Out), Retries: uint64(stats.Retries), Ended: map[string]uint64{},
	}
	if p.pool == nil {
		return out
	}
	v.addPool(&out, webKey(name), p.pool)
	for _, b := range v.backends {
		if b.backend.Key().Service == webKey(name) {
			s := b.backend.Stats()
			out.Active += s.Active
			out.Connections += s.Connections
			out.Idle += v.web.server.Idle(b.backend)
		}
	}
	return out
}

func (v *webView) compression(name string) admin.Compression {
	s := v.compressions[name].Stats()
	return admin.Compression{
		Middleware: name, Responses: counts(s.Responses), Skipped: counts(s.Skipped), BytesIn: uint64(s.In), BytesOut: uint64(s.Out),
	}
}

func counts(m map[string]int64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for name, n := range m {
		out[name] = uint64(n)
	}
	return out
}
