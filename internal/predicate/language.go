package predicate

import "errors"

// Breaker returns the functions of circuitBreaker.expression:
//
//	NetworkErrorRatio()                answers with 502 and 504, of all
//	ResponseCodeRatio(a, b, c, d)      answers with a status from a up to, without, b, of those from c up to d
//	LatencyAtQuantileMS(q)             milliseconds within which q percent of the answers came
func Breaker() []Function {
	return []Function{
		{Name: "NetworkErrorRatio"},
		{Name: "ResponseCodeRatio", Args: 4, Check: func(args []float64) error {
			if args[0] >= args[1] || args[2] >= args[3] {
				return errors.New("each range goes from a status up to, without, a higher one")
			}
			return nil
		}},
		{Name: "LatencyAtQuantileMS", Args: 1, Check: func(args []float64) error {
			if args[0] < 0 || args[0] > 100 {
				return errors.New("the quantile is from 0 to 100")
			}
			return nil
		}},
	}
}

// Retry returns the functions of buffering.retryExpression: Attempts() that were made, the ResponseCode() of the last one,
// whether that IsNetworkError(), and the RequestMethod().
func Retry() []Function {
	return []Function{{Name: "Attempts"}, {Name: "IsNetworkError", Kind: Bool}, {Name: "RequestMethod", Kind: Text}, {Name: "ResponseCode"}}
}
