package upstream

import "time"

// servedStep is how exactly it is known when a backend last served: writing it down for each connection would have the loops fight
// over a line of the cache.
const servedStep = 250 * time.Millisecond

// Sight is what connections and requests have lately shown of a backend.
type Sight struct {
	Failures int       // in a row
	Failed   time.Time // the last of them; zero = none since the last success
	Served   time.Time // the last success, up to a quarter of a second too early; zero = none yet
}

// Watch has suspect called each time a connection to a backend fails that did not before. It is called on the data path and must
// not block. Set it before the pool is used.
func (p *Pool) Watch(suspect func(*Backend)) { p.suspect = suspect }

// Sight returns what was seen of a backend of this pool. It may be called from any goroutine; the parts are read one after the other.
func (p *Pool) Sight(b *Backend) Sight {
	epoch := p.snapshot.Load().epoch
	at := func(d int64) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return epoch.Add(time.Duration(d))
	}
	s := Sight{Failures: int(b.failures.Load()), Served: at(b.servedAt.Load())}
	if s.Failures > 0 {
		s.Failed = at(b.failedAt.Load())
	}
	return s
}

// sawFailure notes a failure and reports whether it is the first after a success.
func (b *Backend) sawFailure(at time.Duration) bool {
	b.failedAt.Store(max(int64(at), 1))
	return b.failures.Add(1) == 1
}

// sawSuccess notes a success. It mostly reads.
func (b *Backend) sawSuccess(at time.Duration) {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
	if last := b.servedAt.Load(); last == 0 || int64(at)-last > int64(servedStep) {
		b.servedAt.Store(max(int64(at), 1))
	}
}
