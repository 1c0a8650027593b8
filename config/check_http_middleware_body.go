package config

import "github.com/weirlb/weir/internal/predicate"

// bodyMiddleware checks the middlewares that lead requests elsewhere, or have to
// do with bodies.
func (c *checker) bodyMiddleware(at string, m *HTTPMiddleware) {
	if b := m.CircuitBreaker; b != nil {
		c.condition(at+".circuitBreaker.expression", b.Expression, predicate.Breaker())
	}
}
