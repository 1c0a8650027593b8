package upstream

import (
	"sync/atomic"
	"time"
)

// What an average takes in counts for this much of it: the last dozen or so
// measurements decide.
const averageDivisor = 8

// Measurements are kept within these bounds, so that none is zero and a clock gone
// wrong spoils nothing for long.
const (
	minMeasured = time.Microsecond
	maxMeasured = time.Hour
)

// average is an exponentially weighted moving average of durations in one word, so
// that loops can add to it without a lock: nanoseconds, zero before the first
// measurement. It is negative once it has expired: still the best guess there is, but
// the next measurement takes its place.
type average struct{ word atomic.Int64 }

// nanoseconds returns the average, 0 if nothing was measured.
func (a *average) nanoseconds() int64 {
	v := a.word.Load()
	if v < 0 {
		return -v
	}
	return v
}

// add takes a measurement in.
func (a *average) add(took time.Duration) {
	t := int64(min(max(took, minMeasured), maxMeasured))
	for {
		old := a.word.Load()
		next := t
		if old > 0 {
			next = max(old+(t-old)/averageDivisor, int64(minMeasured))
		}
		if a.word.CompareAndSwap(old, next) {
			return
		}
	}
}

// expire lets the next measurement take the average's place. If one comes in between,
// there is nothing to replace any more.
func (a *average) expire() {
	if v := a.word.Load(); v > 0 {
		a.word.CompareAndSwap(v, -v)
	}
}
