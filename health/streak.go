package health

import "github.com/weirlb/weir/upstream"

// streak smooths a row of probe results into a verdict. It is a plain value: observe returns its successor.
type streak struct {
	verdict upstream.Health
	ok      bool // the last result
	run     int  // how many results in a row, the last included, were like it; 0 = none yet
}

// observe takes one more result in and reports whether it changes the verdict. The first result decides at once;
// from then on fall failures in a row end Up and rise successes in a row end Down.
func (s streak) observe(ok bool, rise, fall int) (next streak, changed bool) {
	next = streak{verdict: s.verdict, ok: ok, run: 1}
	if s.run > 0 && s.ok == ok {
		next.run = s.run + 1
	}
	need, verdict := fall, upstream.Down
	if ok {
		need, verdict = rise, upstream.Up
	}
	if s.verdict == upstream.Unknown {
		need = 1
	}
	if s.verdict != verdict && next.run >= need {
		next.verdict = verdict
		return next, true
	}
	return next, false
}

// unsettled reports whether the last result contradicts the verdict: a transition has begun and is not concluded.
func (s streak) unsettled() bool {
	return s.run > 0 && s.ok != (s.verdict == upstream.Up)
}
