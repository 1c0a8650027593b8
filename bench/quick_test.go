package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// A quick run has something of every family.
func TestQuickHasEveryFamily(t *testing.T) {
	o, err := parse([]string{"-quick"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != len(quickScenarios()) || o.duration != time.Second || o.rounds != 3 {
		t.Errorf("%d scenarios, %v, %d rounds", len(o.scenarios), o.duration, o.rounds)
	}
	for _, sc := range scenarios() {
		if !slices.ContainsFunc(o.scenarios, func(q scenario) bool { return q.family() == sc.family() }) {
			t.Errorf("nothing of %s", sc.family())
		}
	}
}

// What the command line says besides holds.
func TestQuickLeavesWhatIsAskedFor(t *testing.T) {
	o, err := parse(strings.Fields("-scenario udp-new -quick -duration 4s -rounds 7"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != 1 || o.scenarios[0].name != "udp-new" || o.duration != 4*time.Second || o.rounds != 7 {
		t.Errorf("%+v", o)
	}
}

// The command that is noted down is one that a shell takes.
func TestCommandLine(t *testing.T) {
	t.Setenv(caddyVariable, "1")
	got := commandLine([]string{"-quick", "-weir=", "-weir", "", "-rival", "it's mine.yaml"})
	if want := `BENCH_CADDY=1 go run ./bench -quick -weir= -weir '' -rival 'it'\''s mine.yaml'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
