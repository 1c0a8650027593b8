package discovery

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/upstream"
)

// MaxEndpoints is how many endpoints one provider emits at most. A source that names more has failed: half a set would be a guess.
const MaxEndpoints = 4096

// A Provider watches one source of endpoints.
type Provider interface {
	// Run emits what the source says until ctx ends, first when the source has been asked for the first time, whatever came
	// of it, then whenever there is news: another set, another outcome, another error. What is asked again and again emits
	// after every attempt, so that its Status is fresh. It may be called once. out is called on Run's goroutine, one Update at a
	// time; while it blocks the source is not asked, so it should give up when ctx ends.
	Run(ctx context.Context, out func(Update))
}

// An Update is all a provider knows at one time. It is a value: the receiver may keep it and must not change the slice.
type Update struct {
	Endpoints []upstream.Endpoint // the full set, in the order of Compare, each address once
	Status    Status
}

// An Outcome is what came of one attempt to ask a source.
type Outcome uint8

const (
	Unasked Outcome = iota // no attempt has ended yet
	OK                     // the source named endpoints
	Empty                  // the source said, with authority, that there are none
	Failed                 // the source said nothing that can be used
)

// String returns the outcome in one lower-case word, as metrics and the admin API show it.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Empty:
		return "empty"
	case Failed:
		return "failed"
	default:
		return "unasked"
	}
}

// Counters counts the attempts of a provider by their outcome.
type Counters struct {
	OK, Empty, Failed uint64
}

// Count adds one attempt.
func (c *Counters) Count(o Outcome) {
	switch o {
	case OK:
		c.OK++
	case Empty:
		c.Empty++
	case Failed:
		c.Failed++
	}
}

// Status is what operators see of a provider.
type Status struct {
	Source   string        // what is watched, e.g. "dnsSRV _postgres._tcp.orders.internal"
	Outcome  Outcome       // of the last attempt
	Error    string        // what was wrong with the last attempt, also if parts of it could be used; empty = nothing
	Asked    time.Time     // when the last attempt ended; zero = none yet
	Answered time.Time     // when the source last answered OK, or with an Empty that was believed; zero = never
	TTL      time.Duration // for how long that answer holds by its own word; 0 = the source does not say
	Next     time.Time     // when the source is asked again; zero = when it changes
	Counters Counters

	// Held says that the set has endpoints that the source did not name in its last answer, or that there was no answer: it is
	// kept from before. Stale says that, because the last attempt failed, all of it is.
	Held  bool
	Stale bool
}

// Compare orders endpoints by priority, name in lower case, port and address, so that nodes which know the same endpoints know
// them in the same order, and tables built from them agree.
func Compare(a, b upstream.Endpoint) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
		cmp.Compare(a.Addr.Port(), b.Addr.Port()),
		a.Addr.Addr().Compare(b.Addr.Addr()),
	)
}

// Sort brings a set into the order of Compare.
func Sort(set []upstream.Endpoint) { slices.SortFunc(set, Compare) }
