package config

import "fmt"

// joinable are the sections whose members are maps of names themselves, so
// that two files may each hold some of the names.
var joinable = map[string]bool{"tcp": true, "udp": true, "http": true, "tls": true}

// join adds the entries of src, the tree of another file, to dst. A name that
// both have is a problem: no file wins over another.
func join(dst, src *node) Problems {
	var problems Problems
	dst.again = append(dst.again, src.again...)
	for _, e := range src.entries {
		problems = append(problems, joinEntry(path{}, dst, e)...)
	}
	return problems
}

func joinEntry(p path, dst *node, e entry) Problems {
	here := p.key(e.key)
	i, found := dst.index[e.key]
	if !found {
		dst.put(e)
		return nil
	}
	first := &dst.entries[i]
	switch {
	case here.text == "tls.certificates" && first.value.kind == list && e.value.kind == list:
		first.value.items = append(first.value.items, e.value.items...)
		return nil
	case (p.text == "" || joinable[p.text]) && first.value.kind == mapping && e.value.kind == mapping:
		var problems Problems
		first.value.again = append(first.value.again, e.value.again...)
		for _, inner := range e.value.entries {
			problems = append(problems, joinEntry(here, first.value, inner)...)
		}
		return problems
	}
	return Problems{{
		File: e.pos.file, Line: e.pos.line, Col: e.pos.col, Path: here.text,
		Message: fmt.Sprintf("defined twice, first at %s:%d:%d", first.pos.file, first.pos.line, first.pos.col),
	}}
}
