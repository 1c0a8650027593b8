package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/predicate"
)

// add puts a middleware behind those that the one router of a bed has.
func (b *bed) add(ms ...*Middleware) {
	b.t.Helper()
	r := b.routes[0].Value
	b.route(r.Name, "PathPrefix(`/`)", append(r.Middlewares, ms...), nil)
	b.front.Set(b.set)
}

// statuses asks for a path several times on one connection and returns the statuses.
func (b *bed) statuses(n int, request string) (all string) {
	b.t.Helper()
	text := b.exchange(strings.Repeat(request+"\r\n", n) + "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	for i, part := range strings.Split(text, "HTTP/1.1 ") {
		if i > 0 && i <= n {
			all += part[:3] + " "
		}
	}
	return strings.TrimSpace(all)
}

const headOfGet = "GET / HTTP/1.1\r\nHost: a\r\n"

func TestCircuitBreaker(t *testing.T) {
	usual := CircuitBreakerOptions{CheckPeriod: time.Nanosecond, FallbackDuration: time.Hour, RecoveryDuration: time.Hour, ResponseCode: 503}
	for _, tt := range []struct {
		name       string
		expression string
		status     int // of the server; 0 = it is gone
		want       string
	}{
		{"answers are fine", "ResponseCodeRatio(500, 600, 0, 600) > 0.5", 200, "200 200 200"},
		{"errors", "ResponseCodeRatio(500, 600, 0, 600) > 0.5", 500, "500 503 503"},
		{"errors that do not count", "NetworkErrorRatio() > 0.5", 500, "500 500 500"},
		{"the server is gone", "NetworkErrorRatio() > 0.5", 0, "502 503 503"},
		{"always", "LatencyAtQuantileMS(50) >= 0", 200, "200 503 503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := netip.MustParseAddrPort("127.0.0.1:1")
			if tt.status != 0 {
				addr = backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.status) })
			}
			b := newBed(t, setup{backends: []netip.AddrPort{addr}})
			o := usual
			o.Expression = tt.expression
			m, err := b.server.CircuitBreaker("breaker", o, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			b.add(m)
			if got := b.statuses(3, headOfGet); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if strings.HasSuffix(tt.want, "503") {
				has(t, b.records(4)[3], `"Reason":"circuit-open"`, `"DownstreamStatus":503`)
			}
		})
	}
}

// What a breaker refuses counts neither for it nor, as a network error would, for one around it; what is not the service's
// fault does not count at all.
func TestCircuitBreakerCounts(t *testing.T) {
	var asked atomic.Int64
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })}})
	m, err := b.server.CircuitBreaker("breaker", CircuitBreakerOptions{Expression: "ResponseCodeRatio(400, 500, 0, 600) > 0",
		CheckPeriod: time.Nanosecond, FallbackDuration: time.Millisecond, RecoveryDuration: time.Millisecond, ResponseCode: 429}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.add(m)
	if !overHTTP2 { // which has no words for that
		if got := b.statuses(1, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnope"); got != "400" {
			t.Fatal(got)
		}
	}
	if got := b.statuses(2, headOfGet); got != "200 200" {
		t.Errorf("a client that breaks HTTP opens the circuit: %s", got)
	}
	b.add(IPAllowList("only", nil, 403))
	if got := b.statuses(2, headOfGet); got != "403 429" {
		t.Errorf("what a middleware behind it answers counts: %s", got)
	}
	if n := asked.Load(); n > 4 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestCircuitBreakerRefusesNonsense(t *testing.T) {
	b := newBed(t, setup{})
	if _, err := b.server.CircuitBreaker("breaker", CircuitBreakerOptions{Expression: "true"}, time.Now()); err == nil {
		t.Error("nonsense is taken")
	}
}

// TestOutcomes: every answer but those that the client is to blame for is seen once, also by those whose successor gives it.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend http.HandlerFunc // nil = none
		ms      func(watch *Middleware) []*Middleware
		request string
		want    string
	}{
		{"of a server", echo, func(w *Middleware) []*Middleware { return []*Middleware{w} }, headOfGet, "200"},
		{"nobody there", nil, func(w *Middleware) []*Middleware { return []*Middleware{w} }, headOfGet, "503"},
		{"of a middleware", echo, func(w *Middleware) []*Middleware { return []*Middleware{w, IPAllowList("", nil, 403)} }, headOfGet, "403"},
		{"before it", echo, func(w *Middleware) []*Middleware { return []*Middleware{IPAllowList("", nil, 403), w} }, headOfGet, ""},
		{"of a client", echo, func(w *Middleware) []*Middleware { return []*Middleware{w} }, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", ""},
		{"of a bug", echo, func(w *Middleware) []*Middleware {
			return []*Middleware{w, asking(func(*Exchange) Action { panic("bug") })}
		}, headOfGet, "500"},
	} {
		if overHTTP2 && tt.name == "of a client" {
			continue // it has no words for that
		}
		t.Run(tt.name, func(t *testing.T) {
			seen := ""
			watch := &Middleware{Outcome: func(_ *Exchange, status int) bool { seen += fmt.Sprint(status); return false }}
			o := setup{middlewares: tt.ms(watch)}
			if tt.backend != nil {
				o.backends = []netip.AddrPort{backend(t, tt.backend)}
			}
			b := newBed(t, o)
			b.exchange(tt.request + "Connection: close\r\n\r\n")
			b.server.each(func(*worker) {
				if seen != tt.want {
					t.Errorf("saw %q", seen)
				}
			})
			b.server.panics.Store(0)
		})
	}
}

func TestOutcomeThatPanics(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{
		{Outcome: func(*Exchange, int) bool { t.Error("it is asked about a bug behind it"); return false }},
		{Outcome: func(*Exchange, int) bool { panic("bug") }}}})
	has(t, b.exchange(oneGet), "HTTP/1.1 500 ")
	if n := b.server.panics.Swap(0); n != 1 {
		t.Errorf("%d panics", n)
	}
}

func TestBreakerFunctionsAreServed(t *testing.T) {
	for _, f := range predicate.Breaker() {
		c := circuitOf(t, f.Name+map[int]string{0: "()", 1: "(50)", 4: "(1, 2, 3, 4)"}[f.Args]+" >= 0", 1)
		if !c.condition.Holds(func(i int) predicate.Value { return predicate.Value{Number: c.value(&c.calls[i], 0)} }) {
			t.Errorf("%s is nothing", f.Name)
		}
	}
}
