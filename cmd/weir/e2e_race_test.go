//go:build race

package main_test

import "time"

// shadow is how many times the memory of a program is what it would be without the race detector.
const shadow = 10

// haste is by how much what a cluster does may take longer than it should: tests share the processors with other tests, and are slow
// themselves.
const haste = 4

// With the race detector, clusters are of one size and parted for less time: it looks for races, which are the same in all.
var (
	clusterSizes = []int{3}
	partitions   = []time.Duration{40 * time.Second, 5 * time.Second}
)
