package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/l7/http1"
)

// seen answers with what the server sees of a request.
func seen(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s prefix=%q", r.RequestURI, r.Header.Values("X-Forwarded-Prefix"))
}

func TestPrefixes(t *testing.T) {
	strip := func(prefixes ...string) *Middleware { return StripPrefix("strip", prefixes) }
	add := func(prefix string) *Middleware { return AddPrefix("add", prefix) }
	for _, tt := range []struct {
		name        string
		m           []*Middleware
		target, out string
	}{
		{"strip", []*Middleware{strip("/api")}, "/api/a?q=1", `/a?q=1 prefix=["/api"]`},
		{"strip all", []*Middleware{strip("/api")}, "/api", `/ prefix=["/api"]`},
		{"strip to a slash", []*Middleware{strip("/api/")}, "/api/a", `/a prefix=["/api/"]`},
		{"strip, not there", []*Middleware{strip("/api")}, "/ap/i", `/ap/i prefix=[]`},
		{"strip the first that is there", []*Middleware{strip("/x", "/api", "/api/v1")}, "/api/v1/a", `/v1/a prefix=["/api"]`},
		{"strip within a segment", []*Middleware{strip("/api")}, "/apis", `/s prefix=["/api"]`},
		{"strip keeps escapes", []*Middleware{strip("/a b")}, "/a%20b/%2F?x=%2f", `/%2F?x=%2f prefix=["/a b"]`},
		{"strip nothing", []*Middleware{strip(""), strip()}, "/a", `/a prefix=[]`},
		{"strip twice", []*Middleware{strip("/a"), strip("/b")}, "/a/b/c", `/c prefix=["/a" "/b"]`},
		{"strip and an empty query", []*Middleware{strip("/a")}, "/a?", `/? prefix=["/a"]`},
		{"add", []*Middleware{add("/api")}, "/a?q=1", `/api/a?q=1 prefix=[]`},
		{"add without slash", []*Middleware{add("api")}, "/a", `/api/a prefix=[]`},
		{"add with two", []*Middleware{add("/api/")}, "/", `/api/ prefix=[]`},
		{"add escapes", []*Middleware{add("/a b")}, "/c", `/a%20b/c prefix=[]`},
		{"add nothing", []*Middleware{add("/")}, "/c", `/c prefix=[]`},
		{"strip and add", []*Middleware{strip("/old"), add("/new")}, "/old/x", `/new/x prefix=["/old"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, seen)}, middlewares: tt.m})
			text := b.exchange("GET " + tt.target + " HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /lie\r\nConnection: close\r\n\r\n")
			if !strings.HasSuffix(text, "\r\n\r\n"+tt.out) {
				t.Errorf("%s, want %s", text, tt.out)
			}
		})
	}
}

// TestStrippedPathIsNoHost: what is left of a path does not begin with two slashes, even where empty segments are kept.
func TestStrippedPathIsNoHost(t *testing.T) {
	o := FrontOptions{}
	o.Paths.KeepEmpty = true
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, seen)}, front: o, middlewares: []*Middleware{StripPrefix("strip", []string{"/api"})}})
	has(t, b.exchange("GET /api//evil.test HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "\r\n\r\n/evil.test ")
}

func TestPrefixesLeaveTheAsteriskAlone(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, seen)}, rule: "Method(`OPTIONS`)",
		middlewares: []*Middleware{StripPrefix("strip", []string{"/"}), AddPrefix("add", "/x")}})
	has(t, b.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 OK\r\n")
}

func TestRedirectScheme(t *testing.T) {
	type options = RedirectSchemeOptions
	for _, tt := range []struct {
		name                string
		o                   options
		method, host, extra string
		want                string // start of the answer
		location            string
	}{
		{"GET", options{Scheme: "https"}, "GET", "a.test", "", "302 Found", "https://a.test/p?q"},
		{"HEAD", options{Scheme: "https"}, "HEAD", "a.test", "", "307 Temporary Redirect", "https://a.test/p?q"},
		{"POST", options{Scheme: "https"}, "POST", "a.test", "", "307 Temporary Redirect", "https://a.test/p?q"},
		{"GET for good", options{Scheme: "https", Permanent: true}, "GET", "a.test", "", "301 Moved Permanently", "https://a.test/p?q"},
		{"POST for good", options{Scheme: "https", Permanent: true}, "POST", "a.test", "", "308 Permanent Redirect", "https://a.test/p?q"},
		{"port of the request", options{Scheme: "https"}, "GET", "a.test:8080", "", "302 Found", "https://a.test/p?q"},
		{"port of the option", options{Scheme: "https", Port: 8443}, "GET", "a.test", "", "302 Found", "https://a.test:8443/p?q"},
		{"usual port", options{Scheme: "https", Port: 443}, "GET", "a.test", "", "302 Found", "https://a.test/p?q"},
		{"IPv6", options{Scheme: "https", Port: 444}, "GET", "[::1]:80", "", "302 Found", "https://[::1]:444/p?q"},
		{"there already", options{Scheme: "http"}, "GET", "a.test", "", "200 OK", ""},
		{"there already, with port", options{Scheme: "http", Port: 80}, "GET", "a.test:80", "", "200 OK", ""},
		{"another port", options{Scheme: "http", Port: 8080}, "GET", "a.test", "", "302 Found", "http://a.test:8080/p?q"},
		{"trusted proxy", options{Scheme: "https"}, "GET", "a.test", "X-Forwarded-Proto: HTTPS\r\n", "200 OK", ""},
		{"trusted proxy, upgrade", options{Scheme: "https"}, "GET", "a.test", "X-Forwarded-Proto: wss\r\n", "200 OK", ""},
		{"trusted proxy, nonsense", options{Scheme: "https"}, "GET", "a.test", "X-Forwarded-Proto: x\r\n", "302 Found", "https://a.test/p?q"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{RedirectScheme("to", tt.o)},
				front: FrontOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
			text := b.exchange(tt.method + " /p?q HTTP/1.1\r\nHost: " + tt.host + "\r\n" + tt.extra + "Connection: close\r\n\r\n")
			has(t, text, "HTTP/1.1 "+tt.want+"\r\n")
			if tt.location != "" {
				has(t, text, "Location: "+tt.location+"\r\n")
			}
		})
	}
}

func TestRedirectSchemeWithoutHost(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{RedirectScheme("to", RedirectSchemeOptions{Scheme: "https"})}})
	has(t, b.exchange("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n")
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"), "HTTP/1.1 302 Found\r\n") // a lie
}

func TestIPAllowListMiddleware(t *testing.T) {
	local, far := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name   string
		ranges []netip.Prefix
		reject int
		want   int
	}{
		{"inside", []netip.Prefix{far, local}, 0, 200},
		{"outside", []netip.Prefix{far}, 0, 403},
		{"outside, with a status", []netip.Prefix{far}, 404, 404},
		{"nobody", nil, 0, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{IPAllowList("only", tt.ranges, tt.reject)}})
			if status, _ := b.get("/"); status != tt.want {
				t.Errorf("status %d", status)
			}
			if tt.want != 200 {
				has(t, b.records(1)[0], `"Reason":"denied"`)
			}
		})
	}
}

// TestAnswersWithoutBody: statuses that have no body get none, or the next answer on the connection would begin with it.
func TestAnswersWithoutBody(t *testing.T) {
	for _, status := range []int{204, 304} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b := newBed(t, setup{middlewares: []*Middleware{IPAllowList("only", nil, status)}})
			one := "GET / HTTP/1.1\r\nHost: a\r\n"
			text := b.exchange(one + "\r\n" + one + "Connection: close\r\n\r\n")
			start := fmt.Sprintf("HTTP/1.1 %d ", status)
			if n := strings.Count(text, "\r\n\r\n"+start); n != 1 || !strings.HasPrefix(text, start) || !strings.HasSuffix(text, "\r\n\r\n") || strings.Contains(text, "Content-Length") {
				t.Errorf("%q", text)
			}
		})
	}
}

func TestRateLimitMiddleware(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{RateLimit("calm", 1, 2, time.Hour, time.Now())}})
	one := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	text := b.exchange(one + one + one + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if ok, many := strings.Count(text, "200 OK"), strings.Count(text, "HTTP/1.1 429 Too Many Requests\r\n"); ok != 2 || many != 2 {
		t.Errorf("%d pass, %d do not:\n%s", ok, many, text)
	}
	_, after, _ := strings.Cut(text, "Retry-After: ")
	seconds, _, _ := strings.Cut(after, "\r\n")
	if n, err := strconv.Atoi(seconds); err != nil || n < 3500 || n > 3600 { // less what the test has taken so far
		t.Errorf("Retry-After: %q", seconds)
	}
	has(t, b.records(4)[3], `"Reason":"rate-limited"`)
}

// TestMiddlewaresDoNotAllocate holds for requests that pass.
func TestMiddlewaresDoNotAllocate(t *testing.T) {
	s := mock(t, 1)
	for _, m := range []*Middleware{
		StripPrefix("strip", []string{"/x", "/a"}), AddPrefix("add", "/b"),
		RedirectScheme("to", RedirectSchemeOptions{Scheme: "http"}),
		IPAllowList("only", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, 0), RateLimit("calm", 1e6, 1e6, time.Second, time.Now()),
	} {
		t.Run(m.Name, func(t *testing.T) {
			x := client(s, netip.MustParseAddr("192.0.2.1"))
			var p http1.Parser
			head := []byte("GET /a/b?c HTTP/1.1\r\nHost: a\r\n\r\n")
			if n := testing.AllocsPerRun(100, func() {
				_, err := p.Request(head, &x.req)
				if action := m.Request(x); err != nil || action != Next {
					t.Fatal(err, action)
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
