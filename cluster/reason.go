package cluster

import (
	"fmt"
	"slices"
	"time"
)

// Cause is what decided a verdict.
type Cause byte

const (
	NoMajority   Cause = iota // nothing decides, so it stays what it was
	OwnFailure                // rule 1 of Decide
	TwoWitnesses              // rule 2
	OwnSuccess                // rule 3
	Majority                  // rules 4 and 5
	PanicSpared               // rule 2 or 4, but too little of the pool would be left
	Overruled                 // rule 4, but this node has lately seen the majority err
	Held                      // it would be up again, but it falls too often
)

// Reason says in one sentence why the backend is what it is at now.
func (v Verdict) Reason(now time.Time) string {
	if v.Drained {
		return "drained by an operator"
	}
	switch v.Cause {
	case OwnFailure:
		return "fails from here"
	case TwoWitnesses:
		return "another node reports it down and the last attempt from here failed"
	case OwnSuccess:
		if v.Down >= max(v.Quorum, 1) {
			return fmt.Sprintf("works from here, although %d of those who probe it report it down", v.Down)
		}
		return "works from here"
	case Majority:
		n := v.Up
		if v.State == Down {
			n = v.Down
		}
		return fmt.Sprintf("%d of those who probe it report it %s, %d needed", n, v.State, v.Quorum)
	case PanicSpared:
		return "others report it down, but too few of the pool would be left"
	case Overruled:
		return fmt.Sprintf("%d of those who probe it report it down, but it worked from here when they last did; "+
			"their word counts again in %s", v.Down, v.remaining(now))
	case Held:
		return fmt.Sprintf("went down %d times lately; stays down for another %s", v.Falls, v.remaining(now))
	default:
		if v.State == Unknown {
			return "nothing is known of it yet"
		}
		return fmt.Sprintf("no majority: %d report it up, %d down, %d needed; stays %s", v.Up, v.Down, v.Quorum, v.State)
	}
}

// remaining is how long Until is ahead.
func (v Verdict) remaining(now time.Time) time.Duration { return v.Until.Sub(now).Round(time.Second) }

// objection is why a vote does not count.
type objection byte

const (
	none objection = iota
	noMember
	formerLife
	silent
	unsure
	distrusted
	unprobed
)

// objection returns the first reason why a vote does not count as that of a witness.
func (c Case) objection(v Vote, o Options, now time.Time) objection {
	m, member := c.Members[v.Observer]
	switch {
	case !member:
		return noMember
	case v.Boot != m.Boot:
		return formerLife
	case !m.stands(v.Boot, now):
		return silent
	case m.Doubt != Sure || v.Doubt != Sure:
		return unsure
	case m.Distrust:
		return distrusted
	case v.Age < 0 || v.Age > 2*o.Interval:
		return unprobed
	}
	return none
}

func (c Case) onDuty(observer string) bool { return slices.Contains(c.Probers, observer) }

// Explain says for each vote, in one line, what it is and whether it counts, or why not.
func (c Case) Explain(o Options, now time.Time) []string {
	o = o.withDefaults()
	lines := make([]string, 0, len(c.Votes))
	for _, v := range c.Votes {
		since := (v.For + now.Sub(v.At)).Round(time.Second)
		lines = append(lines, fmt.Sprintf("%s: %s for %s; %s", v.Observer, v.State, since, c.standing(v, o, now)))
	}
	return lines
}

// standing says whether a vote counts.
func (c Case) standing(v Vote, o Options, now time.Time) string {
	m := c.Members[v.Observer]
	switch c.objection(v, o, now) {
	case noMember:
		return "does not count: not a live member"
	case formerLife:
		return "does not count: restarted since"
	case silent:
		if m.Heard.IsZero() {
			return "does not count: not heard yet"
		}
		if now.Sub(m.Heard) <= MaxSilence {
			return "does not count: not all that it said has arrived"
		}
		return fmt.Sprintf("does not count: not heard for %s", now.Sub(m.Heard).Round(time.Second))
	case unsure:
		return "does not count: it " + max(m.Doubt, v.Doubt).String()
	case distrusted:
		return "does not count: often wrong lately"
	case unprobed:
		return "a hint only: it did not probe"
	}
	if !c.onDuty(v.Observer) {
		return "a witness, without duty here"
	}
	return "counts"
}
