package discovery

import "time"

// earliest is the part of a TTL after which an answer is asked for again at the earliest, 1 being the latest. The spread keeps the
// refreshes of many names, and of many balancers, out of step, and every refresh within the TTL.
const earliest = 0.8

const (
	firstRetry = time.Second // after the first failure
	lastRetry  = time.Minute // after many; RFC 9520 allows 5 minutes
)

// ttlLimits bound what zones ask for.
type ttlLimits struct {
	least, most time.Duration
}

func (l ttlLimits) clamp(ttl time.Duration) time.Duration { return max(l.least, min(ttl, l.most)) }

// refreshIn returns when to ask again after an answer with this TTL; r is from [0, 1).
func (l ttlLimits) refreshIn(ttl time.Duration, r float64) time.Duration {
	return spread(l.clamp(ttl), r)
}

// retryIn returns when to ask again after so many failures in a row, at least one; r is from [0, 1).
func retryIn(failures int, r float64) time.Duration {
	return spread(backoff(failures, firstRetry, lastRetry), r)
}

// backoff doubles first with each failure after the first, up to last.
func backoff(failures int, first, last time.Duration) time.Duration {
	d := first
	for i := 1; i < failures && d < last; i++ {
		d *= 2
	}
	return min(d, last)
}

// spread takes a random part of d, from earliest up to all of it.
func spread(d time.Duration, r float64) time.Duration {
	return time.Duration(float64(d) * (earliest + (1-earliest)*r))
}
