package l7

import (
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/predicate"
)

// CircuitBreakerOptions say when a circuit breaker opens and closes again.
type CircuitBreakerOptions struct {
	Expression       string        // as [predicate.Breaker] has it
	CheckPeriod      time.Duration // between two looks at it
	FallbackDuration time.Duration // in which no request passes
	RecoveryDuration time.Duration // in which ever more pass
	ResponseCode     int           // of the answer to the others
}

// CircuitBreaker returns a middleware that passes no requests on for a while when the expression holds for the answers
// that came before, and then ever more of them. The latency of an answer is the time until its head is here; answers that
// a client did not wait for, or caused by breaking HTTP, do not count. now is where its clock begins. The error is the
// expression's.
func (s *Server) CircuitBreaker(name string, o CircuitBreakerOptions, now time.Time) (*Middleware, error) {
	condition, err := predicate.Parse(o.Expression, predicate.Breaker())
	if err != nil {
		return nil, err
	}
	c := newCircuit(condition, o, len(s.workers))
	log := func(changed *spell) {
		if changed != nil {
			s.options.Log.Warn("circuit breaker changes its state", "middleware", name, "state", changed.state.String())
		}
	}
	return &Middleware{
		Name: name,
		Request: func(x *Exchange) Action {
			pass, changed := c.admit(x.mark.Sub(now))
			log(changed)
			if pass {
				return Next
			}
			x.Reject(o.ResponseCode, accesslog.CircuitOpen)
			return Answered
		},
		Outcome: func(x *Exchange, status int) bool {
			at := time.Now()
			log(c.record(x.worker.loop.ID(), max(at.Sub(now), 0), status, x.latency(at)))
			return false
		},
	}, nil
}
