package upstream

import "time"

// A streak is a run of consecutive failures of one backend in one word, so that
// loops can count without a lock: the low 16 bits are the number of failures, the
// others the milliseconds from the pool's epoch to the first of them.

const streakCountBits = 16

func streakCount(s uint64) int { return int(s & (1<<streakCountBits - 1)) }

// extend returns the streak after one more failure at the given time, and whether
// that makes it max failures within the window. A complete streak is over: the
// next failure begins another. So does one that comes after the window.
func extend(s uint64, at, window time.Duration, max int) (next uint64, complete bool) {
	ms := uint64(at / time.Millisecond)
	first, count := s>>streakCountBits, streakCount(s)
	// Loops read their clocks apart, so a failure may seem to come before the first.
	late := window > 0 && ms > first && ms-first > uint64(window/time.Millisecond)
	if count == 0 || late {
		first, count = ms, 0
	}
	if count++; count >= max {
		return 0, true
	}
	return first<<streakCountBits | uint64(count), false
}

// fail counts a failure and reports whether it completed a streak. Until Update has
// dealt with that, and while the backend is ejected, further failures say nothing new.
func (b *Backend) fail(o PassiveOptions, at time.Duration) bool {
	if o.MaxFailedAttempts <= 0 || b.tripped.Load() || b.status.Load().Ejected() {
		return false
	}
	limit := min(o.MaxFailedAttempts, 1<<streakCountBits-1)
	for {
		s := b.streak.Load()
		next, complete := extend(s, at, o.FailureWindow, limit)
		if b.streak.CompareAndSwap(s, next) {
			return complete && b.tripped.CompareAndSwap(false, true)
		}
	}
}

// succeed ends the streak. The load spares the backends that never fail a write.
func (b *Backend) succeed() {
	if b.streak.Load() != 0 {
		b.streak.Store(0)
	}
}
