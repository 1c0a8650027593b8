package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// place is one object of the language: its Go type and where it stands.
type place struct {
	shape string
	typ   reflect.Type
}

// places returns every struct type at every place it can stand.
func places() []place {
	var out []place
	var walk func(shape string, t reflect.Type)
	walk = func(shape string, t reflect.Type) {
		switch {
		case t == prefixType || t == statusType:
		case t.Kind() == reflect.Pointer:
			walk(shape, t.Elem())
		case t.Kind() == reflect.Map:
			walk(joined(shape, "*"), t.Elem())
		case t.Kind() == reflect.Slice:
			walk(shape+"[]", t.Elem())
		case t.Kind() == reflect.Struct:
			if _, object, ok := arms(t); ok {
				walk(shape, object.typ)
				return
			}
			out = append(out, place{shape, t})
			for _, f := range keysOf(t) {
				walk(joined(shape, f.key), f.typ)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
	return out
}

// documentWith returns a JSON document that holds value at a shape and nothing
// else, with "n" for every name, and the path of the value.
func documentWith(t *testing.T, shape string, value any) (document []byte, at string) {
	t.Helper()
	at = strings.NewReplacer("*", "n", "[]", "[0]").Replace(shape)
	steps := strings.FieldsFunc(strings.ReplaceAll(at, "[", ".["), func(r rune) bool { return r == '.' })
	for _, step := range slices.Backward(steps) {
		if step == "[0]" {
			value = []any{value}
		} else {
			value = map[string]any{step: value}
		}
	}
	document, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return document, at
}

func TestEveryObjectRefusesUnknownKeys(t *testing.T) {
	all := places()
	if len(all) < 50 {
		t.Fatalf("only %d places found", len(all))
	}
	for _, p := range all {
		t.Run(p.typ.Name()+" at "+p.shape, func(t *testing.T) {
			document, at := documentWith(t, p.shape, map[string]any{"bogusKey": 1})
			_, err := Parse("x.json", document)
			want := joined(at, "bogusKey") + ": unknown key"
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s\ngives\n%v\nwant a line with %q", document, err, want)
			}
		})
	}
}

func TestEveryKeyRefusesWrongTypes(t *testing.T) {
	for _, p := range places() {
		for _, f := range keysOf(p.typ) {
			t.Run(joined(p.shape, f.key), func(t *testing.T) {
				for _, wrong := range wrongFor(f) {
					document, at := documentWith(t, joined(p.shape, f.key), wrong)
					_, err := Parse("x.json", document)
					want := at + ": expected "
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s\ngives\n%v\nwant a line with %q", document, err, want)
					}
				}
			})
		}
	}
}

// wrongFor returns values that the key does not take.
func wrongFor(f field) []any {
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		return []any{true, []any{}, map[string]any{}, nil, 1.5}
	case t == shareType:
		return []any{"0.5", true, []any{}, map[string]any{}, nil}
	case t.Kind() == reflect.String:
		return []any{5, true, []any{}, map[string]any{}, nil}
	case t.Kind() == reflect.Bool:
		return []any{5, "true", []any{}, map[string]any{}, nil}
	case f.quoted:
		return []any{"x", "", "1.5", true, 1.5, []any{}, map[string]any{}, nil}
	case t.Kind() == reflect.Int:
		return []any{"5", true, 1.5, []any{}, map[string]any{}, nil}
	case f.lone:
		return []any{5, "x", nil}
	case t.Kind() == reflect.Slice:
		return []any{5, "x", map[string]any{}, nil}
	case t.Kind() == reflect.Struct:
		if _, _, ok := arms(t); ok {
			return []any{5, []any{}, nil}
		}
	}
	return []any{5, "x", []any{}, nil}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	for _, p := range places() {
		for _, f := range keysOf(p.typ) { // panics on a bound that cannot be read
			if f.key == "" || f.doc == "" {
				t.Errorf("%s.%s: no key or no doc tag", p.typ, p.typ.Field(f.index).Name)
			}
			if last := f.doc[max(len(f.doc)-1, 0):]; last != "." && last != ")" {
				t.Errorf("%s.%s: the doc tag is no sentence: %q", p.typ, p.typ.Field(f.index).Name, f.doc)
			}
		}
	}
}

func TestEveryDefaultIsAllowed(t *testing.T) {
	for _, p := range places() {
		usual := language{}.defaulted(p.typ)
		for _, f := range keysOf(p.typ) {
			v := usual.Field(f.index)
			if v.IsZero() {
				continue
			}
			switch v.Kind() {
			case reflect.String:
				if f.enum != nil && !slices.Contains(f.enum, v.String()) {
					t.Errorf("%s: the default %q is not one of %q", joined(p.shape, f.key), v, f.enum)
				}
			case reflect.Int, reflect.Int64:
				if f.min != nil && v.Int() < *f.min || f.max != nil && v.Int() > *f.max {
					t.Errorf("%s: the default %d is out of bounds", joined(p.shape, f.key), v.Int())
				}
			}
		}
	}
}

// A line in a table that names no place in the language would silently do
// nothing.
func TestTablesNameRealPlaces(t *testing.T) {
	objects := map[string][]string{}
	for _, p := range places() {
		for _, f := range keysOf(p.typ) {
			objects[p.shape] = append(objects[p.shape], f.key)
		}
	}
	parent := func(shape string) (string, string) {
		i := strings.LastIndexByte(shape, '.')
		return shape[:max(i, 0)], shape[i+1:]
	}
	for shape := range foreign {
		bare, _, valued := strings.Cut(shape, "=")
		object, key := parent(bare)
		if keys, ok := objects[object]; !ok || slices.Contains(keys, key) != valued {
			t.Errorf("foreign[%q]: no object at %q, or the key is known after all, or its value is refused and it is not", shape, object)
		}
	}
	for shape := range notServed {
		bare, _, valued := strings.Cut(shape, "=")
		object, key := parent(bare)
		keys, ok := objects[object]
		if !ok || valued && !slices.Contains(keys, key) {
			t.Errorf("notServed[%q]: no such place", shape)
		}
	}
}

func TestUnsupportedKeysAreNamed(t *testing.T) {
	for shape := range foreign {
		t.Run(shape, func(t *testing.T) {
			bare, value, valued := strings.Cut(shape, "=")
			var written any = map[string]any{}
			said := unsupportedMessage
			if valued {
				written, said = value == "true", value+" is "+unsupportedMessage
			}
			document, at := documentWith(t, bare, written)
			_, err := Parse("x.json", document)
			if want := at + ": " + said; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s\ngives\n%v\nwant a line with %q", document, err, want)
			}
		})
	}
}

func TestNotServedIsSaid(t *testing.T) {
	for shape := range notServed {
		t.Run(shape, func(t *testing.T) {
			bare, value, valued := strings.Cut(shape, "=")
			var written any = map[string]any{}
			if valued {
				written = value
			}
			document, at := documentWith(t, bare, written)
			_, err := Parse("x.json", document)
			if err == nil {
				t.Fatalf("%s is accepted", document)
			}
			said := slices.ContainsFunc(problemsOf(t, err), func(p Problem) bool {
				return p.Path == at && strings.Contains(p.Message, notServedMessage) && p.Line == 1 && p.Col > 1
			})
			if !said {
				t.Errorf("%s\ngives\n%v\nwant a line for %s that says it is not served", document, err, at)
			}
		})
	}
}

func TestSuggestion(t *testing.T) {
	tests := []struct {
		name, written string
		candidates    []string
		want          string
	}{
		{"swap", "adress", []string{"address", "weight"}, `did you mean "address"?`},
		{"case", "ENTRYPOINTS", []string{"entryPoints"}, `did you mean "entryPoints"?`},
		{"neighbours", "levle", []string{"lever", "level"}, `did you mean "level"?`},
		{"a tie is broken by name", "b1", []string{"b3", "b2"}, `did you mean "b2"?`},
		{"part", "TLS12", []string{"VersionTLS12", "VersionTLS13"}, `did you mean "VersionTLS12"?`},
		{"part of several", "TLS1", []string{"VersionTLS12", "VersionTLS13"}, ""},
		{"too far", "orders", []string{"payments"}, ""},
		{"nothing to choose from", "x", nil, ""},
		{"long", strings.Repeat("x", 500), []string{strings.Repeat("x", 499)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := suggestion(tt.written, tt.candidates); got != tt.want {
				t.Errorf("suggestion(%q) = %s, want %s", tt.written, strconv.Quote(got), strconv.Quote(tt.want))
			}
		})
	}
}
