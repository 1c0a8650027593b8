package discovery

import (
	"slices"
	"time"

	"github.com/weirlb/weir/upstream"
)

// lastGood is what a provider knows: the last set its source told, and what was said about it last. A failure leaves the set
// as it is: unknown is not empty. Only the provider's goroutine touches it.
type lastGood struct {
	endpoints []upstream.Endpoint // nil until a set is known; never changed in place
	said      Status
}

// take takes in what a look at the source has found: a full set, sorted and not nil, or an error. It returns the update that
// makes it known; news is false where the set and the failure are what they were.
func (g *lastGood) take(endpoints []upstream.Endpoint, err error, now time.Time) (u Update, news bool) {
	switch {
	case err != nil:
		if g.said.Outcome == OutcomeFailed && g.said.Error == err.Error() {
			return Update{}, false
		}
		g.said = Status{At: now, Outcome: OutcomeFailed, Error: err.Error()}
	case g.endpoints == nil || !slices.Equal(endpoints, g.endpoints):
		g.endpoints = endpoints
		g.said = Status{At: now, Outcome: OutcomeChanged}
	case g.said.Outcome == OutcomeFailed:
		g.said = Status{At: now, Outcome: OutcomeUnchanged}
	default:
		return Update{}, false
	}
	return Update{Endpoints: slices.Clone(g.endpoints), Status: g.said}, true
}
