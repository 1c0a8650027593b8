package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// DefaultProbers is how many members probe each backend.
const DefaultProbers = 3

// Probers returns who of the members is to probe a backend: the k with the highest weights, highest first, where the weight
// is a hash of member and backend (rendezvous hashing: Thaler and Ravishankar, 1998). All nodes that see the same members
// come to the same answer. When one of n members goes, only its own duties move; when one comes, it takes over k/(n+1) of
// them. With fewer than k members all of them probe, so a node alone probes everything.
func Probers(id BackendID, members []string, k int) []string {
	type candidate struct {
		name   string
		weight uint64
	}
	candidates := make([]candidate, 0, len(members))
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(id))
	for _, name := range members {
		var h xxhash.Digest
		h.Reset()
		h.Write(key[:])
		h.WriteString(name)
		candidates = append(candidates, candidate{name, h.Sum64()})
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	chosen := make([]string, 0, k)
	for _, c := range candidates[:min(max(k, 0), len(candidates))] {
		chosen = append(chosen, c.name)
	}
	return chosen
}

// Phase returns when in each interval, counted from its beginning, the prober of a rank (from 0) of k asks the backend. The
// k are evenly apart, so that somebody asks every interval/k, and the backends differ, so that a node does not ask all of
// them at once.
func Phase(id BackendID, rank, k int, interval time.Duration) time.Duration {
	if interval <= 0 || k <= 0 {
		return 0
	}
	start := time.Duration(uint64(id) % uint64(interval))
	return (start + interval*time.Duration(rank%k)/time.Duration(k)) % interval
}

// NextProbe returns the first time from now on that has this phase. Intervals are counted from the Unix epoch, so the
// probers of one backend take turns as far as their clocks agree. Where they do not, their phases are as good as random:
// the backend is asked as often, but the longest pause may reach the interval.
func NextProbe(now time.Time, phase, interval time.Duration) time.Time {
	if interval <= 0 {
		return now
	}
	into := time.Duration(now.UnixNano() % int64(interval))
	return now.Add((phase - into + interval) % interval)
}
