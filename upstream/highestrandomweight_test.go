package upstream

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// children returns pools a, b, c, ... of the given weights.
func children(weights []int) ([]*Pool, []Child) {
	pools, set := make([]*Pool, len(weights)), make([]Child, len(weights))
	for i, w := range weights {
		pools[i] = namedPool(string(rune('a'+i)), true)
		set[i] = Child{Chooser: pools[i], Weight: w}
	}
	return pools, set
}

// setUsable takes a pool's backends down or up.
func setUsable(p *Pool, usable bool) {
	verdict := Down
	if usable {
		verdict = Up
	}
	for _, b := range p.Backends() {
		b.SetHealth(verdict, start)
	}
	p.Update(p.Options(), p.Backends(), start)
}

func TestHighestRandomWeightShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 10), 1, 8).Draw(t, "weights")
		pools, set := children(weights)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		chooser := NewHighestRandomWeight(set)
		const picks = 10000
		counts := make(map[*Pool]int)
		for i := range picks {
			if p, ok := chooser.Choose(stir(uint64(i) + 1)); ok {
				counts[p]++
			}
		}
		for i, p := range pools {
			if sum == 0 {
				if counts[p] > 0 {
					t.Fatalf("child %d without weight got %d", i, counts[p])
				}
				continue
			}
			share := float64(weights[i]) / float64(sum)
			if d := math.Abs(float64(counts[p]) - share*picks); d > 6*math.Sqrt(share*(1-share)*picks)+1 {
				t.Fatalf("child %d of weight %d/%d got %d of %d", i, weights[i], sum, counts[p], picks)
			}
		}
	})
}

// The keys of a child that has no usable backend are all that move, and they come back.
func TestHighestRandomWeightMovesOnlyWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pools, set := children(rapid.SliceOfN(rapid.IntRange(1, 5), 2, 8).Draw(t, "weights"))
		chooser := NewHighestRandomWeight(set)
		gone := pools[rapid.IntRange(0, len(pools)-1).Draw(t, "gone")]
		keys := rapid.SliceOfN(rapid.Uint64(), 50, 50).Draw(t, "keys")
		where := func() []*Pool {
			var chosen []*Pool
			for _, key := range keys {
				p, ok := chooser.Choose(key)
				if !ok {
					t.Fatalf("key %x: no usable child", key)
				}
				chosen = append(chosen, p)
			}
			return chosen
		}
		before := where()
		setUsable(gone, false)
		for i, p := range where() {
			if p == gone || before[i] != gone && p != before[i] {
				t.Fatalf("key %x went from %s to %s when %s went down", keys[i], before[i].Service(), p.Service(), gone.Service())
			}
		}
		setUsable(gone, true)
		if !slices.Equal(where(), before) {
			t.Fatalf("keys did not come back to %s", gone.Service())
		}
	})
}

// All nodes agree, in whatever order they know the children, and whatever stands behind a name.
func TestHighestRandomWeightIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, here := children(rapid.SliceOfN(rapid.IntRange(1, 5), 2, 8).Draw(t, "weights"))
		there := rapid.Permutation(here).Draw(t, "order")
		for i, c := range there {
			p := c.Chooser.(*Pool)
			there[i] = Child{Chooser: Failover{p, namedPool("spare", true)}, Weight: c.Weight, Name: p.Service()}
		}
		a, b := NewHighestRandomWeight(here), NewHighestRandomWeight(there)
		for range 100 {
			key := rapid.Uint64().Draw(t, "key")
			p, _ := a.Choose(key)
			if q, _ := b.Choose(key); p != q {
				t.Fatalf("key %x: %s here, %s there", key, p.Service(), q.Service())
			}
		}
	})
}

// Nodes of every version must send a key to the same service.
func TestHighestRandomWeightGolden(t *testing.T) {
	_, set := children([]int{1, 2, 3})
	chooser := NewHighestRandomWeight(set)
	got := ""
	for i := range 20 {
		p, _ := chooser.Choose(stir(uint64(i) + 1))
		got += p.Service()
	}
	if want := "bccacbccbabacbcbbbcb"; got != want {
		t.Errorf("chosen %s, want %s: nodes of two versions would disagree", got, want)
	}
}

// What Choose offers is what Usable says, and asking takes no turn.
func TestUsable(t *testing.T) {
	a, b, x, q := namedPool("a", true), namedPool("b", true), namedPool("x", false), panicking("q")
	tests := []struct {
		name    string
		chooser Chooser
		want    offer
	}{
		{"pool", a, sound},
		{"dead pool", x, nothing},
		{"panic", q, doubtful},
		{"pool before its first update", NewPool("new", nil), nothing},
		{"weighted", NewWeighted([]Child{child(x, 1), child(a, 1)}), sound},
		{"weighted, panic", NewWeighted([]Child{child(x, 1), child(q, 1)}), doubtful},
		{"weighted, dead", NewWeighted([]Child{child(x, 1), child(a, 0)}), nothing},
		{"weighted, empty", NewWeighted(nil), nothing},
		{"highest random weight", NewHighestRandomWeight([]Child{child(q, 1), child(a, 1)}), sound},
		{"highest random weight, dead", NewHighestRandomWeight([]Child{child(x, 1), {Chooser: a}}), nothing},
		{"highest random weight, empty", NewHighestRandomWeight(nil), nothing},
		{"failover", Failover{a, x}, sound},
		{"failover to the fallback", Failover{x, b}, sound},
		{"failover to panic", Failover{x, q}, doubtful},
		{"failover in vain", Failover{x, x}, nothing},
		{"nested", Failover{NewWeighted([]Child{child(NewHighestRandomWeight([]Child{child(b, 1)}), 1)}), x}, sound},
		{"somebody else's", foreign{a}, sound},
		{"somebody else's, dead", foreign{x}, nothing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := offerOf(tt.chooser); got != tt.want {
				t.Errorf("offer %d, want %d", got, tt.want)
			}
			p, ok := tt.chooser.Choose(1)
			if got := Usable(tt.chooser); got != ok || ok != (tt.want > nothing) {
				t.Errorf("Usable says %v, Choose %v", got, ok)
			}
			if offerBy(p, ok) != tt.want {
				t.Errorf("chose %d where %d was to be had", offerBy(p, ok), tt.want)
			}
		})
	}
	w := NewWeighted([]Child{child(a, 1), child(b, 1)})
	h := NewHighestRandomWeight([]Child{child(w, 1), child(x, 1)})
	for i := range 10 {
		if !Usable(w) || !Usable(h) {
			t.Fatal("not usable")
		}
		if p, _ := h.Choose(uint64(i)); p != []*Pool{a, b}[i%2] {
			t.Fatalf("choice %d is %s: somebody took a turn", i, p.Service())
		}
	}
}

// foreign is a chooser that knows nothing but Choose.
type foreign struct{ pool *Pool }

func (f foreign) Choose(key uint64) (*Pool, bool) { return f.pool.Choose(key) }

func TestHighestRandomWeightDoesNotAllocate(t *testing.T) {
	chooser := NewHighestRandomWeight([]Child{
		{Chooser: Failover{namedPool("x", false), namedPool("a", true)}, Weight: 2, Name: "one"}, child(namedPool("b", true), 1),
	})
	key := uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		key += goldenRatio
		chooser.Choose(key)
		Usable(chooser)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
