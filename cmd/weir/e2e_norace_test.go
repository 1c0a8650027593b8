//go:build !race

package main_test

import "time"

// shadow is how many times the memory of a program is what it would be without the race detector.
const shadow = 1

// haste is by how much what a cluster does may take longer than it should: tests share the processors with other tests.
const haste = 2

// clusterSizes are of how many nodes clusters are; partitions are how long they are parted. A minute after its death a node is
// forgotten by the others, and within it nobody looks for it as for a member.
var (
	clusterSizes = []int{2, 3, 5}
	partitions   = []time.Duration{120 * time.Second, 40 * time.Second, 5 * time.Second}
)
