package server

import (
	"slices"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/upstream"
)

// seenSource is a source of a pool's servers in a view.
type seenSource struct {
	key      string // of the pool
	name     string
	resolver string
	status   discovery.Status
	found    []upstream.Endpoint // never changed in place
}

// seenSources are those of all pools, for a view.
func (t *topology) seenSources() (all []seenSource) {
	for _, key := range sorted(t.pools) {
		for _, s := range t.pools[key].sources {
			all = append(all, seenSource{key, s.plan.name(), s.plan.resolver, s.status, s.found})
		}
	}
	return all
}

func (s seenSource) state() admin.Source {
	name, protocol := cutKey(s.key)
	return admin.Source{
		Service: name, Protocol: protocol, Source: s.name, Resolver: s.resolver,
		Outcome: s.status.Outcome.String(), Error: s.status.Error,
		Asked: s.status.Asked, Answered: s.status.Answered, Next: s.status.Next, TTLSeconds: s.status.TTL.Seconds(),
		Held: s.status.Held, Stale: s.status.Stale, Endpoints: len(s.found),
		Attempts: map[string]uint64{
			"ok": s.status.Counters.OK, "empty": s.status.Counters.Empty, "failed": s.status.Counters.Failed,
		},
	}
}

// namedBy are the places that name a backend, none if nothing is looked for.
func (v *view) namedBy(k upstream.Key) (places []string) {
	plan := v.plan.pool(k.Service)
	if plan == nil || len(plan.sources) == 0 {
		return nil
	}
	has := func(e upstream.Endpoint) bool { return e.Addr == k.Addr }
	if slices.ContainsFunc(plan.endpoints, has) {
		places = append(places, "configuration")
	}
	for _, s := range v.sources {
		if s.key == k.Service && slices.ContainsFunc(s.found, has) {
			places = append(places, s.name)
		}
	}
	return places
}
