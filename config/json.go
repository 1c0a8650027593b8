package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// jsonReader walks a JSON document token by token. YAML's parser would take
// most of JSON too, but not tabs and not every escape, and it would take much
// that is not JSON.
type jsonReader struct {
	*builder
	dec *json.Decoder
}

func (b *builder) json() *node {
	r := &jsonReader{b, json.NewDecoder(bytes.NewReader(b.data))}
	r.dec.UseNumber()
	root := r.next(0)
	if root == nil {
		return nil
	}
	after := r.here()
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		r.report(after, "something follows the document")
		return nil
	}
	return root
}

// here returns where the next token starts.
func (r *jsonReader) here() position {
	at := int(r.dec.InputOffset())
	at += len(r.data[at:]) - len(bytes.TrimLeft(r.data[at:], " \t\r\n,:"))
	return r.locate(at)
}

// next reads one value. It returns nil after a problem, and nothing more can
// be read then.
func (r *jsonReader) next(depth int) *node {
	n := &node{pos: r.here()}
	token, err := r.dec.Token()
	switch {
	case err != nil:
		r.failed(err)
		return nil
	case depth > maxDepth:
		r.report(n.pos, "nested too deeply")
		return nil
	}
	switch t := token.(type) {
	case json.Delim:
		return r.container(n, t, depth)
	case string:
		n.kind, n.value = text, t
	case json.Number:
		n.kind, n.value = integer, t.String()
		if strings.ContainsAny(n.value, ".eE") {
			n.kind = float
		}
	case bool:
		n.kind, n.value = boolean, "false"
		if t {
			n.value = "true"
		}
	}
	return n
}

func (r *jsonReader) container(n *node, open json.Delim, depth int) *node {
	n.kind = list
	if open == '{' {
		n.kind = mapping
	}
	for r.dec.More() {
		e := entry{pos: r.here()}
		if n.kind == mapping {
			token, err := r.dec.Token()
			if err != nil {
				r.failed(err)
				return nil
			}
			e.key, _ = token.(string)
		}
		if e.value = r.next(depth + 1); e.value == nil {
			return nil
		}
		if n.kind == mapping {
			n.add(e)
		} else {
			n.items = append(n.items, e.value)
		}
	}
	if _, err := r.dec.Token(); err != nil {
		r.failed(err)
		return nil
	}
	return n
}

func (r *jsonReader) failed(err error) {
	at, message := len(r.data), err.Error()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		at = int(syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		message = "the document ends too early"
	}
	r.report(r.locate(at), "not JSON: %s", message)
}
