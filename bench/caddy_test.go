package main

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// builtCaddy is the Caddy of the module beside weir's, built.
func builtCaddy(t *testing.T) *entrant {
	t.Helper()
	b := caddy(true)
	b.module, b.binary = "../tools/caddy", filepath.Join(t.TempDir(), "caddy")
	var progress strings.Builder
	all, err := enter(t.Context(), options{rivals: []balancer{b}}, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if progress.String() != "building caddy\n" || all[0].Missing != "" {
		t.Fatalf("%q, missing: %s", progress.String(), all[0].Missing)
	}
	return all[0]
}

// Caddy is built from its module, says which version it is, takes its
// configurations, and balances.
func TestCaddy(t *testing.T) {
	e := builtCaddy(t)
	if !strings.HasPrefix(e.Version, "2.") {
		t.Errorf("version %q", e.Version)
	}
	for sh := range e.balancer.configs {
		at := example(t, sh)
		if err := e.balancer.write(sh, &at); err != nil {
			t.Fatal(err)
		}
		args, err := renderAll(e.balancer.check, at)
		if err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(e.Path, args...).CombinedOutput(); err != nil || strings.Contains(string(said), `"warn"`) {
			t.Errorf("%s: %v\n%s", sh, err, said)
		}
	}
	for _, name := range []string{"http-keepalive", "http-1000-routers", "https-handshake", "http2-few"} {
		r := shortRunner(t, io.Discard, e)
		r.rounds = 1
		got, err := r.scenario(t.Context(), scenarioNamed(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if row := got.Rows[0]; row.Failed != "" || len(row.Samples) != 1 || row.Samples[0].Errors != 0 {
			t.Errorf("%s: %+v", name, row)
		}
	}
	onlySelfIsLeft(t)
}

// What cannot be built is missing, and says why.
func TestCaddyThatCannotBeBuilt(t *testing.T) {
	b := caddy(true)
	b.module, b.binary = t.TempDir(), filepath.Join(t.TempDir(), "caddy")
	all, err := enter(t.Context(), options{weir: "/bin/true", rivals: []balancer{b}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if why := all[1].Missing; !strings.Contains(why, "build caddy from "+b.module) {
		t.Errorf("missing: %q", why)
	}
}

// The variable asks for Caddy; without it Caddy is measured where it is named.
func TestCaddyIsAskedFor(t *testing.T) {
	for value, want := range map[string]string{"": "haproxy nginx", "0": "haproxy nginx", "1": "haproxy nginx caddy"} {
		t.Setenv(caddyVariable, value)
		o, err := parse(nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range o.rivals {
			names = append(names, b.name)
			if built := b.module != ""; built != (b.name == "caddy") {
				t.Errorf("%s=%s: %s is built: %t", caddyVariable, value, b.name, built)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s=%s: %s, want %s", caddyVariable, value, got, want)
		}
	}
}
