package server

import (
	"regexp"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// pathBodyPlan is at most one of its members: a middleware that changes the path, leads requests elsewhere, or has to do with bodies.
type pathBodyPlan struct {
	buffering        *l7.BufferingOptions
	circuitBreaker   *l7.CircuitBreakerOptions
	compress         *l7.CompressOptions
	errors           *errorPagesPlan
	redirectRegex    *replacementPlan
	replacePath      string
	replacePathRegex *replacementPlan
	retry            *l7.RetryOptions
	stripPrefixRegex []string
}

// errorPagesPlan answers with pages of another service.
type errorPagesPlan struct {
	service  string
	statuses l7.Statuses
	rewrites []l7.StatusRewrite
	query    string
	headers  []string
}

func statusesOf(list []config.StatusRange) (s l7.Statuses) {
	for _, r := range list {
		s.Add(r.First, r.Last)
	}
	return s
}

func errorPagesOf(e *config.ErrorPages) *errorPagesPlan {
	p := &errorPagesPlan{service: e.Service, statuses: statusesOf(e.Status), query: e.Query, headers: slices.Clone(e.ErrorRequestHeaders)}
	for _, r := range e.Rewrites() {
		p.rewrites = append(p.rewrites, l7.StatusRewrite{First: r.From.First, Last: r.From.Last, To: r.To})
	}
	return p
}

func retryOf(r *config.Retry) *l7.RetryOptions {
	return &l7.RetryOptions{
		Attempts: r.Attempts, InitialInterval: time.Duration(r.InitialInterval), Timeout: time.Duration(r.Timeout),
		Statuses: statusesOf(r.Status), MaxBody: int64(r.MaxRequestBodyBytes),
		IgnoreNetworkErrors: r.DisableRetryOnNetworkError, AnyMethod: r.RetryNonIdempotentMethod,
	}
}

// replacementPlan replaces what an expression finds.
type replacementPlan struct {
	expression, with string
	permanent        bool // of a redirect
}

func pathBodyOf(m *config.HTTPMiddleware) (p pathBodyPlan) {
	switch {
	case m.Buffering != nil:
		b := m.Buffering
		p.buffering = &l7.BufferingOptions{
			MaxRequest: int64(b.MaxRequestBodyBytes), MemRequest: int64(b.MemRequestBodyBytes),
			MaxResponse: int64(b.MaxResponseBodyBytes), MemResponse: int64(b.MemResponseBodyBytes), RetryExpression: b.RetryExpression,
		}
	case m.CircuitBreaker != nil:
		b := m.CircuitBreaker
		p.circuitBreaker = &l7.CircuitBreakerOptions{
			Expression: b.Expression, CheckPeriod: time.Duration(b.CheckPeriod), FallbackDuration: time.Duration(b.FallbackDuration),
			RecoveryDuration: time.Duration(b.RecoveryDuration), ResponseCode: b.ResponseCode,
		}
	case m.Compress != nil:
		c := m.Compress
		p.compress = &l7.CompressOptions{
			Excluded: slices.Clone(c.ExcludedContentTypes), Included: slices.Clone(c.IncludedContentTypes), MinBytes: int64(c.MinResponseBodyBytes),
			Encodings: slices.Clone(c.Encodings), Default: c.DefaultEncoding,
		}
	case m.Errors != nil:
		p.errors = errorPagesOf(m.Errors)
	case m.RedirectRegex != nil:
		p.redirectRegex = &replacementPlan{m.RedirectRegex.Regex, m.RedirectRegex.Replacement, m.RedirectRegex.Permanent}
	case m.ReplacePath != nil:
		p.replacePath = m.ReplacePath.Path
	case m.ReplacePathRegex != nil:
		p.replacePathRegex = &replacementPlan{expression: m.ReplacePathRegex.Regex, with: m.ReplacePathRegex.Replacement}
	case m.Retry != nil:
		p.retry = retryOf(m.Retry)
	case m.StripPrefixRegex != nil:
		p.stripPrefixRegex = slices.Clone(m.StripPrefixRegex.Regex)
	}
	return p
}

// newPathBody makes one of these middlewares, nil where the plan is for another one. Expressions are good: a loaded
// configuration has no others.
func (a *applier) newPathBody(name string, p pathBodyPlan) (*l7.Middleware, error) {
	switch {
	case p.buffering != nil:
		return l7.Buffering(name, *p.buffering)
	case p.circuitBreaker != nil:
		return a.web.server.CircuitBreaker(name, *p.circuitBreaker, a.now)
	case p.compress != nil:
		return a.web.server.Compress(name, *p.compress), nil
	case p.errors != nil:
		e := p.errors
		return l7.ErrorPages(name, l7.ErrorPagesOptions{
			Statuses: e.statuses, Rewrites: e.rewrites, Service: a.web.services[e.service], Query: e.query, Headers: e.headers,
		}), nil
	case p.redirectRegex != nil:
		return l7.RedirectRegex(name, regexp.MustCompile(p.redirectRegex.expression), p.redirectRegex.with, p.redirectRegex.permanent), nil
	case p.replacePath != "":
		return l7.ReplacePath(name, p.replacePath), nil
	case p.replacePathRegex != nil:
		return l7.ReplacePathRegex(name, regexp.MustCompile(p.replacePathRegex.expression), p.replacePathRegex.with), nil
	case p.retry != nil:
		return l7.Retry(name, *p.retry), nil
	case p.stripPrefixRegex != nil:
		var expressions []*regexp.Regexp
		for _, e := range p.stripPrefixRegex {
			expressions = append(expressions, regexp.MustCompile(e))
		}
		return l7.StripPrefixRegex(name, expressions), nil
	}
	return nil, nil
}
