package cluster

import "time"

// Doubt is a reason why an observer should not be counted at present, in its own opinion.
type Doubt byte

const (
	Sure         Doubt = iota // there is none
	Late                      // its probes run late: what it takes for silence of a backend may be its own
	MostFailed                // most of its backends failed at once: more likely it is its own network
	NotConverged              // it has just started and has not heard all others yet
	Unhealthy                 // the membership layer finds that it answers slowly
)

// String returns the reason in words that follow the observer's name.
func (d Doubt) String() string {
	switch d {
	case Sure:
		return "is sure of itself"
	case Late:
		return "probes late"
	case MostFailed:
		return "saw most of its backends fail at once"
	case NotConverged:
		return "has just started"
	case Unhealthy:
		return "answers slowly itself"
	default:
		return "doubts itself" // for a reason of a later release
	}
}

const (
	// massWindow is how close together failures are that count as at once, in probe intervals.
	massWindow = 2
	// massTargets is from how many backends on most of them can fail at once.
	massTargets = 4
	// massMemory is how long a mass failure that does not end throws doubt on who sees it. After that it is taken for the
	// way things are, such as a site that has been switched off.
	massMemory = 5 * time.Minute
)

// Condition is how an observer is doing.
type Condition struct {
	Late     time.Duration // by how much its latest probe missed its time
	Targets  int           // backends it probes
	Failing  int           // of them, how many fail
	Fallen   int           // of these, how many began to fail within two intervals
	Score    int           // health of the membership layer, 0 = good
	Settling bool          // it has not heard all others since it started
}

// Confidence judges the observer's own judgement. The zero value has seen nothing.
type Confidence struct {
	mass time.Time // when most backends failed at once; zero: they did not, or it is over
}

// Assess returns what is to be doubted. interval is the time between two probes of one backend by one prober.
func (c *Confidence) Assess(in Condition, interval time.Duration, now time.Time) Doubt {
	most := in.Targets/2 + 1
	switch {
	case in.Targets >= massTargets && in.Fallen >= most:
		c.mass = now
	case in.Failing < most || now.Sub(c.mass) >= massMemory:
		c.mass = time.Time{}
	}
	switch {
	case in.Settling:
		return NotConverged
	case in.Late > interval/2:
		return Late
	case !c.mass.IsZero():
		return MostFailed
	case in.Score > 0:
		return Unhealthy
	}
	return Sure
}
