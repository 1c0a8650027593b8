package main_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// answering is a configuration with a service for each kind of bad server: gone is the address of one that is not there.
func answering(t *testing.T, log, app, gone string) string {
	t.Helper()
	return fmt.Sprintf(`
accessLog: { path: %[1]s }
entryPoints:
  web: { address: "127.0.0.1:0", transport: { respondingTimeouts: { readTimeout: 2s } }, http: { maxRequestBodyBytes: 1000, maxHeaderBytes: 2048 } }
http:
  routers:
    app:    { rule: "Path(%[2]s/said%[2]s) || Path(%[2]s/body%[2]s)", service: app }
    none:   { rule: "Path(%[2]s/none%[2]s)", service: none }
    gone:   { rule: "Path(%[2]s/gone%[2]s)", service: gone }
    silent: { rule: "Path(%[2]s/silent%[2]s)", service: silent }
    liar:   { rule: "Path(%[2]s/liar%[2]s)", service: liar }
    closes: { rule: "Path(%[2]s/closes%[2]s)", service: closes }
  services:
    app:    { loadBalancer: { servers: [ %[3]s ] } }
    none:   { loadBalancer: { servers: [ { url: "http://127.0.0.1:1", weight: 0 } ] } }
    gone:   { loadBalancer: { servers: [ %[4]s ] } }
    silent: { loadBalancer: { servers: [ %[5]s ], serversTransport: { forwardingTimeouts: { responseHeaderTimeout: 300ms } } } }
    liar:   { loadBalancer: { servers: [ %[6]s ] } }
    closes: { loadBalancer: { servers: [ %[7]s ] } }
`, log, "`", urls(app), urls(gone), urls(weirtest.Serve(t, weirtest.Silent).Addr),
		urls(weirtest.Serve(t, weirtest.Answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nlies")).Addr),
		urls(weirtest.Serve(t, weirtest.Answer("")).Addr))
}

// TestOwnAnswers looks at every answer weir gives itself: status, body, what becomes of the connection, log and metrics.
func TestOwnAnswers(t *testing.T) {
	t.Parallel()
	app, gone := goApp(t), weirtest.Refused(t)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, answering(t, log, app, gone))
	addr := addressOf(t, w, "web")
	for _, tt := range []struct {
		target, send   string // what is sent in the place of a GET of the target
		status         int
		reason, detail string
		closes         bool
	}{
		{"/said", "", 200, "done", "", false},
		{"/nowhere", "", 404, "no-route", "", false},
		{"/none", "", 503, "no-backend", "", false},
		{"/gone", "", 502, "refused", "", false},
		{"/silent", "", 504, "response-timeout", "", false},
		{"/liar", "", 502, "bad-response", "many-lengths", false},
		{"/closes", "", 502, "backend-abort", "", false},
		{"/body?length", "POST /body?length HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 413, "body-too-large", "", true},
		{"/body?chunks", "POST /body?chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("x", 1001), 413, "body-too-large", "", true},
		{"/said?long", "GET /said?long HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2048) + "\r\n\r\n", 431, "bad-request", "", true},
		{"/said?twice", "GET /said?twice HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request", "many-hosts", true},
		{"/said%00", "GET /said%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request", "bad-path", true},
		{"/silent?late", "POST /silent?late HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nlat", 408, "request-timeout", "", true},
	} {
		t.Run(strings.TrimPrefix(tt.target, "/"), func(t *testing.T) {
			conn := dial(t, addr)
			if tt.send == "" {
				tt.send = "GET " + tt.target + " HTTP/1.1\r\nHost: a\r\n\r\n"
			}
			send(t, conn, tt.send)
			if !tt.closes {
				send(t, conn, "GET /said?next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			}
			text, err := io.ReadAll(conn)
			if err != nil {
				t.Fatalf("%q, %v", text, err)
			}
			head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", tt.status, http.StatusText(tt.status))
			first, next, more := strings.Cut(string(text), "HTTP/1.1 200 OK\r\n")
			if tt.status == 200 {
				first, next, more = strings.Cut(string(text[1:]), "HTTP/1.1 200 OK\r\n")
				first = string(text[:1]) + first
			}
			body := "\r\n\r\n" + http.StatusText(tt.status) + "\n"
			if !strings.HasPrefix(first, head) || tt.status != 200 && !strings.HasSuffix(first, body) {
				t.Errorf("answer %q, want %q ... %q", first, head, body)
			}
			if closes := strings.Contains(first, "Connection: close\r\n"); closes != tt.closes || more == tt.closes || more && !strings.Contains(next, "/said?next") {
				t.Errorf("the connection closes: %v, want %v; then %q", closes, tt.closes, next)
			}
			r := awaitRequest(t, log, tt.target)
			if r.DownstreamStatus != tt.status || r.Reason != tt.reason || tt.detail != "" && r.Detail != tt.detail || r.Entrypoint != "web" || r.Protocol != "http" {
				t.Errorf("the log says %+v, want %d %s %s", r, tt.status, tt.reason, tt.detail)
			}
		})
	}
	if text := rawHTTP(t, addr, "GET / HTTP"); !strings.HasPrefix(text, "HTTP/1.1 408 ") {
		t.Errorf("half a head is answered %q", text)
	}
	if text := rawHTTP(t, addr, "nonsense\r\n\r\n"); !strings.HasPrefix(text, "HTTP/1.1 400 ") {
		t.Errorf("nonsense is answered %q", text)
	}
	checkAnswerMetrics(t, w, gone)
}

// checkAnswerMetrics adds up what the log has: every request is counted once, at every level that it reached. gone is a server that
// is not there.
func checkAnswerMetrics(t *testing.T, w *weirtest.WeirProcess, gone string) {
	t.Helper()
	m := metrics(t, w)
	for series, want := range map[string]float64{
		`weir_backend_http_response_bytes_total{backend="` + gone + `",protocol="http",service="gone"}`: 0,     // it has said nothing
		`weir_entrypoint_http_requests_total{code="2xx",entrypoint="web"}`:                              1 + 7, // and those that came next
		`weir_entrypoint_http_requests_total{code="4xx",entrypoint="web"}`:                              7 + 2,
		`weir_entrypoint_http_requests_total{code="5xx",entrypoint="web"}`:                              5,
		`weir_router_http_requests_total{code="5xx",protocol="http",router="gone"}`:                     1,
		`weir_router_http_requests_total{code="4xx",protocol="http",router="app"}`:                      1, // the other one is too long before it is routed
		`weir_router_http_requests_total{code="4xx",protocol="http",router="silent"}`:                   1,
		`weir_service_http_requests_total{code="5xx",protocol="http",service="none"}`:                   1,
		`weir_service_http_requests_total{code="5xx",protocol="http",service="liar"}`:                   1,
		`weir_entrypoint_http_request_duration_seconds_count{entrypoint="web"}`:                         22,
	} {
		if got, there := m[series]; !there || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series, got, there, want)
		}
	}
	for series := range m {
		if strings.Contains(series, "nowhere") || strings.Contains(series, "nonsense") {
			t.Errorf("a label comes from a client: %s", series)
		}
	}
}

// TestRequestsInTheLog looks at what the log and the metrics say of good requests.
func TestRequestsInTheLog(t *testing.T) {
	t.Parallel()
	app := goApp(t)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+site("", "", app))
	addr := addressOf(t, w, "web")
	c := browser(t)
	for i, target := range []string{"/body?1", "/body?2"} {
		if _, got := do(t, c, request(t, "POST", addr, "shop.test", target, strings.NewReader("12345"))); got != "12345" {
			t.Fatalf("%q", got)
		}
		r := awaitRequest(t, log, target)
		want := requestRecord{
			Protocol: "http", ClientAddr: r.ClientAddr, Entrypoint: "web", RouterName: "all", ServiceName: "app", ServiceAddr: app,
			RequestMethod: "POST", RequestPath: target, RequestHost: "shop.test", RequestProtocol: "HTTP/1.1", RequestScheme: "http",
			RequestCount: i + 1, RequestContentSize: 5, DownstreamContentSize: r.DownstreamContentSize, // chunks, as they came
			OriginStatus: 200, DownstreamStatus: 200, Duration: r.Duration, FirstByteDuration: r.FirstByteDuration,
			EndedBy: r.EndedBy, Reason: "done", TerminationState: "--",
		}
		if r != want || !strings.HasPrefix(r.ClientAddr, "127.0.0.1:") || r.DownstreamContentSize < 5 || r.Duration <= 0 || r.Duration > soon || r.FirstByteDuration <= 0 || r.FirstByteDuration > r.Duration {
			t.Errorf("the log says\n%+v, want\n%+v", r, want)
		}
	}
	m := metrics(t, w)
	for _, level := range []string{`entrypoint%s{entrypoint="web"}`, `router%s{protocol="http",router="all"}`, `service%s{protocol="http",service="app"}`,
		`backend%s{backend="` + app + `",protocol="http",service="app"}`} {
		if n := m["weir_"+fmt.Sprintf(level, "_http_request_duration_seconds_count")]; n != 2 {
			t.Errorf("%s: %v requests, want 2", level, n)
		}
		if n := m["weir_"+fmt.Sprintf(level, "_http_request_bytes_total")]; n != 10 {
			t.Errorf("%s: %v bytes of requests, want 10", level, n)
		}
	}
}
