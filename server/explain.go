package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7/route"
)

// Question is an HTTP request about which somebody wants to know where it would go.
type Question struct {
	URL        *url.URL // absolute, http or https
	Method     string
	Header     http.Header
	Client     netip.Addr
	Entrypoint string // empty = every one that has routers for the URL's scheme
}

// Route says where a request would go at one entrypoint.
type Route struct {
	Entrypoint  string         `json:"entrypoint"`
	Host        string         `json:"host"`             // as rules see it
	Path        string         `json:"path"`             // as rules see it and servers get it
	Router      string         `json:"router,omitempty"` // empty: none takes it, the answer is 404
	Service     string         `json:"service,omitempty"`
	Middlewares []string       `json:"middlewares,omitempty"`
	Why         string         `json:"why"`
	Verdicts    []RouteVerdict `json:"verdicts"` // on every router of the entrypoint, in the order in which they are asked
}

// RouteVerdict says what became of one router.
type RouteVerdict struct {
	Router   string `json:"router"`
	Rule     string `json:"rule"`
	Priority int    `json:"priority"`
	Matched  bool   `json:"matched"`
	Finding  string `json:"finding"`
}

// Explain says where the configuration would send a request, and why. It reads the files the configuration names, and
// neither binds nor connects. The errors are a config.Problems, or say what is wrong with the question.
func Explain(cfg *config.Config, q Question) ([]Route, error) {
	contents, err := readFiles(cfg)
	if err != nil {
		return nil, err
	}
	p, err := compile(cfg, contents)
	if err != nil {
		return nil, err
	}
	if e, ok := p.entrypoints[q.Entrypoint]; q.Entrypoint != "" && (!ok || e.front == nil) {
		return nil, fmt.Errorf("no entrypoint %q with HTTP routers", q.Entrypoint)
	}
	var routes []Route
	for _, name := range sorted(p.entrypoints) {
		front := p.entrypoints[name].front
		if front == nil || q.Entrypoint != "" && name != q.Entrypoint || q.Entrypoint == "" && !front.serves(q.URL.Scheme == "https") {
			continue
		}
		r, err := p.explain(name, front, q)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("no entrypoint has HTTP routers for %s", q.URL.Scheme)
	}
	return routes, nil
}

// serves reports whether the front has a route with or without TLS.
func (f *frontPlan) serves(tls bool) bool {
	for _, r := range f.routes {
		if (r.config != "") == tls {
			return true
		}
	}
	return false
}

func (p *plan) explain(entrypoint string, f *frontPlan, q Question) (Route, error) {
	path, _, err := f.options.Paths.Path([]byte(q.URL.EscapedPath()))
	if err != nil {
		return Route{}, fmt.Errorf("entrypoint %s answers 400: %w", entrypoint, err)
	}
	var routes []*route.Route[webRoutePlan]
	for _, at := range f.routes {
		r := p.web.routers[at.router]
		routes = append(routes, &route.Route[webRoutePlan]{Name: at.router, Rule: r.rule, Priority: r.priority, TLS: at.config != "", Value: at})
	}
	table, err := route.NewTable(routes)
	if err != nil {
		return Route{}, err
	}
	x := table.Explain(&route.Request{
		Host: []byte(q.URL.Host), Path: path, RawQuery: []byte(q.URL.RawQuery), Method: []byte(q.Method),
		Headers: headers(q.Header), Client: q.Client, TLS: q.URL.Scheme == "https",
	})
	out := Route{Entrypoint: entrypoint, Host: x.Host, Path: x.Path, Why: x.Why}
	if x.Winner != nil {
		out.Router, out.Middlewares = x.Winner.Name, x.Winner.Value.middlewares
		out.Service = p.web.routers[out.Router].service
	}
	for _, v := range x.Verdicts {
		r := p.web.routers[v.Route.Name]
		out.Verdicts = append(out.Verdicts, RouteVerdict{v.Route.Name, r.text, r.priority, v.Matched, v.String()})
	}
	return out, nil
}

// headers lets rules look at the headers of a question.
type headers http.Header

// Any implements route.Headers.
func (h headers) Any(name string, match func(value []byte) bool) bool {
	for _, value := range http.Header(h).Values(name) {
		if match([]byte(value)) {
			return true
		}
	}
	return false
}
