package server

import (
	"strings"
	"testing"
)

// TestReloadKeepsCircuits: a circuit breaker stays open through reloads that do not change it, and a chain is what it stands
// for: a change within it is one of the router.
func TestReloadKeepsCircuits(t *testing.T) {
	a := serveWeb(t, "a")
	text := strings.Replace(simpleWeb("", "", "127.0.0.1:1"), "service: app }", "service: app, middlewares: [ all ] }", 1) + `    pages: { loadBalancer: { servers: [ { url: "http://` + a.addr + `" } ] } }
  middlewares:
    all: { chain: { middlewares: [ page, breaker ] } }
    page: { errors: { status: [ "503" ], service: pages, query: "/p", statusRewrites: { "503": 500 } } }
    breaker: { circuitBreaker: { expression: "NetworkErrorRatio() > 0.5", fallbackDuration: 1h } }
`
	r := start(t, text)
	conn := dial(t, r.addr("web"))
	want := func(when string, status int, body string) {
		t.Helper()
		if gotStatus, got := conn.get("/"); gotStatus != status || !strings.HasPrefix(got, body) {
			t.Errorf("%s: %d %q, want %d %q", when, gotStatus, got, status, body)
		}
	}
	want("the server is gone", 502, "Bad Gateway")
	want("the circuit is open", 500, "a")
	breaker := r.web.middlewares["breaker"]
	r.mustReload(text + "    more: { compress: {} }\n")
	want("after a reload", 500, "a")
	r.mustReload(strings.Replace(text, `"/p", statusRewrites: { "503": 500 }`, `"/p"`, 1))
	want("with another middleware in the chain", 503, "a")
	if r.web.middlewares["breaker"] != breaker {
		t.Error("the breaker is another one")
	}
	r.mustReload(strings.Replace(text, "fallbackDuration: 1h", "fallbackDuration: 2h", 1))
	want("with another breaker", 502, "Bad Gateway")
	r.mustReload(strings.Replace(text, "service: pages", "service: app", 1))
	want("with pages that are gone", 502, "Bad Gateway")
	want("with pages that are gone", 500, "Internal Server Error")
	if m := r.router("all", "http").Middlewares; strings.Join(m, " ") != "page breaker" {
		t.Errorf("the router is shown with %q", m)
	}
}
