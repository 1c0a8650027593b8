package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/upstream"
)

// pages answers with what it is asked for.
func pages(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Page", "1")
	if r.URL.Path == "/empty" {
		w.WriteHeader(204)
		return
	}
	fmt.Fprintf(w, "page %s %s x=%s xff=%s body=%q", r.Method, r.RequestURI, r.Header.Get("X-One"), r.Header.Get("X-Forwarded-For"), body)
}

func TestErrorPages(t *testing.T) {
	type options = ErrorPagesOptions
	get := "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n"
	all := func() (s Statuses) { s.Add(400, 599); return s }()
	for _, tt := range []struct {
		name    string
		o       options
		inner   []*Middleware
		status  int // of the service; 0 = there is none
		request string
		want    string // start of the answer
		body    string
	}{
		{"not meant", options{Statuses: oneOf(404), Query: "/x"}, nil, 500, get, "500 Internal Server Error", "asked 1: GET /a?b=c "},
		{"meant", options{Statuses: all, Query: "/{status}.html"}, nil, 500, get, "500 Internal Server Error", `page GET /500.html x=1 xff=127.0.0.1 body=""`},
		{"all that may stand in a query", options{Statuses: all, Query: "e/{status}-{originalStatus}?u={url}", Rewrites: []StatusRewrite{{500, 599, 418}}}, nil, 502, get,
			"418 I'm a teapot", `page GET /e/418-502?u=%2Fa%3Fb%3Dc x=1 xff=127.0.0.1 body=""`},
		{"the narrowest rewrite", options{Statuses: all, Query: "/e", Rewrites: []StatusRewrite{{400, 599, 500}, {404, 404, 410}, {400, 404, 403}}}, nil, 404, get, "410 Gone",
			`page GET /e x=1 xff=127.0.0.1 body=""`},
		{"no query", options{Statuses: all}, nil, 500, get, "500 Internal Server Error", `page GET /a?b=c x=1 xff=127.0.0.1 body=""`},
		{"a service that is gone", options{Statuses: all, Query: "/{status}"}, nil, 0, get, "502 Bad Gateway", `page GET /502 x=1 xff=127.0.0.1 body=""`},
		{"a middleware's answer", options{Statuses: all, Query: "/{status}"}, []*Middleware{IPAllowList("", nil, 403)}, 200, get, "403 Forbidden", `page GET /403 x=1 xff=127.0.0.1 body=""`},
		{"HEAD", options{Statuses: all, Query: "/{status}"}, nil, 500, "HEAD / HTTP/1.1\r\nHost: a\r\n", "500 Internal Server Error", ""},
		{"POST", options{Statuses: all, Query: "/{status}"}, nil, 500, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n", "500 Internal Server Error", `page GET /500 x= xff=127.0.0.1 body=""`},
		{"POST that is not read", options{Statuses: all, Query: "/{status}"}, []*Middleware{IPAllowList("", nil, 403)}, 200,
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "403 Forbidden", `page GET /403 x= xff=127.0.0.1 body=""`},
		{"an upgrade", options{Statuses: all, Query: "/{status}"}, nil, 500, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n", "500 Internal Server Error",
			`page GET /500 x= xff=127.0.0.1 body=""`},
		{"a page without a body", options{Statuses: all, Query: "/empty"}, nil, 500, get, "500 Internal Server Error", ""},
		{"some headers", options{Statuses: all, Query: "/p", Headers: []string{"x-two"}}, nil, 500, get, "500 Internal Server Error", `page GET /p x= xff=127.0.0.1 body=""`},
		{"no headers", options{Statuses: all, Query: "/p", Headers: []string{}}, nil, 500, get, "500 Internal Server Error", `page GET /p x= xff=127.0.0.1 body=""`},
		{"some headers, and that one", options{Statuses: all, Query: "/p", Headers: []string{"x-one"}}, nil, 500, get, "500 Internal Server Error", `page GET /p x=1 xff=127.0.0.1 body=""`},
		{"a query that is none with the client's part", options{Statuses: all, Query: "/\x01"}, nil, 500, get, "500 Internal Server Error", "Internal Server Error\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := netip.MustParseAddrPort("127.0.0.1:1")
			if tt.status != 0 {
				addr = backend(t, inTurn(tt.status))
			}
			b := newBed(t, setup{backends: []netip.AddrPort{addr}})
			tt.o.Service = b.service("pages", backend(t, pages))
			b.add(append([]*Middleware{marking("outer"), ErrorPages("errors", tt.o)}, append(tt.inner, marking("inner"))...)...)
			body := "hello"
			if !strings.Contains(tt.request, "Content-Length") {
				body = ""
			}
			text := b.exchange(tt.request + "\r\n" + body + oneGet)
			first := text
			if i := strings.Index(text[9:], "HTTP/1.1 "); i > 0 {
				first = text[:i+9]
			}
			if !strings.HasPrefix(first, "HTTP/1.1 "+tt.want+"\r\n") || !strings.HasSuffix(first, "\r\n\r\n"+tt.body) {
				t.Errorf("%s, want %s and %s", first, tt.want, tt.body)
			}
			replaced := strings.HasPrefix(tt.body, "page ")
			if trail := "X-Trail: outer\r\n"; replaced && !strings.Contains(first, trail) {
				t.Errorf("%q is missing in:\n%s", trail, first)
			}
			if strings.Contains(tt.request, "chunked") && !overHTTP2 && !strings.Contains(first, "Connection: close\r\n") {
				t.Error("the connection goes on in the middle of a request")
			}
		})
	}
}

// What a status says half without goes with it, whoever gave it, and whether there is a page or not. The rest of the head is the
// page's.
func TestErrorPagesKeepWhatTheStatusNeeds(t *testing.T) {
	users, err := NewBasicUsers([]string{"ada:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="})
	if err != nil {
		t.Fatal(err)
	}
	asks := "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer\r\nX-Own: 1\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
	answer := func(status, fields string) string {
		return "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: 0\r\n\r\n"
	}
	all := func() (s Statuses) { s.Add(400, 599); return s }()
	for _, tt := range []struct {
		name          string
		text          string // of the server
		inner         *Middleware
		o             ErrorPagesOptions
		noPage        bool
		want, wantNot []string
	}{
		{"a server asks who it is", asks, nil, ErrorPagesOptions{}, false, []string{"401 Unauthorized", "WWW-Authenticate: Basic realm=\"a\"\r\n", "WWW-Authenticate: Bearer\r\n", "page GET"}, []string{"X-Own", "Retry-After", "ate: of the page"}},
		{"basicAuth asks who it is", "", BasicAuth("auth", BasicAuthOptions{Users: users, Realm: "staff"}), ErrorPagesOptions{}, false, []string{"401 Unauthorized", "WWW-Authenticate: Basic realm=\"staff\"", "page GET"}, []string{"ate: of the page"}},
		{"without a page", asks, nil, ErrorPagesOptions{}, true, []string{"401 Unauthorized", "WWW-Authenticate: Bearer\r\n", "\r\n\r\nUnauthorized\n"}, []string{"X-Own"}},
		{"another status for it", asks, nil, ErrorPagesOptions{Rewrites: []StatusRewrite{{401, 401, 403}}}, false, []string{"403 Forbidden", "page GET"}, []string{"Bearer"}},
		{"another method", answer("405 Method Not Allowed", "Allow: GET\r\n"), nil, ErrorPagesOptions{}, false, []string{"405 Method", "Allow: GET\r\n"}, []string{"Allow: of the page"}},
		{"later", answer("503 Service Unavailable", "Retry-After: 5\r\n"), nil, ErrorPagesOptions{}, false, []string{"503 Service", "Retry-After: 5\r\n"}, nil},
		{"a limit", "", asking(func(x *Exchange) Action {
			x.RejectWith(429, accesslog.RateLimited, func(h *head.Head) { _ = h.Set("Retry-After", "5") })
			return Answered
		}), ErrorPagesOptions{}, false, []string{"429 Too Many", "Retry-After: 5\r\n", "page GET"}, nil},
		{"nothing to keep", answer("404 Not Found", "Allow: GET\r\nRetry-After: 5\r\n"), nil, ErrorPagesOptions{}, false, []string{"404 Not Found"}, []string{"Allow: GET", "Retry-After: 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{raw(t, answers(tt.text))}})
			addrs := []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Allow", "of the page")
				w.Header().Set("WWW-Authenticate", "of the page")
				pages(w, r)
			})}
			if tt.noPage {
				addrs = nil
			}
			tt.o.Statuses, tt.o.Service = all, b.service("pages", addrs...)
			ms := []*Middleware{ErrorPages("errors", tt.o)}
			if tt.inner != nil {
				ms = append(ms, tt.inner)
			}
			b.add(ms...)
			text := b.exchange(oneGet)
			has(t, text, tt.want...)
			for _, not := range tt.wantNot {
				if strings.Contains(text, not) {
					t.Errorf("%q is in:\n%s", not, text)
				}
			}
		})
	}
}

// Where the page cannot be had either, the client is told what it was about.
func TestErrorPageThatFails(t *testing.T) {
	gone := netip.MustParseAddrPort("127.0.0.1:1")
	for _, tt := range []struct {
		name  string
		addrs []netip.AddrPort
	}{{"gone", []netip.AddrPort{gone}}, {"empty", nil}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(404))}})
			b.add(ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(404, 502, 503), Query: "/x", Service: b.service("pages", tt.addrs...)}))
			text := b.exchange(oneGet)
			has(t, text, "HTTP/1.1 404 Not Found\r\n")
			if !strings.HasSuffix(text, "\r\n\r\nNot Found\n") {
				t.Error(text)
			}
		})
	}
}

// Middlewares around each other: a retry inside comes first, one outside sees the page's status and does not ask for the page
// again, a breaker inside counts what the page is for.
func TestOutcomesTogether(t *testing.T) {
	pool := upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}, Passive: passive.Passive}
	retry := func() *Middleware { return Retry("retry", RetryOptions{Attempts: 3, Statuses: oneOf(500)}) }
	page := func(b *bed) *Middleware {
		return ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Query: "/x", Service: b.service("pages", backend(t, pages))})
	}
	seen := ""
	watch := &Middleware{Outcome: func(_ *Exchange, status int) bool { seen += fmt.Sprint(status, " "); return false }}
	for _, tt := range []struct {
		name string
		ms   func(*bed) []*Middleware
		want string
		seen string
	}{
		{"retry inside", func(b *bed) []*Middleware { return []*Middleware{page(b), watch, retry(), watch} }, "page GET /x", "500 500 500 500 "},
		{"retry outside", func(b *bed) []*Middleware { return []*Middleware{retry(), watch, page(b), watch} }, "page GET /x", "500 500 "},
		{"pages of pages", func(b *bed) []*Middleware { return []*Middleware{page(b), watch, page(b)} }, "page GET /x", "500 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen = ""
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(500))}, pool: pool})
			b.add(tt.ms(b)...)
			has(t, b.exchange(oneGet), "HTTP/1.1 500 ", tt.want)
			b.server.each(func(*worker) {
				if seen != tt.seen {
					t.Errorf("saw %s, want %s", seen, tt.seen)
				}
			})
		})
	}
}

func TestErrorPageNumbers(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(500))}})
	v := b.service("pages", backend(t, pages))
	b.add(ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Query: "/x", Service: v, Rewrites: []StatusRewrite{{500, 500, 404}}}))
	b.exchange(strings.Replace(oneGet, "GET", "POST", 1))
	has(t, b.records(1)[0], `"RequestMethod":"POST"`, `"DownstreamStatus":404`, `"OriginStatus":200`, `"ServiceName":"pages"`)
	if s := b.svc.Stats(); s.Requests[5] != 1 || s.Requests[4] != 0 {
		t.Errorf("the service has %v", s.Requests)
	}
	if s := v.Stats(); s.Requests[4] != 1 {
		t.Errorf("the pages have %v", s.Requests)
	}
}

func TestErrorPageRewrites(t *testing.T) {
	o := ErrorPagesOptions{Rewrites: []StatusRewrite{{500, 599, 500}, {502, 504, 503}, {503, 503, 200}, {503, 503, 201}}}
	var got []int
	for _, status := range []int{404, 500, 502, 503, 504, 599} {
		got = append(got, o.rewrite(status))
	}
	if want := []int{404, 500, 503, 200, 503, 500}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
