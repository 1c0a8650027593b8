package load

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace says when the exchanges of an open loop are due: at a constant rate, whatever has become of those
// before. Latencies count from then, so that one that had to wait, because the balancer kept everything
// waiting, counts with all of its wait. A closed loop would not have asked meanwhile, and would not know
// ("coordinated omission").
type pace struct {
	rate        float64       // in a second
	from, until time.Duration // on the client's clock
	begun       int           // exchanges
}

// maxRate is the highest rate of an open loop, in a second; above it the clock is asked more often than anything else.
const maxRate = 10_000_000

func checkRate(rate float64) error {
	if !(rate >= 0 && rate <= maxRate) {
		return fmt.Errorf("a rate of %v in a second: give up to %d", rate, maxRate)
	}
	return nil
}

// due is when exchange i is to begin.
func (p *pace) due(i int) time.Duration {
	return p.from + time.Duration(float64(i)/p.rate*float64(time.Second))
}

// next is when the next exchange is due; ok tells whether there is one.
func (p *pace) next() (due time.Duration, ok bool) {
	due = p.due(p.begun)
	return due, due < p.until
}

// take begins the next exchange if it is due by now, and returns since when.
func (p *pace) take(now time.Duration) (due time.Duration, ok bool) {
	due, ok = p.next()
	if !ok || due > now {
		return 0, false
	}
	p.begun++
	return due, true
}

// owed yields the times of those that were due and have not begun.
func (p *pace) owed(yield func(due time.Duration) bool) {
	for {
		due, ok := p.take(p.until)
		if !ok || !yield(due) {
			return
		}
	}
}

// longestWait is how long a client waits for anything, so that it notices the end of its caller.
const longestWait = 100 * time.Millisecond

// wait is how long there is nothing to do but to wait for answers.
func (p *pace) wait(now time.Duration) time.Duration {
	if due, ok := p.next(); ok {
		return min(max(0, due-now), longestWait)
	}
	return longestWait
}

// punctual runs what waits by the clock: on a thread of its own that the kernel wakes when it is to, not up
// to 50 us later (PR_SET_TIMERSLACK, prctl(2)).
func punctual(what func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0)
	return what()
}
