package cluster

import "time"

// next moves the verdict on. It bounds how often a backend that flaps changes: each fall doubles a time in which it either
// stays down, or, if it went down by the word of others and a success of this node's own has overruled that, their word
// does not count. Proof of this node's own takes it out at any time. By default options a verdict changes at most 14 times
// in any minute.
func (v Verdict) next(state State, cause Cause, o Options, now time.Time) Verdict {
	overruled := v.Remote && cause == OwnSuccess
	if v.State == Down && state == Up && now.Before(v.Until) && !overruled {
		state, cause = Down, Held
	}
	next := Verdict{State: state, Cause: cause, Since: v.Since, Remote: v.Remote, Falls: v.Falls, Until: v.Until}
	switch {
	case state == Down && v.State != Down:
		if v.State == Up && now.Sub(v.Since) >= o.Calm {
			next.Falls = 0
		}
		next.Falls++
		next.Until = now.Add(o.hold(next.Falls))
		next.Since, next.Remote = now, cause == Majority
	case state == Down && (cause == OwnFailure || cause == TwoWitnesses):
		next.Remote = false
	case state != v.State:
		next.Since, next.Remote = now, false
	}
	return next
}

// hold is how long the nth fall counts.
func (o Options) hold(falls int) time.Duration {
	d := o.Hold
	for n := 1; n < falls && d < o.MaxHold; n++ {
		d *= 2
	}
	return min(d, o.MaxHold)
}
