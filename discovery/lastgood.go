package discovery

import (
	"slices"
	"time"

	"github.com/weirlb/weir/upstream"
)

// lastGood is what a provider knows: the last set its source told, and what was said about it last. A failure leaves the set
// as it is: unknown is not empty. Only the provider's goroutine touches it.
type lastGood struct {
	source    string              // what is watched, as operators see it
	endpoints []upstream.Endpoint // nil until a set is known; never changed in place
	status    Status
}

// take takes in what a look at the source has found: a full set, sorted and not nil, or an error. It returns the update that
// makes it known; news is false where the set and the failure are what they were.
func (g *lastGood) take(endpoints []upstream.Endpoint, err error, now time.Time) (u Update, news bool) {
	s, before := &g.status, g.status
	s.Source, s.Asked, s.Error = g.source, now, ""
	switch {
	case err != nil:
		s.Outcome, s.Error = Failed, err.Error()
	case len(endpoints) == 0:
		s.Outcome, s.Answered = Empty, now
	default:
		s.Outcome, s.Answered = OK, now
	}
	s.Counters.Count(s.Outcome)
	if err == nil && (g.endpoints == nil || !slices.Equal(endpoints, g.endpoints)) {
		g.endpoints, news = endpoints, true
	}
	s.Stale = err != nil && g.endpoints != nil
	s.Held = s.Stale && len(g.endpoints) > 0
	news = news || s.Outcome != before.Outcome || s.Error != before.Error
	return Update{Endpoints: slices.Clone(g.endpoints), Status: *s}, news
}
