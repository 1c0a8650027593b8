package load

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// After any waits an open loop has begun what was due by then, no more and no less, each from its own time.
func TestPaceBeginsWhatIsDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pace{
			rate: rapid.Float64Range(0.5, 1e6).Draw(t, "rate"),
			from: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "from")),
		}
		p.until = p.from + time.Duration(rapid.Float64Range(0, 300).Draw(t, "exchanges")/p.rate*float64(time.Second))
		now, begun := p.from, 0
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			now += time.Duration(rapid.Int64Range(0, int64(p.until-p.from)/4+1).Draw(t, "later"))
			for {
				due, ok := p.take(now)
				if !ok {
					break
				}
				if want := p.due(begun); due != want || due > now || due >= p.until {
					t.Fatalf("exchange %d counts from %v, want %v; it is %v, the last are due before %v", begun, due, want, now, p.until)
				}
				begun++
			}
			if due, ok := p.next(); ok && due <= now {
				t.Fatalf("exchange %d was due at %v and has not begun at %v", begun, due, now)
			}
			if w := p.wait(now); w < 0 || w > longestWait {
				t.Fatalf("waits for %v", w)
			}
		}
		for range p.owed {
			begun++
		}
		if want := int(math.Ceil((p.until - p.from).Seconds() * p.rate)); begun < want-1 || begun > want+1 {
			t.Errorf("%d exchanges in %v at %v a second", begun, p.until-p.from, p.rate)
		}
	})
}

func TestCheckRate(t *testing.T) {
	for rate, ok := range map[float64]bool{0: true, 1: true, maxRate: true, -1: false, 2 * maxRate: false, math.NaN(): false, math.Inf(1): false} {
		if err := checkRate(rate); ok != (err == nil) {
			t.Errorf("rate %v: %v", rate, err)
		}
	}
}
