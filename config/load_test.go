package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestLoadDirectoryJoinsFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "00-process.toml", "[log]\nlevel = \"warn\"\n")
	write(t, dir, "10-entry.yaml", "log: {format: json}\nentryPoints: {Web.Site/A: {address: \":80\"}}\n")
	write(t, dir, "20-orders.yml", "tcp:\n  routers: {orders: {rule: \"HostSNI(`*`)\", service: orders}}\n  services: {orders: {loadBalancer: {servers: [{address: \"10.0.0.1:1\"}]}}}\ntls: {certificates: [{certFile: a, keyFile: b}]}\n")
	write(t, dir, "30-cache.json", `{"entryPoints": {"web.site/a": {"address": ":81"}}, "tcp": {"services": {"cache": {"weighted": {"services": [{"name": "orders"}]}}}}, "tls": {"certificates": [{"certFile": "c", "keyFile": "d"}]}}`)
	write(t, dir, ".30-cache.json.swp", "not for us")
	write(t, dir, ".hidden.yaml", "not: for us")
	write(t, dir, "README.md", "not for us")
	write(t, dir, "old.yaml/x.yaml", "not: for us")
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, "x.yaml", `
log: {level: warn, format: json}
entryPoints: {Web.Site/A: {address: ":80"}, web.site/a: {address: ":81"}}
tcp:
  routers: {orders: {rule: "HostSNI(`+"`*`"+`)", service: orders}}
  services: {orders: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}, cache: {weighted: {services: [{name: orders}]}}}
tls: {certificates: [{certFile: a, keyFile: b}, {certFile: c, keyFile: d}]}
`)
	if diff := cmp.Diff(want, cfg, sameConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	file, line, col := cfg.Position("tcp.services.orders.loadBalancer.servers[0].address")
	if file != filepath.Join(dir, "20-orders.yml") || line != 3 || col == 0 {
		t.Errorf("position %s:%d:%d", file, line, col)
	}
	wantFiles := []string{
		filepath.Join(dir, "00-process.toml"), filepath.Join(dir, "10-entry.yaml"),
		filepath.Join(dir, "20-orders.yml"), filepath.Join(dir, "30-cache.json"), "a", "b", "c", "d",
	}
	if diff := cmp.Diff(wantFiles, cfg.Files()); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
}

func TestLoadProblems(t *testing.T) {
	dir := t.TempDir()
	one := write(t, dir, "d/one.yaml", "log: {level: info}\nentryPoints:\n  web: {address: \":80\"}\ntcp: {services: {s: {loadBalancer: {servers: [{address: \"10.0.0.1:1\"}]}}}}\n")
	two := write(t, dir, "d/two.yaml", "log: {level: warn}\nentryPoints: {web: {address: \":81\"}}\ntcp: {services: {s: {failover: {service: a, fallback: b}}}}\n")
	broken := write(t, dir, "broken.yaml", "log: [\n")
	empty := write(t, dir, "empty.yaml", "")
	bad := write(t, dir, "bad.toml", "[log]\nlevle = \"info\"\n[engine]\nloops = -1\n")
	conf := write(t, dir, "weir.conf", "log: {}\n")
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		paths []string
		want  []string
	}{
		{"no path", nil, []string{"configuration: no file is named"}},
		{"missing", []string{filepath.Join(dir, "nope.yaml"), broken}, []string{filepath.Join(dir, "nope.yaml") + ": cannot be read: no such file or directory"}},
		{"empty directory", []string{filepath.Join(dir, "none")}, []string{filepath.Join(dir, "none") + ": the directory holds no .yaml, .yml, .toml or .json file"}},
		{"defined twice", []string{filepath.Join(dir, "d")}, []string{
			two + ":1:7: log.level: defined twice, first at " + one + ":1:7",
			two + ":2:15: entryPoints.web: defined twice, first at " + one + ":3:3",
			two + ":3:18: tcp.services.s: defined twice, first at " + one + ":4:18",
		}},
		{"the same file twice", []string{one, one}, []string{
			one + ":1:7: log.level: defined twice, first at " + one + ":1:7",
			one + ":3:3: entryPoints.web: defined twice, first at " + one + ":3:3",
			one + ":4:18: tcp.services.s: defined twice, first at " + one + ":4:18",
		}},
		{"every broken file is named", []string{broken, empty, one}, []string{
			broken + ":1:1: not YAML: did not find expected node content",
			empty + ":1:1: the document is empty",
		}},
		{"faults of several files", []string{bad, one}, []string{
			bad + ":2:1: log.levle: unknown key (did you mean \"level\"?)",
			bad + ":4:9: engine.loops: -1 is less than 0, the least there may be",
		}},
		{"a name weir does not read", []string{conf}, []string{conf + ":1:1: not a name weir reads: it ends in neither .yaml, .yml, .toml nor .json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := Load(tt.paths...)
			if cfg != nil || err == nil {
				t.Fatalf("Load: %v, %v", cfg, err)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	tests := []struct {
		name, file string
		env        map[string]string
		flags      []string
		want       string // level of log, loops, address of admin, path of accessLog
	}{
		{"defaults", "entryPoints: {}\ntls: {}\n", nil, nil, "info 0 127.0.0.1:9901 off"},
		{"file", "log: {level: warn}\nengine: {loops: 3}\nadmin: {address: \":1\"}\naccessLog: {}", nil, nil, "warn 3 :1 stdout"},
		{"environment over file", "log: {level: warn}\nengine: {loops: 3}",
			map[string]string{"WEIR_LOG_LEVEL": "debug", "WEIR_ENGINE_LOOPS": "5", "WEIR_ACCESSLOG_PATH": "/a.log"}, nil, "debug 5 127.0.0.1:9901 /a.log"},
		{"environment without file", "tls: {}", map[string]string{"WEIR_ADMIN_ADDRESS": "[::1]:2"}, nil, "info 0 [::1]:2 off"},
		{"flag over environment", "log: {level: warn}",
			map[string]string{"WEIR_LOG_LEVEL": "debug", "WEIR_ENGINE_LOOPS": "5"}, []string{"--log.level=error", "--admin.address", ":7"}, "error 5 :7 off"},
		{"variables of others", "tls: {}", map[string]string{"WEIR_LOG": "x", "WEIR_ADMIN_PORT": "tcp://10.0.0.1:80", "WEIR_TCP": "y", "WEIR_LOG_LEVEL": ""}, nil, "info 0 127.0.0.1:9901 off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, err := Loader{Paths: []string{write(t, t.TempDir(), "weir.yaml", tt.file)}, Flags: parsedFlags(t, tt.flags)}.Load()
			if err != nil {
				t.Fatal(err)
			}
			path := "off"
			if cfg.AccessLog != nil {
				path = cfg.AccessLog.Path
			}
			got := strings.Join([]string{cfg.Log.Level, string(rune('0' + cfg.Engine.Loops)), cfg.Admin.Address, path}, " ")
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			dump, err := cfg.Dump()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(cfg, mustParse(t, "dump.yaml", string(dump)), sameConfig); diff != "" {
				t.Errorf("the dump lacks something (-was +dump):\n%s", diff)
			}
		})
	}
}

func parsedFlags(t *testing.T, args []string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("weir", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestSettingsAreStrictFromEverywhere(t *testing.T) {
	t.Setenv("WEIR_ENGINE_LOOPS", "many")
	t.Setenv("WEIR_ENGINE_MAXCONNECTIONS", "-1")
	t.Setenv("WEIR_LOG_LEVEL", "loud")
	t.Setenv("WEIR_ADMIN_ADDRESS", "nowhere")
	file := write(t, t.TempDir(), "weir.yaml", "log: {level: wran}\n")
	_, err := Loader{Paths: []string{file}, Flags: parsedFlags(t, []string{"--log.format=xml"})}.Load()
	want := []string{
		file + `:1:14: log.level: unknown value "wran" (did you mean "warn"?)`,
		`environment variable WEIR_ADMIN_ADDRESS: admin.address: "nowhere" has no port: write ip:port, or :port for all addresses`,
		`environment variable WEIR_ENGINE_LOOPS: engine.loops: expected a whole number, found the text "many"`,
		`environment variable WEIR_ENGINE_MAXCONNECTIONS: engine.maxConnections: -1 is less than 0, the least there may be`,
		`environment variable WEIR_LOG_LEVEL: log.level: unknown value "loud" (one of debug, info, warn, error)`,
		`flag --log.format: log.format: unknown value "xml" (one of text, json)`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestSettingsList(t *testing.T) {
	var got []string
	for _, s := range Settings() {
		got = append(got, s.Path+" "+s.Env)
		if s.Doc == "" {
			t.Errorf("%s has no description", s.Path)
		}
	}
	want := []string{
		"log.level WEIR_LOG_LEVEL", "log.format WEIR_LOG_FORMAT",
		"accessLog.path WEIR_ACCESSLOG_PATH", "accessLog.format WEIR_ACCESSLOG_FORMAT",
		"admin.address WEIR_ADMIN_ADDRESS",
		"engine.loops WEIR_ENGINE_LOOPS", "engine.maxConnections WEIR_ENGINE_MAXCONNECTIONS",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := makeCertificate(t, "a.example.com")
	_, otherKey := makeCertificate(t, "b.example.com")
	write(t, dir, "a.crt", cert)
	write(t, dir, "a.key", key)
	write(t, dir, "b.key", otherKey)
	write(t, dir, "empty.pem", "")
	in := func(name string) string { return filepath.Join(dir, name) }
	document := func(certs, ca string) string {
		return "tls:\n  certificates: [" + certs + "]\n  options: {default: {clientAuth: {caFiles: [" + ca + "]}}}\n"
	}
	pair := func(c, k string) string { return "{certFile: " + in(c) + ", keyFile: " + in(k) + "}" }

	good := mustParse(t, "x.yaml", document(pair("a.crt", "a.key"), in("a.crt")))
	if err := good.CheckFiles(); err != nil {
		t.Errorf("a good pair: %v", err)
	}
	bad := mustParse(t, "x.yaml", document(pair("a.crt", "b.key")+", "+pair("no.crt", "a.key"), in("empty.pem")+", "+in("no.pem")))
	var got []string
	for _, p := range problemsOf(t, bad.CheckFiles()) {
		got = append(got, p.Path+": "+p.Message)
		if p.File != "x.yaml" || p.Line < 2 || p.Col < 1 {
			t.Errorf("no place: %+v", p)
		}
	}
	want := []string{
		"tls.certificates[0]: not a certificate and its key: private key does not match public key",
		"tls.certificates[1].certFile: " + in("no.crt") + " cannot be read: no such file or directory",
		"tls.options.default.clientAuth.caFiles[0]: " + in("empty.pem") + " holds no certificate",
		"tls.options.default.clientAuth.caFiles[1]: " + in("no.pem") + " cannot be read: no such file or directory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryNamedFileIsFollowedAndChecked(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "weir.yaml", `
http:
  serversTransports: {named: {rootCAs: [ca.pem], certificates: [{certFile: n.crt, keyFile: n.key}]}}
  services: {s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], serversTransport: {rootCAs: [ca.pem, in.pem], certificates: [{certFile: i.crt, keyFile: i.key}]}}}}
tls:
  certificates: [{certFile: a.crt, keyFile: a.key}]
  stores: {default: {defaultCertificate: {certFile: d.crt, keyFile: d.key}}}
  options: {o: {clientAuth: {caFiles: [clients.pem]}}}
`)
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		file, "a.crt", "a.key", "d.crt", "d.key", "n.crt", "n.key", "i.crt", "i.key", "clients.pem", "ca.pem", "in.pem",
	}
	if diff := cmp.Diff(want, cfg.Files()); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
	var got []string
	for _, p := range problemsOf(t, cfg.CheckFiles()) {
		got = append(got, p.Path)
	}
	const inline = "http.services.s.loadBalancer.serversTransport"
	want = []string{
		"http.serversTransports.named.rootCAs[0]",
		"http.serversTransports.named.certificates[0].certFile", "http.serversTransports.named.certificates[0].keyFile",
		inline + ".rootCAs[0]", inline + ".rootCAs[1]", inline + ".certificates[0].certFile", inline + ".certificates[0].keyFile",
		"tls.certificates[0].certFile", "tls.certificates[0].keyFile",
		"tls.stores.default.defaultCertificate.certFile", "tls.stores.default.defaultCertificate.keyFile",
		"tls.options.o.clientAuth.caFiles[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files that cannot be read (-want +got):\n%s", diff)
	}
	if d := cfg.TLS.DefaultCertificate(); d == nil || d.CertFile != "d.crt" {
		t.Errorf("default certificate %+v", d)
	}
	if d := new(TLS).DefaultCertificate(); d != nil {
		t.Errorf("a default certificate from nowhere: %+v", d)
	}
}

func TestProblemsAreErrors(t *testing.T) {
	_, err := Parse("x.yaml", []byte("a: 1\n"))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 1 {
		t.Fatalf("%T: %v", err, err)
	}
	want := Problem{File: "x.yaml", Line: 1, Col: 1, Path: "a", Message: "unknown key", Hint: problems[0].Hint}
	if diff := cmp.Diff(want, problems[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
