package route

import (
	"math"
	"slices"
	"strings"

	"github.com/weirlb/weir/internal/rule"
)

// pathPattern is a set of paths that the index can find: one, or all with a
// prefix. The empty prefix is that of all paths.
type pathPattern struct {
	path  string // in the form of normalized paths
	exact bool   // path alone; otherwise path is a prefix
}

// pathsOf returns the patterns under which e can match at all, without
// duplicates, in the order of the text: whenever e matches, one of them covers
// the path. Where all of them would do, it picks the ones that say most.
func pathsOf(e rule.Expr) []pathPattern {
	var unique []pathPattern
	for _, p := range pathsUnder(e, false) {
		if !slices.Contains(unique, p) {
			unique = append(unique, p)
		}
	}
	return unique
}

// pathsUnder over-approximates the paths under which e, or its negation, holds.
func pathsUnder(e rule.Expr, negated bool) []pathPattern {
	switch e := e.(type) {
	case rule.Not:
		return pathsUnder(e.Operand, !negated)
	case rule.And:
		return pathsOfTerms(e, negated, negated)
	case rule.Or:
		return pathsOfTerms(e, negated, !negated)
	case rule.Match:
		if negated {
			break
		}
		switch e.Name {
		case "Path":
			return []pathPattern{{rulePath(e.Args[0]), true}}
		case "PathPrefix":
			return []pathPattern{{rulePath(e.Args[0]), false}}
		}
	}
	return []pathPattern{{}}
}

// pathsOfTerms returns the paths of all terms if one of them is enough, and
// those of the most telling term if all must hold.
func pathsOfTerms(terms []rule.Expr, negated, oneIsEnough bool) []pathPattern {
	var found []pathPattern
	for _, t := range terms {
		paths := pathsUnder(t, negated)
		switch {
		case oneIsEnough:
			found = append(found, paths...)
		case found == nil || narrower(paths, found):
			found = paths
		}
	}
	return found
}

// narrower reports whether a says more about the path than b: single paths say
// more than prefixes, long prefixes more than short ones.
func narrower(a, b []pathPattern) bool {
	if x, y := shortest(a), shortest(b); x != y {
		return x > y
	}
	return len(a) < len(b)
}

func shortest(paths []pathPattern) int {
	n := math.MaxInt
	for _, p := range paths {
		if !p.exact {
			n = min(n, len(p.path))
		}
	}
	return n
}

// truth is what is known of an expression: false, true, or neither.
type truth uint8

const (
	unknown truth = iota
	never
	always
)

// under simplifies e for the paths p covers. The expression is nil unless the
// truth is unknown. A nil expression always holds.
func (c *compiler) under(e rule.Expr, p pathPattern) (rule.Expr, truth) {
	switch e := e.(type) {
	case nil:
		return nil, always
	case rule.And:
		terms, known := c.eachUnder(e, p, never, always)
		if len(terms) > 1 {
			return rule.And(terms), unknown
		}
		return only(terms), known
	case rule.Or:
		terms, known := c.eachUnder(e, p, always, never)
		if len(terms) > 1 {
			return rule.Or(terms), unknown
		}
		return only(terms), known
	case rule.Not:
		operand, known := c.under(e.Operand, p)
		switch known {
		case never:
			return nil, always
		case always:
			return nil, never
		}
		return rule.Not{Operand: operand}, unknown
	case rule.Match:
		if known := c.decides(p, e); known != unknown {
			return nil, known
		}
	}
	return e, unknown
}

// eachUnder simplifies terms; one that is decisive decides for all, those that
// are neutral fall away.
func (c *compiler) eachUnder(terms []rule.Expr, p pathPattern, decisive, neutral truth) ([]rule.Expr, truth) {
	var left []rule.Expr
	for _, t := range terms {
		rest, known := c.under(t, p)
		switch known {
		case decisive:
			return nil, decisive
		case unknown:
			left = append(left, rest)
		}
	}
	if len(left) == 0 {
		return nil, neutral
	}
	return left, unknown
}

func only(terms []rule.Expr) rule.Expr {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}

// decides says whether m holds for all paths of p, for none, or for some.
func (c *compiler) decides(p pathPattern, m rule.Match) truth {
	switch m.Name {
	case "Path":
		path := rulePath(m.Args[0])
		switch {
		case p.exact:
			return truthOf(path == p.path)
		case !strings.HasPrefix(path, p.path):
			return never
		}
	case "PathPrefix":
		prefix := rulePath(m.Args[0])
		switch {
		case p.exact || strings.HasPrefix(p.path, prefix):
			return truthOf(strings.HasPrefix(p.path, prefix))
		case !strings.HasPrefix(prefix, p.path):
			return never
		}
	case "PathRegexp":
		if p.exact {
			return truthOf(c.regexp(m.Args[0]).Match(pathText(nil, []byte(p.path))))
		}
	}
	return unknown
}

func truthOf(b bool) truth {
	if b {
		return always
	}
	return never
}
