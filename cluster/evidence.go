package cluster

import "time"

// State is what is known of a backend. Unknown counts as usable.
type State byte

const (
	Unknown State = iota
	Up
	Down
)

// String returns the name used in logs and the API.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	default:
		return "unknown"
	}
}

// Evidence is what this node itself has seen of a backend.
type Evidence struct {
	Probe       State     // what its probes concluded, after rise and fall; Unknown: nothing yet, or it has no duty here
	Since       time.Time // since when Probe is what it is
	Probed      time.Time // when the last probe ended, one to verify included; zero: never
	ProbeFailed bool      // how that ended
	Streak      int       // how many in a row ended so
	Failures    int       // of connections and requests, in a row; a success ends them
	Failed      time.Time // the last of them
	Served      time.Time // the last success of a connection or request
}

// failure and success return when the last one of either kind was seen; zero: none that still says something.
func (e Evidence) failure() time.Time {
	var at time.Time
	if e.ProbeFailed {
		at = e.Probed
	}
	if e.Failures > 0 && e.Failed.After(at) {
		at = e.Failed
	}
	return at
}

func (e Evidence) success() time.Time {
	var at time.Time
	if !e.ProbeFailed {
		at = e.Probed
	}
	if e.Served.After(at) {
		at = e.Served
	}
	return at
}

// fresh reports whether something seen at a time still counts: it is no older than two intervals, and what a probe may take.
func (o Options) fresh(at, now time.Time) bool {
	return !at.IsZero() && now.Sub(at) <= 2*o.Interval+max(o.Timeout, 0)
}

// proves reports whether the node has proof of its own that the backend fails: its probes have concluded so, or connections
// have failed as often in a row as they may, or, without duty, so many looks.
func (e Evidence) proves(o Options, now time.Time) bool {
	looks := e.Probe == Unknown && e.ProbeFailed && e.Streak >= o.Looks
	return (e.Probe == Down || looks) && o.fresh(e.Probed, now) || e.Failures >= o.Failures && o.fresh(e.Failed, now)
}

// suspects reports whether the latest that the node saw was a failure.
func (e Evidence) suspects(o Options, now time.Time) bool {
	return o.fresh(e.failure(), now) && !e.success().After(e.failure())
}

// succeeds reports whether the latest that the node saw was a success.
func (e Evidence) succeeds(o Options, now time.Time) bool {
	return o.fresh(e.success(), now) && e.success().After(e.failure())
}

// Report returns what the node tells the others: what it saw itself, and nothing that it was told, so that a rumour never
// comes back as a second witness. A single failure is reported at once, so that the others look: what it takes for a verdict is
// two who saw one, or one who saw several. A success is news only where probes have concluded nothing.
func (e Evidence) Report(d Doubt, o Options, now time.Time) Report {
	o = o.withDefaults()
	r := Report{State: e.Probe, Streak: e.Streak, Failures: e.Failures, Doubt: d, Age: -1}
	if !e.Probed.IsZero() {
		r.Age = max(0, now.Sub(e.Probed))
	}
	if !e.Since.IsZero() {
		r.For = max(0, now.Sub(e.Since))
	}
	switch {
	case e.proves(o, now), e.suspects(o, now):
		r.State = Down
	case e.Probe == Unknown && e.succeeds(o, now):
		r.State = Up
	}
	return r
}
