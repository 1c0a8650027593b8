package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// example is a site for a shape in a scratch directory, on ports that are
// free.
func example(t *testing.T, sh shape) site {
	t.Helper()
	network := "tcp"
	for _, sc := range scenarios() {
		if sc.shape == sh {
			network = sc.network()
		}
	}
	listen, err := freeAddr(network, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	at := site{
		Network: network, Listen: listen, Admin: "127.0.0.1:20002", Names: sniNames,
		Origins: [2]string{"127.0.0.1:20003", "127.0.0.1:20004"},
		Dir:     t.TempDir(), MaxConn: maxConn(4000), NoFile: 4000,
	}
	for _, sc := range scenarios() {
		if sc.shape == sh { // the last one has the most routers
			if err := at.furnish(sc); err != nil {
				t.Fatal(err)
			}
		}
	}
	return at
}

// Each rival takes the configuration of every shape as it is, without so much
// as a warning.
func TestRivalsTakeTheirConfigurations(t *testing.T) {
	for _, b := range rivalBalancers() {
		for _, sh := range shapes() {
			if b.without(sh) != "" {
				continue
			}
			t.Run(b.name+" "+string(sh), func(t *testing.T) {
				path, err := b.find()
				if err != nil {
					t.Fatalf("%v; the tests need the Debian package", err)
				}
				at := example(t, sh)
				if err := b.write(sh, &at); err != nil {
					t.Fatal(err)
				}
				args, err := renderAll(b.check, at)
				if err != nil {
					t.Fatal(err)
				}
				said, err := exec.Command(path, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				if text := strings.ToLower(string(said)); strings.Contains(text, "warn") {
					t.Errorf("it warns:\n%s", said)
				}
			})
		}
	}
}

// So does weir itself, which is built for it.
func TestWeirTakesItsConfigurations(t *testing.T) {
	program := builtWeir(t)
	b := weir(program)
	for _, sh := range shapes() {
		t.Run(string(sh), func(t *testing.T) {
			at := example(t, sh)
			if err := b.write(sh, &at); err != nil {
				t.Fatal(err)
			}
			args, err := renderAll(b.check, at)
			if err != nil {
				t.Fatal(err)
			}
			if said, err := exec.Command(program, args...).CombinedOutput(); err != nil || strings.Contains(strings.ToLower(string(said)), "warn") {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}

// builtWeir is the weir of this tree, built with further flags.
func builtWeir(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "weir")
	if said, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", program, "../cmd/weir")...).CombinedOutput(); err != nil {
		t.Fatalf("build weir: %v\n%s", err, said)
	}
	return program
}

// HAProxy has nothing for UDP, Caddy nothing but HTTP, and no rival has weir's middlewares; all say so.
func TestEveryBalancerHasEveryShape(t *testing.T) {
	for _, b := range append(rivalBalancers(), weir("bin/weir"), caddy(false)) {
		for _, sc := range scenarios() {
			out := b.name == "haproxy" && sc.network() == "udp" || b.name == "caddy" && !sc.exchange.HTTP ||
				b.name != "weir" && sc.shape == passes
			if (b.configs[sc.shape] == "") != out || (b.without(sc.shape) != "") != out {
				t.Errorf("%s in %s: configuration %q, out for %q", b.name, sc.name, b.configs[sc.shape], b.without(sc.shape))
			}
		}
	}
}

// A file that is named after no shape would be left out without a word.
func TestEveryConfigurationIsOfAShape(t *testing.T) {
	for _, b := range append(rivalBalancers(), weir("bin/weir"), caddy(false)) {
		for sh := range b.configs {
			if !slices.Contains(shapes(), sh) {
				t.Errorf("%s has a configuration for %s, which no scenario has; there are: %s", b.name, sh, shapeList())
			}
		}
	}
}

func TestVersions(t *testing.T) {
	for _, b := range rivalBalancers() {
		path, err := b.find()
		if err != nil {
			t.Fatalf("%v; the tests need the Debian package", err)
		}
		if v := b.versionOf(t.Context(), path); !strings.Contains(v, ".") {
			t.Errorf("version of %s: %q", b.name, v)
		}
	}
	for said, want := range map[string]string{
		"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/": "2.6.12",
		"HAProxy version 3.5-dev5":                       "3.5-dev5",
		"nginx version: nginx/1.22.1":                    "1.22.1",
		"weir v0.1.0, commit abc, go1.26.9 linux/amd64":  "v0.1.0",
		"weir 19aa55f, commit abc, go1.26.9 linux/amd64": "19aa55f",
		"none": "",
	} {
		if got := versionIn(said); got != want {
			t.Errorf("version in %q: %q, want %q", said, got, want)
		}
	}
}

// object is a mapping of YAML.
type object = map[string]any

// weirSays is the configuration of weir for a shape, read again.
func weirSays(t *testing.T, sh shape, at site) object {
	t.Helper()
	text, err := render(weir("").configs[sh], at)
	if err != nil {
		t.Fatal(err)
	}
	var got object
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return got
}

// weirMust is what every configuration of weir says, and what it says besides.
func weirMust(at site, besides object) object {
	want := object{
		"log":         object{"level": "warn"},
		"admin":       object{"address": at.Admin},
		"engine":      object{"loops": 1},
		"entryPoints": object{"bench": object{"address": at.Listen}},
	}
	maps.Copy(want, besides)
	return want
}

// The configuration of weir says what the scenario means, in the words of its
// own language.
func TestWeirConfiguration(t *testing.T) {
	service := func(origin string) object {
		return object{"loadBalancer": object{"servers": []any{object{"address": origin}}}}
	}
	router := func(name, service string) object {
		return object{
			"entryPoints": []any{"bench"}, "rule": "HostSNI(`" + name + "`)",
			"tls": object{"passthrough": true}, "service": service,
		}
	}
	for _, tt := range []struct {
		shape shape
		tcp   func(site) object
	}{
		{shape: relay, tcp: func(at site) object {
			return object{
				"routers":  object{"all": object{"entryPoints": []any{"bench"}, "rule": "HostSNI(`*`)", "service": "origin"}},
				"services": object{"origin": service(at.Origins[0])},
			}
		}},
		{shape: bySNI, tcp: func(at site) object {
			return object{
				"routers":  object{"one": router(at.Names[0], "one"), "two": router(at.Names[1], "two")},
				"services": object{"one": service(at.Origins[0]), "two": service(at.Origins[1])},
			}
		}},
	} {
		t.Run(string(tt.shape), func(t *testing.T) {
			at := example(t, tt.shape)
			want := weirMust(at, object{"tcp": tt.tcp(at)})
			if diff := cmp.Diff(want, weirSays(t, tt.shape, at)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestWeirConfigurationOfHTTP(t *testing.T) {
	for _, sh := range []shape{web, secure, second, passes, routes} {
		t.Run(string(sh), func(t *testing.T) {
			at := example(t, sh)
			all := object{"entryPoints": []any{"bench"}, "rule": "PathPrefix(`/`)", "service": "origin"}
			routers := object{"all": all}
			besides := object{}
			switch sh {
			case secure, second:
				all["tls"] = object{}
				besides["tls"] = object{"certificates": []any{object{"certFile": at.Cert, "keyFile": at.Key}}}
			case passes:
				all["middlewares"] = []any{"only", "calm", "few", "pages", "breaker", "again", "mark", "deeper", "strip", "smaller"}
				besides["http"] = object{"middlewares": tenMiddlewares()}
			case routes:
				routers = object{}
				for h, host := range at.Hosts {
					for p, path := range at.Paths {
						routers[fmt.Sprintf("r%d-%d", h, p)] = object{
							"entryPoints": []any{"bench"}, "service": "origin",
							"rule": fmt.Sprintf("Host(`%s`) && PathPrefix(`%s`)", host, path),
						}
					}
				}
			}
			section, _ := besides["http"].(object)
			if section == nil {
				section = object{}
			}
			section["routers"], section["services"] = routers, object{
				"origin": object{"loadBalancer": object{"servers": []any{object{"url": "http://" + at.Origins[0]}}}},
			}
			besides["http"] = section
			if diff := cmp.Diff(weirMust(at, besides), weirSays(t, sh, at)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// tenMiddlewares are those of the shape passes, by name.
func tenMiddlewares() object {
	yes := object{"X-Bench": "yes"}
	return object{
		"only":    object{"ipAllowList": object{"sourceRange": []any{"127.0.0.0/8"}}},
		"calm":    object{"rateLimit": object{"average": 1_000_000_000, "burst": 1_000_000_000}},
		"few":     object{"inFlightReq": object{"amount": 100_000}},
		"pages":   object{"errors": object{"status": []any{"500-599"}, "service": "origin"}},
		"breaker": object{"circuitBreaker": object{"expression": "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(99.0) > 100000"}},
		"again":   object{"retry": object{"attempts": 3}},
		"mark":    object{"headers": object{"customRequestHeaders": yes, "customResponseHeaders": yes, "frameDeny": true}},
		"deeper":  object{"addPrefix": object{"prefix": "/deeper"}},
		"strip":   object{"stripPrefix": object{"prefixes": []any{"/deeper"}}},
		"smaller": object{"compress": object{}},
	}
}

func TestWeirConfigurationOfUDP(t *testing.T) {
	for sh, besides := range map[shape]object{
		lasting: {},
		brief:   {"responses": 1},
		queries: {"affinity": "none", "protocol": "dns"},
		oneWay:  {"affinity": "none", "protocol": "oneWay"},
	} {
		t.Run(string(sh), func(t *testing.T) {
			at := example(t, sh)
			balancer := object{"servers": []any{object{"address": at.Origins[0]}}}
			maps.Copy(balancer, besides)
			want := weirMust(at, object{
				"entryPoints": object{"bench": object{
					"address": at.Listen + "/udp",
					"udp":     object{"timeout": "60s", "maxSessions": 65536, "maxSessionsPerSource": 65536},
				}},
				"udp": object{
					"routers":  object{"all": object{"entryPoints": []any{"bench"}, "service": "origin"}},
					"services": object{"origin": object{"loadBalancer": balancer}},
				},
			})
			if diff := cmp.Diff(want, weirSays(t, sh, at)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// The rivals route by as many names and paths as weir does.
func TestRivalsGetEveryRoute(t *testing.T) {
	at := example(t, routes)
	if len(at.Hosts)*len(at.Paths) != 10_000 {
		t.Fatalf("%d hosts, %d paths", len(at.Hosts), len(at.Paths))
	}
	for _, b := range rivalBalancers() {
		if err := b.write(routes, &at); err != nil {
			t.Fatal(err)
		}
	}
	for file, counts := range map[string]map[string]int{
		"nginx.conf": {"server_name site": len(at.Hosts), "location /part": len(at.Hosts) * len(at.Paths)},
		"routes.map": {"/part": len(at.Hosts) * len(at.Paths), "site0999.bench.test/part09/ origin\n": 1},
	} {
		text, err := os.ReadFile(filepath.Join(at.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for part, want := range counts {
			if got := strings.Count(string(text), part); got != want {
				t.Errorf("%s has %q %d times, want %d", file, part, got, want)
			}
		}
	}
}

func TestMakeCertificate(t *testing.T) {
	c, err := makeCertificate(t.TempDir(), "www.bench.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range [][2]string{{c.Cert, c.Key}, {c.Bundle, c.Bundle}} {
		pair, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			t.Fatal(err)
		}
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || key.Curve != elliptic.P256() || !bytes.Equal(pair.Leaf.Raw, c.der) {
			t.Errorf("%v: another certificate than is told", files)
		}
		if err := pair.Leaf.VerifyHostname("www.bench.test"); err != nil {
			t.Error(err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "balancer")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, name := range []string{"balancer", program} {
		if got, err := (balancer{binary: name}).find(); err != nil || got != program {
			t.Errorf("find %s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"no-such-balancer", filepath.Join(dir, "none")} {
		if _, err := (balancer{binary: name}).find(); !errors.Is(err, errMissing) {
			t.Errorf("find %s: %v, want %v", name, err, errMissing)
		}
	}
}

// A program below the working directory is shown as it is called from there.
func TestCommand(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(here, "bin/nginx"):   "bin/nginx -p . -e stderr -c nginx.conf",
		filepath.Join(here, "../bin/weir"): filepath.Join(here, "../bin/weir") + " -p . -e stderr -c nginx.conf",
		"/usr/sbin/nginx":                  "/usr/sbin/nginx -p . -e stderr -c nginx.conf",
	} {
		if got := nginx().command(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := (balancer{args: []string{"{{.Ports.stats}}"}}).command("/opt/mine"); got != "/opt/mine" {
		t.Errorf("what is not known yet is shown as %q", got)
	}
}

func TestRenderRefusesWhatASiteLacks(t *testing.T) {
	for _, text := range []string{"{{.Nothing}}", "{{"} {
		if _, err := render(text, site{}); err == nil {
			t.Errorf("%q is rendered", text)
		}
	}
}

// A program that fails says why in its log, and the error repeats it.
func TestStartExplainsAFailure(t *testing.T) {
	b := balancer{name: "broken", binary: "/bin/sh", args: []string{"-c", "echo unknown directive in line 7 >&2; exit 1"}}
	_, err := b.start(t.Context(), b.binary, b.args, example(t, relay), -1)
	if err == nil || !strings.Contains(err.Error(), "unknown directive in line 7") {
		t.Errorf("error %v", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := balancer{name: "mute", binary: "/bin/sh", args: []string{"-c", "exec tail -f /dev/null"}}
	if _, err := b.start(ctx, b.binary, b.args, example(t, relay), -1); err == nil {
		t.Error("no error")
	}
	onlySelfIsLeft(t)
}

func TestFreeAddr(t *testing.T) {
	addr, err := freeAddr("tcp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := free("tcp", addr); err == nil {
		t.Errorf("%s is free while somebody listens", addr)
	}
}

// An address of UDP is free before somebody is bound to it, and bound after.
func TestBound(t *testing.T) {
	addr, err := freeAddr("udp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := bound(addr); err == nil {
		t.Errorf("%s is bound already", addr)
	}
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := bound(addr); err != nil {
		t.Error(err)
	}
	if err := free("udp", addr); err == nil {
		t.Errorf("%s is free while somebody listens", addr)
	}
	if err := bound("nowhere"); err == nil {
		t.Error("no error for what is no address")
	}
}
