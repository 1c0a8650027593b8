package l7

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/internal/predicate"
)

// circuit is the state of a circuit breaker and what its condition is about. Any loop may use it at any time: each writes
// the numbers of its own share, and what is common is swapped as one value. It knows no clock: times are since the circuit
// was made.
type circuit struct {
	condition *predicate.Condition
	fallback  time.Duration // tripped, before some requests pass again
	recovery  time.Duration // in which ever more pass
	period    time.Duration // between two looks at the condition

	calls  []callFor
	ratios int // of the calls, how many are ratios of codes
	shares []circuitShare

	spell      atomic.Pointer[spell] // never nil
	generation atomic.Int64          // of the numbers: those of an earlier one do not count
	next       atomic.Int64          // when the condition is looked at again
}

// circuitState is what a circuit does with requests.
type circuitState uint8

const (
	standby    circuitState = iota // all pass
	tripped                        // none passes
	recovering                     // some pass
)

func (s circuitState) String() string { return [...]string{"standby", "tripped", "recovering"}[s] }

// spell is a time in one state.
type spell struct {
	state          circuitState
	since, until   time.Duration
	passed, denied atomic.Int64 // while recovering
}

// callFor is how a call of the condition is answered.
type callFor struct {
	name     string
	codes    [4]int // of a ratio of codes
	ratio    int    // which it is
	quantile float64
}

const (
	circuitSlots = 10 // the last seconds, for ratios
	latencySlots = 6  // the last times ten seconds, for latencies
	latencySpan  = 10 * time.Second
)

// circuitShare is the numbers of one loop, which alone writes them.
type circuitShare struct {
	generation atomic.Int64
	slots      [circuitSlots]circuitSlot
	latencies  *[latencySlots]latencySlot // nil where the condition does not ask for them
	_          [64]byte                   // no two loops write to one cache line
}

// circuitSlot is the numbers of one second.
type circuitSlot struct {
	at            atomic.Int64 // which second; -1 = none
	total, errors atomic.Int64
	codes         []atomic.Int64 // two for each ratio: above the line and below it
}

// latencySlot is a histogram of the latencies of some seconds.
type latencySlot struct {
	at     atomic.Int64 // which times latencySpan; -1 = none
	counts [latencyBuckets]atomic.Int64
}

func newCircuit(condition *predicate.Condition, o CircuitBreakerOptions, loops int) *circuit {
	c := &circuit{condition: condition, fallback: o.FallbackDuration, recovery: o.RecoveryDuration, period: o.CheckPeriod}
	latencies := false
	for _, call := range condition.Calls() {
		f := callFor{name: call.Name}
		switch call.Name {
		case "ResponseCodeRatio":
			for i, n := range call.Args {
				f.codes[i] = int(n)
			}
			f.ratio = c.ratios
			c.ratios++
		case "LatencyAtQuantileMS":
			f.quantile, latencies = call.Args[0], true
		}
		c.calls = append(c.calls, f)
	}
	c.shares = make([]circuitShare, loops)
	for i := range c.shares {
		s := &c.shares[i]
		for j := range s.slots {
			s.slots[j].codes = make([]atomic.Int64, 2*c.ratios)
		}
		if latencies {
			s.latencies = new([latencySlots]latencySlot)
		}
		s.empty(0)
	}
	c.spell.Store(new(spell))
	return c
}

// admit reports whether a request may pass now. changed is the state that the circuit has gone to by that, if it has.
func (c *circuit) admit(now time.Duration) (pass bool, changed *spell) {
	for {
		s := c.spell.Load()
		next := (*spell)(nil)
		switch {
		case s.state == standby:
			return true, changed
		case s.state == tripped && now < s.until:
			return false, changed
		case s.state == tripped:
			next = &spell{state: recovering, since: now, until: now + c.recovery}
		case now >= s.until:
			next = &spell{state: standby, since: now}
		default:
			return s.admit(now), changed
		}
		if c.spell.CompareAndSwap(s, next) {
			changed = next
		}
	}
}

// admit passes a share of the requests that grows to a half of them until the recovery ends.
func (s *spell) admit(now time.Duration) bool {
	target := 0.5 * float64(now-s.since) / float64(s.until-s.since)
	passed, denied := float64(s.passed.Load()+1), float64(s.denied.Load())
	if passed/(passed+denied) < target {
		s.passed.Add(1)
		return true
	}
	s.denied.Add(1)
	return false
}

// record counts an answer on a loop, and looks at the condition where it is time for that. It returns what the circuit has
// gone to by that, nil if it has stayed.
func (c *circuit) record(loop int, now time.Duration, status int, latency time.Duration) *spell {
	c.count(&c.shares[loop], now, status, latency)
	at := c.next.Load()
	if int64(now) < at || !c.next.CompareAndSwap(at, int64(now+c.period)) {
		return nil
	}
	s := c.spell.Load()
	if s.state == tripped || !c.condition.Holds(func(i int) predicate.Value { return predicate.Value{Number: c.value(&c.calls[i], now)} }) {
		return nil
	}
	next := &spell{state: tripped, since: now, until: now + c.fallback}
	if !c.spell.CompareAndSwap(s, next) {
		return nil
	}
	c.generation.Add(1)
	return next
}

// count adds an answer to a share.
func (c *circuit) count(s *circuitShare, now time.Duration, status int, latency time.Duration) {
	if g := c.generation.Load(); s.generation.Load() != g {
		s.empty(g)
	}
	slot := s.slot(now)
	slot.total.Add(1)
	if status == 502 || status == 504 {
		slot.errors.Add(1)
	}
	for i := range c.calls {
		f := &c.calls[i]
		if f.name != "ResponseCodeRatio" {
			continue
		}
		if f.codes[0] <= status && status < f.codes[1] {
			slot.codes[2*f.ratio].Add(1)
		}
		if f.codes[2] <= status && status < f.codes[3] {
			slot.codes[2*f.ratio+1].Add(1)
		}
	}
	if s.latencies != nil {
		s.latencySlot(now).counts[latencyBucket(latency)].Add(1)
	}
}

// empty makes the share one without numbers.
func (s *circuitShare) empty(generation int64) {
	for i := range s.slots {
		s.slots[i].at.Store(-1)
	}
	if s.latencies != nil {
		for i := range s.latencies {
			s.latencies[i].at.Store(-1)
		}
	}
	s.generation.Store(generation)
}

// slot is where an answer is counted now.
func (s *circuitShare) slot(now time.Duration) *circuitSlot {
	second := int64(now / time.Second)
	slot := &s.slots[second%circuitSlots]
	if slot.at.Load() != second {
		slot.at.Store(-1) // so that nobody takes half of it for the whole
		slot.total.Store(0)
		slot.errors.Store(0)
		for i := range slot.codes {
			slot.codes[i].Store(0)
		}
		slot.at.Store(second)
	}
	return slot
}

func (s *circuitShare) latencySlot(now time.Duration) *latencySlot {
	at := int64(now / latencySpan)
	slot := &s.latencies[at%latencySlots]
	if slot.at.Load() != at {
		slot.at.Store(-1)
		for i := range slot.counts {
			slot.counts[i].Store(0)
		}
		slot.at.Store(at)
	}
	return slot
}

// value is what a call comes to, of all loops together.
func (c *circuit) value(f *callFor, now time.Duration) float64 {
	switch f.name {
	case "NetworkErrorRatio":
		return c.ratio(now, func(s *circuitSlot) (above, below int64) { return s.errors.Load(), s.total.Load() })
	case "ResponseCodeRatio":
		return c.ratio(now, func(s *circuitSlot) (above, below int64) {
			return s.codes[2*f.ratio].Load(), s.codes[2*f.ratio+1].Load()
		})
	}
	return float64(c.latency(now, f.quantile) / time.Millisecond)
}

// ratio sums over the seconds of the window; 0 where there is nothing to divide by.
func (c *circuit) ratio(now time.Duration, of func(*circuitSlot) (above, below int64)) float64 {
	second, generation := int64(now/time.Second), c.generation.Load()
	var above, below int64
	for i := range c.shares {
		s := &c.shares[i]
		for j := range s.slots {
			at := s.slots[j].at.Load()
			if s.generation.Load() == generation && at >= 0 && at > second-circuitSlots && at <= second {
				a, b := of(&s.slots[j])
				above, below = above+a, below+b
			}
		}
	}
	if below == 0 {
		return 0
	}
	return float64(above) / float64(below)
}

// latency is the latency within which so many percent of the answers came; 0 without any.
func (c *circuit) latency(now time.Duration, percent float64) time.Duration {
	span, generation := int64(now/latencySpan), c.generation.Load()
	var counts [latencyBuckets]int64
	var total int64
	for i := range c.shares {
		s := &c.shares[i]
		for j := range s.latencies {
			slot := &s.latencies[j]
			if at := slot.at.Load(); s.generation.Load() != generation || at < 0 || at <= span-latencySlots || at > span {
				continue
			}
			for k := range counts {
				n := slot.counts[k].Load()
				counts[k] += n
				total += n
			}
		}
	}
	wanted, seen := max(int64(percent/100*float64(total)+0.5), 1), int64(0)
	for k, n := range counts {
		if seen += n; seen >= wanted {
			return latencyOf(k)
		}
	}
	return 0
}

// latencyBuckets are those of microseconds: exact up to 63, from there on 32 for each doubling, which is within 3 percent,
// up to more than an hour.
const latencyBuckets = 64 + 27*32

func latencyBucket(d time.Duration) int {
	v := uint64(max(d.Microseconds(), 0))
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 6
	return min(64+(shift-1)*32+int(v>>shift)-32, latencyBuckets-1)
}

// latencyOf is the highest latency in a bucket.
func latencyOf(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket) * time.Microsecond
	}
	shift, mantissa := (bucket-64)/32+1, (bucket-64)%32+32
	return time.Duration((mantissa+1)<<shift-1) * time.Microsecond
}
