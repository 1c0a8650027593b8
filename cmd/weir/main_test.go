package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/config"
)

// weir runs a command line and returns what it says.
func weir(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = execute(args, &out, &errs)
	return code, out.String(), errs.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const good = `entryPoints: { web: { address: "127.0.0.1:0" } }
tcp:
  routers: { all: { rule: "HostSNI(` + "`*`" + `)", service: app } }
  services: { app: { loadBalancer: { servers: [ { address: "127.0.0.1:1" } ] } } }
`

const bad = `entryPoints: { web: { adress: "127.0.0.1:0" } }
tcp:
  routers: { all: { rule: "HostSNI(` + "`*`" + `)", service: nobody } }
`

func TestCommandLinesAndExitCodes(t *testing.T) {
	ok, wrong := writeFile(t, "weir.yaml", good), writeFile(t, "weir.yaml", bad)
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string // a part of it
		stderr string // a part of it
	}{
		{"help", []string{"--help"}, exitOK, "Usage:", ""},
		{"no such verb", []string{"stats"}, exitUsage, "", `no command "stats" for weir, did you mean status?`},
		{"not served yet", []string{"conns"}, exitUsage, "", `no command "conns"`},
		{"no such flag", []string{"run", "--frob"}, exitUsage, "", "unknown flag: --frob (see weir run --help)"},
		{"needless argument", []string{"check", "x"}, exitUsage, "", `takes no arguments, got "x"`},
		{"missing argument", []string{"log-level"}, exitUsage, "", "wants a level"},
		{"wrong level", []string{"log-level", "loud"}, exitUsage, "", `level "loud" is none of debug, info, warn, error`},
		{"wrong output", []string{"status", "-o", "xml"}, exitUsage, "", `output "xml" is neither table nor json`},
		{"wrong admin address", []string{"status", "--admin", "ftp://x"}, exitUsage, "", "ftp://x"},
		{"nobody there", []string{"status", "--admin", "127.0.0.1:1"}, exitUnreachable, "", "--admin"},
		{"nobody there to have sources", []string{"sources", "--admin", "127.0.0.1:1"}, exitUnreachable, "", "--admin"},
		{"sources of a protocol that is not there", []string{"sources", "--admin", "127.0.0.1:1", "--protocol"}, exitUsage, "", "flag needs an argument"},
		{"help on sources", []string{"sources", "--help"}, exitOK, "--service", ""},
		{"nobody there to have members", []string{"members", "--admin", "127.0.0.1:1"}, exitUnreachable, "", "--admin"},
		{"nobody there to drain", []string{"drain", "orders", "--admin", "127.0.0.1:1"}, exitUnreachable, "", "--admin"},
		{"drain of nothing", []string{"drain"}, exitUsage, "", "weir drain wants a service and perhaps a backend, got 0 arguments (see weir drain --help)"},
		{"undrain of too much", []string{"undrain", "a", "b", "c"}, exitUsage, "", "got 3 arguments"},
		{"weight without a weight", []string{"weight", "orders"}, exitUsage, "", "wants a service, perhaps a backend, and a weight or default"},
		{"weight that is none", []string{"weight", "orders", "10.0.0.1:1", "--admin", "127.0.0.1:1"}, exitUsage, "", `weight "10.0.0.1:1" is neither a number from 0 nor default`},
		{"weight below 0", []string{"weight", "--admin", "127.0.0.1:1", "--", "orders", "-1"}, exitUsage, "", `weight "-1"`},
		{"keys with a wrong verb", []string{"keys", "instal", "--admin", "127.0.0.1:1"}, exitUsage, "", "did you mean install?"},
		{"install of no file", []string{"keys", "install", "--admin", "127.0.0.1:1"}, exitUsage, "", "wants a file with one key"},
		{"install of a file that is not there", []string{"keys", "install", "/nowhere.key", "--admin", "127.0.0.1:1"}, exitFailure, "", "/nowhere.key: no such file"},
		{"nobody there to reload", []string{"reload", "--admin", "127.0.0.1:1"}, exitUnreachable, "", "127.0.0.1:1"},
		{"check", []string{"check", "-c", ok}, exitOK, "ok: 1 entrypoints, 1 routers, 1 services", ""},
		{"check finds all", []string{"check", "-c", wrong}, exitFailure, "", "adress"},
		{"check finds all, the last too", []string{"check", "-c", wrong}, exitFailure, "", "nobody"},
		{"check of nothing", []string{"check", "-c", "/nowhere.yaml"}, exitFailure, "", "/nowhere.yaml"},
		{"run refuses what check refuses", []string{"run", "-c", wrong}, exitFailure, "", "adress"},
		{"check by a flag", []string{"check", "-c", ok, "--log.level", "loud"}, exitFailure, "", "flag --log.level"},
		{"config without verb", []string{"config"}, exitOK, "dump", ""},
		{"config with a wrong verb", []string{"config", "dumb"}, exitUsage, "", "did you mean dump?"},
		{"dump", []string{"config", "dump", "-c", ok, "--engine.loops", "3"}, exitOK, "loops: 3", ""},
		{"version", []string{"version"}, exitOK, "weir ", ""},
		{"completion", []string{"completion", "bash"}, exitOK, "weir", ""},
		{"completed levels", []string{"__complete", "log-level", ""}, exitOK, "warn", ""},
		{"completed formats", []string{"__complete", "status", "-o", ""}, exitOK, "json", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := weir(tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout, tt.stdout) {
				t.Errorf("stdout %q, want %q", stdout, tt.stdout)
			}
			if !strings.Contains(stderr, tt.stderr) {
				t.Errorf("stderr %q, want %q", stderr, tt.stderr)
			}
			if tt.code == exitUsage && strings.Count(stderr, "\n") != 1 {
				t.Errorf("a wrong command line takes more than a line: %q", stderr)
			}
		})
	}
}

func TestCheckJSON(t *testing.T) {
	code, stdout, _ := weir("check", "--json", "-c", writeFile(t, "weir.yaml", bad))
	var got verdict
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitFailure || got.OK || len(got.Problems) < 2 {
		t.Errorf("exit code %d, %+v", code, got)
	}
	for _, p := range got.Problems {
		if p.File == "" || p.Message == "" {
			t.Errorf("problem without place or message: %+v", p)
		}
	}
	code, stdout, _ = weir("check", "--json", "-c", writeFile(t, "weir.yaml", good))
	if code != exitOK || !strings.Contains(stdout, `"problems": []`) {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

func TestDumpLoadsAgain(t *testing.T) {
	_, first, _ := weir("config", "dump", "-c", writeFile(t, "weir.yaml", good))
	_, second, _ := weir("config", "dump", "-c", writeFile(t, "weir.yaml", first))
	if diff := cmp.Diff(first, second); diff != "" || first == "" {
		t.Errorf("the dump of a dump differs (-first +second):\n%s", diff)
	}
}

func TestSchemaIsJSON(t *testing.T) {
	_, stdout, _ := weir("config", "schema")
	if !json.Valid([]byte(stdout)) {
		t.Error("not JSON")
	}
}

// What is not served yet must not stand there as if it were.
func TestVerbs(t *testing.T) {
	var got []string
	for _, c := range newRoot().Commands() {
		got = append(got, c.Name())
		if c.Short == "" || !c.Runnable() {
			t.Errorf("%s says nothing, or does nothing", c.Name())
		}
	}
	slices.Sort(got)
	want := []string{
		"backends", "check", "config", "demo", "demo-backend", "drain", "entrypoints", "keys", "log-level", "members", "orders", "reload", "routers", "routes", "run",
		"services", "sources", "status", "undrain", "version", "weight",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPlacesOf(t *testing.T) {
	there, missing := writeFile(t, "weir.yaml", good), filepath.Join(t.TempDir(), "weir.yaml")
	tests := []struct {
		name         string
		named, usual []string
		want         []string
	}{
		{"named", []string{"a", "b"}, []string{there}, []string{"a", "b"}},
		{"first that is there", nil, []string{missing, there}, []string{there}},
		{"none", nil, []string{missing}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := placesOf(tt.named, tt.usual)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err != nil) != (tt.want == nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestEverySettingIsAFlagOfRun(t *testing.T) {
	run := newRun()
	for _, s := range config.Settings() {
		if run.Flags().Lookup(s.Path) == nil {
			t.Errorf("no flag --%s", s.Path)
		}
	}
}
