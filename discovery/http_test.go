package discovery

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

// newPoller returns a provider to be asked by hand, which gives up an answer after a generous time.
func newPoller(t *testing.T, o HTTPOptions) *poller {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = fileWait
	}
	p := NewHTTP(o).(*poller)
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// source is a server that answers as it is told to.
type source struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
}

func newSource(t *testing.T, answer http.HandlerFunc) *source {
	t.Helper()
	s := &source{}
	s.set(answer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.answer.Load())(w, r) }))
	t.Cleanup(s.Close)
	return s
}

func (s *source) set(answer http.HandlerFunc) { s.answer.Store(&answer) }

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "[]", code) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// hangs says something and then nothing until the client has gone.
func hangs(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if first != "" {
			_, _ = io.WriteString(w, first)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

// breaksOff announces more than it says.
func breaksOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, "- 10.0.0.9:80\n")
}

func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// bomb is small on the wire and too large in the hand.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, strings.Repeat(" ", 64<<20))
	_ = z.Close()
}

// endless never stops.
func endless(w http.ResponseWriter, _ *http.Request) {
	line := []byte(strings.Repeat("#", 1023) + "\n")
	for {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

// TestHTTPFailures: after a good answer comes a bad one, then a good one again.
func TestHTTPFailures(t *testing.T) {
	one := endpoints("10.0.0.1:80")
	tests := []struct {
		name    string
		answer  http.HandlerFunc
		timeout time.Duration
		want    string // after the address
	}{
		{"status 500", status(500), 0, ": status 500, not 200 with a list of endpoints"},
		{"status 404", status(404), 0, ": status 404, not 200 with a list of endpoints"},
		{"status 204", status(204), 0, ": status 204, not 200 with a list of endpoints"},
		{"a redirect without a place", status(302), 0, ": status 302, not 200 with a list of endpoints"},
		{"304 that was not asked for", status(304), 0, ": status 304, not 200 with a list of endpoints"},
		{"nothing", says(""), 0, ": nothing is in it: write [] where there are no endpoints"},
		{"a page", says("<html>\n"), 0, `:1: found "<html>", not a list of endpoints: write [] where there are none`},
		{"half an answer", breaksOff, 0, ": the answer breaks off: unexpected EOF"},
		{"the connection breaks", drops, 0, ": EOF"},
		{"endless", endless, 0, ": larger than 4 MiB: split the service, or leave out the labels"},
		{"a bomb", bomb, 0, ": larger than 4 MiB: split the service, or leave out the labels"},
		{"no answer", hangs(""), 50 * time.Millisecond, ": no whole answer within 50ms: context deadline exceeded"},
		{"a slow answer", hangs("["), 50 * time.Millisecond, ": no whole answer within 50ms: the answer breaks off: context deadline exceeded"},
		{"a redirect to itself", redirect("/"), 0, ": more than 3 redirects: write the last address into the configuration"},
		{"a redirect to another scheme", redirect("https://127.0.0.1/"), 0,
			`: redirect from http to "https": write the address it leads to into the configuration`},
		{"a redirect to a file", redirect("file:///etc/passwd"), 0,
			`: redirect from http to "file": write the address it leads to into the configuration`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(t, says(oneServer))
			p := newPoller(t, HTTPOptions{URL: s.URL + "/"})
			ask := func(outcome Outcome, wrong string) {
				t.Helper()
				u, news := p.ask(t.Context())
				if !news || u.Status.Outcome != outcome || u.Status.Error != wrong || u.Status.Asked.IsZero() {
					t.Errorf("told %v: %+v, want %s, error %q", news, u.Status, outcome, wrong)
				}
				if diff := sameEndpoints(one, u.Endpoints); diff != "" {
					t.Errorf("endpoints (-want +got):\n%s", diff)
				}
			}
			ask(OK, "")
			if tt.timeout > 0 {
				p.options.Timeout = tt.timeout
			}
			s.set(tt.answer)
			ask(Failed, s.URL+"/"+tt.want)
			p.options.Timeout = fileWait
			s.set(says(oneServer))
			ask(OK, "")
			if _, news := p.ask(t.Context()); news {
				t.Error("the same again is told")
			}
		})
	}
}

// conditional answers as RFC 9110 wants, and counts what it did.
type conditional struct {
	etag, changed string
	body          string
	broken        bool
	whole, short  int // answers; only one request comes at a time
}

func (c *conditional) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.broken {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if c.etag != "" {
		w.Header().Set("ETag", c.etag)
	}
	if c.changed != "" {
		w.Header().Set("Last-Modified", c.changed)
	}
	if tag, since := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since"); tag != "" && tag == c.etag || tag == "" && since != "" && since == c.changed {
		c.short++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	c.whole++
	_, _ = io.WriteString(w, c.body)
}

func TestHTTPConditional(t *testing.T) {
	const monday, tuesday = "Mon, 23 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT"
	one, two := endpoints("10.0.0.1:80"), endpoints("10.0.0.1:80", "10.0.0.2:80")
	type step struct {
		change       func(*conditional)
		outcome      Outcome // empty: nothing is told
		want         []upstream.Endpoint
		whole, short int // answers so far
	}
	same := func(*conditional) {}
	tests := []struct {
		name  string
		steps []step
	}{
		{"ETag", []step{
			{func(c *conditional) { c.etag = `"a"` }, OK, one, 1, 0}, {same, Unasked, nil, 1, 1},
			{func(c *conditional) { c.etag, c.body = `W/"b"`, twoServers }, OK, two, 2, 1}, {same, Unasked, nil, 2, 2},
		}},
		{"Last-Modified", []step{
			{func(c *conditional) { c.changed = monday }, OK, one, 1, 0}, {same, Unasked, nil, 1, 1},
			{func(c *conditional) { c.changed, c.body = tuesday, twoServers }, OK, two, 2, 1}, {same, Unasked, nil, 2, 2},
		}},
		{"both", []step{{func(c *conditional) { c.etag, c.changed = `"a"`, monday }, OK, one, 1, 0}, {same, Unasked, nil, 1, 1}}},
		{"neither", []step{{same, OK, one, 1, 0}, {same, Unasked, nil, 2, 0}}},
		{"no longer", []step{{func(c *conditional) { c.etag = `"a"` }, OK, one, 1, 0}, {func(c *conditional) { c.etag = "" }, Unasked, nil, 2, 0}, {same, Unasked, nil, 3, 0}}},
		{"of an answer that is not good", []step{
			{func(c *conditional) { c.etag, c.body = `"a"`, "[" }, Failed, nil, 1, 0}, {same, Unasked, nil, 2, 0},
			{func(c *conditional) { c.body = oneServer }, OK, one, 3, 0}, {same, Unasked, nil, 3, 1},
		}},
		{"after a failure", []step{
			{func(c *conditional) { c.etag = `"a"` }, OK, one, 1, 0}, {func(c *conditional) { c.broken = true }, Failed, one, 1, 0},
			{func(c *conditional) { c.broken = false }, OK, one, 2, 0}, {same, Unasked, nil, 2, 1},
		}},
		{"one that is too long", []step{{func(c *conditional) { c.etag = strings.Repeat("a", 2000) }, OK, one, 1, 0}, {same, Unasked, nil, 2, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &conditional{body: oneServer}
			p := newPoller(t, HTTPOptions{URL: newSource(t, c.ServeHTTP).URL})
			for i, s := range tt.steps {
				s.change(c)
				u, news := p.ask(t.Context())
				if news != (s.outcome != Unasked) || news && u.Status.Outcome != s.outcome {
					t.Errorf("step %d: told %v: %+v, want %v", i, news, u.Status, s.outcome)
				}
				if diff := sameEndpoints(s.want, u.Endpoints); news && diff != "" {
					t.Errorf("step %d: endpoints (-want +got):\n%s", i, diff)
				}
				if c.whole != s.whole || c.short != s.short {
					t.Errorf("step %d: %d whole answers and %d short ones, want %d, %d", i, c.whole, c.short, s.whole, s.short)
				}
			}
		})
	}
}

// TestHTTPStampIsOfItsAddress: when a redirect begins to lead elsewhere, where the same ETag means something else, the
// answer from there is a whole one.
func TestHTTPStampIsOfItsAddress(t *testing.T) {
	a, b := &conditional{etag: `"1"`, body: oneServer}, &conditional{etag: `"1"`, body: twoServers}
	to := "/a"
	mux := http.NewServeMux()
	mux.Handle("/a", a)
	mux.Handle("/b", b)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { redirect(to)(w, r) })
	p := newPoller(t, HTTPOptions{URL: newSource(t, mux.ServeHTTP).URL})
	if u, _ := p.ask(t.Context()); len(u.Endpoints) != 1 {
		t.Fatalf("told %+v", u)
	}
	if _, news := p.ask(t.Context()); news || a.short != 1 {
		t.Fatalf("told %v, %d short answers through the redirect", news, a.short)
	}
	to = "/b"
	if u, _ := p.ask(t.Context()); len(u.Endpoints) != 2 || b.short != 0 {
		t.Fatalf("told %+v, %d short answers", u, b.short)
	}
}

// TestHTTPRedirects: the operator's fields, which may be secrets, stay at their host.
func TestHTTPRedirects(t *testing.T) {
	seen := make(chan http.Header, 10)
	record := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { seen <- r.Header.Clone(); next(w, r) }
	}
	other := newSource(t, record(says(oneServer)))
	mux := http.NewServeMux()
	mux.HandleFunc("/1", record(redirect("/2")))
	mux.HandleFunc("/2", record(redirect("/3")))
	mux.HandleFunc("/3", record(redirect(other.URL)))
	first := newSource(t, mux.ServeHTTP)
	p := newPoller(t, HTTPOptions{URL: first.URL + "/1", Headers: http.Header{"x-token": {"secret"}, "Authorization": {"Bearer secret"}}})
	if u, _ := p.ask(t.Context()); u.Status.Outcome != OK {
		t.Fatalf("told %+v", u)
	}
	for i := range 4 {
		h := <-seen
		if got, want := h.Get("X-Token")+h.Get("Authorization"), []string{"secretBearer secret", "secretBearer secret", "secretBearer secret", ""}[i]; got != want {
			t.Errorf("request %d carries %q, want %q", i+1, got, want)
		}
		if h.Get("User-Agent") != "weir" || h.Get("Referer") != "" {
			t.Errorf("request %d: User-Agent %q, Referer %q", i+1, h.Get("User-Agent"), h.Get("Referer"))
		}
	}
}

func TestHTTPRequest(t *testing.T) {
	s := newSource(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != "GET" || r.Host != "inventory.example.com" || r.RequestURI != "/list?service=db" || user+password != "anneword" {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		w.Header().Set("Cache-Control", "max-age=86400")
		_, _ = io.WriteString(w, oneServer)
	})
	u := strings.Replace(s.URL, "http://", "http://anne:word@", 1) + "/list?service=db"
	p := newPoller(t, HTTPOptions{URL: u, Headers: http.Header{"Host": {"inventory.example.com"}}})
	if u, _ := p.ask(t.Context()); u.Status.Outcome != OK {
		t.Fatalf("told %+v", u)
	}
}

// TestHTTPErrorsKeepSecrets: passwords and tokens of the address are in no message.
func TestHTTPErrorsKeepSecrets(t *testing.T) {
	s := newSource(t, status(500))
	host := strings.TrimPrefix(s.URL, "http://")
	for _, tt := range []struct {
		name, url, want string
		answer          http.HandlerFunc
	}{
		{"a status", "http://anne:secret@" + host + "/x?token=secret", s.URL + "/x: status 500, not 200 with a list of endpoints", status(500)},
		{"what the server says", "http://anne:secret@" + host + "/x?token=secret", s.URL + "/x: nothing is in it: write [] where there are no endpoints", says("")},
		{"no connection", "http://anne:secret@" + host + "/x?token=secret", s.URL + "/x: EOF", drops},
		{"no address", "anne:secret@" + host, "discovery by HTTP: the URL is not one: write it like \"https://inventory.example.com/endpoints\"", nil},
		{"not HTTP", "ftp://secret/", "discovery by HTTP: the URL is not one: write it like \"https://inventory.example.com/endpoints\"", nil},
		{"no host", "http:///secret", "discovery by HTTP: the URL is not one: write it like \"https://inventory.example.com/endpoints\"", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.set(tt.answer)
			if u, _ := newPoller(t, HTTPOptions{URL: tt.url}).ask(t.Context()); u.Status.Error != tt.want {
				t.Errorf("error %q, want %q", u.Status.Error, tt.want)
			}
		})
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(says(oneServer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if u, _ := newPoller(t, HTTPOptions{URL: s.URL, TLS: &tls.Config{RootCAs: roots}}).ask(t.Context()); u.Status.Outcome != OK {
		t.Errorf("with its authority: %+v", u.Status)
	}
	if u, _ := newPoller(t, HTTPOptions{URL: s.URL}).ask(t.Context()); u.Status.Outcome != Failed || !strings.Contains(u.Status.Error, "certificate") {
		t.Errorf("with the system's authorities: %+v", u.Status)
	}
}

func TestHTTPWait(t *testing.T) {
	tests := []struct {
		name     string
		failures int
		r        float64
		want     time.Duration
	}{
		{"no failure", 0, 0.5, 10 * time.Second},
		{"no failure, early", 0, 0, 9 * time.Second},
		{"one", 1, 0.5, time.Second},
		{"two", 2, 0.5, 2 * time.Second},
		{"six", 6, 0.5, 32 * time.Second},
		{"seven", 7, 0.5, time.Minute},
		{"seven, early", 7, 0, 54 * time.Second},
		{"very many", 1 << 40, 0.5, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPoller(t, HTTPOptions{Interval: 10 * time.Second})
			p.failures = tt.failures
			if got := p.wait(tt.r); got != tt.want {
				t.Errorf("wait %v, want %v", got, tt.want)
			}
		})
	}
}

// TestHTTPGoneAndBack runs a provider while its server stops, and starts again on the same port with another list.
func TestHTTPGoneAndBack(t *testing.T) {
	serve := func(addr, body string) *httptest.Server {
		t.Helper()
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(says(body))
		_ = s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	s := serve("127.0.0.1:0", oneServer)
	addr := s.Listener.Addr().String()
	p := NewHTTP(HTTPOptions{URL: s.URL, Interval: 5 * time.Millisecond}).(*poller)
	p.minBackoff, p.maxBackoff = time.Millisecond, 5*time.Millisecond
	r := start(t, p)
	r.expect(t, OK, endpoints("10.0.0.1:80"))
	s.Close()
	r.expect(t, Failed, endpoints("10.0.0.1:80"))
	serve(addr, twoServers)
	r.expect(t, OK, endpoints("10.0.0.1:80", "10.0.0.2:80"))
}

// TestHTTPEnds: the end does not wait for an answer, and what it cuts off is not told as a failure.
func TestHTTPEnds(t *testing.T) {
	asked := make(chan struct{})
	s := newSource(t, func(w http.ResponseWriter, r *http.Request) { close(asked); hangs("")(w, r) })
	r := start(t, NewHTTP(HTTPOptions{URL: s.URL, Timeout: time.Hour}))
	<-asked
	r.stop(t)
	if n := r.count(); n != 0 {
		t.Errorf("%d updates", n)
	}
}

// TestHTTPLeavesNoConnection: one that waits for the next request is closed at the end.
func TestHTTPLeavesNoConnection(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(says(oneServer))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	r := start(t, NewHTTP(HTTPOptions{URL: s.URL, Interval: time.Hour}))
	r.expect(t, OK, endpoints("10.0.0.1:80"))
	r.stop(t)
	select {
	case <-closed:
	case <-time.After(fileWait):
		t.Error("the connection stays open")
	}
}

// TestHTTPUnchanged: each of many equal answers is told, with the same set and a status of its own.
func TestHTTPUnchanged(t *testing.T) {
	asked := make(chan struct{})
	s := newSource(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
			says(oneServer)(w, r)
		case <-r.Context().Done():
		}
	})
	r := start(t, NewHTTP(HTTPOptions{URL: s.URL, Interval: time.Millisecond}))
	for range 10 {
		<-asked
	}
	r.stop(t)
	u, _ := r.last()
	if n := r.count(); n < 9 || u.Status.Counters.OK != uint64(n) || len(u.Endpoints) != 1 || !u.Status.Next.After(u.Status.Asked) {
		t.Errorf("%d updates, the last one %+v", n, u)
	}
}

// TestNoFailureEmptiesAServersSet asks a real server that answers in whatever way.
func TestNoFailureEmptiesAServersSet(t *testing.T) {
	s := newSource(t, drops)
	rapid.Check(t, func(t *rapid.T) {
		p := NewHTTP(HTTPOptions{URL: s.URL}).(*poller)
		defer p.client.CloseIdleConnections()
		var h held
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
			content := ""
			switch kind := rapid.SampledFrom([]string{"body", "status", "drops", "short", "breaks off", "redirect"}).Draw(t, "kind"); kind {
			case "body":
				content = anyContent().Draw(t, "content")
				s.set(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("ETag", fmt.Sprintf(`"%d"`, i))
					_, _ = io.WriteString(w, content)
				})
			case "status":
				s.set(status(rapid.SampledFrom([]int{204, 304, 400, 404, 500, 503}).Draw(t, "status")))
			case "drops":
				s.set(drops)
			case "short":
				s.set(status(http.StatusNotModified))
			case "breaks off":
				s.set(breaksOff)
			case "redirect":
				s.set(redirect("/"))
			}
			p.ask(context.Background())
			h.check(t, content, p.known.endpoints)
		}
	})
}
