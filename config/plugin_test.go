package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFreeMaps: what stands below plugin comes to whoever knows it, whatever language it was written in, and through a dump.
func TestFreeMaps(t *testing.T) {
	want := map[string]Free{"tenant": `{"a":{"b":[1,2.5,true,null,"x",{}]},"big":9007199254740993,"d":"2026-11-26","empty":[],"hex":16,"t":"yes"}`}
	for name, document := range map[string]string{
		"x.yaml": "http: { middlewares: { m: { plugin: { tenant: { t: 'yes', hex: 0x10, a: { b: [1, 2.5, true, null, x, {}] }, empty: [], d: 2026-11-26, big: 9007199254740993 } } } } }\n" +
			"entryPoints: { web: { address: ':80' } }",
		"x.json": `{"entryPoints": {"web": {"address": ":80"}}, "http": {"middlewares": {"m": {"plugin": {"tenant":
			{"t": "yes", "hex": 16, "a": {"b": [1, 2.5, true, null, "x", {}]}, "empty": [], "d": "2026-11-26", "big": 9007199254740993}}}}}}`,
	} {
		cfg := mustParse(t, name, document)
		if diff := cmp.Diff(want, cfg.HTTP.Middlewares["m"].Plugin); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		dump, err := cfg.Dump()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, mustParse(t, "dump.yaml", string(dump)).HTTP.Middlewares["m"].Plugin); diff != "" {
			t.Errorf("%s by way of a dump (-want +got):\n%s", name, diff)
		}
	}
}

func TestFreeMapsProblems(t *testing.T) {
	for text, want := range map[string]string{
		"{ tenant: 5 }":                    "http.middlewares.m.plugin.tenant: expected a map, found the number 5",
		"{ tenant: [] }":                   "http.middlewares.m.plugin.tenant: expected a map, found a list",
		"{ a: {}, b: {} }":                 "http.middlewares.m.plugin: has 2 kinds (write one",
		"{}":                               "http.middlewares.m: is empty",
		"{ tenant: { a: { b: [.inf] } } }": "http.middlewares.m.plugin.tenant.a.b[0]: the number .inf cannot be passed on",
		"{ tenant: { a: 1, a: 2 } }":       "http.middlewares.m.plugin.tenant.a: duplicate key",
	} {
		_, err := Parse("x.yaml", []byte("entryPoints: { web: { address: ':80' } }\nhttp: { middlewares: { m: { plugin: "+text+" } } }"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives\n%v\nwant %q", text, err, want)
		}
	}
}
