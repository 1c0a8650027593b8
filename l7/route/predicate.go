package route

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/weirlb/weir/internal/rule"
)

// predicate evaluates an expression, or what the index leaves of it. It does
// not allocate.
type predicate func(*Request) bool

// compiler turns expressions that rule.Check found nothing wrong with into
// predicates.
type compiler struct {
	regexps map[string]*regexp.Regexp // by their text: many rules share one
}

func newCompiler() *compiler { return &compiler{regexps: make(map[string]*regexp.Regexp)} }

// regexp returns the expression of a checked argument.
func (c *compiler) regexp(text string) *regexp.Regexp {
	re := c.regexps[text]
	if re == nil {
		re = regexp.MustCompile(text)
		c.regexps[text] = re
	}
	return re
}

// compile returns nil, which always holds, for nil.
func (c *compiler) compile(e rule.Expr) predicate {
	switch e := e.(type) {
	case rule.And:
		return all(c.compileEach(e))
	case rule.Or:
		return anyOf(c.compileEach(e))
	case rule.Not:
		p := c.compile(e.Operand)
		return func(r *Request) bool { return !p(r) }
	case rule.Match:
		return c.match(e)
	}
	return nil
}

func (c *compiler) compileEach(terms []rule.Expr) []predicate {
	ps := make([]predicate, len(terms))
	for i, t := range terms {
		ps[i] = c.compile(t)
	}
	return ps
}

func all(ps []predicate) predicate {
	return func(r *Request) bool {
		for _, p := range ps {
			if !p(r) {
				return false
			}
		}
		return true
	}
}

func anyOf(ps []predicate) predicate {
	return func(r *Request) bool {
		for _, p := range ps {
			if p(r) {
				return true
			}
		}
		return false
	}
}

// match compiles one matcher. Their meaning is Traefik v3's.
func (c *compiler) match(m rule.Match) predicate {
	arg := m.Args[0]
	switch m.Name {
	case "Host":
		pattern, _ := m.HostPattern()
		return matchHost(pattern)
	case "HostRegexp":
		re := c.regexp(arg)
		return func(r *Request) bool { return re.Match(r.host) }
	case "Path":
		path := rulePath(arg)
		return func(r *Request) bool { return string(r.Path) == path }
	case "PathPrefix":
		prefix := rulePath(arg)
		return func(r *Request) bool { return hasPrefix(r.Path, prefix) }
	case "PathRegexp":
		re := c.regexp(arg)
		return func(r *Request) bool { return re.Match(r.pathText()) }
	case "Method":
		method := strings.ToUpper(arg)
		return func(r *Request) bool { return string(r.Method) == method }
	case "ClientIP":
		return matchClientIP(arg)
	case "Header":
		want := m.Args[1]
		return matchHeader(arg, func(value []byte) bool { return string(value) == want })
	case "HeaderRegexp":
		return matchHeader(arg, c.regexp(m.Args[1]).Match)
	case "Query", "QueryRegexp":
		return c.matchQuery(m)
	}
	return func(*Request) bool { return false } // rule.Check lets no other name through
}

func matchHost(p rule.HostPattern) predicate {
	switch p.Kind {
	case rule.Exact:
		return func(r *Request) bool { return string(r.host) == p.Name }
	case rule.Wildcard:
		parent := p.Name[1:]
		return func(r *Request) bool {
			dot := bytes.IndexByte(r.host, '.')
			return dot > 0 && string(r.host[dot:]) == parent
		}
	}
	return func(*Request) bool { return true }
}

func matchClientIP(arg string) predicate {
	prefix, _ := rule.ParsePrefix(arg)
	return func(r *Request) bool { return prefix.Contains(r.Client.Unmap().WithZone("")) } // a prefix contains no address with a zone
}

// matchHeader takes the test as it is compiled, so that calling Any makes no
// new function.
func matchHeader(name string, match func(value []byte) bool) predicate {
	return func(r *Request) bool { return r.Headers != nil && r.Headers.Any(name, match) }
}

// matchQuery compiles Query and QueryRegexp; with one argument both ask for a
// parameter without value.
func (c *compiler) matchQuery(m rule.Match) predicate {
	name, want := m.Args[0], ""
	if len(m.Args) == 2 {
		want = m.Args[1]
	}
	match := func(value []byte) bool { return string(value) == want }
	if m.Name == "QueryRegexp" && len(m.Args) == 2 {
		match = c.regexp(want).Match
	}
	return func(r *Request) bool {
		for _, p := range r.parameters() {
			if string(p.name) == name && match(p.value) {
				return true
			}
		}
		return false
	}
}

func hasPrefix(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}
