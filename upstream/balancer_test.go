package upstream

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tally picks n times with scattered keys.
func tally(bal Balancer, n int, picked func(*Backend)) map[*Backend]int {
	counts := make(map[*Backend]int)
	for i := range n {
		b := bal.Pick(stir(uint64(i)+1), Skip{})
		counts[b]++
		if picked != nil {
			picked(b)
		}
	}
	return counts
}

// Each strategy gives shares in proportion to weight, within what chance allows.
// Those that look at load do so when the connections stay.
func TestBalancersHonourWeights(t *testing.T) {
	for _, s := range every() {
		t.Run(string(s), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				weights := rapid.SliceOfN(rapid.IntRange(1, 10), 1, 8).Draw(t, "weights")
				backends := backendsOf(weights...)
				const picks = 20000
				counts := tally(NewBalancer(s, sharesOf(backends), nil), picks, func(b *Backend) { b.active.Add(1) })
				sum := 0
				for _, w := range weights {
					sum += w
				}
				for i, b := range backends {
					p := float64(weights[i]) / float64(sum)
					// Six standard deviations of a draw, and of a table 1 % for its making.
					tolerance := 6*math.Sqrt(p*(1-p)*picks) + 0.01*picks
					if d := math.Abs(float64(counts[b]) - p*picks); d > tolerance {
						t.Fatalf("backend %d of weight %d/%d got %s, want %s", i, weights[i], sum,
							percent(float64(counts[b]), picks), percent(p, 1))
					}
				}
			})
		})
	}
}

// Whatever is skipped, a pick returns what is not, and nil only if nothing is left.
func TestBalancersSkip(t *testing.T) {
	for _, s := range every() {
		t.Run(string(s), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				// Weights so far apart that draws alone would not find the light ones.
				weight := rapid.SampledFrom([]int{0, 1, 1, MaxWeight})
				weights := rapid.SliceOfN(weight, 0, 9).Draw(t, "weights")
				backends := backendsOf(weights...)
				bal := NewBalancer(s, sharesOf(backends), nil)
				var skip Skip
				left := 0
				for i, b := range backends {
					switch {
					case weights[i] == 0:
					case rapid.Bool().Draw(t, "skip") && skip.Add(b):
					default:
						left++
					}
				}
				for range 20 {
					b := bal.Pick(rapid.Uint64().Draw(t, "key"), skip)
					if (b == nil) != (left == 0) {
						t.Fatalf("picked %v with %d left", b, left)
					}
					if b != nil && (skip.Has(b) || b.Endpoint().Weight == 0) {
						t.Fatalf("picked %v of weight %d, skipped: %v", b.Key(), b.Endpoint().Weight, skip.Has(b))
					}
				}
			})
		})
	}
}

// Strategies that hash answer alike for every order of the set and for every
// service, with and without skips.
func TestHashingIgnoresOrderAndService(t *testing.T) {
	for _, s := range every() {
		if !s.Hashes() {
			continue
		}
		t.Run(string(s), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				weights := rapid.SliceOfN(rapid.IntRange(1, 5), 2, 12).Draw(t, "weights")
				here := sharesOf(backendsOf(weights...))
				there := make([]Share, len(here))
				for i, s := range rapid.Permutation(here).Draw(t, "order") {
					there[i] = Share{Backend: NewBackend("other", s.Backend.Endpoint()), Weight: s.Weight}
				}
				a, b := NewBalancer(s, here, nil), NewBalancer(s, there, nil)
				for key := range uint64(1000) {
					key *= goldenRatio
					if x, y := a.Pick(key, Skip{}), b.Pick(key, Skip{}); x.Addr() != y.Addr() {
						t.Fatalf("key %x: %v here, %v there", key, x.Addr(), y.Addr())
					}
				}
				var skipHere, skipThere Skip
				for range rapid.IntRange(0, min(len(here)-1, maxSkips)).Draw(t, "skips") {
					key := rapid.Uint64().Draw(t, "key")
					x, y := a.Pick(key, skipHere), b.Pick(key, skipThere)
					if x.Addr() != y.Addr() {
						t.Fatalf("key %x after %d skips: %v here, %v there", key, skipHere.n, x.Addr(), y.Addr())
					}
					skipHere.Add(x)
					skipThere.Add(y)
				}
			})
		})
	}
}

// The keys of a backend that goes away are all that move with hrw, and with weights.
func TestHRWMovesOnlyWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 5), 2, 12).Draw(t, "weights")
		set := sharesOf(backendsOf(weights...))
		gone := rapid.IntRange(0, len(set)-1).Draw(t, "gone")
		before := NewBalancer(HRW, set, nil)
		after := NewBalancer(HRW, slices.Delete(slices.Clone(set), gone, gone+1), nil)
		for range 50 {
			key := rapid.Uint64().Draw(t, "key")
			was, is := before.Pick(key, Skip{}), after.Pick(key, Skip{})
			if was != set[gone].Backend && was != is {
				t.Fatalf("key %x moved from %v to %v when %v left", key, was.Addr(), is.Addr(), set[gone].Backend.Addr())
			}
			if was == set[gone].Backend {
				// The second choice is where the key goes when the first has gone.
				var skip Skip
				skip.Add(was)
				if second := before.Pick(key, skip); second != is {
					t.Fatalf("key %x: second choice %v, but %v after removal", key, second.Addr(), is.Addr())
				}
			}
		}
	})
}

// The best score wins; what spares the logarithm does not change that.
func TestHRWPicksTheEarliest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := sharesOf(backendsOf(rapid.SliceOfN(rapid.IntRange(1, MaxWeight), 2, 30).Draw(t, "weights")...))
		bal := NewBalancer(HRW, set, nil)
		for range 50 {
			key := rapid.Uint64().Draw(t, "key")
			best := slices.MinFunc(set, func(a, b Share) int {
				score := func(s Share) float64 { return negLog2(stir(key^s.Backend.hash)) / float64(s.Weight) }
				return cmp.Compare(score(a), score(b))
			})
			if got := bal.Pick(key, Skip{}); got != best.Backend {
				t.Fatalf("key %x: %v, want %v", key, got.Addr(), best.Backend.Addr())
			}
		}
	})
}

// negLog2 is the logarithm to far better than shares can show.
func TestNegLog2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Uint64Min(1).Draw(t, "u")
		want := 64 - math.Log2(float64(u))
		if low := atLeast(u); low > negLog2(u) {
			t.Fatalf("atLeast(%d) = %v is more than %v", u, low, negLog2(u))
		}
		if got := negLog2(u); math.Abs(got-want) > 1e-7*max(1, want) {
			t.Fatalf("negLog2(%d) = %v, want %v", u, got, want)
		}
	})
	if got := negLog2(0); got < 63.99 || got > 64.01 {
		t.Errorf("negLog2(0) = %v, want 64: zero counts as the smallest fraction", got)
	}
}

// Nodes of every version and architecture must send a key to the same backend.
func TestHashingGolden(t *testing.T) {
	set := sharesOf(backendsOf(1, 2, 3, 4, 5))
	tests := []struct {
		strategy Strategy
		want     []byte // last byte of the address for keys stir(1)..
	}{
		{Maglev, []byte{5, 1, 4, 4, 5, 3, 3, 2, 5, 5, 3, 4, 4, 4, 4, 3, 4, 2, 4, 2}},
		{HRW, []byte{2, 4, 4, 3, 3, 4, 2, 5, 3, 3, 5, 3, 2, 5, 4, 5, 3, 4, 4, 5}},
	}
	for _, tt := range tests {
		t.Run(string(tt.strategy), func(t *testing.T) {
			bal := NewBalancer(tt.strategy, set, nil)
			var got []byte
			for i := range 20 {
				ip := bal.Pick(stir(uint64(i)+1), Skip{}).Addr().Addr().As4()
				got = append(got, ip[3])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("picks %v, want %v: nodes of two versions would disagree", got, tt.want)
			}
		})
	}
}

// Equal backends take turns exactly, even where they are not neighbours.
func TestLeastConnRotatesTies(t *testing.T) {
	backends := backendsOf(1, 1, 1, 1, 1)
	backends[1].active.Add(3)
	backends[3].active.Add(3)
	counts := tally(NewBalancer(LeastConn, sharesOf(backends), nil), 300, nil)
	for _, i := range []int{0, 2, 4} {
		if got := counts[backends[i]]; got != 100 {
			t.Errorf("backend %d got %d of 300, want 100", i, got)
		}
	}
}

// A choice of two keeps the load far more even than a draw would.
func TestP2CKeepsLoadEven(t *testing.T) {
	backends := backendsOf(equal(100)...)
	tally(NewBalancer(P2C, sharesOf(backends), nil), 100*1000, func(b *Backend) { b.active.Add(1) })
	most := int64(0)
	for _, b := range backends {
		most = max(most, b.Active())
	}
	// One draw would give a maximum of about 1000 + 3*sqrt(1000) = 1090.
	if most > 1015 {
		t.Errorf("fullest of 100 backends has %d connections of an average of 1000", most)
	}
}

// The order goes on where it was after a rebuild, so that the first one is not favoured.
func TestWRRCursorOutlivesRebuilds(t *testing.T) {
	backends := backendsOf(1, 1, 1)
	p := poolOf(Options{}, backends...)
	counts := make(map[*Backend]int)
	for i := range 300 {
		counts[mustAcquire(t, p, 0, start)]++
		if i%10 == 0 {
			p.snapshot.Store(&snapshot{epoch: start}) // forget, so that the balancer is built anew
			p.Update(Options{}, backends, start)
		}
	}
	for i, b := range backends {
		if counts[b] != 100 {
			t.Errorf("backend %d got %d of 300", i, counts[b])
		}
	}
}
