package upstream

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// request is one request on its way in a simulation.
type request struct {
	backend int
	ends    time.Duration // from the beginning of the simulation
}

// simulate has so many clients send one request after the other until all picks are
// made. A backend takes the same time for each request, as of(backend, pick) says; 0
// means that it never answers. It returns how many requests each backend got.
func simulate(bal Balancer, backends []*Backend, clients, picks int, of func(backend, pick int) time.Duration) []int {
	counts := make([]int, len(backends))
	var open []request
	now := time.Duration(0)
	for pick := range picks {
		if len(open) == clients {
			first := 0
			for i, r := range open {
				if r.ends < open[first].ends {
					first = i
				}
			}
			now = open[first].ends
			b := open[first].backend
			backends[b].AddFirstByte(of(b, pick))
			backends[b].active.Add(-1)
			open = slices.Delete(open, first, first+1)
		}
		b := slices.Index(backends, bal.Pick(0, Skip{}))
		counts[b]++
		if took := of(b, pick); took > 0 {
			backends[b].active.Add(1)
			open = append(open, request{backend: b, ends: now + took})
		}
	}
	return counts
}

// measured gives each backend an average.
func measured(backends []*Backend, took ...time.Duration) {
	for i, b := range backends {
		b.AddFirstByte(took[i])
	}
}

// What a backend gets does not fall behind what a slower one gets, but for the few
// requests by which the times of slow ones are found out again.
func TestLeastTimePrefersTheFaster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 4, 8, 50}), 2, 5).Draw(t, "milliseconds")
		slices.Sort(times)
		clients := rapid.IntRange(1, 20).Draw(t, "clients")
		backends := backendsOf(equal(len(times))...)
		const picks = 2000
		counts := simulate(NewBalancer(LeastTime, sharesOf(backends), nil), backends, clients, picks,
			func(b, _ int) time.Duration { return time.Duration(times[b]) * time.Millisecond })
		for i := range len(times) - 1 {
			if slack := picks/idleTurns + 2*clients; times[i] < times[i+1] && counts[i]+slack < counts[i+1] {
				t.Fatalf("got %v at %v ms", counts, times)
			}
		}
	})
}

// One client of a fast and a slow backend asks the slow one no more than it must.
func TestLeastTimeLeavesTheSlowOneAlone(t *testing.T) {
	backends := backendsOf(1, 1)
	const picks = 10000
	counts := simulate(NewBalancer(LeastTime, sharesOf(backends), nil), backends, 1, picks,
		func(b, _ int) time.Duration { return []time.Duration{time.Millisecond, 100 * time.Millisecond}[b] })
	// A hundred times slower: seven halvings, each of 64 turns of both.
	if want := picks/(7*2*idleTurns) + 2; counts[1] > want || counts[1] < 2 {
		t.Errorf("the slow backend got %d of %d, want 2 to %d", counts[1], picks, want)
	}
}

// Equally fast backends get connections in proportion to weight.
func TestLeastTimeHonoursWeightsAtEqualTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 10), 1, 8).Draw(t, "weights")
		took := time.Duration(rapid.Int64Range(0, int64(2*maxMeasured)).Draw(t, "time"))
		backends := backendsOf(weights...)
		sum := 0
		for i, b := range backends {
			b.AddFirstByte(took)
			sum += weights[i]
		}
		const rounds = 100
		tally(NewBalancer(LeastTime, sharesOf(backends), nil), rounds*sum, func(b *Backend) { b.active.Add(1) })
		for i, b := range backends {
			if d := b.Active() - int64(rounds*weights[i]); d < -2 || d > 2 {
				t.Fatalf("backend %d of weight %d/%d has %d of %d", i, weights[i], sum, b.Active(), rounds*sum)
			}
		}
	})
}

// Whatever the times, loads and weights, every backend is picked again and again.
func TestLeastTimeStarvesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, MaxWeight), 1, 6).Draw(t, "weights")
		n := len(weights)
		backends := backendsOf(weights...)
		times := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Minute)), n, n).Draw(t, "times")
		for _, b := range backends {
			b.active.Store(rapid.Int64Range(0, 1000).Draw(t, "active"))
		}
		bal := NewBalancer(LeastTime, sharesOf(backends), nil)
		lowest, highest := math.Inf(1), 0.0
		for i, b := range backends {
			b.AddFirstByte(time.Duration(times[i]))
			score := float64(b.firstByte.nanoseconds()) * float64(b.Active()+1) / float64(weights[i])
			lowest, highest = min(lowest, score), max(highest, score)
		}
		halvings := int(math.Ceil(math.Log2(highest/lowest))) + 1
		most := (halvings*idleTurns + 2) * n
		last := make(map[*Backend]int)
		for pick := range 3 * most {
			b := bal.Pick(0, Skip{})
			b.AddFirstByte(time.Duration(times[slices.Index(backends, b)]))
			last[b] = pick
			for i, b := range backends {
				if pick-last[b] > most {
					t.Fatalf("backend %d not picked for %d turns, %d halvings", i, pick-last[b], halvings)
				}
			}
		}
	})
}

// A backend that has recovered gets its share back, after one good answer.
func TestLeastTimeFindsRecovery(t *testing.T) {
	backends := backendsOf(1, 1)
	bal := NewBalancer(LeastTime, sharesOf(backends), nil)
	const picks, recovers = 8000, 2000
	var before, after int
	simulate(bal, backends, 8, picks, func(b, pick int) time.Duration {
		if b == 0 {
			return 10 * time.Millisecond
		}
		if pick < recovers {
			before = int(backends[1].Stats().FirstByte.Milliseconds())
			return time.Second
		}
		after = int(backends[1].Stats().FirstByte.Milliseconds())
		return 10 * time.Millisecond
	})
	if before != 1000 || after != 10 {
		t.Errorf("average was %d ms before the recovery and is %d ms after, want 1000 and 10", before, after)
	}
}

// A backend that takes requests and never answers gets no more than one that is slow.
func TestLeastTimeIsNotFooledBySilence(t *testing.T) {
	backends := backendsOf(1, 1)
	measured(backends, time.Millisecond, 100*time.Millisecond)
	const picks = 10000
	counts := simulate(NewBalancer(LeastTime, sharesOf(backends), nil), backends, 1, picks,
		func(b, _ int) time.Duration { return []time.Duration{time.Millisecond, 0}[b] })
	if counts[1] > picks/(7*2*idleTurns)+2 {
		t.Errorf("the silent backend got %d of %d", counts[1], picks)
	}
}

// A new backend counts as fast as the fastest, so that it is tried, not overrun.
func TestLeastTimeDoesNotOverrunTheNew(t *testing.T) {
	backends := backendsOf(1, 1)
	backends[0].AddFirstByte(10 * time.Millisecond)
	bal := NewBalancer(LeastTime, sharesOf(backends), nil)
	tally(bal, 100, func(b *Backend) { b.active.Add(1) })
	if a, b := backends[0].Active(), backends[1].Active(); a != 50 || b != 50 {
		t.Errorf("the known backend has %d connections, the new one %d, want 50 each", a, b)
	}
}

func TestAverage(t *testing.T) {
	tests := []struct {
		name string
		took []time.Duration // -1: expire
		want time.Duration
	}{
		{"nothing", nil, 0},
		{"the first counts in full", []time.Duration{80}, 80},
		{"an eighth of the way up", []time.Duration{80, 160}, 90},
		{"an eighth of the way down", []time.Duration{80, 0}, 70},
		{"expired, it is still known", []time.Duration{80, -1}, 80},
		{"expired twice", []time.Duration{80, -1, -1}, 80},
		{"expired, it is replaced", []time.Duration{80, -1, 160}, 160},
		{"replaced, it counts again", []time.Duration{80, -1, 160, 80}, 150},
		{"nothing cannot expire", []time.Duration{-1, 80}, 80},
		{"no time at all", []time.Duration{-5 * time.Second}, minMeasured / time.Millisecond},
		{"far too long", []time.Duration{1 << 40}, maxMeasured / time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a average
			for _, took := range tt.took {
				if took == -1 {
					a.expire()
				} else {
					a.add(took * time.Millisecond)
				}
			}
			got := time.Duration(a.nanoseconds()) / time.Millisecond
			if got != tt.want {
				t.Errorf("average %d, want %d", got, tt.want)
			}
			if len(tt.took) > 0 && a.nanoseconds() == 0 {
				t.Error("measured, but zero")
			}
		})
	}
}

// An average stays between the least and the greatest of what it was made of.
func TestAverageStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Int64Range(int64(minMeasured), int64(maxMeasured)), 1, 50).Draw(t, "took")
		var a average
		for _, d := range took {
			a.add(time.Duration(d))
			if got := a.nanoseconds(); got < slices.Min(took) || got > slices.Max(took) {
				t.Fatalf("average %d of %v", got, took)
			}
		}
	})
}

// Nothing that loops do to an average side by side leaves it without a sound value.
func TestAverageSideBySide(t *testing.T) {
	b := backendsOf(1)[0]
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 2000 {
				b.AddFirstByte(time.Millisecond)
				b.firstByte.expire()
			}
		}()
	}
	for range 4 {
		<-done
	}
	if got := b.Stats().FirstByte; got != time.Millisecond {
		t.Errorf("average %v of nothing but milliseconds", got)
	}
}
