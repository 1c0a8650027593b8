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

// named starts a server that says its name, the path and the body it got. /fail is answered with 503.
func named(t *testing.T, name string) string {
	t.Helper()
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/fail" {
			http.Error(w, name+" fails", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s %s %s", name, r.URL.Path, body)
	})
}

// TestServices leads requests through every kind of service.
func TestServices(t *testing.T) {
	t.Parallel()
	type copied struct{ path, body string }
	copies := make(chan copied, 8)
	mirror := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		copies <- copied{r.URL.Path, string(body)}
		<-r.Context().Done() // its answer is nobody's concern, and never comes
	})
	main, other := named(t, "main"), named(t, "other")
	config := fmt.Sprintf(`
engine: { loops: 1 }
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    weighted: { rule: "Host(%[1]sweighted%[1]s)", service: weighted }
    highest:  { rule: "Host(%[1]shighest%[1]s)", service: highest }
    failover: { rule: "Host(%[1]sfailover%[1]s)", service: failover }
    mirrored: { rule: "Host(%[1]smirrored%[1]s)", service: mirrored }
    sticky:   { rule: "Host(%[1]ssticky%[1]s)", service: sticky }
  services:
    main:     { loadBalancer: { servers: [ %[2]s ], slowStart: 0s } }
    other:    { loadBalancer: { servers: [ %[3]s ], slowStart: 0s } }
    mirror:   { loadBalancer: { servers: [ %[4]s ] } }
    weighted: { weighted: { services: [ { name: main, weight: 3 }, { name: other, weight: 1 } ] } }
    highest:  { highestRandomWeight: { services: [ { name: main }, { name: other } ] } }
    failover: { failover: { service: main, fallback: other, errors: { status: [ "500-599" ] } } }
    mirrored: { mirroring: { service: main, mirrors: [ { name: mirror, percent: 100 } ] } }
    sticky:   { loadBalancer: { servers: [ %[2]s, %[3]s ], slowStart: 0s, sticky: { cookie: { name: stay, httpOnly: true } } } }
`, "`", urls(main), urls(other), urls(mirror))
	w := weirtest.Weir(t, config)
	addr := addressOf(t, w, "web")
	c := browser(t)
	ask := func(host, method, path, body string) (int, string) {
		t.Helper()
		resp, text := do(t, c, request(t, method, addr, host, path, strings.NewReader(body)))
		return resp.StatusCode, text
	}

	counts := make(map[string]int)
	for range 40 {
		_, text := ask("weighted", "GET", "/", "")
		counts[text]++
	}
	if counts["main / "] != 30 || counts["other / "] != 10 {
		t.Errorf("40 requests by 3 to 1 go to %v", counts)
	}
	clear(counts)
	for range 10 {
		_, text := ask("highest", "GET", "/", "")
		counts[text]++
	}
	if len(counts) != 1 {
		t.Errorf("one client goes to %v", counts)
	}
	for path, want := range map[string]string{"/good": "main /good hello", "/fail": "other fails\n"} {
		if _, text := ask("failover", "POST", path, "hello"); text != want {
			t.Errorf("failover of %s: %q, want %q", path, text, want)
		}
	}
	if status, text := ask("mirrored", "POST", "/shown", "hello"); status != 200 || text != "main /shown hello" {
		t.Errorf("status %d, %q", status, text)
	}
	if got := within(t, copies, "the mirror gets its copy"); got != (copied{"/shown", "hello"}) {
		t.Errorf("the mirror gets %+v", got)
	}
	checkSticky(t, w, addr, config)
}

// checkSticky has curl keep the cookie, also over a reload, and sees that one that weir did not make is worth nothing.
func checkSticky(t *testing.T, w *weirtest.WeirProcess, addr, config string) {
	t.Helper()
	jar := filepath.Join(t.TempDir(), "jar")
	get := func(args ...string) string {
		t.Helper()
		args = append([]string{"-sS", "--max-time", "20", "--connect-to", "sticky:80:" + addr}, args...)
		return weirtest.Run(t, "curl", append(args, "http://sticky/")...)
	}
	first := get("-c", jar)
	for range 6 {
		if got := get("-b", jar); got != first {
			t.Errorf("a client with a cookie goes to %q and then to %q", first, got)
		}
	}
	w.Reload(config + "accessLog: { path: " + filepath.Join(t.TempDir(), "access.log") + " }\n")
	for range 4 {
		if got := get("-b", jar); got != first {
			t.Errorf("after a reload a client with a cookie goes to %q, before it to %q", got, first)
		}
	}
	for _, args := range [][]string{nil, {"-b", "stay=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}} {
		seen := make(map[string]bool)
		for range 6 {
			seen[get(args...)] = true
		}
		if len(seen) != 2 {
			t.Errorf("clients with %v all go to %v", args, seen)
		}
	}
	if head := get("-D", "-"); !strings.Contains(head, "\r\nSet-Cookie: stay=") || !strings.Contains(head, "; HttpOnly") {
		t.Errorf("the cookie is not there: %q", head)
	}
}

// TestMiddlewares sends requests through each of them, and through several in their order.
func TestMiddlewares(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, fmt.Sprintf(`
accessLog: { path: %[3]s }
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    both:    { rule: "PathPrefix(%[1]s/api%[1]s)", middlewares: [strip, add], service: app }
    denied:  { rule: "Path(%[1]s/denied%[1]s)", middlewares: [strangers, add], service: app }
    slow:    { rule: "Path(%[1]s/slow%[1]s)", middlewares: [slow], service: app }
    secure:  { rule: "Path(%[1]s/secure%[1]s)", middlewares: [secure], service: app }
  middlewares:
    strip:     { stripPrefix: { prefixes: [ /api ] } }
    add:       { addPrefix: { prefix: /v2 } }
    strangers: { ipAllowList: { sourceRange: [ 192.0.2.0/24 ] } }
    slow:      { rateLimit: { average: 1, burst: 2, period: 1h } }
    secure:    { redirectScheme: { scheme: https, port: "8443" } }
  services: { app: { loadBalancer: { servers: [ %[2]s ] } } }
`, "`", urls(named(t, "app")), log))
	addr := addressOf(t, w, "web")
	c := browser(t)
	for _, tt := range []struct {
		target string
		status int
		body   string
		reason string
	}{
		{"/api/users?id=1", 200, "app /v2/users ", "done"},
		{"/denied", 403, "Forbidden\n", "denied"},
		{"/slow", 200, "app /slow ", "done"},
		{"/slow", 200, "app /slow ", "done"},
		{"/slow", 429, "Too Many Requests\n", "rate-limited"},
		{"/secure", 302, "", "answered"},
	} {
		before := len(readRequests(t, log))
		resp, body := do(t, c, request(t, "GET", addr, "shop.test", tt.target, nil))
		if resp.StatusCode != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%s: status %d, %q, want %d, %q", tt.target, resp.StatusCode, body, tt.status, tt.body)
		}
		if location := resp.Header.Get("Location"); tt.status == 302 && location != "https://shop.test:8443/secure" {
			t.Errorf("%s leads to %q", tt.target, location)
		}
		weirtest.Eventually(t, soon, func() bool { return len(readRequests(t, log)) > before }, "the request is in the access log")
		if r := readRequests(t, log)[before]; r.RequestPath != tt.target || r.DownstreamStatus != tt.status || r.Reason != tt.reason {
			t.Errorf("the log says %+v", r)
		}
	}
}
