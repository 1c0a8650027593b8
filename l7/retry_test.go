package l7

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// inTurn answers each request with the next of the statuses, and with the last one from then on, and says how often it was
// asked and with what. 0 breaks the connection off.
func inTurn(statuses ...int) http.HandlerFunc {
	asked := 0
	return func(w http.ResponseWriter, r *http.Request) {
		status := statuses[min(asked, len(statuses)-1)]
		asked++
		body, _ := io.ReadAll(r.Body)
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "asked %d: %s %s %s", asked, r.Method, r.RequestURI, body)
	}
}

func oneOf(statuses ...int) (s Statuses) {
	for _, status := range statuses {
		s.Add(status, status)
	}
	return s
}

func TestRetry(t *testing.T) {
	post := "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	get := "GET /g HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name    string
		o       RetryOptions
		backend []int
		request string
		want    string // status and body
	}{
		{"answers are answers", RetryOptions{Attempts: 3}, []int{500, 200}, get, "500 asked 1: GET /g "},
		{"a status", RetryOptions{Attempts: 3, Statuses: oneOf(500)}, []int{500, 500, 200}, get, "200 asked 3: GET /g "},
		{"not that often", RetryOptions{Attempts: 2, Statuses: oneOf(500)}, []int{500, 500, 200}, get, "500 asked 2: GET /g "},
		{"once is no retry", RetryOptions{Attempts: 1, Statuses: oneOf(500)}, []int{500, 200}, get, "500 asked 1: GET /g "},
		{"another status", RetryOptions{Attempts: 3, Statuses: oneOf(503)}, []int{500, 200}, get, "500 asked 1: GET /g "},
		{"a method that may have had an effect", RetryOptions{Attempts: 3, Statuses: oneOf(500), MaxBody: -1}, []int{500, 200}, post, "500 asked 1: POST /p hello"},
		{"such a method all the same", RetryOptions{Attempts: 3, Statuses: oneOf(500), MaxBody: -1, AnyMethod: true}, []int{500, 200}, post, "200 asked 2: POST /p hello"},
		{"a body that is not kept", RetryOptions{Attempts: 3, Statuses: oneOf(500), MaxBody: 4, AnyMethod: true}, []int{500, 200}, post, "500 asked 1: POST /p hello"},
		{"the server goes away", RetryOptions{Attempts: 3}, []int{0, 0, 200}, get, "200 asked 3: GET /g "},
		{"the server goes away, which does not matter", RetryOptions{Attempts: 3, IgnoreNetworkErrors: true}, []int{0, 0, 0, 200}, get, "502 Bad Gateway\n"},
		{"the server goes away from one that may have had an effect", RetryOptions{Attempts: 3, MaxBody: -1}, []int{0, 200}, post, "502 Bad Gateway\n"},
		{"for ever", RetryOptions{Attempts: 3, Statuses: oneOf(500), Timeout: time.Nanosecond}, []int{500, 200}, get, "500 asked 1: GET /g "},
		{"with a pause", RetryOptions{Attempts: 3, Statuses: oneOf(500), InitialInterval: time.Millisecond}, []int{500, 500, 200}, get, "200 asked 3: GET /g "},
		{"no longer than there is time", RetryOptions{Attempts: 3, Statuses: oneOf(500), InitialInterval: time.Hour, Timeout: time.Minute}, []int{500, 200}, get, "500 asked 1: GET /g "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(tt.backend...))}, middlewares: []*Middleware{Retry("retry", tt.o)},
				pool: upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}, Passive: passive.Passive}})
			text := b.exchange(strings.Replace(tt.request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			status, body, _ := strings.Cut(tt.want, " ")
			if !strings.HasPrefix(text, "HTTP/1.1 "+status+" ") || !strings.HasSuffix(text, "\r\n\r\n"+body) {
				t.Errorf("%s, want %s", text, tt.want)
			}
		})
	}
}

// What was never sent is sent again whatever it is.
func TestRetryOfWhatWasNotSent(t *testing.T) {
	for _, attempts := range []int{1, 3} {
		b := newBed(t, setup{backends: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, middlewares: []*Middleware{Retry("retry", RetryOptions{Attempts: attempts, MaxBody: -1})},
			pool: upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}, Passive: passive.Passive}})
		has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"), "HTTP/1.1 502 ")
		if n := b.pool.Backends()[0].Stats().ConnectFailures; n != uint64(attempts) {
			t.Errorf("%d connections were tried, want %d", n, attempts)
		}
		if got := b.svc.Stats().Requests[5]; got != int64(attempts) {
			t.Errorf("%d attempts are counted", got)
		}
	}
}

// A client that leaves during the pause takes its request with it.
func TestClientLeavesDuringRetryPause(t *testing.T) {
	o := newOrigin(t, answers("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()},
		middlewares: []*Middleware{Retry("retry", RetryOptions{Attempts: 3, Statuses: oneOf(500), InitialInterval: time.Hour})}})
	c := b.dial()
	send(t, c, oneGet)
	weirtest.Eventually(t, patience, func() (pausing_ bool) {
		b.server.each(func(w *worker) {
			w.forEach(func(c *conn) { pausing_ = c.x != nil && c.x.phase == pausing })
		})
		return pausing_
	}, "the request pauses")
	_ = c.(*net.TCPConn).CloseWrite()
	b.ended(1, 499, "client", "client-abort")
	if n := o.heads("GET"); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
}

// The retry budget of a pool holds for the middleware as well.
func TestRetryBudget(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(500))}, middlewares: []*Middleware{Retry("retry", RetryOptions{Attempts: 100, Statuses: oneOf(500)})}})
	has(t, b.exchange(oneGet), "HTTP/1.1 500 ")
	if s := b.pool.Stats(); s.Retries < 10 || s.Retries > 30 || s.RetriesRefused == 0 {
		t.Errorf("%d retries, %d refused", s.Retries, s.RetriesRefused)
	}
}

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		name              string
		attempt, attempts int
		initial           time.Duration
		random            float64
		want              time.Duration
	}{
		{"first", 1, 5, 100 * ms, 0.5, 100 * ms},
		{"last", 5, 5, 100 * ms, 0.5, 200 * ms},
		{"between", 3, 5, 100 * ms, 0.5, 141 * ms},
		{"low", 1, 5, 100 * ms, 0, 50 * ms},
		{"high", 5, 5, 100 * ms, 1, 300 * ms},
		{"none", 1, 5, 0, 0.5, 0},
		{"once", 1, 1, 100 * ms, 0.5, 0},
	} {
		if got := backoff(tt.attempt, tt.attempts, tt.initial, tt.random).Truncate(ms); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
