package config

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, made
// from the types the decoder fills. It cannot say everything the loader
// checks: references between names, clashes of ports and the rule language are
// beyond it.
func Schema() ([]byte, error) {
	s := &schemas{defs: map[string]any{}}
	root := s.object(reflect.TypeFor[Config]())
	for key, property := range root["properties"].(map[string]any) {
		if _, ok := notServed[key]; ok {
			property := property.(map[string]any)
			property["description"] = fmt.Sprint(property["description"], " (", notServedMessage, ")")
		}
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "weir configuration"
	root["minProperties"] = 1
	root["$defs"] = s.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(out, '\n'), nil
}

// schemas collects the definitions of the struct types by their Go names.
type schemas struct{ defs map[string]any }

// of returns the schema of a type.
func (s *schemas) of(t reflect.Type, f field) map[string]any {
	switch {
	case t == durationType:
		return durationSchema(f)
	case t == freeType:
		return map[string]any{"type": "object"}
	case t == shareType:
		return map[string]any{"type": "number", "minimum": 0, "maximum": 1}
	case t == prefixType:
		return map[string]any{"type": "string", "minLength": 1}
	case t == statusType:
		return map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": `^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`},
			map[string]any{"type": "integer", "minimum": 100, "maximum": 599},
		}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), f)
	case reflect.Struct:
		return s.reference(t)
	case reflect.Map:
		names := map[string]any{"minLength": 1, "maxLength": 255}
		if isNamed(t) {
			names["pattern"] = "^[^@]*$"
		}
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem(), field{}), "propertyNames": names}
	case reflect.Slice:
		return s.list(t, f)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return intSchema(f)
	}
	return stringSchema(f)
}

// list returns the schema of a list, which may be that of its only object too.
func (s *schemas) list(t reflect.Type, f field) map[string]any {
	out := map[string]any{"type": "array", "items": s.of(t.Elem(), field{need: true})}
	if f.need {
		out["minItems"] = 1
	}
	if f.lone {
		return map[string]any{"anyOf": []any{s.of(t.Elem(), field{need: true}), out}}
	}
	return out
}

func stringSchema(f field) map[string]any {
	out := map[string]any{"type": "string"}
	if f.enum != nil {
		out["enum"] = f.enum
	} else if f.need {
		out["minLength"] = 1
	}
	return out
}

func intSchema(f field) map[string]any {
	out := map[string]any{"type": "integer"}
	if f.min != nil {
		out["minimum"] = *f.min
	}
	if f.max != nil {
		out["maximum"] = *f.max
	}
	if f.quoted {
		return map[string]any{"anyOf": []any{out, map[string]any{"type": "string", "pattern": `^[-+]?[0-9]+$`}}}
	}
	return out
}

// durationSchema cannot hold the text against the bound; it can hold seconds.
func durationSchema(f field) map[string]any {
	seconds := map[string]any{"type": "integer", "minimum": 0}
	sign := "+"
	switch {
	case f.min != nil && *f.min > 0:
		seconds["minimum"] = 1
	case f.min != nil && *f.min < 0:
		delete(seconds, "minimum")
		sign = "+-"
	}
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": `^[` + sign + `]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`},
		seconds,
	}}
}

// reference defines a struct type once and refers to it.
func (s *schemas) reference(t reflect.Type) map[string]any {
	ref := map[string]any{"$ref": "#/$defs/" + t.Name()}
	if _, ok := s.defs[t.Name()]; ok {
		return ref
	}
	s.defs[t.Name()] = nil // entered, for types that hold themselves
	if scalar, object, ok := arms(t); ok {
		s.defs[t.Name()] = map[string]any{"anyOf": []any{
			described(s.of(scalar.typ, scalar), scalar.doc),
			s.of(object.typ, object),
		}}
		return ref
	}
	s.defs[t.Name()] = s.object(t)
	return ref
}

// object returns the schema of a struct type's object.
func (s *schemas) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var required []string
	usual := language{}.defaulted(t)
	for _, f := range keysOf(t) {
		property := described(s.of(f.typ, f), f.doc)
		if value := usual.Field(f.index); !value.IsZero() && isScalar(f.typ) {
			property["default"] = shown(value)
		} else if f.usual != "" {
			property["default"] = json.RawMessage(f.usual)
		} else if f.need {
			required = append(required, f.key)
		}
		properties[f.key] = property
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		out["required"] = required
	}
	return out
}

func described(schema map[string]any, doc string) map[string]any {
	if doc != "" {
		schema["description"] = doc
	}
	return schema
}

func isScalar(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() == reflect.Bool || t.Kind() == reflect.Int || t == durationType || t == shareType
}

// shown returns a default as the file would have it.
func shown(v reflect.Value) any {
	if v.Type() == durationType {
		return v.Interface().(Duration).String()
	}
	return v.Interface()
}
