package server

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/config"
)

// withMiddleware is simpleWeb with one middleware on its router.
func withMiddleware(text, server string) string {
	return strings.Replace(simpleWeb("", "", server), "service: app }", "service: app, middlewares: [m] }\n  middlewares:\n    m: "+text, 1)
}

// with asks for a path, with further lines, and returns status and body.
func (l *line) with(path string, lines ...string) (status int, body string) {
	l.t.Helper()
	if _, err := fmt.Fprintf(l, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, l.host, strings.Join(append(lines, ""), "\r\n")); err != nil {
		l.t.Fatal(err)
	}
	return l.answer()
}

func authorization(userinfo string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
}

// TestUsersFileIsRead: users come from both places, and a file that has changed is read by a reload.
func TestUsersFileIsRead(t *testing.T) {
	const test = "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/" // the password is test
	file := filepath.Join(t.TempDir(), "users")
	write(t, file, "# ours\r\nfile:"+test+"\r\nlisted:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\r\n")
	a := serveWeb(t, "a")
	text := withMiddleware(`{ basicAuth: { users: ["listed:`+test+`"], usersFile: `+file+` } }`, a.addr)
	r := start(t, text)
	conn := dial(t, r.addr("web"))
	for userinfo, want := range map[string]int{"file:test": 200, "listed:test": 200, "other:test": 401, "file:x": 401} {
		if status, _ := conn.with("/", authorization(userinfo)); status != want {
			t.Errorf("%s: status %d, want %d", userinfo, status, want)
		}
	}
	before := r.web.middlewares["m"]
	r.mustReload(text)
	if r.web.middlewares["m"] != before {
		t.Error("a reload without a change makes the middleware anew")
	}
	write(t, file, "other:"+test+"\n")
	r.mustReload(text)
	if status, _ := conn.with("/", authorization("other:test")); status != 200 {
		t.Errorf("the new user gets %d", status)
	}
	if status, _ := conn.with("/", authorization("file:test")); status != 401 {
		t.Errorf("the old user gets %d", status)
	}
	write(t, file, "other:secret-in-clear\n")
	err := r.tryReload(text)
	if err == nil || !strings.Contains(err.Error(), "usersFile: "+file+": line 1: not a user") || strings.Contains(err.Error(), "secret-in-clear") {
		t.Errorf("a bad file gives %v", err)
	}
	if status, _ := conn.with("/", authorization("other:test")); status != 200 {
		t.Errorf("after a reload that failed the user gets %d", status)
	}
}

// TestUnusedMiddlewareIsChecked: what only the packages behind can know is said of middlewares that no router names, too.
func TestUnusedMiddlewareIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		`{ basicAuth: { users: ["a:plain"] } }`: "http.middlewares.m.basicAuth.users: line 1: not a user",
	} {
		cfg, err := config.Parse("weir.yaml", []byte("http: { middlewares: { m: "+text+" } }\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := compile(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestCountsSurviveAReload: what a client has in hand, and what it has used up, is known after a reload that changes
// something else, and forgotten after one that changes the limit.
func TestCountsSurviveAReload(t *testing.T) {
	a := serveWeb(t, "a")
	text := withMiddleware("{ inFlightReq: { amount: 1 } }", a.addr)
	r := start(t, text)
	one, two := dial(t, r.addr("web")), dial(t, r.addr("web"))
	one.ask("/wait")
	<-a.asked
	other := text + "accessLog: { path: " + filepath.Join(t.TempDir(), "access.log") + " }\n"
	for i, text := range []string{text, other} {
		if status, _ := two.get("/"); status != 429 {
			t.Errorf("before reload %d: status %d", i, status)
		}
		r.mustReload(text)
		if status, _ := two.get("/"); status != 429 {
			t.Errorf("after reload %d: status %d", i, status)
		}
	}
	// The one in hand is given back to the limit that it was taken from.
	r.mustReload(strings.Replace(other, "amount: 1", "amount: 2", 1))
	a.answer <- struct{}{}
	if status, _ := one.answer(); status != 200 {
		t.Errorf("the one in hand: status %d", status)
	}
	if status, _ := two.get("/"); status != 200 {
		t.Errorf("with a new limit: status %d", status)
	}

	r.mustReload(withMiddleware("{ rateLimit: { average: 1, period: 1h, sourceCriterion: { requestHeaderName: X-Key } } }", a.addr))
	ask := func(want int) {
		t.Helper()
		if status, _ := two.with("/", "X-Key: 7"); status != want {
			t.Errorf("status %d, want %d", status, want)
		}
	}
	ask(200)
	ask(429)
	r.mustReload(withMiddleware("{ rateLimit: { average: 1, period: 1h, sourceCriterion: { requestHeaderName: X-Key } } }", a.addr) + "log: { level: debug }\n")
	ask(429)
}
