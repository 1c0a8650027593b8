package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Defaults of Options.
const (
	DefaultInterval     = 2 * time.Second
	DefaultFastInterval = 500 * time.Millisecond
	DefaultTimeout      = time.Second
	DefaultRise         = 2
	DefaultFall         = 3
	DefaultJitter       = 10
)

// Options says how a Checker asks. A field that is zero or negative takes its default.
type Options struct {
	Prober Prober // required

	Interval          time.Duration // from the start of one probe to the start of the next, give or take Jitter; default 2 s
	FastInterval      time.Duration // instead, while a transition has begun and is not concluded; default 500 ms, never above the interval it replaces
	UnhealthyInterval time.Duration // instead, while the verdict is down; default Interval
	Timeout           time.Duration // of one probe; default 1 s
	Rise              int           // successes in a row that end Down; default 2
	Fall              int           // failures in a row that end Up; default 3

	// Jitter is the largest part of an interval, in percent, by which a wait is made longer or shorter, so that the probes of
	// many backends, and of many balancers, do not fall into step. Default 10; negative for none.
	Jitter int
}

func (o Options) withDefaults() Options {
	o.Interval = positive(o.Interval, DefaultInterval)
	o.FastInterval = positive(o.FastInterval, DefaultFastInterval)
	o.UnhealthyInterval = positive(o.UnhealthyInterval, o.Interval)
	o.Timeout = positive(o.Timeout, DefaultTimeout)
	o.Rise = positive(o.Rise, DefaultRise)
	o.Fall = positive(o.Fall, DefaultFall)
	if o.Jitter == 0 {
		o.Jitter = DefaultJitter
	}
	return o
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// A Transition says that the verdict on a backend has changed.
type Transition struct {
	Backend *upstream.Backend
	Up      bool
	Cause   error     // what the deciding probe found; nil if Up
	At      time.Time // when the deciding probe ended
}

// Status is what a Checker knows: an immutable snapshot, replaced as a whole after every probe. The zero value is that of a backend never probed.
type Status struct {
	Health   upstream.Health
	Since    time.Time     // when Health became what it is; zero while Unknown
	At       time.Time     // when the last probe started; zero = none yet
	Duration time.Duration // of the last probe
	Err      error         // of the last probe; nil = it succeeded
	Streak   int           // probes in a row, the last included, with the same result
	Late     time.Duration // by how much the last probe that was due began after its time
	Probes   uint64        // ever
	Failures uint64        // of them
}

// Ended returns when the last probe ended; zero = none yet.
func (s Status) Ended() time.Time {
	if s.At.IsZero() {
		return time.Time{}
	}
	return s.At.Add(s.Duration)
}

// streak returns the arithmetic's part of the snapshot.
func (s Status) streak() streak { return streak{verdict: s.Health, ok: s.Err == nil, run: s.Streak} }

// A Checker asks one backend at intervals and emits the changes of the verdict.
type Checker struct {
	backend *upstream.Backend
	options Options
	emit    func(Transition)
	seen    func()                 // nil = nobody wants to know; see Watch
	status  atomic.Pointer[Status] // writer: Run's goroutine; Resume before it runs

	turn    atomic.Pointer[Turn] // writer: Take
	turned  chan struct{}        // has room for one: turn has changed
	looks   chan time.Duration   // has room for one: see Look
	looking atomic.Bool          // a look has been asked for and has not begun
}

// Turn is how checkers in several places share the work of probing one backend. The zero value is that of one that works alone.
type Turn struct {
	// Off: the others probe. This checker only probes when told to by Look.
	Off bool
	// Next returns the first time from now on that is this checker's among those of the others, who take turns. nil: a probe is due
	// an interval after the last one, give or take the jitter.
	Next func(now time.Time, interval time.Duration) time.Time
}

// NewChecker returns a checker of b that knows nothing yet. emit is called on Run's goroutine, one transition at a time, in order;
// while it blocks there are no probes, so it should give up when the context of Run ends.
func NewChecker(b *upstream.Backend, o Options, emit func(Transition)) *Checker {
	c := &Checker{
		backend: b, options: o.withDefaults(), emit: emit, turned: make(chan struct{}, 1), looks: make(chan time.Duration, 1),
	}
	c.status.Store(&Status{})
	c.turn.Store(&Turn{})
	return c
}

// Watch has seen called on Run's goroutine after each probe that failed, or came out otherwise than the one before; it must not
// block. Call it before Run.
func (c *Checker) Watch(seen func()) { c.seen = seen }

// Take gives the checker its turn. It may be called from any goroutine, at any time.
func (c *Checker) Take(t Turn) {
	c.turn.Store(&t)
	select {
	case c.turned <- struct{}{}:
	default:
	}
}

// Look has the checker probe once, at a random time within the given one, whether it is its turn or not. It may be called from any
// goroutine. What is asked for before the probe has begun is one probe.
func (c *Checker) Look(within time.Duration) {
	if !c.looking.CompareAndSwap(false, true) {
		return
	}
	select {
	case c.looks <- rand.N(max(within, 1)):
	default: // one waits that a probe which was due has overtaken
	}
}

// Resume takes over what another checker of the same backend knew: verdict, streak, counts and rhythm. It is for a reload that changes
// how a backend is asked and must not forget what was answered. Call it before Run and after the other checker's Run has returned.
func (c *Checker) Resume(s Status) { c.status.Store(&s) }

// Backend returns the backend that is asked.
func (c *Checker) Backend() *upstream.Backend { return c.backend }

// Status returns the last snapshot. It may be called from any goroutine and takes no lock.
func (c *Checker) Status() Status { return *c.status.Load() }

// Run probes until ctx is done: at once if nothing is known, else when the next probe is due. It may be called once.
// A probe that ctx cuts off counts for nothing.
func (c *Checker) Run(ctx context.Context) {
	var look time.Time // when a probe is due because somebody asked for it; zero = nobody did
	due := c.due(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := earlier(due, look)
		if timer.Stop(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-c.turned:
			due = c.due(time.Now())
		case within := <-c.looks:
			look = time.Now().Add(within)
		case <-timer.C:
			c.looking.Store(false)
			if ctx.Err() != nil || !c.probe(ctx, max(0, time.Since(next))) {
				return
			}
			look, due = time.Time{}, c.due(time.Now())
		}
	}
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due returns when the next probe is, now if it is overdue; zero if others probe.
func (c *Checker) due(now time.Time) time.Time {
	s, t := c.status.Load(), c.turn.Load()
	switch interval := c.options.interval(s.streak()); {
	case t.Off:
		return time.Time{}
	case s.At.IsZero():
		return now
	case t.Next == nil || s.streak().unsettled():
		return latest(now, s.At.Add(jitter(interval, c.options.Jitter, rand.Float64())))
	default:
		// Not sooner than a quarter of an interval after the last: a turn that comes right after a look is left out.
		return t.Next(latest(now, s.At.Add(interval/4)), interval)
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// interval returns the wait that fits the state, before jitter.
func (o Options) interval(s streak) time.Duration {
	interval := o.Interval
	if s.verdict == upstream.Down {
		interval = o.UnhealthyInterval
	}
	if s.unsettled() {
		interval = min(interval, o.FastInterval)
	}
	return interval
}

// jitter spreads d evenly over so many percent to both sides; r is from [0, 1).
func jitter(d time.Duration, percent int, r float64) time.Duration {
	return d + time.Duration((2*r-1)*float64(max(percent, 0))/100*float64(d))
}

// probe asks once and takes the answer in. It reports whether to go on.
func (c *Checker) probe(ctx context.Context, late time.Duration) bool {
	start := time.Now()
	err := c.ask(ctx)
	if ctx.Err() != nil {
		return false
	}
	end := time.Now()
	old := c.status.Load()
	next, changed := old.streak().observe(err == nil, c.options.Rise, c.options.Fall)
	s := &Status{
		Health: next.verdict, Since: old.Since, At: start, Duration: end.Sub(start), Err: err, Streak: next.run,
		Late: late, Probes: old.Probes + 1, Failures: old.Failures,
	}
	if err != nil {
		s.Failures++
	}
	if changed {
		s.Since = end
	}
	c.status.Store(s) // before emit: whoever is told finds the status that explains it
	if c.seen != nil && (err != nil || next.run == 1) {
		c.seen()
	}
	if changed {
		c.emit(Transition{Backend: c.backend, Up: next.verdict == upstream.Up, Cause: err, At: end})
	}
	return true
}

func (c *Checker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	err := c.options.Prober.Probe(ctx, c.backend.Addr())
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("not done within %v: %w", c.options.Timeout, err)
	}
	return err
}
