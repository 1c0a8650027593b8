package l7

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/predicate"
)

func circuitOf(t *testing.T, expression string, loops int) *circuit {
	t.Helper()
	condition, err := predicate.Parse(expression, predicate.Breaker())
	if err != nil {
		t.Fatal(err)
	}
	return newCircuit(condition, CircuitBreakerOptions{CheckPeriod: 100 * time.Millisecond, FallbackDuration: 10 * time.Second, RecoveryDuration: 10 * time.Second}, loops)
}

const ms = time.Millisecond

// answer is one that is counted, now and then on another loop.
type answer struct {
	at      time.Duration
	status  int
	latency time.Duration
}

func TestCircuitTrips(t *testing.T) {
	many := func(n int, a answer) (all []answer) {
		for range n {
			all = append(all, a)
		}
		return all
	}
	for _, tt := range []struct {
		name, expression string
		before           []answer
		last             answer
		trips            bool
	}{
		{"network errors", "NetworkErrorRatio() > 0.5", many(2, answer{0, 200, 0}), answer{ms * 200, 502, 0}, false},
		{"many network errors", "NetworkErrorRatio() > 0.5", many(3, answer{ms, 504, 0}), answer{ms * 200, 502, 0}, true},
		{"an application's errors are none of the network", "NetworkErrorRatio() > 0", many(9, answer{ms, 500, 0}), answer{ms * 200, 503, 0}, false},
		{"before its time", "NetworkErrorRatio() > 0.5", []answer{{0, 200, 0}}, answer{99 * ms, 502, 0}, false},
		{"codes", "ResponseCodeRatio(500, 600, 0, 600) > 0.25", many(3, answer{ms, 200, 0}), answer{ms * 200, 500, 0}, false},
		{"more codes", "ResponseCodeRatio(500, 600, 0, 600) > 0.25", many(2, answer{0, 200, 0}), answer{ms * 200, 599, 0}, true},
		{"the end of a range is outside", "ResponseCodeRatio(500, 503, 0, 600) > 0", many(2, answer{0, 200, 0}), answer{ms * 200, 503, 0}, false},
		{"nothing below the line", "ResponseCodeRatio(500, 600, 700, 800) >= 1", nil, answer{0, 500, 0}, false},
		{"latency", "LatencyAtQuantileMS(50.0) > 100", many(4, answer{ms, 200, 100 * ms}), answer{200 * ms, 200, time.Second}, false},
		{"more latency", "LatencyAtQuantileMS(50.0) > 100", many(4, answer{ms, 200, 110 * ms}), answer{200 * ms, 200, 0}, true},
		{"the longest latency", "LatencyAtQuantileMS(100) >= 2000", many(9, answer{0, 200, ms}), answer{200 * ms, 200, 2 * time.Second}, true},
		{"old answers", "NetworkErrorRatio() > 0.5", many(9, answer{ms, 502, 0}), answer{11 * time.Second, 200, 0}, false},
		{"together", "NetworkErrorRatio() > 0.9 || !(LatencyAtQuantileMS(50) < 10) && ResponseCodeRatio(200, 300, 0, 600) == 1", nil, answer{0, 200, 10 * ms}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := circuitOf(t, tt.expression, 2)
			for i, a := range tt.before {
				if a.at > 0 {
					c.count(&c.shares[i%2], a.at, a.status, a.latency)
				} else if s := c.record(i%2, a.at, a.status, a.latency); s != nil {
					t.Fatalf("answer %d trips it", i)
				}
			}
			s := c.record(1, tt.last.at, tt.last.status, tt.last.latency)
			if (s != nil) != tt.trips || tt.trips && (s.state != tripped || s.until != tt.last.at+10*time.Second) {
				t.Errorf("%+v", s)
			}
			if pass, _ := c.admit(tt.last.at); pass == tt.trips {
				t.Errorf("a request passes: %t", pass)
			}
		})
	}
}

// Of what is older than ten seconds, or a minute where it is latencies, nothing counts.
func TestCircuitForgets(t *testing.T) {
	c := circuitOf(t, "NetworkErrorRatio() > 2 && LatencyAtQuantileMS(50) > 1", 1)
	c.count(&c.shares[0], 500*ms, 502, time.Second)
	for _, tt := range []struct {
		at    time.Duration
		ratio float64
		slow  bool
	}{{9999 * ms, 1, true}, {10 * time.Second, 0, true}, {59999 * ms, 0, true}, {60 * time.Second, 0, false}} {
		if ratio := c.value(&c.calls[0], tt.at); ratio != tt.ratio {
			t.Errorf("after %s the ratio is %v", tt.at, ratio)
		}
		if d := c.latency(tt.at, 50); (d > time.Second/2) != tt.slow {
			t.Errorf("after %s the latency is %s", tt.at, d)
		}
	}
	c.count(&c.shares[0], 10500*ms, 200, 0) // in the slot of the first one
	if ratio := c.value(&c.calls[0], 10600*ms); ratio != 0 {
		t.Errorf("the ratio is %v", ratio)
	}
}

func TestCircuitRecovers(t *testing.T) {
	c := circuitOf(t, "NetworkErrorRatio() > 0.5", 1)
	if s := c.record(0, 0, 502, 0); s == nil || s.state != tripped {
		t.Fatal("it has not tripped")
	}
	if s := c.record(0, time.Second, 502, 0); s != nil {
		t.Error("what is late trips it again")
	}
	if pass, s := c.admit(9999 * ms); pass || s != nil {
		t.Error("a request passes a tripped circuit")
	}
	pass, s := c.admit(10 * time.Second)
	if pass || s == nil || s.state != recovering {
		t.Fatalf("%t %+v", pass, s)
	}
	passed := 0
	for i := range 1000 { // spread over its recovery
		if pass, _ := c.admit(10*time.Second + time.Duration(i)*10*ms); pass {
			passed++
		}
	}
	if passed < 400 || passed > 500 {
		t.Errorf("%d of 1000 pass", passed)
	}
	if pass, s := c.admit(20 * time.Second); !pass || s == nil || s.state != standby {
		t.Errorf("%t %+v", pass, s)
	}
	if s := c.record(0, 21*time.Second, 200, 0); s != nil {
		t.Error("what was before it tripped still counts")
	}
}

func TestCircuitTripsWhileRecovering(t *testing.T) {
	c := circuitOf(t, "NetworkErrorRatio() > 0.5", 1)
	c.record(0, 0, 502, 0)
	c.admit(10 * time.Second)
	if s := c.record(0, 11*time.Second, 502, 0); s == nil || s.state != tripped || s.until != 21*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestLatencyBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "latency"))
		up := latencyOf(latencyBucket(d))
		if up < d.Truncate(time.Microsecond) || float64(up) > float64(d)*1.035+1000 {
			t.Fatalf("%s becomes %s", d, up)
		}
	})
	if n := latencyBucket(math.MaxInt64); n != latencyBuckets-1 {
		t.Errorf("the longest is in bucket %d", n)
	}
	if n := latencyBucket(-1); n != 0 {
		t.Errorf("one that is negative is in bucket %d", n)
	}
}
