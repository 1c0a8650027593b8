package upstream

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTurns: one round gives each holder its share, evenly spread, however large the weights are.
func TestTurns(t *testing.T) {
	if got := Turns(nil); got != nil {
		t.Errorf("%v turns of nobody", got)
	}
	if got := Turns([]int{math.MaxInt, 1}); len(got) == 0 || len(got) > maxSequence+2 {
		t.Errorf("%d turns", len(got))
	}
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 20).Draw(t, "weights")
		sum := 0
		for _, w := range weights {
			sum += w
		}
		turns := Turns(weights)
		taken := make([]int, len(weights))
		for at, holder := range turns {
			taken[holder]++
			for i, w := range weights {
				ideal := float64((at+1)*w) / float64(sum)
				if d := float64(taken[i]) - ideal; d <= -1 || d >= 1 {
					t.Fatalf("after %d turns holder %d of weight %d has %d", at+1, i, w, taken[i])
				}
			}
		}
	})
}

// TestScoreAgreesWithHighestRandomWeight: a service above this package leads a key to the same child as one within.
func TestScoreAgreesWithHighestRandomWeight(t *testing.T) {
	var children []Child
	var hashes []uint64
	for _, e := range []struct {
		name   string
		weight int
	}{{"a", 1}, {"b", 3}, {"c", 0}, {"d", 700}} {
		p := NewPool(e.name, nil)
		p.Update(Options{}, backendsOf(1), time.Unix(0, 0))
		children = append(children, Child{Chooser: p, Weight: e.weight, Name: e.name})
		hashes = append(hashes, NameID(e.name))
	}
	h := NewHighestRandomWeight(children)
	for i := range 2000 {
		key := KeyOf(SourceIP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1), "")
		best, least := -1, math.Inf(1)
		for j, c := range children {
			if s := Score(key, hashes[j], c.Weight); s < least {
				best, least = j, s
			}
		}
		if p, _ := h.Choose(key); p != children[best].Chooser {
			t.Fatalf("key %x goes to %s here and to %s there", key, children[best].Name, p.Service())
		}
	}
}

func TestSound(t *testing.T) {
	p := NewPool("p", nil)
	if p.Sound() {
		t.Error("an empty pool is sound")
	}
	set := backendsOf(1)
	for _, tt := range []struct {
		health Health
		want   bool
	}{{Unknown, true}, {Down, false}, {Up, true}} {
		set[0].SetHealth(tt.health, time.Unix(0, 0))
		p.Update(Options{PanicThreshold: 50}, set, time.Unix(0, 0))
		if p.Sound() != tt.want {
			t.Errorf("%v: Sound() = %v", tt.health, !tt.want)
		}
	}
}
