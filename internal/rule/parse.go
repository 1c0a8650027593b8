package rule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on a rule. Parse refuses what goes beyond; they are far above what
// people write and keep a hostile or generated file from costing much.
const (
	MaxLength  = 8 << 10 // bytes of text
	MaxDepth   = 64      // nested parentheses and negations
	MaxMatches = 256     // matchers in one rule
)

// Parse reads a rule. Matcher names are taken in any case and come out in
// their canonical spelling; a name that no family of routers knows is an error
// here already. Arguments are Go string literals: raw in backticks, with
// escapes in double quotes. White space, newlines included, may stand between
// any two tokens. Not binds tighter than and, and tighter than or.
//
// The error is an *Error.
func Parse(s string) (Expr, error) {
	if len(s) > MaxLength {
		return nil, &Error{Offset: MaxLength, Message: fmt.Sprintf("rule is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(s) {
		return nil, &Error{Message: "rule is not valid UTF-8"}
	}
	p := parser{text: s}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(s) {
		return nil, p.unexpected("&&, || or the end of the rule")
	}
	return e, nil
}

type parser struct {
	text    string
	pos     int
	depth   int
	matches int
}

func (p *parser) or() (Expr, error) {
	terms, err := p.chain("||", p.and)
	if err != nil {
		return nil, err
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	return Or(flatten[Or](terms)), nil
}

func (p *parser) and() (Expr, error) {
	terms, err := p.chain("&&", p.unary)
	if err != nil {
		return nil, err
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	return And(flatten[And](terms)), nil
}

// chain reads one or more terms with the operator, a doubled character,
// between them.
func (p *parser) chain(operator string, term func() (Expr, error)) ([]Expr, error) {
	var terms []Expr
	for {
		e, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, e)
		if p.space(); p.pos == len(p.text) || p.text[p.pos] != operator[0] {
			return terms, nil
		}
		if !strings.HasPrefix(p.text[p.pos:], operator) {
			return nil, &Error{Offset: p.pos, Message: fmt.Sprintf("single %q", operator[0]), Hint: "write " + operator}
		}
		p.pos += len(operator)
	}
}

// flatten returns terms with the terms of nested expressions of kind T in
// their place.
func flatten[T ~[]Expr](terms []Expr) []Expr {
	flat := make([]Expr, 0, len(terms))
	for _, e := range terms {
		if nested, ok := any(e).(T); ok {
			flat = append(flat, nested...)
		} else {
			flat = append(flat, e)
		}
	}
	return flat
}

func (p *parser) unary() (Expr, error) {
	p.space()
	if p.pos == len(p.text) {
		return nil, p.unexpected("a matcher")
	}
	switch c := p.text[p.pos]; {
	case c == '!':
		if err := p.enter(); err != nil {
			return nil, err
		}
		p.pos++
		operand, err := p.unary()
		p.depth--
		if err != nil {
			return nil, err
		}
		return Not{Operand: operand}, nil
	case c == '(':
		return p.group()
	case isNameByte(c):
		return p.match()
	}
	return nil, p.unexpected("a matcher")
}

func (p *parser) group() (Expr, error) {
	open := p.pos
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.pos++
	e, err := p.or()
	p.depth--
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos == len(p.text) {
		return nil, &Error{Offset: open, Message: "parenthesis is never closed"}
	}
	if p.text[p.pos] != ')' {
		return nil, p.unexpected("&&, || or )")
	}
	p.pos++
	return e, nil
}

func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return &Error{Offset: p.pos, Message: fmt.Sprintf("nested deeper than %d", MaxDepth)}
	}
	return nil
}

func (p *parser) match() (Expr, error) {
	start := p.pos
	for p.pos < len(p.text) && isNameByte(p.text[p.pos]) {
		p.pos++
	}
	written := p.text[start:p.pos]
	if hint, ok := operatorHint(written); ok {
		return nil, &Error{Offset: start, Message: fmt.Sprintf("%q is not an operator", written), Hint: hint}
	}
	m, ok := lookup(written)
	if !ok {
		return nil, unknownMatcher(written, start)
	}
	if p.matches++; p.matches > MaxMatches {
		return nil, &Error{Offset: start, Message: fmt.Sprintf("more than %d matchers", MaxMatches)}
	}
	if p.space(); p.pos == len(p.text) || p.text[p.pos] != '(' {
		return nil, &Error{Offset: p.pos, Message: m.name + " lacks its argument", Hint: "write " + m.example}
	}
	p.pos++
	args, err := p.args(m)
	if err != nil {
		return nil, err
	}
	return Match{Name: m.name, Args: args, Offset: start}, nil
}

// args reads what follows the opening parenthesis of m, the closing one
// included.
func (p *parser) args(m matcher) ([]string, error) {
	var args []string
	for {
		if p.space(); p.pos < len(p.text) && p.text[p.pos] == ')' && len(args) == 0 {
			return nil, &Error{Offset: p.pos, Message: m.name + " lacks its argument", Hint: "write " + m.example}
		}
		arg, err := p.literal()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		if p.space(); p.pos == len(p.text) {
			return nil, p.unexpected(") after the arguments of " + m.name)
		}
		switch p.text[p.pos] {
		case ')':
			p.pos++
			return args, nil
		case ',':
			p.pos++
		default:
			return nil, p.unexpected("a comma or ) after the argument of " + m.name)
		}
	}
}

func (p *parser) literal() (string, error) {
	start := p.pos
	if start == len(p.text) {
		return "", p.unexpected("a string")
	}
	switch quote := p.text[start]; quote {
	case '`':
		end := strings.IndexByte(p.text[start+1:], '`')
		if end < 0 {
			return "", &Error{Offset: start, Message: "string is never closed"}
		}
		p.pos += end + 2
		return p.text[start+1 : start+1+end], nil
	case '"':
		literal, err := strconv.QuotedPrefix(p.text[start:])
		if err != nil {
			return "", &Error{Offset: start, Message: "string is never closed or has an escape that means nothing",
				Hint: "in double quotes a backslash is written twice; backticks need no escapes"}
		}
		arg, err := strconv.Unquote(literal)
		if err != nil {
			return "", &Error{Offset: start, Message: "string is malformed"}
		}
		p.pos += len(literal)
		return arg, nil
	case '\'':
		return "", &Error{Offset: start, Message: "string in single quotes", Hint: "use backticks or double quotes"}
	}
	return "", &Error{Offset: start, Message: "arguments are strings", Hint: "put it in backticks or double quotes"}
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// unexpected says what stands at the current position instead of want.
func (p *parser) unexpected(want string) *Error {
	if p.pos == len(p.text) {
		return &Error{Offset: p.pos, Message: "rule ends where " + want + " should stand"}
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return &Error{Offset: p.pos, Message: fmt.Sprintf("found %q where %s should stand", r, want)}
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// operatorHint catches operators spelt as words, as other rule languages do.
func operatorHint(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "and":
		return "write &&", true
	case "or":
		return "write ||", true
	case "not":
		return "write !", true
	}
	return "", false
}
