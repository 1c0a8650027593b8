package upstream

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRetryBudget(t *testing.T) {
	tests := []struct {
		name        string
		connections map[time.Duration]int // first attempts, by time after start
		at          time.Duration
		want        int // retries allowed at that moment
	}{
		{"a quiet service may", nil, 0, 10},
		{"a fifth of a busy one", map[time.Duration]int{0: 100}, 0, 20},
		{"a fifth of the last ten seconds", map[time.Duration]int{0: 100, 5 * time.Second: 100, 9 * time.Second: 100}, 9 * time.Second, 60},
		{"what is older has gone", map[time.Duration]int{0: 100, 5 * time.Second: 100}, 10 * time.Second, 20},
		{"a ring slot is cleared when its second comes round", map[time.Duration]int{0: 1000}, 20 * time.Second, 10},
		{"rounded down", map[time.Duration]int{0: 64}, 0, 12},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := backendsOf(1)[0]
			p := poolOf(Options{}, b)
			for at := time.Duration(0); at <= tt.at; at += time.Second {
				for range tt.connections[at] {
					p.Release(mustAcquire(t, p, 0, start.Add(at)))
					// Second attempts are retries, not connections.
					p.Acquire(0, []*Backend{b}, start.Add(at))
				}
			}
			got := 0
			for p.AllowRetry(start.Add(tt.at)) {
				got++
			}
			if got != tt.want {
				t.Errorf("%d retries allowed, want %d", got, tt.want)
			}
			if s := p.Stats(); s.Retries != uint64(tt.want) || s.RetriesRefused != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// Ten in every second, whatever was used before.
func TestRetryBudgetPerSecond(t *testing.T) {
	p := poolOf(Options{}, backendsOf(1)...)
	for second := range 25 {
		now := start.Add(time.Duration(second) * time.Second)
		for i := range 12 {
			if got, want := p.AllowRetry(now), i < 10; got != want {
				t.Fatalf("second %d, retry %d: %v, want %v", second, i, got, want)
			}
		}
	}
}

// In any history retries stay within a fifth of the connections plus the minimum.
func TestRetryBudgetHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g budget
		connections, retries := map[int]int{}, map[int]int{}
		second := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			second += rapid.SampledFrom([]int{0, 0, 0, 1, 3, 12}).Draw(t, "pause")
			at := time.Duration(second) * time.Second
			for range rapid.IntRange(0, 40).Draw(t, "connections") {
				g.connection(at)
				connections[second]++
			}
			if g.retry(at) {
				retries[second]++
			}
			c, r := 0, 0
			for s := second - budgetSeconds + 1; s <= second; s++ {
				c += connections[s]
				r += retries[s]
			}
			if r > c/budgetDivisor+budgetPerSecond*budgetSeconds {
				t.Fatalf("%d retries for %d connections", r, c)
			}
		}
	})
}

// Loops that ask at once share one budget.
func TestRetryBudgetIsShared(t *testing.T) {
	var g budget
	for range 1000 {
		g.connection(0)
	}
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if g.retry(0) {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 200 {
		t.Errorf("%d retries allowed for 1000 connections, want 200", got)
	}
}
