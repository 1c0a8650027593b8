package main

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/proc"
)

func TestAssign(t *testing.T) {
	tests := []struct {
		name           string
		cpus           []int
		balancer, load int
	}{
		{name: "one", cpus: []int{3}, balancer: proc.Anywhere, load: proc.Anywhere},
		{name: "two", cpus: []int{0, 1}, balancer: 0, load: 1},
		{name: "a part of a large machine", cpus: []int{5, 9, 12}, balancer: 5, load: 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var set unix.CPUSet
			for _, cpu := range tt.cpus {
				set.Set(cpu)
			}
			if b, l := assign(&set); b != tt.balancer || l != tt.load {
				t.Errorf("%d and %d, want %d and %d", b, l, tt.balancer, tt.load)
			}
		})
	}
}

func TestMaxConnLeavesDescriptors(t *testing.T) {
	for _, n := range []int{1024, 4096, maxNoFile} {
		if c := maxConn(n); 2*c > n-100 || c < n/4 {
			t.Errorf("%d connections with %d descriptors", c, n)
		}
	}
	if maxConn(maxNoFile) < idleConnections {
		t.Errorf("%d connections at most, fewer than the idle scenario wants", maxConn(maxNoFile))
	}
}
