package predicate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds on a condition. Parse refuses what goes beyond.
const (
	MaxLength = 4 << 10 // bytes of text
	MaxDepth  = 32      // nested parentheses and negations
	MaxCalls  = 64
)

// operators are the longest first, so that the first that fits is meant.
var operators = [...]string{"==", "!=", "<=", ">=", "<", ">"}

// Parse reads a condition in which the given functions may be called. Not binds tighter than and, and tighter than or. The
// error is an *Error.
func Parse(text string, functions []Function) (*Condition, error) {
	if len(text) > MaxLength {
		return nil, &Error{MaxLength, fmt.Sprintf("longer than %d bytes", MaxLength)}
	}
	p := &parser{text: text, functions: functions}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, p.unexpected("&&, || or the end")
	}
	return &Condition{calls: p.calls, root: root}, nil
}

type parser struct {
	text      string
	pos       int
	depth     int
	functions []Function
	calls     []Call
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

func (p *parser) unexpected(wanted string) error {
	if p.pos >= len(p.text) {
		return p.fail(len(p.text), "ends where %s is expected", wanted)
	}
	return p.fail(p.pos, "%q stands where %s is expected", p.text[p.pos], wanted)
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// take consumes a token if it is next.
func (p *parser) take(token string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], token) {
		return false
	}
	p.pos += len(token)
	return true
}

func (p *parser) or() (node, error) {
	terms, err := p.joined("||", p.and)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return or(terms), nil
}

func (p *parser) and() (node, error) {
	terms, err := p.joined("&&", p.unary)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return and(terms), nil
}

func first(terms []node) node {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}

func (p *parser) joined(operator string, term func() (node, error)) (terms []node, err error) {
	for {
		t, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		if !p.take(operator) {
			return terms, nil
		}
	}
}

func (p *parser) unary() (node, error) {
	p.space()
	at := p.pos
	switch {
	case p.take("!"):
		return p.nested(at, func() (node, error) {
			n, err := p.unary()
			return not{n}, err
		})
	case p.take("("):
		return p.nested(at, func() (node, error) {
			n, err := p.or()
			if err == nil && !p.take(")") {
				err = p.unexpected("&&, || or )")
			}
			return n, err
		})
	}
	return p.comparison()
}

func (p *parser) nested(at int, read func() (node, error)) (node, error) {
	if p.depth == MaxDepth {
		return nil, p.fail(at, "nested more than %d deep", MaxDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	return read()
}

// comparison reads a call with what it is compared with.
func (p *parser) comparison() (node, error) {
	f, call, err := p.call()
	if err != nil {
		return nil, err
	}
	p.space()
	at := p.pos
	i := slices.IndexFunc(operators[:], p.take)
	if f.Kind == Bool {
		if i >= 0 {
			return nil, p.fail(at, "%s() stands alone, or with a ! before it", f.Name)
		}
		return flag{call}, nil
	}
	if i < 0 {
		return nil, p.unexpected("a comparison such as >")
	}
	n := comparison{call: call, kind: f.Kind, operand: operators[i]}
	if f.Kind == Text {
		if i > 1 {
			return nil, p.fail(at, "%s() is text, which is compared by == or !=", f.Name)
		}
		n.text, err = p.quoted()
		return n, err
	}
	n.number, err = p.number()
	return n, err
}

// call reads a call, and returns its index.
func (p *parser) call() (f Function, index int, err error) {
	at := p.pos
	for p.pos < len(p.text) && isNameByte(p.text[p.pos]) {
		p.pos++
	}
	name := p.text[at:p.pos]
	if name == "" {
		return f, 0, p.unexpected("a function")
	}
	i := slices.IndexFunc(p.functions, func(f Function) bool { return f.Name == name })
	if i < 0 {
		var names []string
		for _, f := range p.functions {
			names = append(names, f.Name)
		}
		return f, 0, p.fail(at, "there is no %s, only %s", name, strings.Join(names, ", "))
	}
	f = p.functions[i]
	args, err := p.arguments()
	if err != nil {
		return f, 0, err
	}
	if len(args) != f.Args {
		return f, 0, p.fail(at, "%s takes %d arguments, not %d", name, f.Args, len(args))
	}
	if f.Check != nil {
		if err := f.Check(args); err != nil {
			return f, 0, p.fail(at, "%s: %s", name, err)
		}
	}
	index = slices.IndexFunc(p.calls, func(c Call) bool { return c.Name == name && slices.Equal(c.Args, args) })
	if index < 0 {
		if index = len(p.calls); index == MaxCalls {
			return f, 0, p.fail(at, "more than %d different calls", MaxCalls)
		}
		p.calls = append(p.calls, Call{name, args})
	}
	return f, index, nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func (p *parser) arguments() (args []float64, err error) {
	if !p.take("(") {
		return nil, p.unexpected("(")
	}
	for !p.take(")") {
		if len(args) > 0 && !p.take(",") {
			return nil, p.unexpected(", or )")
		}
		n, err := p.number()
		if err != nil {
			return nil, err
		}
		args = append(args, n)
	}
	return args, nil
}

// number reads digits, with a sign and a decimal point if they have them.
func (p *parser) number() (float64, error) {
	p.space()
	at := p.pos
	for p.pos < len(p.text) && strings.IndexByte("0123456789.-+", p.text[p.pos]) >= 0 {
		p.pos++
	}
	if at == p.pos {
		return 0, p.unexpected("a number")
	}
	n, err := strconv.ParseFloat(p.text[at:p.pos], 64)
	if err != nil {
		return 0, p.fail(at, "%q is not a number", p.text[at:p.pos])
	}
	return n, nil
}

// quoted reads text in double quotes or backticks.
func (p *parser) quoted() (string, error) {
	p.space()
	if p.pos == len(p.text) || p.text[p.pos] != '"' && p.text[p.pos] != '`' {
		return "", p.unexpected("text in quotes")
	}
	written, err := strconv.QuotedPrefix(p.text[p.pos:])
	if err != nil {
		return "", p.fail(p.pos, "text in quotes is never closed, or has a broken escape")
	}
	p.pos += len(written)
	return strconv.Unquote(written)
}
