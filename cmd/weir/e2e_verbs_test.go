package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// writeConfig writes a configuration and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// broken has one mistake of each kind.
const broken = `
log: { level: loud }
entryPoints:
  web: { address: "127.0.0.1:99999" }
  db:  { address: "127.0.0.1:5432" }
tcp:
  routers:
    a: { entryPoints: [dbb], rule: "HostSNI(` + "`a.test`" + `)", tls: { passthrough: true }, service: one }
    b: { entryPoints: [db], rule: "HostSMI(` + "`b.test`" + `)", service: one }
    c: { entryPoints: [db], rule: "HostSNI(` + "`*`" + `)", service: two }
  services:
    one: { loadBalancer: { servers: [ { address: "127.0.0.1:1", wieght: 2 } ] } }
http:
  middlewares:
    x: { ipWhiteList: { name: y } }
cluster: {}
`

func TestCheck(t *testing.T) {
	t.Parallel()
	good := writeConfig(t, doors(door{"db", "127.0.0.1:5432", "127.0.0.1:1"}))
	bad := writeConfig(t, broken)
	twice := writeConfig(t, "log: {}\nlog: {}\n")
	at := func(word string) string { return bad + ":" + positionOf(t, broken, word) + ": " }
	for _, tt := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr []string // must be in it
	}{
		{"good", []string{"check", "-c", good}, 0, []string{"ok"}, nil},
		{"a directory", []string{"check", "-c", filepath.Dir(good)}, 0, []string{"ok"}, nil},
		{"everything that is wrong", []string{"check", "-c", bad}, 1, nil, []string{
			at("loud") + "log.level: ",
			at(`"127.0.0.1:99999"`) + "entryPoints.web.address: ",
			at("dbb") + "tcp.routers.a.entryPoints[0]: ",
			at(`"HostSMI`) + "tcp.routers.b.rule: ",
			at(`two }`) + "tcp.routers.c.service: ",
			at("wieght") + "tcp.services.one.loadBalancer.servers[0].wieght: ",
			"did you mean \"weight\"?",
			at("ipWhiteList") + "http.middlewares.x.ipWhiteList: not supported by weir",
			at("cluster") + "cluster.bind: missing",
		}},
		{"a key given twice", []string{"check", "-c", twice}, 1, nil, []string{twice + ":2:1: "}},
		{"an empty document", []string{"check", "-c", writeConfig(t, "# nothing\n")}, 1, nil, []string{"empty"}},
		{"a second document", []string{"check", "-c", writeConfig(t, "log: {}\n---\nlog: {}\n")}, 1, nil, []string{":3:1: "}},
		{"a missing file", []string{"check", "-c", "/nowhere/weir.yaml"}, 1, nil, []string{"/nowhere/weir.yaml"}},
		{"a flag that is not there", []string{"check", "--colour"}, 2, nil, []string{"--colour"}},
		{"an argument too many", []string{"check", "-c", good, "more"}, 2, nil, []string{"more"}},
		{"a verb that is not there", []string{"chekc"}, 2, nil, []string{"check"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := weir(t, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d", r.code, tt.code)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, r.stdout)
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
				}
			}
		})
	}
	t.Run("for programs", func(t *testing.T) {
		r := weir(t, "check", "--json", "-c", bad)
		var verdict struct {
			OK       bool
			Problems []struct {
				File, Path, Message string
				Line, Col           int
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &verdict); err != nil || r.code != 1 || verdict.OK {
			t.Fatalf("exit code %d, %v: %s", r.code, err, r.stdout)
		}
		plain := weir(t, "check", "-c", bad)
		if lines := strings.Count(plain.stderr, "\n"); lines != len(verdict.Problems) || lines < 8 {
			t.Errorf("%d problems as JSON, %d as lines", len(verdict.Problems), lines)
		}
		for _, p := range verdict.Problems {
			if line := fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Path, p.Message); !strings.Contains(plain.stderr, line) {
				t.Errorf("not among the lines: %s", line)
			}
		}
	})
}

// A weir that cannot start says why and ends with 1.
func TestRunRefusesToStart(t *testing.T) {
	t.Parallel()
	taken := weirtest.Serve(t, weirtest.Echo)
	admin := fmt.Sprintf("admin: { address: %q }\n", weirtest.FreeAddr(t))
	bad := writeConfig(t, broken)
	for _, tt := range []struct{ name, file, want string }{
		{"a broken configuration", bad, bad + ":" + positionOf(t, broken, "wieght") + ": "},
		{"an entrypoint's port is taken", writeConfig(t, admin+doors(door{"db", taken.Addr, "127.0.0.1:1"})), taken.Addr},
		{"the admin endpoint's port is taken", writeConfig(t, fmt.Sprintf("admin: { address: %q }\n", taken.Addr)+doors(door{"db", "127.0.0.1:0", "127.0.0.1:1"})), taken.Addr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := weir(t, "run", "-c", tt.file); r.code != 1 || !strings.Contains(r.stderr, tt.want) {
				t.Errorf("exit code %d, want 1 and %q in:\n%s", r.code, tt.want, r.stderr)
			}
		})
	}
}

func TestStatusAndBackends(t *testing.T) {
	t.Parallel()
	alive, dead := weirtest.Serve(t, weirtest.Echo), weirtest.Refused(t)
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints: { in: { address: "127.0.0.1:0" } }
tcp:
  routers: { in: { rule: "HostSNI(%s)", service: echo } }
  services:
    echo:
      loadBalancer:
        servers: [ { address: %q, weight: 3 }, { address: %q, maxConnections: 7 } ]
        healthCheck: { interval: 20ms }
        slowStart: 0s
`, "`*`", alive.Addr, dead))
	awaitHealth(t, w, alive.Addr, "up")
	awaitHealth(t, w, dead, "down")
	conn := dial(t, addressOf(t, w, "in"))
	ask(t, conn, "hello")
	awaitMetric(t, w, `weir_backend_received_bytes_total{backend="`+alive.Addr+`",protocol="tcp",service="echo"}`, 6)

	t.Run("status", func(t *testing.T) {
		r := weir(t, "status", "--admin", w.Admin)
		rows := map[string]string{}
		for _, row := range fields(r.stdout) {
			rows[row[0]] = strings.Join(row[1:], " ")
		}
		for key, want := range map[string]string{
			"ready": "yes", "entrypoints": "1", "routers": "1", "services": "1", "backends": "2: 1 up, 1 down", "log level": "info",
		} {
			if rows[key] != want {
				t.Errorf("%s: %q, want %q", key, rows[key], want)
			}
		}
		if !strings.HasPrefix(rows["configuration"], "generation 1,") || !strings.HasPrefix(rows["connections"], "1/") || rows["event loops"] == "0" || r.code != 0 {
			t.Errorf("exit code %d:\n%s", r.code, r.stdout)
		}
	})
	t.Run("status for programs", func(t *testing.T) {
		r := weir(t, "status", "--admin", w.Admin, "-o", "json")
		var status struct {
			Ready       bool
			Generation  int
			Loops       []struct{ Active int }
			Connections struct{ Active, Max int }
			Backends    struct{ Total, Up, Down int }
		}
		if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, l := range status.Loops {
			open += l.Active
		}
		if b := status.Backends; !status.Ready || status.Generation != 1 || status.Connections.Active != 1 || status.Connections.Max < 1 || open != 1 || b.Total != 2 || b.Up != 1 || b.Down != 1 {
			t.Errorf("%+v from %s", status, r.stdout)
		}
	})
	t.Run("backends", func(t *testing.T) {
		rows := map[string][]string{}
		for _, row := range fields(weir(t, "backends", "--admin", w.Admin).stdout) {
			rows[row[2]] = row
		}
		if got := rows["BACKEND"]; strings.Join(got, ",") != "SERVICE,PROTOCOL,BACKEND,STATE,WEIGHT,ACTIVE,CONNECTIONS,FAILURES,IN,OUT,LAST CHECK" {
			t.Errorf("heading %q", got)
		}
		if got := strings.Join(rows[alive.Addr], ","); got != "echo,tcp,"+alive.Addr+",up,3,1,1,0,6 B,6 B,ok" {
			t.Errorf("the live backend: %s", got)
		}
		if got := strings.Join(rows[dead], ","); !strings.HasPrefix(got, "echo,tcp,"+dead+",down,1,0/7,0,0,0 B,0 B,") || !strings.Contains(got, "refused") {
			t.Errorf("the dead backend: %s", got)
		}
	})
	t.Run("backends for programs", func(t *testing.T) {
		r := weir(t, "backends", "--admin", w.Admin, "--service", "echo", "-o", "json")
		var list []backend
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 2 || list[0].Service != "echo" {
			t.Errorf("%v: %s", err, r.stdout)
		}
	})
	t.Run("nothing is discovered", func(t *testing.T) {
		if r := weir(t, "sources", "--admin", w.Admin); r.code != 0 || len(fields(r.stdout)) != 1 {
			t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
		if r := weir(t, "sources", "--admin", w.Admin, "-o", "json"); r.code != 0 || r.stdout != "[]\n" {
			t.Errorf("for programs: exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
		if r := weir(t, "status", "--admin", w.Admin); strings.Contains(r.stdout, "discovery") {
			t.Errorf("status tells of discovery:\n%s", r.stdout)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		for _, verb := range []string{"status", "backends", "sources"} {
			r := weir(t, verb, "--admin", weirtest.Refused(t))
			if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, "--admin") {
				t.Errorf("%s: exit code %d: %s%s", verb, r.code, r.stdout, r.stderr)
			}
		}
	})
	t.Run("an output that is not there", func(t *testing.T) {
		if r := weir(t, "status", "--admin", w.Admin, "-o", "xml"); r.code != 2 {
			t.Errorf("exit code %d, want 2: %s", r.code, r.stderr)
		}
	})
}
