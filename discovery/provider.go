package discovery

import (
	"context"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Provider finds the endpoints of one service.
type Provider interface {
	// Run emits until ctx ends, and then returns. Every update carries the full set. out is called on Run's goroutine,
	// one update at a time; it may block, and should give up when ctx ends. Run is called once.
	Run(ctx context.Context, out func(Update))
}

// Update is what a provider knows, the whole of it.
type Update struct {
	// Endpoints is the set, sorted, the receiver's own. It is nil while no set has been known, which says nothing about
	// the service's servers; a set that is empty on purpose is not nil.
	Endpoints []upstream.Endpoint
	Status    Status
}

// Outcomes of a look at a source.
const (
	OutcomeChanged   = "changed"   // the source told another set than before
	OutcomeUnchanged = "unchanged" // the source tells the set that was held while it failed
	OutcomeFailed    = "failed"    // the source told nothing that can be used: the set is the last good one
)

// Status says how the provider came to what it knows.
type Status struct {
	At      time.Time // when the source was looked at
	Outcome string
	Error   string // of OutcomeFailed
}
