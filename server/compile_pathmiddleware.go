package server

import (
	"regexp"
	"slices"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// replacementPlan replaces what an expression finds.
type replacementPlan struct {
	expression, with string
	permanent        bool // of a redirect
}

// pathMiddlewareOf plans the middlewares that change the path, or redirect.
func pathMiddlewareOf(m *config.HTTPMiddleware, p *webMiddlewarePlan) {
	switch {
	case m.RedirectRegex != nil:
		p.redirectRegex = &replacementPlan{m.RedirectRegex.Regex, m.RedirectRegex.Replacement, m.RedirectRegex.Permanent}
	case m.ReplacePath != nil:
		p.replacePath = m.ReplacePath.Path
	case m.ReplacePathRegex != nil:
		p.replacePathRegex = &replacementPlan{expression: m.ReplacePathRegex.Regex, with: m.ReplacePathRegex.Replacement}
	case m.StripPrefixRegex != nil:
		p.stripPrefixRegex = slices.Clone(m.StripPrefixRegex.Regex)
	}
}

// newPathMiddleware makes one of those, nil where the plan is for another one. The expressions are good: a loaded
// configuration has no others.
func newPathMiddleware(name string, p webMiddlewarePlan) *l7.Middleware {
	switch {
	case p.redirectRegex != nil:
		return l7.RedirectRegex(name, regexp.MustCompile(p.redirectRegex.expression), p.redirectRegex.with, p.redirectRegex.permanent)
	case p.replacePath != "":
		return l7.ReplacePath(name, p.replacePath)
	case p.replacePathRegex != nil:
		return l7.ReplacePathRegex(name, regexp.MustCompile(p.replacePathRegex.expression), p.replacePathRegex.with)
	case p.stripPrefixRegex != nil:
		var expressions []*regexp.Regexp
		for _, e := range p.stripPrefixRegex {
			expressions = append(expressions, regexp.MustCompile(e))
		}
		return l7.StripPrefixRegex(name, expressions)
	}
	return nil
}
