package rule

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Expr is a rule as a tree: And, Or, Not or Match, and nothing else.
//
// String gives the canonical text, which Parse reads back to an equal tree as
// long as it is not longer than MaxLength.
type Expr interface {
	String() string
	appendTo(b []byte, outer int) []byte
}

type (
	// And holds when all its terms hold. It has at least two terms and no term
	// is itself an And: the parser flattens a && (b && c).
	And []Expr
	// Or holds when one of its terms holds. It has at least two terms and no
	// term is itself an Or.
	Or []Expr
	// Not holds when its operand does not.
	Not struct{ Operand Expr }
	// Match is one matcher with its arguments.
	Match struct {
		Name   string   // canonical spelling, such as HostSNI
		Args   []string // unquoted, as written otherwise; at least one
		Offset int      // of the name in the rule's text, in bytes
	}
)

// Binding strengths: a term is put in parentheses where the operator around it
// binds tighter than its own.
const (
	bindOr = iota
	bindAnd
	bindNot
)

func (a And) String() string   { return string(a.appendTo(nil, bindOr)) }
func (o Or) String() string    { return string(o.appendTo(nil, bindOr)) }
func (n Not) String() string   { return string(n.appendTo(nil, bindOr)) }
func (m Match) String() string { return string(m.appendTo(nil, bindOr)) }

func (a And) appendTo(b []byte, outer int) []byte {
	return appendJoined(b, a, " && ", bindAnd, outer)
}

func (o Or) appendTo(b []byte, outer int) []byte {
	return appendJoined(b, o, " || ", bindOr, outer)
}

func (n Not) appendTo(b []byte, _ int) []byte {
	return n.Operand.appendTo(append(b, '!'), bindNot)
}

func (m Match) appendTo(b []byte, _ int) []byte {
	b = append(b, m.Name...)
	b = append(b, '(')
	for i, arg := range m.Args {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendQuoted(b, arg)
	}
	return append(b, ')')
}

func appendJoined(b []byte, terms []Expr, operator string, binding, outer int) []byte {
	if outer > binding {
		b = append(b, '(')
	}
	for i, t := range terms {
		if i > 0 {
			b = append(b, operator...)
		}
		b = t.appendTo(b, binding)
	}
	if outer > binding {
		b = append(b, ')')
	}
	return b
}

// appendQuoted prefers backticks, in which regular expressions need no
// doubled backslashes.
func appendQuoted(b []byte, s string) []byte {
	if utf8.ValidString(s) && !strings.Contains(s, "`") {
		b = append(b, '`')
		b = append(b, s...)
		return append(b, '`')
	}
	return strconv.AppendQuote(b, s)
}

// Equal reports whether two trees say the same in the same order; offsets do
// not count.
func Equal(a, b Expr) bool {
	switch a := a.(type) {
	case And:
		b, ok := b.(And)
		return ok && slices.EqualFunc(a, b, Equal)
	case Or:
		b, ok := b.(Or)
		return ok && slices.EqualFunc(a, b, Equal)
	case Not:
		b, ok := b.(Not)
		return ok && Equal(a.Operand, b.Operand)
	case Match:
		b, ok := b.(Match)
		return ok && a.Name == b.Name && slices.Equal(a.Args, b.Args)
	}
	return a == nil && b == nil
}

// Matches yields every matcher of e in the order of the text.
func Matches(e Expr) iter.Seq[Match] {
	return func(yield func(Match) bool) { walk(e, yield) }
}

func walk(e Expr, yield func(Match) bool) bool {
	switch e := e.(type) {
	case And:
		return walkAll(e, yield)
	case Or:
		return walkAll(e, yield)
	case Not:
		return walk(e.Operand, yield)
	case Match:
		return yield(e)
	}
	return true
}

func walkAll(terms []Expr, yield func(Match) bool) bool {
	for _, t := range terms {
		if !walk(t, yield) {
			return false
		}
	}
	return true
}

// Priority is the priority a router has when its configuration names none, as
// in Traefik v3: the length of the rule's text in bytes, so that a longer rule
// goes first, and -1 for HostSNI(`*`) alone, so that the catch-all goes last.
// e is the parsed text.
func Priority(text string, e Expr) int {
	if m, ok := e.(Match); ok && m.Name == "HostSNI" && len(m.Args) == 1 && m.Args[0] == "*" {
		return -1
	}
	return len(text)
}
