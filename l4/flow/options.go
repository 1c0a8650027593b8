package flow

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Options are what a Table and a Shared have in common. The zero value of every field but Pick is a safe default.
type Options struct {
	// Pick leads a datagram to a backend, as Choose does. It is called on the loop and may not block or call back. Backends
	// in tried, which is valid during the call only, have just failed this client. The slot on the backend it returns is
	// given back to the pool it returns. Errors are those of upstream.Pool.Acquire.
	Pick func(key Key, tried []*upstream.Backend, now time.Time) (Choice, error)

	IdleTimeout time.Duration // of a flow, or of a shared socket, without a datagram either way, up to 1/64 more; 0 = 60 s

	MaxFlows int           // of all that share Flows, at one time; 0 = 65,536
	Flows    *atomic.Int64 // counts them, for the loops of an entrypoint together; nil = this one alone

	// Enter counts a flow of a source and reports whether it may have it; Leave takes back what Enter has let in. They bound
	// the flows of one source. Both nil: no bound but MaxFlows.
	Enter func(source netip.Addr) bool
	Leave func(source netip.Addr)

	// Own reports whether an address and port is one of weir's own sockets: datagrams from there would go round for ever
	// (CVE-2024-2169). It should know the entrypoints and the sockets towards backends. It is asked for new flows, and with
	// shared sockets for each datagram. nil: nothing is ours.
	Own func(source netip.AddrPort) bool

	// Amplification bounds what a source may draw that was seen only once, so that nobody is flooded in whose name somebody
	// else has sent a datagram: answers may be this many times what the client has sent, headers counted, until it has sent
	// another datagram after an answer. An attacker who sends twice gets past it: UDP knows no better proof than the
	// protocol's own. 0 = no bound. Table only: for DNS, response rate limiting at the servers is the better means.
	Amplification int

	Counters *Counters // of the entrypoint on this loop; nil = the owner keeps its own
}

// Defaults of Options.
const (
	defaultIdleTimeout = time.Minute
	defaultMaxFlows    = 1 << 16
)

// withDefaults fills in what was left at zero. old gives counters that go on over a change of options.
func (o Options) withDefaults(old Options) Options {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	if o.MaxFlows <= 0 {
		o.MaxFlows = defaultMaxFlows
	}
	if o.Flows = firstOf(old.Flows, o.Flows); o.Flows == nil {
		o.Flows = new(atomic.Int64)
	}
	if o.Counters = firstOf(old.Counters, o.Counters); o.Counters == nil {
		o.Counters = new(Counters)
	}
	if old.Flows != nil { // what was entered must be left where it was
		o.Enter, o.Leave = old.Enter, old.Leave
	}
	return o
}

// firstOf returns a, or b if there is no a.
func firstOf[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// admit counts a new flow of the client, or says why it may not be.
func (o *Options) admit(client netip.Addr) Cause {
	for {
		n := o.Flows.Load()
		if n >= int64(o.MaxFlows) {
			return TooMany
		}
		if o.Flows.CompareAndSwap(n, n+1) {
			break
		}
	}
	if o.Enter != nil && !o.Enter(client) {
		o.Flows.Add(-1)
		return TooManySource
	}
	return Kept
}

// leave takes back what admit has counted.
func (o *Options) leave(client netip.Addr) {
	o.Flows.Add(-1)
	if o.Leave != nil {
		o.Leave(client)
	}
}
