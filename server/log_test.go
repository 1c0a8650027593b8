package server

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func TestLogChangesWhileItIsUsed(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out)
	derived := l.With("loop", 3).WithGroup("g")
	derived.Info("one", "k", "v")
	derived.Debug("hidden")
	l.set(logPlan{level: slog.LevelDebug, format: "json"})
	derived.Debug("two", "k", "v")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "msg=one loop=3 g.k=v") {
		t.Fatalf("lines %q", lines)
	}
	var got struct {
		Msg  string
		Loop int
		G    struct{ K string }
	}
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Msg != "two" || got.Loop != 3 || got.G.K != "v" {
		t.Errorf("got %+v", got)
	}
}
