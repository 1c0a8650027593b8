package health

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

func TestStreak(t *testing.T) {
	// Results are + and -; the answer to each is the change it makes: U, D or . for none.
	tests := []struct {
		name       string
		rise, fall int
		results    string
		want       string
	}{
		{"first success decides", 2, 3, "+", "U"},
		{"first failure decides", 2, 3, "-", "D"},
		{"fall needs three in a row", 2, 3, "+---", "U..D"},
		{"a success in between starts the row anew", 2, 3, "+--+---", "U.....D"},
		{"rise needs two in a row", 2, 3, "-++", "D.U"},
		{"a failure in between starts the row anew", 2, 3, "-+-++", "D...U"},
		{"more of the same changes nothing", 2, 3, "+++++-----", "U......D.."},
		{"rise and fall of one", 1, 1, "+-+-", "UDUD"},
		{"flapping below both thresholds", 2, 2, "+-+-+-+-", "U......."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s streak
			var got strings.Builder
			for _, result := range tt.results {
				var changed bool
				s, changed = s.observe(result == '+', tt.rise, tt.fall)
				switch {
				case !changed:
					got.WriteByte('.')
				case s.verdict == upstream.Up:
					got.WriteByte('U')
				default:
					got.WriteByte('D')
				}
			}
			if got.String() != tt.want {
				t.Errorf("results %s change %s, want %s", tt.results, got.String(), tt.want)
			}
		})
	}
}

func TestStreakUnsettled(t *testing.T) {
	tests := []struct {
		name string
		s    streak
		want bool
	}{
		{"nothing known", streak{}, false},
		{"up and well", streak{upstream.Up, true, 4}, false},
		{"up and failing", streak{upstream.Up, false, 1}, true},
		{"down and failing", streak{upstream.Down, false, 4}, false},
		{"down and recovering", streak{upstream.Down, true, 1}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.unsettled(); got != tt.want {
				t.Errorf("unsettled is %v, want %v", got, tt.want)
			}
		})
	}
}

// The verdict after any row of results is what looking back over the row says.
func TestStreakAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rise := rapid.IntRange(1, 5).Draw(t, "rise")
		fall := rapid.IntRange(1, 5).Draw(t, "fall")
		results := rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "results")
		var s streak
		up := results[0]
		for i, ok := range results {
			before := up
			need := fall
			if ok {
				need = rise
			}
			if i > 0 && endsWith(results[:i+1], ok, need) {
				up = ok
			}
			var changed bool
			s, changed = s.observe(ok, rise, fall)
			if got := s.verdict == upstream.Up; got != up {
				t.Fatalf("after %v the verdict is %v", results[:i+1], s.verdict)
			}
			if want := i == 0 || up != before; changed != want {
				t.Fatalf("after %v changed is %v, want %v", results[:i+1], changed, want)
			}
		}
	})
}

// endsWith reports whether the last n results are all ok, or all not.
func endsWith(results []bool, ok bool, n int) bool {
	if len(results) < n {
		return false
	}
	for _, r := range results[len(results)-n:] {
		if r != ok {
			return false
		}
	}
	return true
}
