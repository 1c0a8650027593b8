package config

import (
	"fmt"
	"strings"

	"github.com/weirlb/weir/internal/predicate"
)

// bodyMiddleware checks the middlewares that lead requests elsewhere, or have to
// do with bodies.
func (c *checker) bodyMiddleware(at string, m *HTTPMiddleware) {
	if b := m.Buffering; b != nil {
		b.settle()
		c.condition(at+".buffering.retryExpression", b.RetryExpression, predicate.Retry())
	}
	if b := m.CircuitBreaker; b != nil {
		c.condition(at+".circuitBreaker.expression", b.Expression, predicate.Breaker())
	}
	if p := m.Compress; p != nil {
		c.compress(at+".compress", p)
	}
	if e := m.Errors; e != nil {
		c.errorPages(at+".errors", e)
	}
	if r := m.Retry; r != nil {
		settleBodyCopy(&r.MaxRequestBodyBytes)
		c.finalStatuses(at+".retry.status", r.Status)
	}
}

func (c *checker) errorPages(at string, e *ErrorPages) {
	refer(c, at+".service", &e.Service, "http.services", c.cfg.HTTP.Services)
	c.finalStatuses(at+".status", e.Status)
	for _, key := range sortedKeys(e.StatusRewrites) {
		here := at + ".statusRewrites." + key
		if _, err := ParseStatusRange(key); err != nil {
			c.fail(here, err.Error(), `write it like "404" or "500-504"`)
		}
		if to := e.StatusRewrites[key]; to < 200 || to > 599 || to == 204 || to == 205 || to == 304 {
			c.failf(here, "%d is not the status of an answer with a body", to)
		}
	}
	query := strings.NewReplacer("{status}", "", "{originalStatus}", "", "{url}", "").Replace(e.Query)
	if strings.ContainsAny(query, "{}\\#") || strings.ContainsFunc(query, notVisible) || strings.ContainsFunc(query, func(r rune) bool { return r > '~' }) {
		c.fail(at+".query", fmt.Sprintf("%q is not a path, with {status}, {originalStatus} and {url} in it", abbreviated(e.Query)), "write others than letters percent-encoded")
	}
	if c.written(at+".errorRequestHeaders") && e.ErrorRequestHeaders == nil {
		e.ErrorRequestHeaders = []string{} // none, which is not all
	}
	for i, name := range e.ErrorRequestHeaders {
		if !isToken(name) {
			c.failf(fmt.Sprintf("%s.errorRequestHeaders[%d]", at, i), "%q is not the name of a header", abbreviated(name))
		}
	}
}

// finalStatuses refuses statuses that are not those of an answer.
func (c *checker) finalStatuses(at string, list []StatusRange) {
	for i, r := range list {
		if r.First != 0 && r.First < 200 {
			c.fail(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%s is not the status of an answer, which begin at 200", r), "")
		}
	}
}
