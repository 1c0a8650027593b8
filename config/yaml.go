package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yaml turns a YAML document into a tree. yaml.v3 parses; anchors, merge keys
// and duplicate keys are dealt with here, where positions are known.
func (b *builder) yaml() *node {
	dec := yaml.NewDecoder(bytes.NewReader(b.data))
	var first, second yaml.Node
	if err := dec.Decode(&first); err != nil {
		if !errors.Is(err, io.EOF) {
			b.yamlError(err)
		}
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		at := &second
		if len(second.Content) > 0 {
			at = second.Content[0]
		}
		b.report(position{b.file, max(at.Line, 1), max(at.Column, 1)}, "a second YAML document starts here; a file holds one")
		return nil
	case !errors.Is(err, io.EOF):
		b.yamlError(err)
		return nil
	}
	if len(first.Content) == 0 {
		return nil
	}
	return b.yamlNode(first.Content[0], 0, false)
}

// yamlErrorLine finds the line in the parser's message, the only place it
// gives it.
var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)

func (b *builder) yamlError(err error) {
	line, message := 1, err.Error()
	if m := yamlErrorLine.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			line = n
		}
	}
	b.report(position{b.file, line, 1}, "not YAML: %s", strings.ReplaceAll(message, "\n", " "))
}

// yamlNode converts a node. aliased says that it is reached through an alias,
// which is what a small file can grow without bound by.
func (b *builder) yamlNode(y *yaml.Node, depth int, aliased bool) *node {
	n := &node{pos: position{b.file, max(y.Line, 1), max(y.Column, 1)}}
	if aliased {
		b.aliased++
	}
	if depth > maxDepth || b.aliased > maxAliased {
		if len(b.problems) == 0 {
			b.report(n.pos, "nested too deeply, or aliases that repeat too much")
		}
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		return b.yamlNode(y.Alias, depth+1, true)
	case yaml.SequenceNode:
		n.kind = list
		for _, item := range y.Content {
			n.items = append(n.items, b.yamlNode(item, depth+1, aliased))
		}
	case yaml.MappingNode:
		n.kind = mapping
		b.yamlEntries(n, y, depth, aliased)
	case yaml.ScalarNode:
		b.yamlScalar(n, y)
	}
	return n
}

// yamlEntries fills a mapping: its own keys first, then those a merge key
// brings in and it does not have.
func (b *builder) yamlEntries(n *node, y *yaml.Node, depth int, aliased bool) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		pos := position{b.file, max(key.Line, 1), max(key.Column, 1)}
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			b.report(pos, "expected a key")
		default:
			n.add(entry{key.Value, pos, b.yamlNode(value, depth+1, aliased)})
		}
	}
	for _, m := range merges {
		b.yamlMerge(n, m, depth)
	}
}

func (b *builder) yamlMerge(n *node, y *yaml.Node, depth int) {
	sources := []*node{b.yamlNode(y, depth+1, true)}
	if sources[0].kind == list {
		sources = sources[0].items
	}
	for _, source := range sources {
		if source.kind != mapping {
			b.report(source.pos, "<< takes a map or a list of maps, found %s", source.describe())
			continue
		}
		for _, e := range source.entries {
			if n.get(e.key) == nil {
				n.put(e)
			}
		}
	}
}

func (b *builder) yamlScalar(n *node, y *yaml.Node) {
	n.value = y.Value
	switch tag := y.ShortTag(); tag {
	case "!!str":
		n.kind = text
	case "!!int":
		n.kind = integer
	case "!!float":
		n.kind = float
		if strings.Trim(y.Value, "0123456789") == "" {
			n.kind = integer // too long for the parser, not for the message
		}
	case "!!bool":
		n.kind = boolean
	case "!!timestamp":
		n.kind = moment
	case "!!null":
		n.kind = null
	case "!!merge":
		n.kind = text
	default:
		b.report(n.pos, "the tag %s is not understood", abbreviated(tag))
	}
}
