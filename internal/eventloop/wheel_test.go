package eventloop

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// wheelModel runs a wheel beside the plainest thing that could be right: a map from timer to due tick.
type wheelModel struct {
	t      *rapid.T
	wheel  wheel
	clock  int64 // the tick it really is; the wheel may lag behind it
	timers []*Timer
	due    map[*Timer]int64
	fired  map[*Timer]int
}

func newWheelModel(t *rapid.T) *wheelModel {
	m := &wheelModel{t: t, due: map[*Timer]int64{}, fired: map[*Timer]int{}}
	for range 12 {
		m.timers = append(m.timers, new(Timer))
	}
	return m
}

// arm does what Loop.Arm does, with the model's clock.
func (m *wheelModel) arm(timer *Timer, wait int64) {
	if m.wheel.empty() {
		m.wheel.now = m.clock
	}
	at := m.clock + wait
	m.wheel.add(timer, at)
	m.due[timer] = max(at, m.wheel.now+1)
}

func (m *wheelModel) disarm(timer *Timer) {
	m.wheel.remove(timer)
	delete(m.due, timer)
}

// advance moves the clock and checks every timer that fires. The handler of some timers arms and disarms others.
func (m *wheelModel) advance(by int64) {
	m.clock += by
	m.wheel.advance(m.clock, func(timer *Timer) {
		at, armed := m.due[timer]
		if !armed {
			m.t.Fatalf("a timer fired that was not armed")
		}
		if m.clock < at {
			m.t.Fatalf("timer of tick %d fired at tick %d", at, m.clock)
		}
		if timer.Armed() {
			m.t.Fatalf("a timer is armed while its handler runs")
		}
		delete(m.due, timer)
		m.fired[timer]++
		m.handler(timer)
	})
	for timer, at := range m.due {
		if at <= m.clock {
			m.t.Fatalf("timer of tick %d has not fired at tick %d (wheel at %d, armed %v)", at, m.clock, m.wheel.now, timer.Armed())
		}
	}
}

func (m *wheelModel) handler(self *Timer) {
	switch rapid.IntRange(0, 9).Draw(m.t, "handler") {
	case 0:
		m.arm(self, m.drawWait())
	case 1:
		m.arm(m.draw(), m.drawWait())
	case 2:
		m.disarm(m.draw())
	case 3: // leaves the wheel empty, and makes it jump
		for _, timer := range m.timers {
			m.disarm(timer)
		}
		m.arm(self, m.drawWait())
	}
}

func (m *wheelModel) draw() *Timer { return rapid.SampledFrom(m.timers).Draw(m.t, "timer") }

// drawWait prefers the edges of the two rings. It is at least one tick, as Loop.Arm's is.
func (m *wheelModel) drawWait() int64 {
	edge := rapid.SampledFrom([]int64{1, wheelSlots, wheelSlots * wheelSlots, 3 * wheelSlots * wheelSlots}).Draw(m.t, "edge")
	return max(1, edge+rapid.Int64Range(-3, 3).Draw(m.t, "off")*rapid.SampledFrom([]int64{1, 100}).Draw(m.t, "scale"))
}

func (m *wheelModel) check() {
	earliest := int64(math.MaxInt64)
	for _, at := range m.due {
		earliest = min(earliest, at)
	}
	due, ok := m.wheel.due()
	if ok != (len(m.due) > 0) || ok == m.wheel.empty() {
		m.t.Fatalf("due says %v and empty says %v with %d timers armed", ok, m.wheel.empty(), len(m.due))
	}
	if ok && due > earliest {
		m.t.Fatalf("due is %d, later than the earliest timer at %d", due, earliest)
	}
	for _, timer := range m.timers {
		if _, armed := m.due[timer]; armed != timer.Armed() {
			m.t.Fatalf("Armed is %v, want %v", timer.Armed(), armed)
		}
	}
}

func TestWheelAgainstSortedTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newWheelModel(t)
		m.clock = rapid.Int64Range(0, 1<<20).Draw(t, "start")
		m.wheel.now = m.clock
		t.Repeat(map[string]func(*rapid.T){
			"arm":    func(*rapid.T) { m.arm(m.draw(), m.drawWait()) },
			"disarm": func(*rapid.T) { m.disarm(m.draw()) },
			"tick":   func(t *rapid.T) { m.advance(rapid.Int64Range(0, 5).Draw(t, "ticks")) },
			"jump":   func(t *rapid.T) { m.advance(rapid.Int64Range(0, 2*wheelSlots*wheelSlots).Draw(t, "ticks")) },
			"due": func(*rapid.T) { // sleep exactly as long as the wheel says
				if at, ok := m.wheel.due(); ok {
					m.advance(max(0, at-m.clock))
				}
			},
			"": func(*rapid.T) { m.check() },
		})
	})
}

// A late loop sleeps from due to due: each timer must come out at its very tick, whichever ring it waited in.
func TestWheelFiresOnTheTick(t *testing.T) {
	for _, start := range []int64{0, 1, 255, 256, 65535, 1 << 40} {
		w := wheel{now: start}
		armed := map[*Timer]bool{}
		for _, wait := range []int64{1, 2, 255, 256, 257, 511, 512, 65280, 65535, 65536, 65537, 200_000, 10_000_000} {
			timer := new(Timer)
			w.add(timer, start+wait)
			armed[timer] = true
		}
		for wakes := 0; ; wakes++ {
			at, ok := w.due()
			if !ok {
				break
			}
			if wakes > 500 {
				t.Fatalf("start %d: still waking after %d wake-ups", start, wakes)
			}
			w.advance(at, func(timer *Timer) {
				if timer.at != at {
					t.Errorf("start %d: timer of tick %d fired at tick %d", start, timer.at, at)
				}
				delete(armed, timer)
			})
		}
		if len(armed) != 0 {
			t.Errorf("start %d: %d timers never fired", start, len(armed))
		}
	}
}

// The handler of the first of two due timers empties the wheel and arms again exactly one round later, into the slot that
// is being fired.
func TestWheelDoesNotFireARoundEarly(t *testing.T) {
	var w wheel
	var first, second, again Timer
	w.add(&first, 5)
	w.add(&second, 5)
	w.advance(300, func(timer *Timer) {
		if timer != &first {
			t.Fatalf("fired a timer that was disarmed or is due at %d only", timer.at)
		}
		w.remove(&second)
		w.now = 300 // as Loop.Arm does for an empty wheel
		w.add(&again, 2*wheelSlots+5)
	})
	if !again.Armed() {
		t.Fatal("the timer armed by the handler is gone")
	}
}

func BenchmarkWheelArmDisarm(b *testing.B) {
	for _, standing := range []struct {
		name   string
		timers int
	}{{"alone", 0}, {"among 100000", 100_000}} {
		b.Run(standing.name, func(b *testing.B) {
			var w wheel
			for i := range standing.timers {
				w.add(new(Timer), int64(i%4000)+1)
			}
			var timer Timer
			b.ReportAllocs()
			for n := int64(0); b.Loop(); n++ {
				w.add(&timer, n%4000+1)
				w.remove(&timer)
			}
		})
	}
}

func BenchmarkWheelFire(b *testing.B) {
	var w wheel
	timers := make([]Timer, 1000)
	b.ReportAllocs()
	for b.Loop() { // one timer of 1,000 that are re-armed as they fire
		at, ok := w.due()
		if !ok {
			for i := range timers {
				w.add(&timers[i], w.now+int64(i)+1)
			}
			continue
		}
		w.advance(at, func(timer *Timer) { w.add(timer, w.now+3000) })
	}
}
