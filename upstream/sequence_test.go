package upstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSequence(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		want    []int32
	}{
		{"one", []int{7}, []int32{0}},
		{"equal go round in order", []int{3, 3, 3}, []int32{0, 1, 2}},
		{"common divisor is taken out", []int{200, 100}, []int32{0, 0, 1}},
		{"heavy one is spread among many light ones", []int{4, 1, 1, 1, 1}, []int32{0, 1, 0, 2, 0, 3, 0, 4}},
		{"light ones are apart", []int{5, 1, 1}, []int32{0, 0, 0, 1, 0, 0, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sequence(tt.weights)); diff != "" {
				t.Errorf("sequence(%v) (-want +got):\n%s", tt.weights, diff)
			}
		})
	}
}

// Every prefix of a round holds each one's ideal number of turns, rounded down or
// up; from which follows that two turns of one are less than two ideal gaps apart.
func TestSequenceIsSmooth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 100), 1, 40).Draw(t, "weights")
		order := sequence(weights)
		weights = reduce(weights)
		sum := len(order)
		turns := make([]int, len(weights))
		last := make([]int, len(weights))
		for i := range last {
			last[i] = -1
		}
		for n, h := range order {
			turns[h]++
			if last[h] >= 0 && (n-last[h])*weights[h] >= 2*sum {
				t.Fatalf("holder %d of weight %d/%d: turns %d and %d", h, weights[h], sum, last[h], n)
			}
			last[h] = n
			for i, w := range weights {
				low := (n + 1) * w / sum
				high := ((n+1)*w + sum - 1) / sum
				if turns[i] < low || turns[i] > high {
					t.Fatalf("after %d turns holder %d of weight %d/%d had %d, want %d..%d", n+1, i, w, sum, turns[i], low, high)
				}
			}
		}
	})
}

// Weights too large for a table are rounded, to within one turn of a round.
func TestReduceBoundsTheRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, MaxWeight*fullPercent), 1, 300).Draw(t, "weights")
		sum := 0
		for _, w := range weights {
			sum += w
		}
		got := reduce(weights)
		total := 0
		for i, w := range got {
			if w < 1 {
				t.Fatalf("weight %d of %v became %d", weights[i], weights, w)
			}
			total += w
		}
		limit := max(maxSequence, 16*len(weights))
		if total > limit+len(weights) {
			t.Fatalf("round of %d turns for %d holders", total, len(weights))
		}
		for i, w := range got {
			ideal := float64(weights[i]) * float64(limit) / float64(sum)
			if total > maxSequence && (float64(w) > ideal+1 || float64(w) < ideal-1) {
				t.Fatalf("weight %d of %d became %d, ideal %.2f", weights[i], sum, w, ideal)
			}
		}
	})
}
