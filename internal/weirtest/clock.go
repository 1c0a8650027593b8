package weirtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// clockVariable tells a weir of SkewedBinary by how many seconds its clock is ahead.
	clockVariable = "WEIRTEST_CLOCK_AHEAD"

	// clockReading is the line of the standard library's time.Now that reads the clock.
	clockReading = "\tsec, nsec, mono := runtimeNow()\n"
	// clockWrong takes its place. What measures durations, mono, stays right, as it does on a machine whose clock is wrong.
	clockWrong = "\tsec, nsec, mono := runtimeNow(); sec += weirtestAhead\n"
	// clockVar is put behind the end of that file. Nothing above it gets a line of its own, so that positions in traces stay right.
	clockVar = `
var weirtestAhead = func() (ahead int64) {
	text, _ := syscall.Getenv("` + clockVariable + `")
	behind := len(text) > 0 && text[0] == '-'
	if behind {
		text = text[1:]
	}
	for _, digit := range []byte(text) {
		ahead = ahead*10 + int64(digit-'0')
	}
	if behind {
		ahead = -ahead
	}
	return ahead
}()
`
)

// SkewedBinary returns a weir whose clock is wrong by the seconds in its environment; see Host.WeirWithClock.
//
// Linux has no namespace for the time of day, and programs in Go ask the kernel without the C library, where others are told lies. So
// the lie is built in: the compiler is given another time.Now in place of the standard library's. That compiles everything
// anew, once, as long as Go's build cache holds. The race detector is left out, which would double that and sees nothing more in
// a clock.
func SkewedBinary(t testing.TB) string {
	t.Helper()
	path, err := buildSkewed()
	if err != nil {
		t.Fatalf("build weir with a clock that can be wrong: %v", err)
	}
	return path
}

var buildSkewed = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	ask := exec.Command("go", "env", "GOROOT")
	ask.Dir = root // whose go.mod names the toolchain
	ask.Env = append(os.Environ(), "GOTOOLCHAIN=auto")
	toolchain, err := ask.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	dir, err := os.MkdirTemp("", "weirtest-clock-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	// A toolchain that go.mod asked for lies in the module cache, where go allows no file to be replaced. By this name it does not.
	goroot := filepath.Join(dir, "goroot")
	if err := os.Symlink(strings.TrimSpace(string(toolchain)), goroot); err != nil {
		return "", err
	}
	original, replacement, overlay := filepath.Join(goroot, "src", "time", "time.go"), filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	changed, err := skewClock(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", original, err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: replacement}})
	if err != nil {
		return "", err
	}
	err = errors.Join(os.WriteFile(replacement, []byte(changed), 0o644), os.WriteFile(overlay, list, 0o644))
	if err != nil {
		return "", err
	}
	return build("clock", buildOptions{
		env: []string{"GOROOT=" + goroot, "GOTOOLCHAIN=local"},
		// It takes its time, and is not to take that of tests which run meanwhile.
		command: []string{"nice", "-n", "19", filepath.Join(goroot, "bin", "go")},
		// Without -trimpath the name of the temporary directory would be part of what is compiled, and nothing of it found in the cache.
		flags: []string{"-trimpath", "-overlay", overlay},
	})
})

// skewClock changes the source of the standard library's time.go.
func skewClock(text string) (string, error) {
	before, now, found := strings.Cut(text, "\nfunc Now() Time {\n")
	if !found || !strings.HasPrefix(now, clockReading) || !strings.Contains(before, "\nimport (\n") {
		return "", fmt.Errorf("no import list, or no func Now that begins with %q: look how this release of Go reads the clock, "+
			"and change what is looked for", clockReading)
	}
	before = strings.Replace(before, "\nimport (\n", "\nimport (\"syscall\"; ", 1)
	return before + "\nfunc Now() Time {\n" + clockWrong + strings.TrimPrefix(now, clockReading) + clockVar, nil
}

// clockSkew returns the environment of a weir whose clock is ahead.
func clockSkew(ahead time.Duration) string {
	return fmt.Sprintf("%s=%d", clockVariable, int64(ahead/time.Second))
}
