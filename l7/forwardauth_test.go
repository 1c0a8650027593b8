package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// judge is an authentication server.
func judge(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/verify?a=b")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// forwardAuthTo is a middleware with usual values.
func forwardAuthTo(o ForwardAuthOptions) []*Middleware {
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	return []*Middleware{ForwardAuth("auth", o)}
}

func TestForwardAuth(t *testing.T) {
	type options = ForwardAuthOptions
	at := func(h http.HandlerFunc) *url.URL { return judge(t, h) }
	yes := at(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-User", "ada")
		w.Header()["X-Group"] = []string{"a", "b"}
		w.Header().Set("X-Auth-Level", "7")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "auth"})
		http.SetCookie(w, &http.Cookie{Name: "other", Value: "auth"})
		w.WriteHeader(204)
	})
	no := at(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/login")
		w.Header().Set("Connection", "X-Secret")
		w.Header().Set("X-Why", "because")
		status := 401
		_, _ = fmt.Sscan(r.Header.Get("X-Status"), &status)
		w.WriteHeader(status)
		if status != 304 {
			_, _ = io.WriteString(w, "no way")
		}
	})
	question := at(func(w http.ResponseWriter, r *http.Request) { // says in its refusal what it was asked
		w.WriteHeader(403)
		var lines []string
		for name, values := range r.Header {
			lines = append(lines, fmt.Sprintf("%s=%q", name, values))
		}
		slices.Sort(lines)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, strings.Join(lines, " "))
	})
	gone := *yes
	gone.Host = "127.0.0.1:1"
	const post = "POST /p?q=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nX-A: 1\r\nX-B: 2\r\nX-Hop: 3\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Method: LIE\r\nX-Forwarded-Uri: /lie\r\nConnection: X-Hop\r\n"
	behave(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "server"})
		http.SetCookie(w, &http.Cookie{Name: "own", Value: "server"})
		told(w, r)
	}, []behaviour{
		{name: "passes", m: forwardAuthTo(options{Address: yes}), request: "X-User: me\r\n", want: []string{`X-User=["me"]`, "session=server", "own=server"}, wantNot: []string{"=auth"}},
		{name: "passes, with what it says", m: forwardAuthTo(options{Address: yes, ResponseHeaders: []string{"x-user", "X-Group", "X-None"}, UserField: "X-User"}),
			request: "X-User: root\r\nX-None: me\r\n", want: []string{`X-User=["ada"]`, `X-Group=["a" "b"]`}, wantNot: []string{"X-None", "root", "X-Auth-Level"}, record: []string{`"ClientUsername":"ada"`}},
		{name: "passes, by a pattern", m: forwardAuthTo(options{Address: yes, ResponsePattern: regexp.MustCompile("^X-Auth-")}),
			request: "X-Auth-Level: 9\r\nx-auth-lie: 1\r\n", want: []string{`X-Auth-Level=["7"]`}, wantNot: []string{"Lie", `"9"`, "X-Group"}},
		{name: "passes, with cookies", m: forwardAuthTo(options{Address: yes, Cookies: []string{"session", "none"}}),
			want: []string{"Set-Cookie: session=auth\r\n", "Set-Cookie: own=server\r\n"}, wantNot: []string{"session=server", "other"}},

		{name: "refuses", m: forwardAuthTo(options{Address: no}), status: 401, want: []string{"\r\n\r\nno way", "X-Why: because\r\n", "Content-Length: 6\r\n", "Location: http://127.0.0.1:"},
			record: []string{`"denied"`, `"auth-denied"`}},
		{name: "refuses, and keeps where to go", m: forwardAuthTo(options{Address: no, KeepLocation: true}), status: 401, want: []string{"Location: /login\r\n"}},
		{name: "refuses a HEAD", m: forwardAuthTo(options{Address: no}), request: "HEAD / HTTP/1.1\r\nHost: a\r\n", status: 401, wantNot: []string{"no way"}},
		{name: "redirects", m: forwardAuthTo(options{Address: no}), request: "X-Status: 302\r\n", status: 302, want: []string{"Location: http://127.0.0.1:"}},
		{name: "answers without a body", m: forwardAuthTo(options{Address: no}), request: "X-Status: 304\r\n", status: 304, wantNot: []string{"Content-Length"}},
		{name: "answers what is no status", m: forwardAuthTo(options{Address: no}), request: "X-Status: 700\r\n", status: 503, record: []string{`"auth-failed"`}},
		{name: "sends to sign in", m: forwardAuthTo(options{Address: no, Signin: "https://login.test/?x"}), status: 302, want: []string{"Location: https://login.test/?x\r\n"}, wantNot: []string{"because"}},
		{name: "sends others not to sign in", m: forwardAuthTo(options{Address: no, Signin: "https://login.test/"}), request: "X-Status: 403\r\n", status: 403},

		{name: "is asked", m: forwardAuthTo(options{Address: question}), request: post, status: 403,
			want:    []string{"\r\n\r\nGET /verify?a=b ", `X-A=["1"]`, `X-Forwarded-For=["127.0.0.1"]`, `X-Forwarded-Method=["POST"]`, `X-Forwarded-Proto=["http"]`, `X-Forwarded-Host=["a.test"]`, `X-Forwarded-Uri=["/p?q=1"]`},
			wantNot: []string{"X-Hop", "LIE", "/lie", "192.0.2.9", "User-Agent"}},
		{name: "is asked about a proxy's client", m: forwardAuthTo(options{Address: question, TrustForwarded: true}), request: post, status: 403, trusted: true,
			want: []string{`X-Forwarded-For=["192.0.2.9, 127.0.0.1"]`, `X-Forwarded-Method=["LIE"]`, `X-Forwarded-Uri=["/lie"]`}},
		{name: "is asked about a liar", m: forwardAuthTo(options{Address: question, TrustForwarded: true}), request: post, status: 403,
			want: []string{`X-Forwarded-For=["127.0.0.1"]`, `X-Forwarded-Method=["POST"]`, `X-Forwarded-Uri=["/p?q=1"]`}},
		{name: "is not told what a trusted proxy says", m: forwardAuthTo(options{Address: question}), request: post, status: 403, trusted: true,
			want: []string{`X-Forwarded-For=["127.0.0.1"]`, `X-Forwarded-Method=["POST"]`}},
		{name: "is asked about some headers", m: forwardAuthTo(options{Address: question, RequestHeaders: []string{"x-b"}}), request: post, status: 403,
			want: []string{`X-B=["2"]`, "X-Forwarded-For"}, wantNot: []string{"X-A"}},
		{name: "is asked with the method", m: forwardAuthTo(options{Address: question, KeepMethod: true}), request: post, status: 403, want: []string{"\r\n\r\nPOST /verify"}},

		{name: "answers at too great length", m: forwardAuthTo(options{Address: no, MaxBody: 5}), status: 503, record: []string{`"auth-long-answer"`}},
		{name: "answers as long as it may", m: forwardAuthTo(options{Address: no, MaxBody: 6}), status: 401},
		{name: "is not there", m: forwardAuthTo(options{Address: &gone}), status: 503, record: []string{`"auth-failed"`}},
	})
}

// The server may be told the body, which goes on to the service as well, if it may pass.
func TestForwardAuthWithBody(t *testing.T) {
	address := judge(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Told", fmt.Sprintf("%s %s %d %q", r.Method, r.Header.Get("Content-Type"), r.ContentLength, body))
		if strings.HasPrefix(string(body), "no") {
			w.WriteHeader(403)
		}
	})
	o := ForwardAuthOptions{Address: address, TellBody: true, MaxTold: 5, ResponseHeaders: []string{"X-Told"}}
	served := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "told %s; got %q, %d", r.Header.Get("X-Told"), body, r.ContentLength)
	}
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/x\r\nConnection: close\r\n"
	for _, tt := range []struct {
		name, request string
		o             func(*ForwardAuthOptions)
		behind        []*Middleware
		want          []string
		record        string
	}{
		{"length", post + "Content-Length: 5\r\n\r\nhello", nil, nil, []string{"HTTP/1.1 200 ", `told GET text/x 5 "hello"; got "hello", 5`}, `"done"`},
		{"chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunk("he") + chunk("l") + chunk("lo") + "0\r\n\r\n", nil, nil, []string{`told GET text/x 5 "hello"; got "hello", 5`}, `"done"`},
		{"chunks with trailers", post + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("hello") + "0\r\nX-A: b\r\n\r\n", nil, nil, []string{`told GET text/x 5 "hello"; got "hello", -1`}, `"done"`},
		{"none", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, nil, []string{`told GET  0 ""; got "", 0`}, `"done"`},
		{"its method", post + "Content-Length: 1\r\n\r\nx", func(o *ForwardAuthOptions) { o.KeepMethod = true }, nil, []string{`told POST text/x 1 "x"`}, `"done"`},
		{"some of the headers", post + "Content-Length: 1\r\n\r\nx", func(o *ForwardAuthOptions) { o.RequestHeaders = []string{"X-None"} }, nil, []string{`told GET  1 "x"`}, `"done"`},
		{"refused", post + "Content-Length: 2\r\n\r\nno", nil, nil, []string{"HTTP/1.1 403 ", `X-Told: GET text/x 2 "no"`}, `"auth-denied"`},
		{"too long", post + "Content-Length: 6\r\n\r\nhello!", nil, nil, []string{"HTTP/1.1 401 "}, `"auth-long-body"`},
		{"too long, in chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunk("hello") + chunk("!") + "0\r\n\r\n", nil, nil, []string{"HTTP/1.1 401 "}, `"auth-long-body"`},
		{"of which there may be none", post + "Content-Length: 1\r\n\r\nx", func(o *ForwardAuthOptions) { o.MaxTold = 0 }, nil, []string{"HTTP/1.1 401 "}, `"auth-long-body"`},
		{"expected", post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", nil, nil, []string{`told GET text/x 5 "hello"; got "hello", 5`}, `"done"`},
		{"before one that holds less", post + "Content-Length: 5\r\n\r\nhello", nil, []*Middleware{buffering(t, BufferingOptions{MaxRequest: 4, MemRequest: 2})}, []string{"HTTP/1.1 413 "}, `"body-too-large"`},
		{"before one that holds more", post + "Content-Length: 5\r\n\r\nhello", nil, []*Middleware{buffering(t, BufferingOptions{MaxRequest: 5, MemRequest: 5})}, []string{`got "hello", 5`}, `"done"`},
		{"asked twice", post + "Content-Length: 5\r\n\r\nhello", nil, forwardAuthTo(o), []string{`told GET text/x 5 "hello"; got "hello", 5`}, `"done"`},
		{"before one that is told less", post + "Content-Length: 5\r\n\r\nhello", nil, forwardAuthTo(ForwardAuthOptions{Address: address, TellBody: true, MaxTold: 4}), []string{"HTTP/1.1 401 "}, `"auth-long-body"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := o
			if tt.o != nil {
				tt.o(&o)
			}
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, served)}, middlewares: slices.Concat(forwardAuthTo(o), tt.behind)})
			has(t, b.exchange(tt.request), tt.want...)
			has(t, b.records(1)[0], tt.record)
		})
	}
}

// A body that comes slowly is waited for, and the question is asked once.
func TestForwardAuthWaitsForTheBody(t *testing.T) {
	asked := make(chan string, 2)
	address := judge(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- string(body)
	})
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: forwardAuthTo(ForwardAuthOptions{Address: address, TellBody: true, MaxTold: 100})})
	k := b.talk()
	k.say("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
	for _, letter := range "hello" {
		k.say(string(letter))
		b.server.each(func(*worker) {}) // by way of the loop
	}
	has(t, k.rest(), `body="hello"`)
	if got := <-asked; got != "hello" || len(asked) > 0 {
		t.Errorf("it was told %q", got)
	}
}

// A loop that holds as much as it may takes in no more, and lets nobody pass.
func TestForwardAuthWithBodyOnAFullLoop(t *testing.T) {
	b := newBed(t, setup{middlewares: forwardAuthTo(ForwardAuthOptions{Address: judge(t, told), TellBody: true, MaxTold: 100})})
	b.server.each(func(w *worker) { w.kept += maxKept + 1 })
	has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"), "HTTP/1.1 503 ")
	has(t, b.records(1)[0], `"limit"`, `"auth-busy"`)
	b.server.each(func(w *worker) { w.kept -= maxKept + 1 })
}

// A server that does not answer in time lets nobody pass, and holds up nobody who does not ask it.
func TestForwardAuthThatHangs(t *testing.T) {
	hang := make(chan struct{})
	asked := make(chan struct{}, 4)
	address := judge(t, func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-hang })
	defer close(hang)
	b := newBed(t, setup{middlewares: forwardAuthTo(ForwardAuthOptions{Address: address, Timeout: 50 * time.Millisecond})})
	has(t, b.exchange(oneGet), "HTTP/1.1 503 ")
	has(t, b.records(1)[0], `"auth-timeout"`)

	// A client that leaves does not wait for it.
	b = newBed(t, setup{middlewares: forwardAuthTo(ForwardAuthOptions{Address: address, Timeout: time.Second})})
	c := b.dial()
	send(t, c, oneGet)
	<-asked
	<-asked
	c.Close()
	b.ended(1, 499, "client", "client-abort")
	if n := b.server.hands.waiting.Load(); n != 0 {
		t.Errorf("%d of the common goroutines are busy", n)
	}
}

// Many questions at one time are bounded.
func TestForwardAuthBusy(t *testing.T) {
	m := ForwardAuth("auth", ForwardAuthOptions{Address: judge(t, func(http.ResponseWriter, *http.Request) {}), Timeout: patience, MaxBody: 1})
	a := newBed(t, setup{middlewares: []*Middleware{m}})
	full := new(hands)
	full.init(1, 0)
	crowded := &forwardAuth{ForwardAuthOptions: ForwardAuthOptions{Address: &url.URL{Scheme: "http", Host: "x"}, Timeout: patience}, asking: full}
	b := newBed(t, setup{middlewares: []*Middleware{{Request: crowded.request}}, backends: []netip.AddrPort{backend(t, echo)}})
	has(t, b.exchange(oneGet), "HTTP/1.1 503 ")
	has(t, b.records(1)[0], `"limit"`, `"auth-busy"`)
	weirtest.Eventually(t, patience, func() bool { return full.waiting.Load() == 0 && a.server.waiting.Load() == 0 }, "nothing is left")
}
