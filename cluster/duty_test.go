package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("lb-%02d", i))
	}
	return all
}

// Nodes of every version and architecture must choose these very probers.
func TestProbersGolden(t *testing.T) {
	id := IDOf("orders", netip.MustParseAddrPort("10.0.0.1:5432"))
	if want := BackendID(0xac5bc01ee721b75c); id != want {
		t.Errorf("id %#x, want %#x", id, want)
	}
	if mapped := IDOf("orders", netip.MustParseAddrPort("[::ffff:10.0.0.1]:5432")); mapped != id {
		t.Errorf("the mapped address is %#x", mapped)
	}
	want := []string{"lb-08", "lb-06", "lb-04"}
	if d := cmp.Diff(want, Probers(id, names(10), 3)); d != "" {
		t.Errorf("probers (-want +got):\n%s", d)
	}
	if key, want := HealthKey(id, SpecOf("tcp 2s")), Key("h\xac[\xc0\x1e\xe7!\xb7\\LV\x13.\xf6\x80$\xd5"); key != want {
		t.Errorf("key %q, want %q", key, want)
	}
}

func TestProbersFew(t *testing.T) {
	for n := range 4 {
		got := Probers(1, names(n), 3)
		slices.Sort(got)
		if d := cmp.Diff(append([]string{}, names(n)...), got); d != "" {
			t.Errorf("of %d members (-want +got):\n%s", n, d)
		}
	}
}

// When a member goes, only its duties move, and the others keep their order; so when it comes back, it takes those and no
// others.
func TestProbersMoveLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := names(rapid.IntRange(2, 50).Draw(t, "members"))
		id, k := BackendID(rapid.Uint64().Draw(t, "id")), rapid.IntRange(1, 5).Draw(t, "k")
		gone := rapid.SampledFrom(members).Draw(t, "gone")
		all := Probers(id, members, k)
		mixed := rapid.Permutation(members).Draw(t, "mixed")
		if d := cmp.Diff(all, Probers(id, mixed, k)); d != "" {
			t.Fatalf("the order of the members matters:\n%s", d)
		}
		rest := slices.DeleteFunc(slices.Clone(members), func(n string) bool { return n == gone })
		left := Probers(id, rest, k)
		kept := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == gone })
		if d := cmp.Diff(kept, left[:len(kept)]); d != "" {
			t.Fatalf("without %s others move too:\n%s", gone, d)
		}
		if len(left) > len(all) || len(left)-len(kept) > 1 {
			t.Fatalf("%v became %v", all, left)
		}
	})
}

// Duties are spread evenly: of 3,000 duties each of 10 members has 300, give or take six standard deviations.
func TestProbersEven(t *testing.T) {
	count := map[string]int{}
	for i := range 1000 {
		for _, name := range Probers(IDOf(fmt.Sprint("service ", i), netip.MustParseAddrPort("10.0.0.1:80")), names(10), 3) {
			count[name]++
		}
	}
	for name, n := range count {
		if n < 300-90 || n > 300+90 {
			t.Errorf("%s has %d duties", name, n)
		}
	}
	if len(count) != 10 {
		t.Errorf("%d members have duties", len(count))
	}
}

// Somebody asks in every interval/k, wherever in the interval the backend begins.
func TestPhases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, k := BackendID(rapid.Uint64().Draw(t, "id")), rapid.IntRange(1, 5).Draw(t, "k")
		interval := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "interval"))
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")))
		var at []time.Time
		for rank := range k {
			phase := Phase(id, rank, k, interval)
			next := NextProbe(now, phase, interval)
			if phase < 0 || phase >= interval || next.Before(now) || !next.Before(now.Add(interval)) {
				t.Fatalf("phase %s of %s, next in %s", phase, interval, next.Sub(now))
			}
			if again := NextProbe(next.Add(1), phase, interval); again.Sub(next) != interval {
				t.Fatalf("the probe after the next comes after %s, want %s", again.Sub(next), interval)
			}
			at = append(at, next)
		}
		slices.SortFunc(at, time.Time.Compare)
		for i, a := range append(at[1:], at[0].Add(interval)) {
			if gap := a.Sub(at[i]); gap > interval/time.Duration(k)+time.Duration(k) {
				t.Fatalf("a gap of %s between %d probers of %s", gap, k, interval)
			}
		}
	})
}

func TestPhaseOfNothing(t *testing.T) {
	if got := Phase(5, 0, 0, time.Second); got != 0 {
		t.Errorf("phase %s of no probers", got)
	}
	if got := Phase(5, 1, 3, 0); got != 0 {
		t.Errorf("phase %s of no interval", got)
	}
	if got := NextProbe(start, 0, 0); got != start {
		t.Errorf("next probe at %s without an interval", got)
	}
}
