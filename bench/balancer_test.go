package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// example is a site in a scratch directory, on ports that are free.
func example(t *testing.T) site {
	t.Helper()
	listen, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return site{
		Listen: listen, Admin: "127.0.0.1:20002", Names: sniNames,
		Origins: [2]string{"127.0.0.1:20003", "127.0.0.1:20004"},
		Dir:     t.TempDir(), MaxConn: maxConn(4000), NoFile: 4000,
	}
}

// Each rival takes the configuration of every shape as it is, without so much
// as a warning.
func TestRivalsTakeTheirConfigurations(t *testing.T) {
	for _, b := range rivalBalancers() {
		for _, sh := range []shape{relay, bySNI} {
			t.Run(b.name+" "+string(sh), func(t *testing.T) {
				path, err := b.find()
				if err != nil {
					t.Fatalf("%v; the tests need the Debian package", err)
				}
				at := example(t)
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

func TestEveryBalancerHasEveryShape(t *testing.T) {
	for _, b := range append(rivalBalancers(), weir("bin/weir")) {
		for _, sc := range scenarios() {
			if b.configs[sc.shape] == "" {
				t.Errorf("%s has no configuration for %s", b.name, sc.name)
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

// The configuration of weir says what the scenario means, in the words of its
// own language.
func TestWeirConfiguration(t *testing.T) {
	type object = map[string]any
	for _, sh := range []shape{relay, bySNI} {
		t.Run(string(sh), func(t *testing.T) {
			at := example(t)
			text, err := render(weir("").configs[sh], at)
			if err != nil {
				t.Fatal(err)
			}
			var got object
			if err := yaml.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			service := func(origin string) object {
				return object{"loadBalancer": object{"servers": []any{object{"address": origin}}}}
			}
			tcp := object{
				"routers":  object{"all": object{"entryPoints": []any{"bench"}, "rule": "HostSNI(`*`)", "service": "origin"}},
				"services": object{"origin": service(at.Origins[0])},
			}
			if sh == bySNI {
				router := func(name, service string) object {
					return object{
						"entryPoints": []any{"bench"}, "rule": "HostSNI(`" + name + "`)",
						"tls": object{"passthrough": true}, "service": service,
					}
				}
				tcp = object{
					"routers":  object{"one": router(at.Names[0], "one"), "two": router(at.Names[1], "two")},
					"services": object{"one": service(at.Origins[0]), "two": service(at.Origins[1])},
				}
			}
			want := object{
				"log":         object{"level": "warn"},
				"admin":       object{"address": at.Admin},
				"engine":      object{"loops": 1},
				"entryPoints": object{"bench": object{"address": at.Listen}},
				"tcp":         tcp,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
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
	_, err := b.start(t.Context(), b.binary, example(t), -1)
	if err == nil || !strings.Contains(err.Error(), "unknown directive in line 7") {
		t.Errorf("error %v", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := balancer{name: "mute", binary: "/bin/sh", args: []string{"-c", "exec tail -f /dev/null"}}
	if _, err := b.start(ctx, b.binary, example(t), -1); err == nil {
		t.Error("no error")
	}
	onlySelfIsLeft(t)
}

func TestFreeAddr(t *testing.T) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
