package upstream

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// checksum is the hash of the addresses in the table, slot by slot.
func checksum(set []Share, table []uint16) uint64 {
	h := xxhash.New()
	for _, i := range table {
		h.WriteString(set[i].Backend.Addr().String())
	}
	return h.Sum64()
}

// Nodes of every version and architecture must compute these very tables.
func TestMaglevGolden(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		want    uint64
	}{
		{"one", []int{1}, 0x70a1658069d0792b},
		{"three equal", equal(3), 0xfff70b67f62892ae},
		{"weighted", []int{1, 2, 3, 4, 5}, 0x1df87e1281b7a2e9},
		{"thousand", equal(1000), 0xfaafcb3a6cfb624b},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := sharesOf(backendsOf(tt.weights...))
			sortShares(set)
			if got := checksum(set, maglevTable(set)); got != tt.want {
				t.Errorf("checksum %#x, want %#x: nodes of two versions would disagree", got, tt.want)
			}
		})
	}
}

// Slots are in proportion to weight, to within the paper's 1 % of imbalance or two slots.
func TestMaglevShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 50).Draw(t, "weights")
		set := sharesOf(backendsOf(weights...))
		slots := make([]int, len(set))
		for _, i := range maglevTable(set) {
			slots[i]++
		}
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			ideal := float64(w) * maglevSize / float64(sum)
			if math.Abs(float64(slots[i])-ideal) > 0.01*ideal+2 {
				t.Fatalf("backend %d of weight %d/%d has %d slots, want %.0f", i, w, sum, slots[i], ideal)
			}
		}
	})
}

// When a backend goes, the slots that others had move by at most 1 % of the table.
func TestMaglevDisruption(t *testing.T) {
	tests := []struct {
		name  string
		draw  func(*rapid.T) []int
		limit float64 // share of the table
	}{
		{"equal weights", func(t *rapid.T) []int { return equal(rapid.IntRange(2, 100).Draw(t, "n")) }, 0.01},
		{"weights", func(t *rapid.T) []int { return rapid.SliceOfN(rapid.IntRange(1, 10), 2, 30).Draw(t, "weights") }, 0.01},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			worst := 0.0
			rapid.Check(t, func(t *rapid.T) {
				set := sharesOf(backendsOf(tt.draw(t)...))
				gone := rapid.IntRange(0, len(set)-1).Draw(t, "gone")
				rest := slices.Delete(slices.Clone(set), gone, gone+1)
				before, after := maglevTable(set), maglevTable(rest)
				moved := 0
				for slot, i := range before {
					if int(i) != gone && set[i].Backend != rest[after[slot]].Backend {
						moved++
					}
				}
				worst = max(worst, float64(moved)/maglevSize)
				if float64(moved) > tt.limit*maglevSize {
					t.Fatalf("%s of the table moved beyond the share of backend %d of %v", percent(float64(moved), maglevSize), gone, set[gone].Weight)
				}
			})
			t.Logf("at most %s of the table moved beyond the share removed", percent(worst, 1))
		})
	}
}

// The keys of a backend that is skipped go to all others in proportion, not to one neighbour.
func TestMaglevSpreadsSecondChoices(t *testing.T) {
	backends := backendsOf(equal(5)...)
	bal := NewBalancer(Maglev, sharesOf(backends), nil)
	var skip Skip
	skip.Add(backends[2])
	counts := make(map[*Backend]int)
	keys := 0
	for i := range 50000 {
		key := xxhash.Sum64(binary.BigEndian.AppendUint64(nil, uint64(i)))
		if bal.Pick(key, Skip{}) == backends[2] {
			counts[bal.Pick(key, skip)]++
			keys++
		}
	}
	for i, b := range backends {
		want := keys / 4
		if i == 2 {
			want = 0
		}
		if got := counts[b]; math.Abs(float64(got-want)) > 0.1*float64(keys) {
			t.Errorf("backend %d inherits %d of %d keys, want about %d", i, got, keys, want)
		}
	}
}
