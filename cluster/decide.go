package cluster

import "time"

// Defaults of Options.
const (
	DefaultInterval       = 2 * time.Second
	DefaultFailures       = 3
	DefaultLooks          = 3
	DefaultPanicThreshold = 50
	DefaultHold           = 2 * time.Second
	DefaultMaxHold        = 5 * time.Minute
	DefaultCalm           = 5 * time.Minute
)

// lookSpacing is after how long a node may look again at a backend that others report down, however seldom it is probed.
const lookSpacing = 500 * time.Millisecond

// Options says how verdicts are reached. A field that is zero or negative takes its default.
type Options struct {
	Interval time.Duration // between two probes of one backend by one prober; default 2 s
	Timeout  time.Duration // of a probe, by which what was seen last may be older before the next is known; default 0
	Failures int           // of connections in a row that prove that a backend is down; default 3
	Looks    int           // without duty, that failed in a row and prove the same; default 3

	// PanicThreshold is the percentage of a pool that has to stay usable for the word of others to take a backend out.
	// Default 50; negative: all but the last may go.
	PanicThreshold int

	Hold    time.Duration // how long a backend that went down stays so at least; doubles with every fall; default 2 s
	MaxHold time.Duration // how long at most; default 5 min
	Calm    time.Duration // after how long in service former falls are forgiven; default 5 min
}

func (o Options) withDefaults() Options {
	o.Interval = positive(o.Interval, DefaultInterval)
	o.Failures = positive(o.Failures, DefaultFailures)
	o.Looks = positive(o.Looks, DefaultLooks)
	o.Hold = positive(o.Hold, DefaultHold)
	o.MaxHold = positive(o.MaxHold, DefaultMaxHold)
	o.Calm = positive(o.Calm, DefaultCalm)
	if o.PanicThreshold == 0 {
		o.PanicThreshold = DefaultPanicThreshold
	}
	return o
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Pool is the state of the pool that a backend belongs to. Whoever decides about several of its backends counts after each.
type Pool struct {
	Usable int // backends that are not down, ejected or drained
	Total  int
}

// spares reports whether the word of others may take one more backend out of the pool.
func (p Pool) spares(o Options) bool {
	return p.Usable > 1 && (p.Usable-1)*100 >= o.PanicThreshold*p.Total
}

// Case is all that counts for the verdict on one backend at one node.
type Case struct {
	Last    Verdict // zero at first
	Own     Evidence
	Votes   []Vote // of the others; see Table.Votes
	Members Members
	Probers []string // who has duty; see Probers
	Pool    Pool
	Drained bool // by an operator; see Commands.Order
}

// Verdict is what a node decided about a backend, why, and what it has to remember for the next decision.
type Verdict struct {
	State   State
	Cause   Cause
	Since   time.Time // when State became what it is
	Drained bool      // an operator has taken it out, whatever State is
	Remote  bool      // Down only by the word of others: a success of the node's own ends it at once
	Verify  bool      // the node should probe once itself, soon
	Looked  time.Time // when the word of others was last a reason to

	Up, Down int // votes that count
	Quorum   int // of them that are needed

	Falls int       // how often it went down since it was last calm
	Until time.Time // down: until when it stays so; up: until when the word of others cannot take it out
}

// Serves reports whether the backend may get new connections.
func (v Verdict) Serves() bool { return v.State != Down && !v.Drained }

// Decide reaches the verdict on a backend. The first of these that applies decides:
//
//  1. Proof of this node's own that it fails: down.
//  2. The latest that this node saw is a failure, and another node reports it down: two independent witnesses, down,
//     unless the pool would fall below the panic threshold.
//  3. The latest that this node saw is a success: up, whatever the others say.
//  4. A majority of those who have duty report it down: down, unless the same applies, or this node has just overruled
//     them.
//  5. A majority of them report it up: up.
//  6. Otherwise it stays what it was.
//
// The word of another counts only while it is a member, of the life that is present, has confirmed it within MaxSilence,
// and neither it nor this node doubts its judgement. A backend that went down stays so for a while, which doubles with
// every fall. An operator's drain is above all of this. Decide is pure.
func Decide(c Case, o Options, now time.Time) Verdict {
	o = o.withDefaults()
	t := c.tally(o, now)
	state, cause := c.judge(t, o, now)
	v := c.Last.next(state, cause, o, now)
	v.Up, v.Down, v.Quorum = t.up, t.down, t.quorum
	v.Drained = c.Drained
	v.Verify, v.Looked = c.follows(v, o, now), c.Last.Looked
	if c.alarmed(o, now) {
		v.Verify, v.Looked = true, now
	}
	return v
}

// judge applies the rules, without regard to flapping.
func (c Case) judge(t tally, o Options, now time.Time) (State, Cause) {
	switch {
	case c.Own.proves(o, now):
		return Down, OwnFailure
	case c.Own.suspects(o, now) && t.witnesses > 0 && (c.Last.State == Down || c.Pool.spares(o)):
		return Down, TwoWitnesses
	case c.Own.suspects(o, now) && t.witnesses > 0:
		return c.Last.State, PanicSpared
	case c.Own.succeeds(o, now):
		return Up, OwnSuccess
	case t.down >= t.quorum && c.Last.State == Down:
		return Down, Majority
	case t.down >= t.quorum && !c.Pool.spares(o):
		return c.Last.State, PanicSpared
	case t.down >= t.quorum && now.Before(c.Last.Until):
		return c.Last.State, Overruled
	case t.down >= t.quorum:
		return Down, Majority
	case t.up >= t.quorum:
		return Up, Majority
	default:
		return c.Last.State, NoMajority
	}
}

// tally is how the votes stand.
type tally struct {
	up, down  int // of those who have duty
	quorum    int // a majority of all who have duty, whether they are heard or not
	witnesses int // of all members, how many report it down
}

func (c Case) tally(o Options, now time.Time) tally {
	t := tally{quorum: len(c.Probers)/2 + 1}
	for _, v := range c.Votes {
		if c.objection(v, o, now) != none {
			continue
		}
		if v.State == Down {
			t.witnesses++
		}
		switch duty := c.onDuty(v.Observer); {
		case duty && v.State == Down:
			t.down++
		case duty && v.State == Up:
			t.up++
		}
	}
	return t
}

// follows reports whether the node, which has come to a verdict, should look itself because of what it has seen or decided: its last
// probe failed and that proves nothing yet; or it holds the backend down, or the last it saw is a failure, and that gets old.
// Whatever took a backend out is thereby followed until it ends, also where nobody else is believed. Only who is held for its falls
// waits for that to be over, or for the others.
func (c Case) follows(v Verdict, o Options, now time.Time) bool {
	failing := !c.Own.failure().IsZero() && !c.Own.success().After(c.Own.failure())
	switch since := now.Sub(c.Own.Probed); {
	case failing && c.Own.ProbeFailed && v.State != Down:
		return since >= o.spacing()
	case failing || v.State == Down && v.Cause != Held:
		return since >= o.Interval
	}
	return false
}

// alarmed reports whether the node should look because somebody says down and it has not looked since. Between two such
// looks lies o.spacing, and what all say at once is one.
func (c Case) alarmed(o Options, now time.Time) bool {
	if now.Sub(c.Last.Looked) < o.spacing() {
		return false
	}
	for _, v := range c.Votes {
		m, member := c.Members[v.Observer]
		if member && v.Boot == m.Boot && !m.Distrust && v.State == Down && v.At.After(c.Own.Probed) {
			return true
		}
	}
	return false
}

// spacing is what lies between two looks at least: a quarter of the interval, but not more than lookSpacing.
func (o Options) spacing() time.Duration { return min(o.Interval/4, lookSpacing) }
