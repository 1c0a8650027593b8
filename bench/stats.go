package main

import "slices"

// median returns the middle value, or the mean of the two in the middle; 0
// for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// spread returns the distance from the smallest to the largest value as a
// share of the median; 0 for fewer than two values.
func spread(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	return over(slices.Max(values)-slices.Min(values), median(values))
}

// ratio is how one balancer's cost compares with another's.
type ratio struct {
	Median float64 `json:"median"` // of own costs over the median of the other's; 0 where one is missing
	Low    float64 `json:"low"`    // the smallest and
	High   float64 `json:"high"`   // the largest ratio within one round
}

// compare takes the costs of two balancers, the same round at the same index.
func compare(own, other []float64) ratio {
	r := ratio{Median: over(median(own), median(other))}
	for i := range min(len(own), len(other)) {
		inRound := over(own[i], other[i])
		if i == 0 || inRound < r.Low {
			r.Low = inRound
		}
		r.High = max(r.High, inRound)
	}
	return r
}

// best returns the index of the list with the lowest median; -1 if all are
// empty.
func best(costs [][]float64) int {
	found := -1
	for i, c := range costs {
		if len(c) > 0 && (found < 0 || median(c) < median(costs[found])) {
			found = i
		}
	}
	return found
}
