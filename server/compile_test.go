package server

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/internal/weirtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestCompileGolden(t *testing.T) {
	for _, file := range inputs(t, "testdata/compile/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			p := mustCompile(t, string(read(t, file)))
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", describe(p))
		})
	}
}

func TestCompileReportsWithPositions(t *testing.T) {
	certs := weirtest.CA(t)
	one, other := certs.Server("a.example"), certs.Server("b.example")
	cfg := parse(t, strings.NewReplacer("CERT", one.CertFile, "KEY", other.KeyFile).Replace(`
entryPoints: { web: { address: "127.0.0.1:0" } }
tcp:
  routers: { r: { rule: "HostSNI(`+"`*`"+`)", service: s } }
  services:
    s:
      loadBalancer:
        servers: [ { address: "127.0.0.1:1" } ]
        healthCheck: { send: "\\q", expect: "hex:0g" }
tls:
  certificates: [ { certFile: CERT, keyFile: KEY } ]
`))
	err := Check(cfg)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("Check: %v, want Problems", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Path)
		if p.Line == 0 || p.File != "weir.yaml" {
			t.Errorf("%s has no place: %s:%d", p.Path, p.File, p.Line)
		}
	}
	want := []string{
		"tcp.services.s.loadBalancer.healthCheck.send",
		"tcp.services.s.loadBalancer.healthCheck.expect",
		"tls.certificates[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestCheckNamesMissingFiles(t *testing.T) {
	cfg := parse(t, `
entryPoints: { web: { address: "127.0.0.1:0" } }
tls:
  certificates: [ { certFile: /nowhere/a.crt, keyFile: /nowhere/a.key } ]
  options: { mutual: { clientAuth: { caFiles: [ /nowhere/ca.crt ] } } }
`)
	err := Check(cfg)
	for _, want := range []string{"/nowhere/a.crt", "/nowhere/a.key", "/nowhere/ca.crt", "no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check: %v, want it to name %s", err, want)
		}
	}
}

func TestRequiredALPN(t *testing.T) {
	tests := []struct {
		name, rule string
		want       []string
	}{
		{"none", "HostSNI(`a.example`)", nil},
		{"and", "HostSNI(`a.example`) && ALPN(`redis`)", []string{"redis"}},
		{"either", "ALPN(`a`) || ALPN(`b`)", []string{"a", "b"}},
		{"possible without", "HostSNI(`a.example`) || ALPN(`b`)", nil},
		{"excluded", "HostSNI(`a.example`) && !ALPN(`b`)", nil},
		{"nested", "HostSNI(`a.example`) && (ALPN(`a`) || ALPN(`b`))", []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := rule.Parse(tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, requiredALPN(e)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func inputs(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no inputs %s: %v", pattern, err)
	}
	return found
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden compares text with what a file holds, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, file)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("weir.yaml", []byte(text))
	if err != nil {
		t.Fatalf("parse:\n%v\n%s", err, text)
	}
	return cfg
}

func mustCompile(t testing.TB, text string) *plan {
	t.Helper()
	cfg := parse(t, text)
	contents, err := readFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile(cfg, contents)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
