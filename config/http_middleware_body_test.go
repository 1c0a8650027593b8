package config

import "testing"

func TestCheckBodyMiddlewares(t *testing.T) {
	runProblems(t, []problemCase{
		{"circuit breakers", `
http:
  middlewares:
    a: {circuitBreaker: {expression: "NetworkErrorRatio() >"}}
    b: {circuitBreaker: {expression: "ResponseCodeRatio(500, 500, 0, 600) > 1"}}
    c: {circuitBreaker: {expression: "LatencyAtQuantileMS(101) > 1", checkPeriod: 0s, responseCode: 99}}
    d: {circuitBreaker: {}}
    e: {circuitBreaker: {expression: "Latency() > 1"}}
`, []string{
			`4:38: http.middlewares.a.circuitBreaker.expression: at byte 21: ends where a number is expected`,
			`5:38: http.middlewares.b.circuitBreaker.expression: at byte 0: ResponseCodeRatio: each range goes from a status up to, without, a higher one`,
			`6:38: http.middlewares.c.circuitBreaker.expression: at byte 0: LatencyAtQuantileMS: the quantile is from 0 to 100`,
			`6:83: http.middlewares.c.circuitBreaker.checkPeriod: 0s is less than 1ms, the least there may be`,
			`6:101: http.middlewares.c.circuitBreaker.responseCode: 99 is less than 200, the least there may be`,
			`7:9: http.middlewares.d.circuitBreaker.expression: missing (When it opens: NetworkErrorRatio(), ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) and LatencyAtQuantileMS(quantile), compared with numbers, joined by && || ! ( ).)`,
			`8:38: http.middlewares.e.circuitBreaker.expression: at byte 0: there is no Latency, only NetworkErrorRatio, ResponseCodeRatio, LatencyAtQuantileMS`,
		}},
	})
}
