package l7

import "testing"

// behindHTTP2 has the servers of beds speak HTTP/2, with prior knowledge.
var behindHTTP2 bool

// What a table says of middlewares and services holds for servers of HTTP/2, and for clients of both versions. Left out are those
// whose servers write HTTP/1 by hand.
func TestTablesBehindHTTP2(t *testing.T) {
	behindHTTP2 = true
	defer func() { behindHTTP2, overHTTP2 = false, false }()
	for _, overHTTP2 = range []bool{false, true} {
		version := "HTTP1"
		if overHTTP2 {
			version = "HTTP2"
		}
		for _, tt := range []struct {
			name string
			test func(*testing.T)
		}{
			{"prefixes", TestPrefixes}, {"stripped path", TestStrippedPathIsNoHost}, {"asterisk", TestPrefixesLeaveTheAsteriskAlone},
			{"redirectScheme", TestRedirectScheme}, {"ipAllowList", TestIPAllowListMiddleware},
			{"refused", TestRefusedGoesToAnother}, {"hooks that panic", TestHooksThatPanic},
			{"weighted", TestWeightedEndToEnd}, {"failover", TestFailoverByStatus}, {"failover without response", TestFailoverWithoutResponse},
			{"failovers nest", TestFailoversNest}, {"failover and host", TestFailoverRestoresHost},
			{"mirror percent", TestMirrorPercent}, {"sticky", TestStickySession}, {"sticky and state", TestStickyBackendState}, {"sticky weighted", TestStickyWeighted},
			{"redirectRegex", TestRedirectRegex}, {"requestID", TestRequestID},
			{"headers", TestHeaders}, {"basicAuth", TestBasicAuth}, {"digestAuth", TestDigestAuth},
			{"jwt", TestJWT}, {"compress", TestCompress},
			{"circuitBreaker", TestCircuitBreaker},
			{"sticky, refused", TestStickyBackendThatRefuses}} {
			t.Run(version+"/"+tt.name, tt.test)
		}
	}
}
