package config

import (
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// tomlReader builds the tree from go-toml's syntax tree, the only view of a
// document of that library that has positions.
type tomlReader struct {
	*builder
	parser unstable.Parser
}

func (b *builder) toml() *node {
	if deeplyBracketed(b.data) {
		b.report(position{b.file, 1, 1}, "nested too deeply")
		return nil
	}
	// Unmarshal first: it alone knows which tables a document may define twice.
	var whole map[string]any
	if err := toml.Unmarshal(b.data, &whole); err != nil {
		b.tomlError(err)
		return nil
	}
	r := &tomlReader{builder: b}
	r.parser.Reset(b.data)
	root := &node{kind: mapping, pos: position{b.file, 1, 1}}
	table := root
	for r.parser.NextExpression() {
		expr := r.parser.Expression()
		switch expr.Kind {
		case unstable.Table, unstable.ArrayTable:
			if table = r.table(root, expr); table == nil {
				return nil
			}
		case unstable.KeyValue:
			r.keyValue(table, expr, 0)
		}
	}
	if err := r.parser.Error(); err != nil {
		b.tomlError(err)
	}
	return root
}

// deeplyBracketed refuses what would take the recursive parser beyond its
// stack. Brackets inside strings count too: real files balance those.
func deeplyBracketed(data []byte) bool {
	const most = 10_000
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if depth > most {
			return true
		}
	}
	return false
}

func (b *builder) tomlError(err error) {
	at := position{b.file, 1, 1}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, col := decode.Position()
		at = position{b.file, max(line, 1), max(col, 1)}
	}
	b.report(at, "not TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
}

func (r *tomlReader) at(raw unstable.Range) position {
	return r.locate(int(raw.Offset))
}

// table finds or makes the table a header names. In an array of tables it is
// the last element, and for a [[header]] a new one.
func (r *tomlReader) table(root *node, expr *unstable.Node) *node {
	here, depth := root, 0
	for it := expr.Key(); it.Next(); depth++ {
		key := it.Node()
		pos := r.at(key.Raw)
		if depth > maxDepth {
			r.report(pos, "nested too deeply")
			return nil
		}
		if it.IsLast() && expr.Kind == unstable.ArrayTable {
			return r.element(here, string(key.Data), pos)
		}
		if here = r.child(here, string(key.Data), pos); here == nil {
			return nil
		}
	}
	return here
}

// child returns the table under a key, which it makes where there is none.
func (r *tomlReader) child(n *node, key string, pos position) *node {
	found := n.get(key)
	if found == nil {
		found = &node{kind: mapping, pos: pos}
		n.put(entry{key, pos, found})
	}
	if found.kind == list && len(found.items) > 0 {
		found = found.items[len(found.items)-1]
	}
	if found.kind != mapping {
		r.report(pos, "key %q is not a table", abbreviated(key))
		return nil
	}
	return found
}

// element adds an element to an array of tables.
func (r *tomlReader) element(n *node, key string, pos position) *node {
	array := n.get(key)
	if array == nil {
		array = &node{kind: list, pos: pos}
		n.put(entry{key, pos, array})
	}
	if array.kind != list {
		r.report(pos, "key %q is not an array of tables", abbreviated(key))
		return nil
	}
	item := &node{kind: mapping, pos: pos}
	array.items = append(array.items, item)
	return item
}

// keyValue adds a key, whose dots make tables, and its value.
func (r *tomlReader) keyValue(n *node, expr *unstable.Node, depth int) {
	for it := expr.Key(); it.Next(); depth++ {
		key := it.Node()
		pos := r.at(key.Raw)
		if depth > maxDepth {
			r.report(pos, "nested too deeply")
			return
		}
		if it.IsLast() {
			n.add(entry{string(key.Data), pos, r.value(expr.Value(), pos, depth)})
			return
		}
		if n = r.child(n, string(key.Data), pos); n == nil {
			return
		}
	}
}

// value converts a value. pos is that of its key, for the kinds of node that
// carry none of their own.
func (r *tomlReader) value(v *unstable.Node, pos position, depth int) *node {
	n := &node{pos: pos, value: string(v.Data)}
	if v.Raw.Length > 0 {
		n.pos = r.at(v.Raw)
	}
	if depth > maxDepth {
		r.report(n.pos, "nested too deeply")
		return n
	}
	switch v.Kind {
	case unstable.String:
		n.kind = text
	case unstable.Integer:
		n.kind = integer
	case unstable.Float:
		n.kind = float
	case unstable.Bool:
		n.kind, n.pos = boolean, r.at(r.parser.Range(v.Data))
	case unstable.Array:
		n.kind = list
		for it := v.Children(); it.Next(); {
			n.items = append(n.items, r.value(it.Node(), n.pos, depth+1))
		}
	case unstable.InlineTable:
		n.kind = mapping
		for it := v.Children(); it.Next(); {
			r.keyValue(n, it.Node(), depth+1)
		}
	default:
		n.kind = moment
	}
	return n
}
