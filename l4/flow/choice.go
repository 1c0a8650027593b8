package flow

import (
	"errors"
	"net/netip"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Choice is where datagrams go.
type Choice struct {
	Backend *upstream.Backend
	Pool    *upstream.Pool // holds the slot that the flow has on Backend

	// Responses ends a flow when the backend has sent this many datagrams for each one from the client, 0 = never. A client
	// that asks several times at once gets all its answers.
	Responses int

	Counters *Counters // of the service on this loop; nil = none are kept
}

// Choose picks a backend for a client as connections get theirs: the chooser leads to a pool, the pool decides by its
// strategy and counts the slot, which its Release takes back. Strategies that hash look at the client's address, or at its
// port too, and at nothing of this process: all balancers of a cluster come to the same backend.
func Choose(c upstream.Chooser, client netip.AddrPort, tried []*upstream.Backend, now time.Time) (
	*upstream.Pool, *upstream.Backend, error) {
	pool, _ := c.Choose(upstream.KeyOf(upstream.SourceIP, client, ""))
	if pool == nil {
		return nil, nil, upstream.ErrNoBackend
	}
	key := uint64(0)
	if o := pool.Options(); o.Strategy.Hashes() {
		key = upstream.KeyOf(o.HashKey, client, "")
	}
	b, err := pool.Acquire(key, tried, now)
	return pool, b, err
}

// causeOf says why a datagram is dropped for which Pick gave this error.
func causeOf(err error) Cause {
	if errors.Is(err, upstream.ErrFull) {
		return WithoutRoom
	}
	return WithoutBackend
}

// reasonOf says likewise why a flow ends.
func reasonOf(err error) Reason {
	if errors.Is(err, upstream.ErrFull) {
		return NoRoom
	}
	return NoBackend
}
