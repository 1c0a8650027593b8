package cluster

import (
	"maps"
	"slices"
	"time"
)

const (
	// MaxMembers is how many nodes one cluster may have. More are not heard.
	MaxMembers = MaxObservers
	// MaxSilence is how long what an observer said stands without a beacon of its own that confirms it.
	MaxSilence = 5 * time.Second
)

// Member is a live node of the cluster, as this one sees it. All times are of this node's own clock, so the clocks of the
// nodes may differ by any amount.
type Member struct {
	Boot      uint64    // its life; what it said in earlier ones has no effect
	Beat      uint64    // of its last beacon
	Heard     time.Time // when that came; zero: never
	Confirmed time.Time // when a beacon last said the same as this node's table; zero: never in this life
	Doubt     Doubt     // what it last said of its own judgement
	Distrust  bool      // this node has found it wrong too often; see Trust
}

// stands reports whether what the member said in a life counts at all: it is the present one, and confirmed lately.
func (m Member) stands(boot uint64, now time.Time) bool {
	return boot == m.Boot && !m.Confirmed.IsZero() && now.Sub(m.Confirmed) <= MaxSilence
}

// Members is who is alive, this node included, by name. Who has left or died is not in it, and so has no effect.
type Members map[string]Member

// Names returns the names in order.
func (m Members) Names() []string { return slices.Sorted(maps.Keys(m)) }

// Join adds a member that announces a boot (0 = it does not say), or notes the new boot of one that is there. It reports
// false if the cluster is full.
func (m Members) Join(name string, boot uint64) bool {
	old, ok := m[name]
	if !ok && len(m) >= MaxMembers || name == "" || len(name) > MaxName {
		return false
	}
	if !ok || boot > old.Boot {
		m[name] = Member{Boot: boot, Distrust: old.Distrust}
	}
	return true
}

// Hear takes a beacon in, given what this node's table holds of its observer, and reports whether the table lacks
// something. Beacons of strangers, of former lives and of beats that have been heard say nothing.
func (m Members) Hear(b Beacon, have Summary, now time.Time) (fresh, lacks bool) {
	member, ok := m[b.Observer]
	if !ok || b.Boot < member.Boot || b.Boot == member.Boot && b.Beat <= member.Beat {
		return false, false
	}
	if b.Boot > member.Boot {
		member = Member{Boot: b.Boot, Distrust: member.Distrust}
	}
	member.Beat, member.Heard, member.Doubt = b.Beat, now, b.Doubt
	if have == b.Summary {
		member.Confirmed = now
	}
	m[b.Observer] = member
	return true, have.lacks(b.Summary)
}
