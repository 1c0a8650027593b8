package config

import (
	"bytes"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// formats are the languages a file may be written in, by the end of its name.
// A name without an end, such as a pipe, is YAML.
var formats = map[string]string{
	".yaml": "yaml", ".yml": "yaml", "": "yaml",
	".toml": "toml",
	".json": "json",
}

// formatOf returns the language of a file by its name, "" for one weir does
// not read.
func formatOf(name string) string {
	return formats[strings.ToLower(filepath.Ext(name))]
}

// Parse reads one document; the end of its name says whether it is YAML, TOML
// or JSON. Environment and flags play no part. The error is a [Problems].
func Parse(name string, data []byte) (*Config, error) {
	root, problems := parseDocument(name, data)
	if len(problems) > 0 {
		return nil, problems.orNil()
	}
	return finish(decodeRoot(root))
}

// parseDocument turns a document into its tree. The tree is usable only where
// there is no problem.
func parseDocument(name string, data []byte) (*node, Problems) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if problem := unreadable(name, data); problem != "" {
		return nil, Problems{{File: name, Line: 1, Col: 1, Message: problem}}
	}
	b := newBuilder(name, data)
	if at := invalidUTF8(data); at >= 0 {
		b.report(b.locate(at), "not UTF-8 text")
		return nil, b.problems
	}
	var root *node
	switch formatOf(name) {
	case "toml":
		root = b.toml()
	case "json":
		root = b.json()
	default:
		root = b.yaml()
	}
	switch {
	case len(b.problems) > 0:
	case root == nil || root.kind == null || root.kind == mapping && len(root.entries) == 0:
		b.report(position{name, 1, 1}, "the document is empty")
	case root.kind != mapping:
		b.report(root.pos, "expected a map of sections, found %s", root.describe())
	}
	return root, b.problems
}

// unreadable says why a document is not even looked at, "" where it is.
func unreadable(name string, data []byte) string {
	switch {
	case formatOf(name) == "":
		return "not a name weir reads: it ends in neither .yaml, .yml, .toml nor .json"
	case len(data) > maxDocument:
		return "longer than 16 MiB"
	case len(bytes.TrimSpace(data)) == 0:
		return "the document is empty"
	}
	return ""
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, -1 where
// all are.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}
