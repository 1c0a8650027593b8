package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProfilesAreKept: a weir that was built for it shows where its processors were, in a form that Go's own tool reads, and
// tells its rounds as ever. Another weir is told that it cannot.
func TestProfilesAreKept(t *testing.T) {
	sc := scenarioNamed(t, "http-keepalive")
	measure := func(path string) (*outcome, string) {
		r := shortRunner(t, io.Discard, &entrant{Name: "weir", Path: path, balancer: weir(path)})
		r.rounds, r.profiles, r.duration = 1, t.TempDir(), time.Second
		got, err := r.scenario(context.Background(), sc)
		if err != nil {
			t.Fatal(err)
		}
		return got, filepath.Join(r.profiles, "http-keepalive.pprof")
	}
	path := builtWeir(t, "-tags", "profiling")
	got, profile := measure(path)
	if row := got.Rows[0]; row.Failed != "" || len(row.Samples) != 1 {
		t.Fatalf("failed: %q, %d samples", row.Failed, len(row.Samples))
	}
	top, err := exec.Command("go", "tool", "pprof", "-top", path, profile).CombinedOutput()
	if err != nil || !strings.Contains(string(top), "eventloop.(*Loop).Run") {
		t.Errorf("%v: the profile does not know the event loop:\n%s", err, top)
	}

	got, profile = measure(builtWeir(t))
	if row := got.Rows[0]; !strings.Contains(row.Failed, "-tags profiling") {
		t.Errorf("a weir without profiles: %q", row.Failed)
	}
	if _, err := os.Stat(profile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left a file: %v", err)
	}
}
