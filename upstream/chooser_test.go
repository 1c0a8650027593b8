package upstream

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// namedPool returns a pool that is usable or not.
func namedPool(name string, usable bool) *Pool {
	p := NewPool(name, nil)
	backends := backendsOf(1)
	if !usable {
		backends[0].SetHealth(Down, start)
	}
	p.Update(Options{}, backends, start)
	return p
}

// child returns a child without a name.
func child(c Chooser, weight int) Child { return Child{Chooser: c, Weight: weight} }

// panicking returns a pool that is wholly down and offers its backends all the same.
func panicking(name string) *Pool {
	p := namedPool(name, false)
	p.Update(Options{PanicThreshold: 50}, p.Backends(), start)
	return p
}

func TestChoosers(t *testing.T) {
	a, b, c := namedPool("a", true), namedPool("b", true), namedPool("c", true)
	x, y := namedPool("x", false), namedPool("y", false)
	q, r := panicking("q"), panicking("r")
	tests := []struct {
		name    string
		chooser Chooser
		want    []string // of six picks; in lower case usable, "!" else
	}{
		{"pool", a, []string{"a", "a", "a", "a", "a", "a"}},
		{"dead pool", x, []string{"!x", "!x", "!x", "!x", "!x", "!x"}},
		{"weights", NewWeighted([]Child{child(a, 2), child(b, 1)}), []string{"a", "a", "b", "a", "a", "b"}},
		{"no weight", NewWeighted([]Child{child(a, 0), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"no child", NewWeighted(nil), []string{"-", "-", "-", "-", "-", "-"}},
		{"dead child", NewWeighted([]Child{child(x, 5), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"dead child beside a light one", NewWeighted([]Child{child(x, 1000), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"dead children", NewWeighted([]Child{child(x, 1), child(y, 1)}), []string{"!x", "!y", "!x", "!y", "!x", "!y"}},
		{"turns of a dead child go to all", NewWeighted([]Child{child(x, 2), child(a, 1), child(b, 1)}), []string{"a", "a", "b", "b", "a", "a"}},
		{"hash", NewHighestRandomWeight([]Child{child(x, 9), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"hash before panic", NewHighestRandomWeight([]Child{child(q, 9), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"hash and panic before nothing", NewHighestRandomWeight([]Child{child(x, 9), child(q, 1)}), []string{"q", "q", "q", "q", "q", "q"}},
		{"hash of dead children", NewHighestRandomWeight([]Child{child(x, 1)}), []string{"!x", "!x", "!x", "!x", "!x", "!x"}},
		{"hash of no child", NewHighestRandomWeight([]Child{{Chooser: a}}), []string{"-", "-", "-", "-", "-", "-"}},
		{"hash above turns", NewHighestRandomWeight([]Child{child(NewWeighted([]Child{child(a, 1), child(b, 1)}), 1),
			child(x, 1)}), []string{"a", "b", "a", "b", "a", "b"}},
		{"failover not needed", Failover{a, b}, []string{"a", "a", "a", "a", "a", "a"}},
		{"failover", Failover{x, b}, []string{"b", "b", "b", "b", "b", "b"}},
		{"failover in vain", Failover{x, y}, []string{"!x", "!x", "!x", "!x", "!x", "!x"}},
		{"panic", q, []string{"q", "q", "q", "q", "q", "q"}},
		{"failover before panic", Failover{q, b}, []string{"b", "b", "b", "b", "b", "b"}},
		{"panic where there is nothing else", Failover{q, x}, []string{"q", "q", "q", "q", "q", "q"}},
		{"panic of the fallback", Failover{x, q}, []string{"q", "q", "q", "q", "q", "q"}},
		{"panic of both", Failover{q, r}, []string{"q", "q", "q", "q", "q", "q"}},
		{"others before panic", NewWeighted([]Child{child(q, 100), child(x, 1), child(b, 1)}), []string{"b", "b", "b", "b", "b", "b"}},
		{"panic before nothing", NewWeighted([]Child{child(x, 1), child(q, 1)}), []string{"q", "q", "q", "q", "q", "q"}},
		{"panic by turns", NewWeighted([]Child{child(q, 1), child(r, 1)}), []string{"q", "r", "q", "r", "q", "r"}},
		{"failover before panic below", Failover{NewWeighted([]Child{child(q, 1), child(r, 1)}), b}, []string{"b", "b", "b", "b", "b", "b"}},
		{"beside a service without children", NewWeighted([]Child{child(NewWeighted(nil), 1), child(x, 1)}), []string{"!x", "!x", "!x", "!x", "!x", "!x"}},
		{"nested", Failover{NewWeighted([]Child{child(x, 1), child(y, 1)}), NewWeighted([]Child{child(b, 1), child(Failover{y, c}, 1)})}, []string{"b", "c", "b", "c", "b", "c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for range 6 {
				p, usable := tt.chooser.Choose(1)
				switch {
				case p == nil:
					got = append(got, "-")
				case usable:
					got = append(got, p.Service())
				default:
					got = append(got, "!"+p.Service())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// Failover comes back as soon as the service does; no chooser keeps a verdict.
func TestFailoverComesBack(t *testing.T) {
	backends := backendsOf(1)
	service, fallback := NewPool("service", nil), namedPool("fallback", true)
	chooser := NewWeighted([]Child{child(Failover{service, fallback}, 1)})
	for _, step := range []struct {
		health Health
		want   string
	}{{Unknown, "service"}, {Down, "fallback"}, {Up, "service"}} {
		backends[0].SetHealth(step.health, start)
		service.Update(Options{}, backends, start)
		if p, ok := chooser.Choose(0); !ok || p.Service() != step.want {
			t.Errorf("%v: chose %v", step.health, p.Service())
		}
	}
}

// Children share in proportion to weight, within one turn.
func TestWeightedShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 10), 1, 8).Draw(t, "weights")
		children := make([]Child, len(weights))
		sum := 0
		for i, w := range weights {
			children[i] = Child{Chooser: namedPool(string(rune('a'+i)), true), Weight: w}
			sum += w
		}
		chooser := NewWeighted(children)
		const picks = 1000
		counts := make(map[Chooser]int)
		for range picks {
			if p, ok := chooser.Choose(0); ok {
				counts[p]++
			}
		}
		for i, c := range children {
			if sum == 0 {
				break
			}
			if want := float64(picks*weights[i]) / float64(sum); math.Abs(float64(counts[c.Chooser])-want) > 1 {
				t.Fatalf("child %d of weight %d/%d got %d of %d", i, weights[i], sum, counts[c.Chooser], picks)
			}
		}
	})
}

func TestChooseDoesNotAllocate(t *testing.T) {
	chooser := NewWeighted([]Child{child(Failover{namedPool("x", false), namedPool("a", true)}, 2), child(namedPool("b", true), 1)})
	if n := testing.AllocsPerRun(100, func() { chooser.Choose(1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
