package main

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestRunStopsCleanlyOnSIGTERM(t *testing.T) {
	w := weirtest.Weir(t, good)
	w.Signal(syscall.SIGTERM)
	if code := w.ExitCode(10 * time.Second); code != exitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

func TestRunReloadsOnSIGHUP(t *testing.T) {
	w := weirtest.Weir(t, good)
	w.Reload(strings.Replace(good, "127.0.0.1:1", "127.0.0.1:2", 1))
	code, stdout, stderr := weir("backends", "--admin", w.Admin)
	if code != exitOK || !strings.Contains(stdout, "127.0.0.1:2") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestRunFailsWhereItCannotListen(t *testing.T) {
	taken := weirtest.Serve(t, weirtest.Echo)
	file := writeFile(t, "weir.yaml", strings.Replace(good, "127.0.0.1:0", taken.Addr, 1)+"admin: { address: \"127.0.0.1:0\" }\n")
	out, err := exec.Command(weirtest.Binary(t), "run", "-c", file).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailure {
		t.Fatalf("%v, want exit code %d", err, exitFailure)
	}
	if !strings.Contains(string(out), taken.Addr) || !strings.Contains(string(out), "entrypoint web") {
		t.Errorf("the error names neither entrypoint nor address:\n%s", out)
	}
}

func TestVerbsAgainstARunningWeir(t *testing.T) {
	w := weirtest.Weir(t, good)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"status", []string{"status"}, "generation 1"},
		{"status as JSON", []string{"status", "-o", "json"}, `"ready": true`},
		{"backends", []string{"backends"}, "127.0.0.1:1"},
		{"backends of another service", []string{"backends", "--service", "other"}, "SERVICE"},
		{"entrypoints", []string{"entrypoints"}, "web"},
		{"routers", []string{"routers"}, "HostSNI"},
		{"services", []string{"services"}, "app"},
		{"log-level", []string{"log-level", "debug"}, ""},
		{"the level it set", []string{"status"}, "debug"},
		{"reload", []string{"reload"}, "generation 2 is in force"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := weir(append(tt.args, "--admin", w.Admin)...)
			if code != exitOK || !strings.Contains(stdout, tt.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
	w.Write(bad)
	code, _, stderr := weir("reload", "--admin", w.Admin)
	if code != exitFailure || !strings.Contains(stderr, "nobody") || !strings.Contains(stderr, "adress") {
		t.Errorf("reload of a broken file: exit code %d, %s", code, stderr)
	}
}
