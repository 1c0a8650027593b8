package config

import (
	"fmt"
	"sort"
	"unicode/utf8"
)

// kind is what a node of the document tree is.
type kind uint8

const (
	null kind = iota
	text
	integer
	float
	boolean
	moment // a TOML or YAML date or time, which no key takes
	list
	mapping
)

// node is one value of a document, whatever language it was written in.
type node struct {
	kind    kind
	pos     position
	value   string  // of a scalar, as it is meant: unquoted, escapes resolved
	items   []*node // of a list
	entries []entry // of a mapping, in the order of the file, no key twice

	index map[string]int // where in entries each key is
	again []entry        // what was given for keys that were there already; it counts for nothing
}

// entry is one key of a mapping.
type entry struct {
	key   string
	pos   position // of the key
	value *node
}

// get returns the value of a key, nil where there is none.
func (n *node) get(key string) *node {
	if i, ok := n.index[key]; ok {
		return n.entries[i].value
	}
	return nil
}

// put adds an entry whose key is not there yet.
func (n *node) put(e entry) {
	if n.index == nil {
		n.index = make(map[string]int)
	}
	n.index[e.key] = len(n.entries)
	n.entries = append(n.entries, e)
}

// at returns where a problem with the entry is best shown: a value on its
// own line, a list or mapping at its key.
func (e *entry) at() position {
	if e.value.kind == list || e.value.kind == mapping || e.value.pos.line == 0 {
		return e.pos
	}
	return e.value.pos
}

// describe names what was found where something else was expected.
func (n *node) describe() string {
	switch n.kind {
	case text:
		return fmt.Sprintf("the text %q", abbreviated(n.value))
	case integer, float:
		return "the number " + abbreviated(n.value)
	case boolean:
		return n.value
	case moment:
		return "the date " + abbreviated(n.value)
	case list:
		return "a list"
	case mapping:
		return "a map"
	}
	return "nothing"
}

// abbreviated keeps a value's beginning, so that no error line is longer than
// a person reads.
func abbreviated(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// Bounds of one document. They are far above any real configuration and keep a
// hostile or broken file from taking the process with it.
const (
	maxDocument = 16 << 20 // bytes
	maxDepth    = 64       // of nesting; the language needs 9
	maxAliased  = 100_000  // nodes made by YAML aliases
)

// builder collects what goes wrong while one document becomes a tree.
type builder struct {
	file     string
	data     []byte
	lines    []int // offsets where lines start
	problems Problems
	aliased  int
}

func newBuilder(file string, data []byte) *builder {
	b := &builder{file: file, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			b.lines = append(b.lines, i+1)
		}
	}
	return b
}

// locate turns a byte offset into a line and a column counted in characters.
func (b *builder) locate(offset int) position {
	offset = min(max(offset, 0), len(b.data))
	line := sort.SearchInts(b.lines, offset+1) // lines that start at or before offset
	return position{b.file, line, 1 + utf8.RuneCount(b.data[b.lines[line-1]:offset])}
}

func (b *builder) report(p position, format string, args ...any) {
	b.problems = append(b.problems, Problem{
		File: p.file, Line: p.line, Col: p.col, Message: fmt.Sprintf(format, args...),
	})
}

// add puts an entry into a mapping. A key that is there already is left for the decoder to report, which knows its path.
func (n *node) add(e entry) {
	if _, ok := n.index[e.key]; ok {
		n.again = append(n.again, e)
		return
	}
	n.put(e)
}
