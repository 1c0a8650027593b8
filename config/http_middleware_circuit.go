package config

import (
	"time"

	"github.com/weirlb/weir/internal/predicate"
)

// CircuitBreaker passes no requests for a while when its expression holds.
type CircuitBreaker struct {
	Expression       string   `yaml:"expression" need:"true" doc:"When it opens: NetworkErrorRatio(), ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) and LatencyAtQuantileMS(quantile), compared with numbers, joined by && || ! ( )."`
	CheckPeriod      Duration `yaml:"checkPeriod" min:"1ms" max:"1h" doc:"Time between two looks at the expression."`
	FallbackDuration Duration `yaml:"fallbackDuration" min:"1ms" max:"24h" doc:"Time in which no request passes."`
	RecoveryDuration Duration `yaml:"recoveryDuration" min:"1ms" max:"24h" doc:"Time in which ever more requests pass again."`
	ResponseCode     int      `yaml:"responseCode" min:"200" max:"599" doc:"Status of the answer to requests that do not pass."`
}

func (b *CircuitBreaker) setDefaults() {
	b.CheckPeriod = Duration(100 * time.Millisecond)
	b.FallbackDuration = Duration(10 * time.Second)
	b.RecoveryDuration = Duration(10 * time.Second)
	b.ResponseCode = 503
}

// condition checks an expression of the language of package predicate.
func (c *checker) condition(at, expression string, functions []predicate.Function) {
	if expression == "" {
		return // missing, which is reported where it must not be
	}
	if _, err := predicate.Parse(expression, functions); err != nil {
		c.fail(at, err.Error(), "")
	}
}
