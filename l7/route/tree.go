package route

import (
	"bytes"
	"math"
)

// none is the rank of no route: every other is lower.
const none = math.MaxInt

// entry is a route where the index keeps it.
type entry struct {
	rank int       // its place in the order of priority; the lowest that matches wins
	left predicate // what is left of its rule there; nil = nothing: it matches
}

// first returns the rank of the first entry that matches if it is below best,
// otherwise best. Entries are in the order of their ranks.
func first(entries []entry, r *Request, best int) int {
	for _, e := range entries {
		if e.rank >= best {
			break
		}
		if e.left == nil || e.left(r) {
			return e.rank
		}
	}
	return best
}

// paths is the part of the index that belongs to one host pattern.
type paths struct {
	best  int // the lowest rank of all
	exact map[string][]entry
	tree  node // by prefix; the root's is empty
}

// add keeps an entry; its rank is not below that of those added before.
func (p *paths) add(pattern pathPattern, e entry) {
	p.best = min(p.best, e.rank)
	if !pattern.exact {
		p.tree.add(pattern.path, e)
		return
	}
	if p.exact == nil {
		p.exact = make(map[string][]entry)
	}
	p.exact[pattern.path] = append(p.exact[pattern.path], e)
}

// find returns the lowest rank of those that match, or best if that is lower.
func (p *paths) find(r *Request, best int) int {
	if p == nil || p.best >= best {
		return best
	}
	if p.exact != nil {
		best = first(p.exact[string(r.Path)], r, best)
	}
	return p.tree.find(r, best)
}

// node is a node of a radix tree of prefixes.
type node struct {
	label    string // what its prefix has more than its parent's
	best     int    // the lowest rank here and below; not kept for the root
	entries  []entry
	firsts   []byte // the first byte of each child's label
	children []*node
}

// add keeps an entry under a prefix, which n's own is left out of. Its rank is
// not below that of those added before, so the first one of a node is its best.
func (n *node) add(prefix string, e entry) {
	for prefix != "" {
		i := bytes.IndexByte(n.firsts, prefix[0])
		if i < 0 {
			child := &node{label: prefix, best: e.rank}
			n.firsts, n.children = append(n.firsts, prefix[0]), append(n.children, child)
			n = child
			break
		}
		child := n.children[i]
		common := commonPrefix(child.label, prefix)
		if common < len(child.label) {
			n.children[i] = child.split(common)
			child = n.children[i]
		}
		n, prefix = child, prefix[common:]
	}
	n.entries = append(n.entries, e)
}

// split takes the first at bytes off n's label and returns a node that has them
// for a label and n for its only child.
func (n *node) split(at int) *node {
	parent := &node{label: n.label[:at], best: n.best, firsts: []byte{n.label[at]}, children: []*node{n}}
	n.label = n.label[at:]
	return parent
}

// find returns the lowest rank of the entries under all prefixes of the path,
// or best if that is lower.
func (n *node) find(r *Request, best int) int {
	rest := r.Path
	for {
		best = first(n.entries, r, best)
		if len(rest) == 0 {
			return best
		}
		i := bytes.IndexByte(n.firsts, rest[0])
		if i < 0 {
			return best
		}
		n = n.children[i]
		if n.best >= best || !hasPrefix(rest, n.label) {
			return best
		}
		rest = rest[len(n.label):]
	}
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
