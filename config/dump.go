package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Dump returns the effective configuration as YAML: defaults, environment and
// flags applied. A value that is zero and would be without the key is left
// out. Loading the dump gives an equal Config.
func (c *Config) Dump() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(c.tree()); err != nil {
		return nil, fmt.Errorf("dump configuration: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("dump configuration: %w", err)
	}
	return out.Bytes(), nil
}

// tree is what Dump writes.
func (c *Config) tree() *yaml.Node {
	root := language{}.yamlOf(reflect.ValueOf(c).Elem())
	for name, e := range c.EntryPoints {
		if e.Listen().Network == "udp" {
			for key := range tcpKeys {
				without(root, append([]string{"entryPoints", name}, strings.Split(key, ".")...))
			}
		}
	}
	return root
}

// without takes the value at the end of the keys out of a mapping.
func without(n *yaml.Node, keys []string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch {
		case n.Content[i].Value != keys[0]:
		case len(keys) == 1:
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		default:
			without(n.Content[i+1], keys[1:])
		}
	}
}

// yamlOf returns v as a YAML node.
func (l language) yamlOf(v reflect.Value) *yaml.Node {
	switch {
	case v.Type() == durationType:
		return yamlText(v.Interface().(Duration).String())
	case v.Type() == prefixType:
		return yamlText(v.Interface().(netip.Prefix).String())
	case v.Type() == freeType:
		return yamlFree(v.String())
	case v.Type() == shareType:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: v.Interface().(Share).String()}
	case v.Type() == statusType:
		return yamlText(v.Interface().(StatusRange).String())
	}
	switch v.Kind() {
	case reflect.Pointer:
		return l.yamlOf(v.Elem())
	case reflect.Struct:
		return l.yamlStruct(v)
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range sortedNames(v) {
			n.Content = append(n.Content, yamlText(name), l.yamlOf(v.MapIndex(reflect.ValueOf(name))))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, l.yamlOf(v.Index(i)))
		}
		return n
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	}
	return yamlText(v.String())
}

// yamlFree returns JSON as YAML, which it is.
func yamlFree(text string) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil || len(n.Content) != 1 {
		return yamlText(text) // it was made by encoding/json, which makes no such thing
	}
	return n.Content[0]
}

// yamlText quotes whatever is not plainly one line of ASCII, rather than trust
// block styles with blanks at the ends of lines and characters nobody sees.
func yamlText(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func (l language) yamlStruct(v reflect.Value) *yaml.Node {
	if scalar, object, ok := arms(v.Type()); ok {
		if arm := v.Field(object.index); !arm.IsNil() {
			return l.yamlOf(arm)
		}
		return l.yamlOf(v.Field(scalar.index))
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	usual := l.defaulted(v.Type())
	for _, f := range l.keysOf(v.Type()) {
		value := v.Field(f.index)
		if isEmpty(value) && isEmpty(usual.Field(f.index)) {
			continue
		}
		n.Content = append(n.Content, yamlText(f.key), l.yamlOf(value))
	}
	return n
}

// isEmpty reports whether a value says nothing. A pointer to an empty object
// does say something: that the object is there. So does an empty list where
// none would be another one.
func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// sortedNames returns the keys of a map by name.
func sortedNames(v reflect.Value) []string {
	names := make(map[string]struct{}, v.Len())
	for _, key := range v.MapKeys() {
		names[key.String()] = struct{}{}
	}
	return sortedKeys(names)
}
