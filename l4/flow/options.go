package flow

import (
	"net/netip"
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

	Flows   *Budget // of the entrypoint, all loops together; nil = this one alone may have 65,536
	Sockets *Budget // of flows, the whole process together; nil = no bound. Shared sockets do not count
	Gate    Gate    // nil = every source may have as many flows as it likes

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

// Gate decides whether a source may have another flow, and counts those that it has. Two that are equal (==) are the same one.
type Gate interface {
	// Enter counts a flow of the source and returns Kept, or says why there may not be one. It is called on the loop and may
	// not block.
	Enter(source netip.Addr, now time.Time) Cause
	// Leave takes back what Enter has let in.
	Leave(source netip.Addr)
}

// Defaults of Options.
const (
	defaultIdleTimeout = time.Minute
	defaultMaxFlows    = 1 << 16
)

// withDefaults fills in what was left at zero. old gives what goes on over a change of options.
func (o Options) withDefaults(old Options) Options {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	if o.Flows = firstOf(old.Flows, o.Flows); o.Flows == nil {
		o.Flows = NewBudget(defaultMaxFlows)
	}
	if o.Counters = firstOf(old.Counters, o.Counters); o.Counters == nil {
		o.Counters = new(Counters)
	}
	if old.Flows != nil {
		o.Sockets = old.Sockets // what was taken there must be given back there
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

// admit counts a new flow of the client, or says why it may not be. What is counted is left to leave.
func (o *Options) admit(client netip.Addr, now time.Time) Cause {
	if !o.Flows.Take() {
		return TooMany
	}
	if !o.Sockets.Take() {
		o.Flows.Give()
		return TooMany
	}
	if o.Gate == nil {
		return Kept
	}
	why := o.Gate.Enter(client, now)
	if why != Kept {
		o.Sockets.Give()
		o.Flows.Give()
	}
	return why
}

// leave takes back what admit has counted. gate is the one that let the flow in, which may have been replaced since.
func (o *Options) leave(client netip.Addr, gate Gate) {
	o.Flows.Give()
	o.Sockets.Give()
	if gate != nil {
		gate.Leave(client)
	}
}
