package l7

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A waitlist holds what a slice would.
func TestWaitlist(t *testing.T) {
	type guest struct{ spot waiter[guest] }
	rapid.Check(t, func(t *rapid.T) {
		var q waitlist[guest]
		var want []*guest
		all := make([]guest, 5)
		for range 50 {
			g := &all[rapid.IntRange(0, len(all)-1).Draw(t, "guest")]
			at := slices.Index(want, g)
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				if q.add(&g.spot, g, false); at < 0 {
					want = append(want, g)
				}
			case 1:
				if q.add(&g.spot, g, true); at < 0 {
					want = slices.Insert(want, 0, g)
				}
			case 2:
				if q.remove(&g.spot); at >= 0 {
					want = slices.Delete(want, at, at+1)
				}
			}
			var got, back []*guest
			for w := q.first; w != nil; w = w.next {
				got = append(got, w.of)
			}
			for w := q.last; w != nil; w = w.prev {
				back = append(back, w.of)
			}
			slices.Reverse(back)
			if !slices.Equal(got, want) || !slices.Equal(back, want) || q.count != len(want) || (q.head() == nil) != (len(want) == 0) {
				t.Fatalf("%p, backwards %p, %d in all, want %p", got, back, q.count, want)
			}
		}
	})
}
