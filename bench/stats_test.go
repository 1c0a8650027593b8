package main

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestMedianAndSpread(t *testing.T) {
	tests := []struct {
		name           string
		values         []float64
		median, spread float64
	}{
		{name: "nothing"},
		{name: "one", values: []float64{7}, median: 7},
		{name: "odd", values: []float64{12, 8, 10}, median: 10, spread: 0.4},
		{name: "even", values: []float64{4, 1, 3, 2}, median: 2.5, spread: 1.2},
		{name: "equal", values: []float64{5, 5, 5}, median: 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := median(tt.values); !near(got, tt.median) {
				t.Errorf("median %v, want %v", got, tt.median)
			}
			if got := spread(tt.values); !near(got, tt.spread) {
				t.Errorf("spread %v, want %v", got, tt.spread)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name       string
		own, other []float64
		want       ratio
	}{
		{name: "half", own: []float64{5, 5}, other: []float64{10, 10}, want: ratio{0.5, 0.5, 0.5}},
		{name: "a slow round for both", own: []float64{5, 10, 5}, other: []float64{10, 20, 10}, want: ratio{0.5, 0.5, 0.5}},
		{name: "one round the other way", own: []float64{8, 12, 9}, other: []float64{10, 10, 10}, want: ratio{0.9, 0.8, 1.2}},
		{name: "no rival", own: []float64{8}, want: ratio{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := compare(tt.own, tt.other)
			if !near(got.Median, tt.want.Median) || !near(got.Low, tt.want.Low) || !near(got.High, tt.want.High) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// A balancer that costs k times as much in every round has a ratio of k,
// however the rounds differ.
func TestCompareFindsTheFactor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.Float64Range(0.01, 100).Draw(t, "k")
		other := rapid.SliceOfN(rapid.Float64Range(0.1, 1000), 1, 9).Draw(t, "other")
		own := make([]float64, len(other))
		for i := range other {
			own[i] = k * other[i]
		}
		got := compare(own, other)
		for _, r := range []float64{got.Median, got.Low, got.High} {
			if math.Abs(r/k-1) > 1e-9 {
				t.Errorf("%+v, want %v", got, k)
			}
		}
	})
}

func TestBest(t *testing.T) {
	tests := []struct {
		name  string
		costs [][]float64
		want  int
	}{
		{name: "nobody", want: -1},
		{name: "nobody measured", costs: [][]float64{nil, nil}, want: -1},
		{name: "by median, not by the best round", costs: [][]float64{nil, {1, 9, 9}, {5, 5, 5}}, want: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := best(tt.costs); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
