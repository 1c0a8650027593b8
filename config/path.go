package config

import "strconv"

// path is where a value stands in the language: text for people, with the
// names they gave, and shape for tables, with * for every name and [] for
// every index.
type path struct{ text, shape string }

func (p path) key(k string) path {
	return path{joined(p.text, k), joined(p.shape, k)}
}

func (p path) name(n string) path {
	return path{joined(p.text, n), joined(p.shape, "*")}
}

func (p path) item(i int) path {
	return path{p.text + "[" + strconv.Itoa(i) + "]", p.shape + "[]"}
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}
