package proc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// ErrGone is returned for a process that does not exist (any more).
var ErrGone = errors.New("no such process")

// Usage is what a process tree has used at one moment.
type Usage struct {
	CPU       time.Duration // user + system since the start, in steps of 10 ms
	RSS       int64         // resident memory in bytes, summed; pages that processes share count in each
	Processes int           // alive now
}

// Measure adds up the tree of processes under root: root, its descendants,
// whoever else is in its process group, and children that ended and were
// waited for. What a program loses sight of itself, a child that ends after
// its parent has gone or that nobody waits for, is lost here too.
func Measure(root int) (Usage, error) {
	// A child that ends while the processes are read would be counted
	// twice, as itself and in its parent, or not at all. So a reading
	// counts only between two equal lists of members; a tree that never
	// holds still is taken as it was read last.
	const attempts = 5
	var used Usage
	var before []int
	for range attempts {
		all, err := readStats()
		if err != nil {
			return Usage{}, err
		}
		members := membersOf(root, all)
		if len(members) == 0 {
			return Usage{}, fmt.Errorf("process %d: %w", root, ErrGone)
		}
		used = sum(members, all)
		if slices.Equal(before, members) {
			break
		}
		before = members
	}
	return used, nil
}

// Members returns the ids of the tree that Measure adds up, lowest first.
func Members(root int) ([]int, error) {
	all, err := readStats()
	if err != nil {
		return nil, err
	}
	return membersOf(root, all), nil
}

// membersOf finds the tree under root in a list of all processes, lowest id
// first. Without root itself there may still be members: those it left behind
// in its process group.
func membersOf(root int, all map[int]stat) []int {
	children := make(map[int][]int)
	for pid, s := range all {
		children[s.parent] = append(children[s.parent], pid)
	}
	member := make(map[int]bool)
	var add func(pid int)
	add = func(pid int) {
		if member[pid] {
			return
		}
		member[pid] = true
		for _, child := range children[pid] {
			add(child)
		}
	}
	for pid, s := range all {
		if pid == root || s.group == root {
			add(pid)
		}
	}
	return slices.Sorted(maps.Keys(member))
}

// sum adds up what the members have used.
func sum(members []int, all map[int]stat) Usage {
	var u Usage
	for _, pid := range members {
		s := all[pid]
		u.CPU += s.cpu + s.reaped
		u.RSS += s.rss * int64(os.Getpagesize())
		if s.state != 'Z' && s.state != 'X' {
			u.Processes++
		}
	}
	return u
}
