package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProblems(t *testing.T) {
	tests := []struct {
		name     string
		file     string // x.yaml where empty
		document string
		want     []string
	}{
		{name: "empty", document: "", want: []string{`x.yaml:1:1: the document is empty`}},
		{name: "blank", document: "\n \n", want: []string{`x.yaml:1:1: the document is empty`}},
		{name: "comment only", document: "# nothing\n", want: []string{`x.yaml:1:1: the document is empty`}},
		{name: "null", document: "~\n", want: []string{`x.yaml:1:1: the document is empty`}},
		{name: "empty map", document: "{}\n", want: []string{`x.yaml:1:1: the document is empty`}},
		{name: "a list", document: "- a\n", want: []string{`x.yaml:1:1: expected a map of sections, found a list`}},
		{name: "second document", document: "log: {level: info}\n---\nlog: {level: warn}\n",
			want: []string{`x.yaml:3:1: a second YAML document starts here; a file holds one`}},
		{name: "duplicate key", document: "log:\n  level: info\n  level: warn\n",
			want: []string{`x.yaml:3:3: log.level: duplicate key, first given on line 2`}},
		{name: "a duplicate key hides nothing", document: "log: {level: info, level: warn, formt: text}\n", want: []string{
			`x.yaml:1:20: log.level: duplicate key, first given on line 1`,
			`x.yaml:1:33: log.formt: unknown key (did you mean "format"?)`}},
		{name: "two duplicate keys", document: "log: {level: info, level: warn}\nadmin: {}\nadmin: {}\n", want: []string{
			`x.yaml:1:20: log.level: duplicate key, first given on line 1`,
			`x.yaml:3:1: admin: duplicate key, first given on line 2`}},
		{name: "not YAML", document: "log: {level: info\n", want: []string{`x.yaml:1:1: not YAML: did not find expected ',' or '}'`}},
		{name: "unknown anchor", document: "log: *nowhere\n", want: []string{`x.yaml:1:1: not YAML: unknown anchor 'nowhere' referenced`}},
		{name: "own tag", document: "log: {level: !secret info}\n", want: []string{`x.yaml:1:14: the tag !secret is not understood`}},
		{name: "not UTF-8", document: "log: {level: \"\xff\"}\n", want: []string{`x.yaml:1:15: not UTF-8 text`}},
		{name: "unknown extension", file: "x.conf", document: "log: {}", want: []string{
			`x.conf:1:1: not a name weir reads: it ends in neither .yaml, .yml, .toml nor .json`}},
		{name: "unknown section", document: "entrypoints: {}\n", want: []string{`x.yaml:1:1: entrypoints: unknown key (did you mean "entryPoints"?)`}},
		{name: "unknown key", document: "log:\n  levle: info\n", want: []string{`x.yaml:2:3: log.levle: unknown key (did you mean "level"?)`}},
		{name: "far from every key", document: "log: {zzzzzzz: 1}\n", want: []string{`x.yaml:1:7: log.zzzzzzz: unknown key (known here: level, format)`}},
		{name: "wrong types", document: "log: info\nadmin: [a]\nengine: {loops: many, maxConnections: \"5\"}\nentryPoints: {a: {address: 80, asDefault: maybe}}\n", want: []string{
			`x.yaml:1:6: log: expected a map, found the text "info"`,
			`x.yaml:2:8: admin: expected a map, found a list`,
			`x.yaml:3:17: engine.loops: expected a whole number, found the text "many"`,
			`x.yaml:3:39: engine.maxConnections: expected a whole number, found the text "5" (remove the quotes)`,
			`x.yaml:4:28: entryPoints.a.address: expected text, found the number 80 (put it in quotes)`,
			`x.yaml:4:43: entryPoints.a.asDefault: expected true or false, found the text "maybe"`}},
		{name: "nothing where something belongs", document: "tcp:\nlog:\n  level:\n", want: []string{
			`x.yaml:1:5: tcp: expected a map, found nothing (remove the key, or write {} for the defaults)`,
			`x.yaml:3:9: log.level: expected text, found nothing (remove the key, or give it a value)`}},
		{name: "bounds", document: "engine: {loops: -1, maxConnections: 99999999999999999999}\n", want: []string{
			`x.yaml:1:17: engine.loops: -1 is less than 0, the least there may be`,
			`x.yaml:1:37: engine.maxConnections: the number 99999999999999999999 is out of range`}},
		{name: "octal", document: "engine: {loops: 010}\n", want: []string{
			`x.yaml:1:17: engine.loops: the number 010 starts with a zero (some readers take it as octal; remove the zero)`}},
		{name: "words", document: "log: {level: inof, format: xml}\n", want: []string{
			`x.yaml:1:14: log.level: unknown value "inof" (did you mean "info"?)`,
			`x.yaml:1:28: log.format: unknown value "xml" (one of text, json)`}},
		{name: "aliases that explode", document: explosive(), want: []string{`x.yaml:1:17: nested too deeply, or aliases that repeat too much`}},
		{name: "deep", document: "log: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), want: []string{`x.yaml:1:70: nested too deeply, or aliases that repeat too much`}},
		{name: "merge of a scalar", document: "log: {<<: 5}\n", want: []string{`x.yaml:1:11: << takes a map or a list of maps, found the number 5`}},

		{name: "JSON cut short", file: "x.json", document: `{"log": {"level": "info"`, want: []string{`x.json:1:25: not JSON: the document ends too early`}},
		{name: "JSON with a comma", file: "x.json", document: "{\n\t\"log\": {},\n}", want: []string{`x.json:3:1: not JSON: invalid character '}' looking for beginning of object key string`}},
		{name: "JSON twice", file: "x.json", document: "{\"log\": {}}\n{}", want: []string{`x.json:2:1: something follows the document`}},
		{name: "JSON duplicate key", file: "x.json", document: "{\"log\": {},\n \"log\": {}}", want: []string{`x.json:2:2: log: duplicate key, first given on line 1`}},
		{name: "JSON unknown key", file: "x.json", document: "{\n\t\"log\": {\"levle\": \"info\", \"format\": 5}\n}", want: []string{
			`x.json:2:10: log.levle: unknown key (did you mean "level"?)`,
			`x.json:2:37: log.format: expected text, found the number 5 (put it in quotes)`}},

		{name: "TOML broken", file: "x.toml", document: "[log]\nlevel = \n", want: []string{`x.toml:2:9: not TOML: incomplete number`}},
		{name: "TOML duplicate key", file: "x.toml", document: "[log]\nlevel = \"info\"\nlevel = \"warn\"\n", want: []string{`x.toml:1:1: not TOML: key level is already defined`}},
		{name: "TOML unknown key", file: "x.toml", document: "[log]\nlevle = \"info\"\n\n[[tls.certificates]]\ncertFile = 5\nkeyFile = \"k\"\n", want: []string{
			`x.toml:2:1: log.levle: unknown key (did you mean "level"?)`,
			`x.toml:5:12: tls.certificates[0].certFile: expected text, found the number 5 (put it in quotes)`}},
		{name: "TOML date", file: "x.toml", document: "log.level = 1979-05-27\n", want: []string{`x.toml:1:5: log.level: expected text, found the date 1979-05-27 (put it in quotes)`}},
		{name: "TOML deep", file: "x.toml", document: "a = " + strings.Repeat("[", 20_000), want: []string{`x.toml:1:1: nested too deeply`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file == "" {
				tt.file = "x.yaml"
			}
			cfg, err := Parse(tt.file, []byte(tt.document))
			if cfg != nil {
				t.Error("a configuration came with the error")
			}
			var got []string
			for _, p := range problemsOf(t, err) {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// explosive is a document that would grow to a billion values.
func explosive() string {
	var b strings.Builder
	b.WriteString("log: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		b.WriteString(strings.NewReplacer("N", string(rune('1'+i)), "P", string(rune('0'+i))).
			Replace("kN: &aN [*aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP]\n"))
	}
	return b.String()
}

func TestFormatsSayTheSame(t *testing.T) {
	want := mustParse(t, "a.yaml", `
log: {level: warn}
entryPoints:
  "db.Example/1": {address: ":5432", asDefault: true, maxConnections: 1_000}
tcp:
  routers:
    R: {rule: 'HostSNI("*")', service: S, tls: {}}
  services:
    S:
      loadBalancer:
        servers: [{address: "10.0.0.1:1"}, {address: "10.0.0.2:1", weight: 0}]
        slowStart: 7
tls:
  certificates: [{certFile: c, keyFile: k}]
`)
	same := map[string]string{
		"b.json": "\xef\xbb\xbf" + `{
	"log": {"level": "warn"},
	"entryPoints": {"db.Example\/1": {"address": ":5432", "asDefault": true, "maxConnections": 1000}},
	"tcp": {
		"routers": {"R": {"rule": "HostSNI(\"*\")", "service": "S", "tls": {}}},
		"services": {"S": {"loadBalancer": {"servers": [{"address": "10.0.0.1:1"}, {"address": "10.0.0.2:1", "weight": 0}], "slowStart": "7s"}}}
	},
	"tls": {"certificates": [{"certFile": "c", "keyFile": "k"}]}
}`,
		"c.toml": `
log.level = "warn"
[entryPoints."db.Example/1"]
address = ":5432"
asDefault = true
maxConnections = 1_000
[tcp.routers.R]
rule = 'HostSNI("*")'
service = "S"
[tcp.routers.R.tls]
[tcp.services.S.loadBalancer]
slowStart = 7
[[tcp.services.S.loadBalancer.servers]]
address = "10.0.0.1:1"
[[tcp.services.S.loadBalancer.servers]]
address = "10.0.0.2:1"
weight = 0
[[tls.certificates]]
certFile = "c"
keyFile = "k"
`,
		"noextension": `
log: {level: warn}
entryPoints: {db.Example/1: {address: ":5432", asDefault: true, maxConnections: 1000}}
tcp:
  routers: {R: &r {<<: [{service: X, rule: 'HostSNI("*")'}, {tls: {}}], service: S}}
  services: {S: {loadBalancer: {slowStart: 7s, servers: [&s {address: "10.0.0.1:1"}, {<<: *s, address: "10.0.0.2:1", weight: 0}]}}}
tls: {certificates: [{certFile: c, keyFile: k}]}
`,
	}
	for name, document := range same {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, mustParse(t, name, document), sameConfig); diff != "" {
				t.Errorf("differs from YAML (-yaml +this):\n%s", diff)
			}
		})
	}
}

func TestPosition(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `log: { level: warn }
entryPoints:
  web.site:
    address: ":80"
tcp:
  services:
    a:
      loadBalancer:
        servers:
          - address: "10.0.0.1:1"
          - { address: "10.0.0.2:1", weight: 3 }
`)
	tests := []struct {
		name, path string
		line, col  int
	}{
		{"a value", "log.level", 1, 15},
		{"a name with a dot", "entryPoints.web.site", 3, 3},
		{"a value behind it", "entryPoints.web.site.address", 4, 14},
		{"an element", "tcp.services.a.loadBalancer.servers[0]", 10, 13},
		{"a value in an element", "tcp.services.a.loadBalancer.servers[1].weight", 11, 46},
		{"a default", "tcp.services.a.loadBalancer.connect.timeout", 8, 7},
		{"a default of an element", "tcp.services.a.loadBalancer.servers[0].weight", 10, 13},
		{"nothing known", "no.such.thing", 1, 1},
		{"the document", "", 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, line, col := cfg.Position(tt.path)
			if file != "x.yaml" || line != tt.line || col != tt.col {
				t.Errorf("Position(%q) = %s:%d:%d, want x.yaml:%d:%d", tt.path, file, line, col, tt.line, tt.col)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	ends := []string{".yaml", ".toml", ".json"}
	for _, example := range examples(f) {
		f.Add(byte(slices.Index(ends, filepath.Ext(example.name))), example.data)
	}
	f.Add(byte(1), []byte("[tcp.routers.R]\nrule = 'HostSNI(`*`)'\n[[tls.certificates]]\ncertFile = \"c\"\n"))
	f.Add(byte(2), []byte(`{"log": {"level": "info"}, "udp": {}}`))
	f.Add(byte(0), []byte("log: &l {level: info}\nadmin: {<<: *l}\n---\n"))
	f.Add(byte(0), []byte("entryPoints: {a: {address: ':80'}}\ntcp: {services: {w: {weighted: {services: [{name: w}]}}}}"))
	f.Fuzz(func(t *testing.T, format byte, data []byte) {
		name := "x" + ends[int(format)%len(ends)]
		cfg, err := Parse(name, data)
		if err != nil {
			lines := 1
			for _, c := range string(data) {
				if strings.ContainsRune("\n\r\u0085\u2028\u2029", c) { // line breaks to YAML, all of them
					lines++
				}
			}
			for _, p := range problemsOf(t, err) {
				if p.File != name || p.Line < 1 || p.Line > lines+1 || p.Col < 1 || p.Message == "" {
					t.Fatalf("a problem without a place in %d lines: %+v", lines, p)
				}
			}
			return
		}
		dump, err := cfg.Dump()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("dump.yaml", dump)
		if err != nil {
			t.Fatalf("the dump is not valid: %v\n%s", err, dump)
		}
		if diff := cmp.Diff(cfg, again, sameConfig); diff != "" {
			t.Fatalf("the dump says something else (-was +dump):\n%s", diff)
		}
	})
}
