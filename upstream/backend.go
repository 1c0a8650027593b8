package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// cacheLine separates what loops write from what they only read.
const cacheLine = 64

// Health is the verdict on a backend.
type Health int32

// Unknown counts as usable: the first probe result decides at once.
const (
	Unknown Health = iota
	Up
	Down
)

// String returns the name used in logs, metrics and the API.
func (h Health) String() string {
	switch h {
	case Up:
		return "up"
	case Down:
		return "down"
	default:
		return "unknown"
	}
}

// Status is everything the owner of the topology has decided about a backend.
// It is an immutable value, replaced as a whole.
type Status struct {
	Endpoint
	Health   Health
	Draining bool // removed or drained by an operator: nothing new, not even in panic

	// Since is when the backend came (back) into service after the pool's first
	// set; slow start counts from here. Zero: it was there from the beginning.
	Since time.Time

	EjectedUntil time.Time // zero: not ejected
	Ejections    int64     // ejections ever

	ejectionRow  int           // ejections in a row, the factor of the next one's length
	ejectionTime time.Duration // length of the last ejection
	ejectionEnd  time.Time     // when the last ejection ended
}

// Ejected reports whether passive health has taken the backend out for now.
func (s Status) Ejected() bool { return !s.EjectedUntil.IsZero() }

// serves reports whether the backend takes part in balancing at all.
func (s *Status) serves() bool { return s.Weight > 0 && !s.Draining }

// usable reports whether new connections may go to the backend without panic.
func (s *Status) usable() bool { return s.serves() && s.Health != Down && !s.Ejected() }

// Backend is one live server of one service. Its state is written by the owner
// of the topology, its counters by whoever holds its connections; all of it may
// be read from any goroutine.
type Backend struct {
	key    Key
	hash   uint64                 // of the address alone, equal on all nodes
	status atomic.Pointer[Status] // writer: the owner of the topology
	seen   bool                   // part of some set before; only Pool.Update touches it
	_      [cacheLine]byte

	active atomic.Int64  // open connections
	limit  atomic.Int64  // copy of MaxConnections on the line that acquire touches anyway; writer: SetEndpoint
	total  atomic.Uint64 // connections ever

	// Beside active because LeastTime looks at all three of every backend.
	firstByte average       // time to the first byte
	pickedAt  atomic.Uint64 // the turn in which LeastTime last picked the backend
	_         [cacheLine - 40]byte

	streak          atomic.Uint64 // consecutive failures, see streak.go
	tripped         atomic.Bool   // the streak reached its limit and Update has not yet seen it
	failures        atomic.Uint32 // in a row, whatever the passive options are; see sight.go
	connectFailures atomic.Uint64
	connectTimeouts atomic.Uint64
	lastConnect     atomic.Int64 // nanoseconds
	failedAt        atomic.Int64 // nanoseconds from the pool's epoch, as the next
	servedAt        atomic.Int64
	_               [cacheLine - 56]byte

	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64
	_        [cacheLine - 16]byte
}

// NewBackend returns a backend of the service in state Unknown.
func NewBackend(service string, e Endpoint) *Backend {
	e = e.canonical()
	b := &Backend{
		key:  Key{Service: service, Addr: e.Addr},
		hash: xxhash.Sum64String(e.Addr.String()),
	}
	b.status.Store(&Status{Endpoint: e})
	b.limit.Store(int64(e.MaxConnections))
	return b
}

// Key returns the backend's identity.
func (b *Backend) Key() Key { return b.key }

// Addr returns the address to connect to.
func (b *Backend) Addr() netip.AddrPort { return b.key.Addr }

// Endpoint returns what the provider last said.
func (b *Backend) Endpoint() Endpoint { return b.status.Load().Endpoint }

// Health returns the current verdict.
func (b *Backend) Health() Health { return b.status.Load().Health }

// Draining reports whether the backend is being emptied.
func (b *Backend) Draining() bool { return b.status.Load().Draining }

// Status returns everything decided about the backend.
func (b *Backend) Status() Status { return *b.status.Load() }

// SetEndpoint takes over a new weight, tier, name or limit. The address is the
// identity and stays. The next Pool.Update makes it count. Only the owner of the
// topology may call it.
func (b *Backend) SetEndpoint(e Endpoint) {
	e = e.canonical()
	e.Addr = b.key.Addr
	b.limit.Store(int64(e.MaxConnections))
	b.change(func(s *Status) { s.Endpoint = e })
}

// SetHealth sets the verdict. A backend that comes back from Down starts slowly,
// is no longer ejected, and has no failures against it: the probe is the better
// witness. The next Pool.Update makes it count. Only the owner of the topology may
// call it.
func (b *Backend) SetHealth(h Health, now time.Time) {
	b.change(func(s *Status) {
		if s.Health == Down && h != Down {
			s.Since = now
			s.EjectedUntil = time.Time{}
			b.failures.Store(0)
		}
		s.Health = h
	})
}

// SetDraining begins or ends the emptying of the backend: while it drains it gets
// no new connection, and after it, it starts slowly. The next Pool.Update makes it
// count. Only the owner of the topology may call it.
func (b *Backend) SetDraining(on bool, now time.Time) {
	b.change(func(s *Status) {
		if s.Draining && !on {
			s.Since = now
		}
		s.Draining = on
	})
}

// change replaces the status by an edited copy. There is one writer, so no update can be lost.
func (b *Backend) change(edit func(*Status)) {
	s := *b.status.Load()
	edit(&s)
	b.status.Store(&s)
}

// acquire counts one connection unless the backend is at its limit.
func (b *Backend) acquire() bool {
	limit := b.limit.Load()
	if limit == 0 {
		b.active.Add(1)
		b.total.Add(1)
		return true
	}
	for {
		n := b.active.Load()
		if n >= limit {
			return false
		}
		if b.active.CompareAndSwap(n, n+1) {
			b.total.Add(1)
			return true
		}
	}
}

// AddBytes counts relayed bytes: in from the client to the backend, out from the
// backend to the client. Neither may be negative.
func (b *Backend) AddBytes(in, out int64) {
	if in > 0 {
		b.bytesIn.Add(uint64(in))
	}
	if out > 0 {
		b.bytesOut.Add(uint64(out))
	}
}

// AddConnect notes how long a successful connect took.
func (b *Backend) AddConnect(took time.Duration) { b.lastConnect.Store(int64(took)) }

// AddFirstByte notes how long the backend took from the request, or for protocols
// without one from the connection, to the first byte of its answer: what LeastTime
// goes by. Lock-free; for loops. Below a microsecond and above an hour it counts as that.
func (b *Backend) AddFirstByte(took time.Duration) { b.firstByte.add(took) }

// AddConnectFailure counts a connect that failed, and whether it ran into its deadline.
// It is for the statistics; Pool.Failed is for the passive health.
func (b *Backend) AddConnectFailure(timedOut bool) {
	b.connectFailures.Add(1)
	if timedOut {
		b.connectTimeouts.Add(1)
	}
}

// Active returns the number of open connections.
func (b *Backend) Active() int64 { return b.active.Load() }

// BackendStats is a snapshot of a backend's counters. The numbers are read one
// after the other, so they may be apart by what happened in between.
type BackendStats struct {
	Active          int64  // open connections
	Connections     uint64 // ever
	ConnectFailures uint64 // ever, timeouts included
	ConnectTimeouts uint64 // ever
	BytesIn         uint64 // client to backend
	BytesOut        uint64 // backend to client
	Ejections       int64  // ever
	FailureStreak   int    // consecutive failures that count towards the next ejection
	LastConnect     time.Duration
	FirstByte       time.Duration // moving average of AddFirstByte; 0 = none yet
}

// Stats returns the counters.
func (b *Backend) Stats() BackendStats {
	return BackendStats{
		Active:          b.active.Load(),
		Connections:     b.total.Load(),
		ConnectFailures: b.connectFailures.Load(),
		ConnectTimeouts: b.connectTimeouts.Load(),
		BytesIn:         b.bytesIn.Load(),
		BytesOut:        b.bytesOut.Load(),
		Ejections:       b.status.Load().Ejections,
		FailureStreak:   streakCount(b.streak.Load()),
		LastConnect:     time.Duration(b.lastConnect.Load()),
		FirstByte:       time.Duration(b.firstByte.nanoseconds()),
	}
}
