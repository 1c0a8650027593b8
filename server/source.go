package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/upstream"
)

// sourcePlan is a place where backends of a pool are looked for: exactly one of its members, and what goes with it.
type sourcePlan struct {
	srv  *discovery.SRVOptions
	host *hostPlan
	file string
	http *httpSourcePlan

	resolver string // key in plan.resolvers, of srv and host
}

// hostPlan is a name whose addresses are backends.
type hostPlan struct {
	options          discovery.HostOptions
	weight, priority int
}

type httpSourcePlan struct {
	url               string
	interval, timeout time.Duration
	headers           http.Header
	secure            *clientTLSPlan
}

// source looks for backends of a pool. Only the owner of the topology touches it.
type source struct {
	plan      sourcePlan
	resolver  *discovery.Resolver // asked by it; nil = it is not one of DNS
	found     []upstream.Endpoint // what counts
	inherited bool                // found is what other sources have left
	status    discovery.Status    // as last told
	cancel    context.CancelFunc  // nil = it does not run
	done      chan struct{}
}

// name is what is asked, as people call it.
func (p sourcePlan) name() string {
	switch {
	case p.srv != nil:
		return "dnsSRV " + p.srv.Name
	case p.host != nil:
		return fmt.Sprintf("dns %s:%d", p.host.options.Name, p.host.options.Port)
	case p.http != nil:
		u, err := url.Parse(p.http.url)
		if err != nil {
			return "http" // config has seen that it is one
		}
		return "http " + (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String() // a query may hold a secret
	}
	return "file " + p.file
}

// known reports whether the source has ever said what there is.
func (s *source) known() bool { return !s.status.Answered.IsZero() }

// run starts to look. emit is called on a goroutine of the source's, and must give up when the context ends.
func (s *source) run(p discovery.Provider, emit func(context.Context, *source, discovery.Update)) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		p.Run(ctx, func(u discovery.Update) { emit(ctx, s, u) })
	}()
}

// stop ends the looking, and keeps what was found.
func (s *source) stop() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
		s.cancel = nil
	}
}

// provider makes what looks.
func (p sourcePlan) provider(r *discovery.Resolver) (discovery.Provider, error) {
	switch {
	case p.srv != nil:
		return discovery.NewSRV(r, *p.srv)
	case p.host != nil:
		return discovery.NewHost(r, p.host.options)
	case p.http != nil:
		o := discovery.HTTPOptions{URL: p.http.url, Interval: p.http.interval, Timeout: p.http.timeout, Headers: p.http.headers}
		if p.http.secure != nil {
			o.TLS = newClientTLS(p.http.secure)
		}
		return discovery.NewHTTP(o), nil
	}
	return discovery.NewFile(discovery.FileOptions{Path: p.file}), nil
}

// shape gives endpoints what the source's answers do not say.
func (p sourcePlan) shape(endpoints []upstream.Endpoint) []upstream.Endpoint {
	if p.host == nil {
		return endpoints
	}
	shaped := make([]upstream.Endpoint, len(endpoints))
	for i, e := range endpoints {
		e.Weight, e.Priority = p.host.weight, p.host.priority
		shaped[i] = e
	}
	return shaped
}

// seek has backends of a pool looked for where the plan says. Sources that are asked already go on. What others had found is
// kept, by the first of the new ones, until that knows better: a source that has not answered yet must not empty a pool.
func (t *topology) seek(p *pool, plans []sourcePlan) {
	before := p.sources
	p.sources = nil
	var fresh []*source
	for _, plan := range plans {
		s := takeSource(&before, plan, t.resolvers[plan.resolver])
		if s == nil {
			s = &source{plan: plan, resolver: t.resolvers[plan.resolver]}
			fresh = append(fresh, s)
		}
		p.sources = append(p.sources, s)
	}
	var left [][]upstream.Endpoint
	for _, s := range before {
		s.stop()
		left = append(left, s.found)
	}
	for _, s := range fresh {
		if left != nil {
			s.found, left = discovery.Union(left...), nil
			s.inherited = len(s.found) > 0
		}
		provider, err := s.plan.provider(s.resolver)
		if err != nil {
			t.log.Error("source of backends does not start", "service", p.live.Service(), "error", err) // compile has made one from the same values
			continue
		}
		s.run(provider, t.tellFound)
	}
}

// takeSource takes a running source out of a list that does what the plan says, nil if there is none.
func takeSource(sources *[]*source, plan sourcePlan, r *discovery.Resolver) *source {
	for i, s := range *sources {
		if s.cancel != nil && s.resolver == r && same(s.plan, plan) {
			*sources = append((*sources)[:i:i], (*sources)[i+1:]...)
			return s
		}
	}
	return nil
}

// stopSources ends the looking for backends, and keeps what was found.
func (p *pool) stopSources() {
	for _, s := range p.sources {
		s.stop()
	}
}

// endpoints are all that is known of a pool's servers: those that the plan lists, and those that were found. The list has the
// last word on what is in both.
func (p *pool) endpoints(listed []upstream.Endpoint) []upstream.Endpoint {
	if len(p.sources) == 0 {
		return listed
	}
	all := [][]upstream.Endpoint{listed}
	for _, s := range p.sources {
		all = append(all, s.found)
	}
	return discovery.Union(all...)
}

// found takes over what a source has told. Nothing is changed, and false returned, if the source is not asked any more.
func (t *topology) found(s *source, u discovery.Update, now time.Time) (c foundChange, ok bool) {
	key, p := t.poolOf(s)
	if p == nil {
		return c, false
	}
	c = foundChange{key: key, source: s, before: s.status}
	s.status = u.Status
	if !s.known() || s.inherited && u.Status.Outcome == discovery.Empty && u.Status.Counters.Empty < 2 {
		return c, true // what it has from the source before it stays: one word that there is nothing may be a mistake
	}
	set := s.plan.shape(u.Endpoints)
	unchanged := slices.Equal(set, s.found)
	s.found, s.inherited = set, false
	if unchanged {
		return c, true
	}
	plan := t.plan.pool(key)
	c.changed = true
	before := addrs(endpointsOf(p.members))
	_, removed := t.fill(p, key, plan.options, p.endpoints(plan.endpoints), now)
	for _, m := range p.members {
		if !before[m.backend.Addr()] {
			c.added = append(c.added, upstream.Show(m.backend.Addr()))
		}
	}
	for _, m := range removed {
		c.removed = append(c.removed, upstream.Show(m.backend.Addr()))
		t.drain(m, now)
	}
	c.total = len(p.members)
	if len(c.added) > 0 && plan.check != nil {
		if err := p.watch(plan.check, t.who, now); err != nil {
			t.log.Error("health check does not start", "service", key, "error", err)
		}
	}
	return c, true
}

// seekers reports whether any backends are looked for.
func (t *topology) seekers() bool {
	for _, p := range t.pools {
		if len(p.sources) > 0 {
			return true
		}
	}
	return false
}

// poolOf finds the pool that a source belongs to, nil if that is gone.
func (t *topology) poolOf(s *source) (key string, p *pool) {
	for key, p := range t.pools {
		for _, other := range p.sources {
			if other == s {
				return key, p
			}
		}
	}
	return "", nil
}

// foundChange is what an answer of a source has changed.
type foundChange struct {
	key            string // of the pool
	source         *source
	before         discovery.Status
	added, removed []string // addresses of backends
	changed        bool     // the set, if only a weight in it
	total          int
}

// news reports whether there is something to be seen beside another date.
func (c foundChange) news() bool {
	return c.changed || c.before.Outcome != c.source.status.Outcome || c.before.Error != c.source.status.Error
}

// logFound tells of another set in one line, and of a source that begins or ceases to fail, wholly or in part: an answer that leaves
// out more than half, and is not believed, is such a part.
func (s *Server) logFound(c foundChange) {
	name, _ := cutKey(c.key)
	status := c.source.status
	log := s.log.With("service", name, "source", c.source.plan.name())
	if c.changed {
		log.Info("backends found", "added", c.added, "removed", c.removed, "backends", c.total)
	}
	failed, fails := c.before.Outcome == discovery.Failed, status.Outcome == discovery.Failed
	switch {
	case fails && !failed:
		log.Warn("discovery fails, what is known stays in use", "error", status.Error, "backends", len(c.source.found))
	case failed && !fails:
		log.Info("discovery works again", "outcome", status.Outcome.String())
	case !fails && status.Error != "" && c.before.Error == "":
		log.Warn("discovery answers in part", "error", status.Error, "held", status.Held)
	case status.Outcome == discovery.Empty && c.before.Outcome != discovery.Empty:
		log.Warn("discovery says that there are no servers", "held", status.Held)
	}
}

// unasked are the sources that have not been asked to the end yet, for people.
func (t *topology) unasked() (waiting []string) {
	for _, key := range sorted(t.pools) {
		name, _ := cutKey(key)
		for _, s := range t.pools[key].sources {
			if s.status.Outcome == discovery.Unasked && s.cancel != nil {
				waiting = append(waiting, "service "+name+": its servers are being looked up ("+s.plan.name()+")")
			}
		}
	}
	return waiting
}
