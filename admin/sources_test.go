package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCountSources(t *testing.T) {
	state := busyDiscovery()
	want := &SourceCount{
		Total:    6,
		Outcomes: map[string]int{"ok": 3, "empty": 0, "failed": 2, "unasked": 1},
		Held:     map[string]int{"ok": 1, "empty": 0, "failed": 1, "unasked": 0},
	}
	if diff := cmp.Diff(want, state.status().Sources); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := countSources([]Source{}); got != nil {
		t.Errorf("of none: %+v", got)
	}
}

func TestSourceStatusRows(t *testing.T) {
	tests := []struct {
		name    string
		sources []Source
		want    string // empty: no row
	}{
		{"none", nil, ""},
		{"one", []Source{{Outcome: "ok"}}, "1 source: 1 ok"},
		{"one that failed and holds what it said", []Source{{Outcome: "ok"}, {Outcome: "failed", Held: true}}, "2 sources: 1 ok, 1 failed (held)"},
		{"one of two that failed", []Source{{Outcome: "failed"}, {Outcome: "failed", Held: true}}, "2 sources: 2 failed (1 held)"},
		{"all outcomes", []Source{{Outcome: "unasked"}, {Outcome: "failed"}, {Outcome: "empty"}, {Outcome: "ok"}},
			"4 sources: 1 ok, 1 empty, 1 failed, 1 unasked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want [][]string
			if tt.want != "" {
				want = [][]string{{"discovery", tt.want}}
			}
			if diff := cmp.Diff(want, sourceStatusRows(countSources(tt.sources))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSourceTimes holds what is told of times that are missing, and of those that the clock of another machine gave.
func TestSourceTimes(t *testing.T) {
	tests := []struct {
		name           string
		answered, next time.Duration // after now; 0 = none
		age, again     string
	}{
		{"none", 0, 0, "-", "-"},
		{"usual", -90 * time.Second, 30 * time.Second, "1m30s", "30s"},
		{"due", -time.Second, -time.Millisecond, "1s", "now"},
		{"less than a second", -time.Millisecond, time.Millisecond, "0s", "0s"},
		{"from a clock that is ahead", time.Minute, time.Hour, "0s", "1h0m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Source
			if tt.answered != 0 {
				s.Answered = start.Add(tt.answered)
			}
			if tt.next != 0 {
				s.Next = start.Add(tt.next)
			}
			row := sourceRow(&s, start)
			if row[5] != tt.age || row[7] != tt.again {
				t.Errorf("age %q, next %q, want %q, %q", row[5], row[7], tt.age, tt.again)
			}
		})
	}
}
