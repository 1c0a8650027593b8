package l7

import (
	"sync/atomic"
	"time"
)

// DurationBounds are the upper bounds of the buckets of request durations, in seconds; one more bucket is above the last.
var DurationBounds = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// Counters count requests of an entrypoint, a router, a service or a backend. Each loop has a share of its own.
type Counters struct{ shares []share }

// share is one loop's. Only that loop writes; anybody reads.
type share struct {
	requests [6]atomic.Int64 // by the first digit of the status; 0 = the answer did not come, or not to its end
	buckets  [len(DurationBounds) + 1]atomic.Int64
	duration atomic.Int64 // nanoseconds, of all together
	in, out  atomic.Int64 // bytes of bodies from and to clients
	retries  atomic.Int64
	idle     atomic.Int64 // links of a backend that rest
	dropped  atomic.Int64 // copies for a mirror that were left out
	calls    atomic.Pointer[calls]
	_        [64]byte // no two loops write to one cache line
}

// calls count those of gRPC by status, and first those of which nobody has said one. Most services have none.
type calls [1 + grpcStatuses]atomic.Int64

func newCounters(loops int) *Counters { return &Counters{shares: make([]share, loops)} }

// bounds are DurationBounds in nanoseconds.
var bounds = nanoseconds() // never written again

func nanoseconds() (ns [len(DurationBounds)]int64) {
	for i, s := range DurationBounds {
		ns[i] = int64(s * float64(time.Second))
	}
	return ns
}

func (s *share) add(status int, took time.Duration, in, out int64) {
	class := status / 100
	if class >= len(s.requests) || status == 499 {
		class = 0
	}
	s.requests[class].Add(1)
	i := 0
	for i < len(bounds) && int64(took) > bounds[i] {
		i++
	}
	s.buckets[i].Add(1)
	s.duration.Add(int64(took))
	if in > 0 {
		s.in.Add(in)
	}
	if out > 0 {
		s.out.Add(out)
	}
}

// addCall counts a call. status is that of gRPC, and one; 0 = nobody has said it.
func (s *share) addCall(status int) {
	c := s.calls.Load()
	if c == nil {
		c = new(calls)
		s.calls.Store(c)
	}
	c[status].Add(1)
}

// Stats is a snapshot of Counters, of all loops together.
type Stats struct {
	Requests [6]int64 // by the first digit of the status; 0 = the answer did not come, or not to its end
	Buckets  [len(DurationBounds) + 1]int64
	Duration time.Duration // of all requests together
	In, Out  int64         // bytes of bodies from and to clients
	Retries  int64
	Idle     int64 // idle connections, of a backend
	Dropped  int64 // copies for a mirror that were left out, because too many were on their way

	// Calls are those of gRPC, of a service, by the name of their status, and as "none" those of which nobody has said one;
	// nil as long as there was no call.
	Calls map[string]int64
}

// Stats adds the shares up. Safe from any goroutine; the numbers are read one after the other.
func (c *Counters) Stats() (t Stats) {
	for i := range c.shares {
		s := &c.shares[i]
		for j := range s.requests {
			t.Requests[j] += s.requests[j].Load()
		}
		for j := range s.buckets {
			t.Buckets[j] += s.buckets[j].Load()
		}
		t.Duration += time.Duration(s.duration.Load())
		t.In += s.in.Load()
		t.Out += s.out.Load()
		t.Retries += s.retries.Load()
		t.Idle += s.idle.Load()
		t.Dropped += s.dropped.Load()
		t.addCalls(s.calls.Load())
	}
	return t
}

func (t *Stats) addCalls(c *calls) {
	if c == nil {
		return
	}
	if t.Calls == nil {
		t.Calls = make(map[string]int64, len(c))
	}
	t.Calls["none"] += c[0].Load()
	for i, name := range grpcNames {
		t.Calls[name] += c[1+i].Load()
	}
}
