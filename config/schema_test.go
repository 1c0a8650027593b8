package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// schemaOf returns the generated schema as a JSON tree.
func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// validator holds documents against the keywords that Schema uses. A keyword
// it does not know is a failure: a check nobody makes is worse than none.
type validator struct {
	defs   map[string]any
	faults []string
}

var annotations = []string{"$schema", "$defs", "title", "description", "default"}

func (v *validator) check(at string, schema map[string]any, n *node) {
	for _, keyword := range slices.Sorted(maps.Keys(schema)) {
		if !slices.Contains(annotations, keyword) && !v.keyword(at, keyword, schema, n) {
			v.faults = append(v.faults, at+": "+keyword)
		}
	}
}

func (v *validator) keyword(at, keyword string, schema map[string]any, n *node) bool {
	want := schema[keyword]
	switch keyword {
	case "$ref":
		v.check(at, v.defs[strings.TrimPrefix(want.(string), "#/$defs/")].(map[string]any), n)
		return true
	case "type":
		return want == "number" && n.kind == integer || want == map[kind]string{text: "string", integer: "integer", float: "number", boolean: "boolean", list: "array", mapping: "object"}[n.kind]
	case "enum":
		return slices.Contains(want.([]any), any(n.value))
	case "pattern":
		return n.kind != text || regexp.MustCompile(want.(string)).MatchString(n.value)
	case "minLength":
		return n.kind != text || utf8.RuneCountInString(n.value) >= int(want.(float64))
	case "maxLength":
		return n.kind != text || utf8.RuneCountInString(n.value) <= int(want.(float64))
	case "minimum", "maximum":
		var number float64
		if n.kind != integer && n.kind != float {
			return true
		}
		if err := json.Unmarshal([]byte(n.value), &number); err != nil {
			return false
		}
		return number == want.(float64) || number < want.(float64) == (keyword == "maximum")
	case "anyOf":
		return slices.ContainsFunc(want.([]any), func(s any) bool {
			try := &validator{defs: v.defs}
			try.check(at, s.(map[string]any), n)
			return len(try.faults) == 0
		})
	case "minItems":
		return n.kind != list || len(n.items) >= int(want.(float64))
	case "minProperties":
		return n.kind != mapping || len(n.entries) >= int(want.(float64))
	case "items":
		for i, item := range n.items {
			v.check(fmt.Sprintf("%s[%d]", at, i), want.(map[string]any), item)
		}
		return true
	case "required":
		for _, key := range want.([]any) {
			if n.kind == mapping && n.get(key.(string)) == nil {
				return false
			}
		}
		return true
	case "propertyNames":
		for _, e := range n.entries {
			v.check(at, want.(map[string]any), &node{kind: text, value: e.key})
		}
		return true
	case "properties":
		for key, s := range want.(map[string]any) {
			if value := n.get(key); value != nil {
				v.check(joined(at, key), s.(map[string]any), value)
			}
		}
		return true
	case "additionalProperties":
		known, _ := schema["properties"].(map[string]any)
		for _, e := range n.entries {
			if _, ok := known[e.key]; ok {
				continue
			}
			s, ok := want.(map[string]any)
			if !ok {
				return false
			}
			v.check(joined(at, e.key), s, e.value)
		}
		return true
	}
	return false
}

// faultsOf returns what the schema finds wrong with a document.
func faultsOf(t *testing.T, schema map[string]any, name, document string) []string {
	t.Helper()
	root, problems := parseDocument(name, []byte(document))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v := &validator{defs: schema["$defs"].(map[string]any)}
	v.check("", schema, root)
	return v.faults
}

func TestSchemaAcceptsExamples(t *testing.T) {
	schema := schemaOf(t)
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			if faults := faultsOf(t, schema, e.name, string(e.data)); len(faults) > 0 {
				t.Error(faults)
			}
			cfg := mustParse(t, e.name, string(e.data))
			dump, err := cfg.Dump()
			if err != nil {
				t.Fatal(err)
			}
			if faults := faultsOf(t, schema, "dump.yaml", string(dump)); len(faults) > 0 {
				t.Error("its dump:", faults)
			}
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := schemaOf(t)
	tests := []struct {
		name, document string
		want           []string
	}{
		{"an unknown section", `{"entrypoints": {}}`, []string{": additionalProperties"}},
		{"an unknown key", `{"log": {"levle": "info"}}`, []string{"log: additionalProperties"}},
		{"a wrong type", `{"engine": {"loops": "2"}}`, []string{"engine.loops: type"}},
		{"a wrong word", `{"log": {"level": "loud"}}`, []string{"log.level: enum"}},
		{"a missing key", `{"entryPoints": {"a": {}}}`, []string{"entryPoints.a: required"}},
		{"out of bounds", `{"engine": {"loops": -1}}`, []string{"engine.loops: minimum"}},
		{"a bad duration", `{"entryPoints": {"a": {"address": ":1", "transport": {"idleTimeout": "5 parsecs"}}}}`,
			[]string{"entryPoints.a.transport.idleTimeout: anyOf"}},
		{"an empty list", `{"tcp": {"services": {"a": {"weighted": {"services": []}}}}}`,
			[]string{"tcp.services.a.weighted.services: minItems"}},
		{"neither name nor object", `{"tcp": {"services": {"a": {"loadBalancer": {"serversTransport": 5}}}}}`,
			[]string{"tcp.services.a.loadBalancer.serversTransport: anyOf"}},
		{"a status out of bounds", `{"http": {"services": {"a": {"failover": {"service": "b", "fallback": "c", "errors": {"status": ["500-600", 99, 404, "429"]}}}}}}`,
			[]string{"http.services.a.failover.errors.status[0]: anyOf", "http.services.a.failover.errors.status[1]: anyOf"}},
		{"a quoted word for a port", `{"http": {"middlewares": {"a": {"redirectScheme": {"scheme": "http", "port": "x"}}}}}`,
			[]string{"http.middlewares.a.redirectScheme.port: anyOf"}},
		{"a negative duration", `{"entryPoints": {"a": {"address": ":1", "transport": {"idleTimeout": "-1s"}}}}`,
			[]string{"entryPoints.a.transport.idleTimeout: anyOf"}},
		{"an empty name", `{"entryPoints": {"": {"address": ":1"}}}`, []string{"entryPoints: minLength"}},
		{"a name with an @", `{"entryPoints": {"a@b": {"address": ":1"}}}`, []string{"entryPoints: pattern"}},
		{"neither an object nor a list", `{"tcp": {"services": {"a": {"loadBalancer": {"discovery": "x"}}}}}`,
			[]string{"tcp.services.a.loadBalancer.discovery: anyOf"}},
		{"a wrong object in a list", `{"tcp": {"services": {"a": {"loadBalancer": {"discovery": [{"dns": {"name": "a"}}]}}}}}`,
			[]string{"tcp.services.a.loadBalancer.discovery: anyOf"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, faultsOf(t, schema, "x.json", tt.document)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSchemaSpeaksToEditors(t *testing.T) {
	schema := schemaOf(t)
	if got := schema["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", got)
	}
	level := schema["$defs"].(map[string]any)["Log"].(map[string]any)["properties"].(map[string]any)["level"].(map[string]any)
	if level["default"] != "info" || level["description"] == "" {
		t.Errorf("log.level: %v, want a default and a description", level)
	}
	for section, property := range schema["properties"].(map[string]any) {
		description := property.(map[string]any)["description"].(string)
		if _, later := notServed[section]; later != strings.Contains(description, notServedMessage) {
			t.Errorf("%s is described as %q", section, description)
		}
	}
	for name, def := range schema["$defs"].(map[string]any) {
		if def == nil {
			t.Errorf("%s is referred to and not defined", name)
		}
	}
}
