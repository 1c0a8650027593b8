package upstream

import "time"

// A slow start goes from 10 % of the weight to all of it in equal steps.
const (
	rampSteps   = 10
	rampStart   = 10 // percent
	fullPercent = 100
)

// ramp returns the percentage of its weight that a backend has at now, when its
// slow start began at since and lasts for window, and when the percentage changes
// next (zero: it is 100 for good).
func ramp(since, now time.Time, window time.Duration) (percent int, next time.Time) {
	if since.IsZero() || window <= 0 {
		return fullPercent, time.Time{}
	}
	elapsed := max(0, now.Sub(since))
	if elapsed >= window {
		return fullPercent, time.Time{}
	}
	step := elapsed * rampSteps / window
	percent = rampStart + int(step)*(fullPercent-rampStart)/rampSteps
	// Rounded up, so that at next the step has been reached.
	return percent, since.Add(((step+1)*window + rampSteps - 1) / rampSteps)
}
