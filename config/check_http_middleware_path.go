package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mostChained is how many middlewares a chain may come to: chains of chains of
// chains could else be more than fit into memory.
const mostChained = 256

// pathMiddleware checks the middlewares that change the path, or redirect.
func (c *checker) pathMiddleware(at string, m *HTTPMiddleware) {
	if s := m.StripPrefixRegex; s != nil {
		for i, expression := range s.Regex {
			c.regexp(fmt.Sprintf("%s.stripPrefixRegex.regex[%d]", at, i), expression)
		}
	}
	if r := m.ReplacePath; r != nil && r.Path != "" {
		if !strings.HasPrefix(r.Path, "/") {
			r.Path = "/" + r.Path
		}
		c.pathPrefix(at+".replacePath.path", r.Path)
	}
	if r := m.ReplacePathRegex; r != nil {
		c.replacement(at+".replacePathRegex", r.Regex, r.Replacement)
	}
	if r := m.RedirectRegex; r != nil {
		c.replacement(at+".redirectRegex", r.Regex, r.Replacement)
	}
}

// regexp checks a regular expression, nil where it is none or is missing.
func (c *checker) regexp(at, expression string) *regexp.Regexp {
	const longest = 4096
	if len(expression) > longest {
		c.failf(at, "the regular expression is longer than %d bytes", longest)
		return nil
	}
	e, err := regexp.Compile(expression)
	if err != nil {
		c.fail(at, fmt.Sprintf("%q is not a regular expression: %s", abbreviated(expression), abbreviated(strings.TrimPrefix(err.Error(), "error parsing regexp: "))),
			"the syntax is that of RE2, without lookaround and backreferences")
	}
	return e
}

// replacement checks a regular expression with what replaces what it finds. A
// group that the expression does not have would be replaced by nothing.
func (c *checker) replacement(at, expression, with string) {
	e := c.regexp(at+".regex", expression)
	if e == nil {
		return
	}
	for _, name := range groupsIn(with) {
		n, err := strconv.Atoi(name)
		if err == nil && n <= e.NumSubexp() || err != nil && slices.Contains(e.SubexpNames(), name) {
			continue
		}
		c.fail(at+".replacement", fmt.Sprintf("the expression has no group %q", abbreviated(name)), "write ${1} where a letter, digit or _ follows, and $$ for a dollar sign")
	}
}

var groupName = regexp.MustCompile(`\$\$|\$\{(\w+)\}|\$(\w+)`)

// groupsIn returns the names of the groups that a replacement refers to, as
// [regexp.Regexp.Expand] takes them.
func groupsIn(replacement string) (names []string) {
	for _, m := range groupName.FindAllStringSubmatch(replacement, -1) {
		if name := m[1] + m[2]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// chains checks that the middlewares of chains exist, and that none leads back to
// itself or to too many.
func (c *checker) chains(h *HTTP) {
	next := make(map[string][]reference)
	names := sortedKeys(h.Middlewares)
	for _, name := range names {
		if chain := h.Middlewares[name].Chain; chain != nil {
			next[name] = c.chained("http.middlewares."+name+".chain.middlewares", chain, h)
		}
	}
	before := len(c.problems)
	c.circles(names, func(name string) []reference { return next[name] })
	if len(c.problems) > before {
		return // there is no end to what they come to
	}
	sizes := make(map[string]int)
	for _, name := range names {
		if n := chainSize(sizes, next, name); n > mostChained && len(next[name]) > 0 {
			c.failf("http.middlewares."+name+".chain", "comes to more than %d middlewares", mostChained)
		}
	}
}

func (c *checker) chained(at string, chain *Chain, h *HTTP) []reference {
	var named []mention
	for i := range chain.Middlewares {
		named = append(named, mention{fmt.Sprintf("%s[%d]", at, i), &chain.Middlewares[i]})
	}
	return references(c, "http.middlewares", h.Middlewares, named)
}

// chainSize is how many middlewares one comes to, at most one more than there may
// be. sizes remembers.
func chainSize(sizes map[string]int, next map[string][]reference, name string) int {
	if n, ok := sizes[name]; ok {
		return n
	}
	if len(next[name]) == 0 {
		return 1
	}
	n := 0
	for _, r := range next[name] {
		n = min(n+chainSize(sizes, next, r.name), mostChained+1)
	}
	sizes[name] = n
	return n
}
