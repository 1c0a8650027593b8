package server

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Each file is two configurations, before and after, with a line of dashes between them.
func TestDiffGolden(t *testing.T) {
	for _, file := range inputs(t, "testdata/diff/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			before, after, ok := strings.Cut(string(read(t, file)), "\n------\n")
			if !ok {
				t.Fatal("no line of dashes")
			}
			from, to := mustCompile(t, before), mustCompile(t, after)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", script(from, to))
		})
	}
}

func TestDiffFromNothing(t *testing.T) {
	p := mustCompile(t, string(read(t, "testdata/compile/everything.yaml")))
	golden(t, "testdata/diff/start.golden", script(&plan{}, p))
}

func TestDiffOfEqualPlansIsEmpty(t *testing.T) {
	text := string(read(t, "testdata/compile/everything.yaml"))
	if steps := diff(mustCompile(t, text), mustCompile(t, text)); len(steps) > 0 {
		t.Errorf("steps between equal plans: %v", steps)
	}
}

// script is what an operator would read of a reload.
func script(from, to *plan) string {
	var b strings.Builder
	for _, s := range diff(from, to) {
		fmt.Fprintln(&b, s)
	}
	c := changesOf(from, to)
	fmt.Fprintf(&b, "added %s\nchanged %s\nremoved %s\n",
		strings.Join(c.added, ", "), strings.Join(c.changed, ", "), strings.Join(c.removed, ", "))
	return b.String()
}
