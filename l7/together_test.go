package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// Middlewares that have to do with each other in one router.

var untroubled = upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}, Passive: passive.Passive}

// TestContentTypeAndCompress: a type is told from what the server sent, and a body is compressed, whichever comes first, however the
// body arrives, and whether it is held or not.
func TestContentTypeAndCompress(t *testing.T) {
	html := "<!DOCTYPE html>" + string(pattern(5000))
	whole := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(html), html)
	chunks := "Transfer-Encoding: chunked\r\n\r\n" + chunk(html[:5]) + chunk(html[5:700]) + chunk(html[700:]) + "0\r\n\r\n"
	held, err := Buffering("held", BufferingOptions{MemResponse: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	typed, byType := ContentType("type"), usualCompress
	byType.Included = []string{"text/html"}
	for _, body := range []struct{ name, text string }{{"length", whole}, {"chunks", chunks}, {"until the end", "Connection: close\r\n\r\n" + html}} {
		for _, piece := range []int{1 << 20, 100} {
			b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				for part := range slices.Chunk([]byte("HTTP/1.1 200 OK\r\n"+body.text), piece) {
					_, _ = c.Write(part)
				}
			})}})
			squeezed := b.server.Compress("compress", usualCompress)
			for _, tt := range []struct {
				name   string
				ms     []*Middleware
				coding string
			}{
				{"compress first", []*Middleware{squeezed, typed}, "gzip"},
				{"contentType first", []*Middleware{typed, squeezed}, "gzip"},
				{"compress first, held", []*Middleware{squeezed, held, typed}, "gzip"},
				{"contentType first, held", []*Middleware{typed, squeezed, held}, "gzip"},
				{"compress first, by type", []*Middleware{b.server.Compress("compress", byType), typed}, "gzip"},
				{"contentType first, by type", []*Middleware{typed, b.server.Compress("compress", byType)}, ""},
				{"a coding that is the server's", []*Middleware{typed, held}, ""},
			} {
				t.Run(fmt.Sprintf("%s, %s, %d", tt.name, body.name, piece), func(t *testing.T) {
					b.t = t
					b.route("main", "PathPrefix(`/`)", tt.ms, nil)
					b.front.Set(b.set)
					resp, got := b.fetch("GET", "/", "gzip")
					if got != html {
						t.Errorf("%d bytes, want %d", len(got), len(html))
					}
					if kind, coding := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"); kind != "text/html; charset=utf-8" || coding != tt.coding {
						t.Errorf("type %q and coding %q, want %q", kind, coding, tt.coding)
					}
				})
			}
			b.t = t
		}
	}
}

// TestContentTypeOfLaterAttempts: how one attempt went has no say in the next: whether its body was waited for in vain, or its
// server left while it was.
func TestContentTypeOfLaterAttempts(t *testing.T) {
	const html = "<!DOCTYPE html><p>hello"
	typed := ContentType("type")
	retry := Retry("retry", RetryOptions{Attempts: 3, Statuses: oneOf(500)})
	for _, tt := range []struct {
		name  string
		first string
		ms    []*Middleware
		pages bool
	}{
		{"too late", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5", []*Middleware{typed, retry}, false},
		{"too late, the other way round", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5", []*Middleware{retry, typed}, false},
		{"too late, and a page", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5", []*Middleware{typed}, true},
		{"with a whole body", "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", []*Middleware{typed, retry}, false},
		{"with a type", "HTTP/1.1 500 No\r\nContent-Type: x/y\r\nContent-Length: 2\r\n\r\n{}", []*Middleware{retry, typed}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := func(c net.Conn) {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(html))
				time.Sleep(50 * ms) // so that the head comes alone
				_, _ = io.WriteString(c, html)
			}
			var asked atomic.Int32
			b := newBed(t, setup{pool: untroubled, backends: []netip.AddrPort{raw(t, func(c net.Conn) {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if asked.Add(1) == 1 {
						_, _ = io.WriteString(c, tt.first)
						continue
					}
					good(c)
				}
			})}})
			want := "HTTP/1.1 200 "
			if tt.pages {
				b.add(tt.ms...)
				b.add(ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Query: "/x", Service: b.service("pages", raw(t, func(c net.Conn) {
					defer c.Close()
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						good(c)
					}
				}))}))
				want = "HTTP/1.1 500 "
			} else {
				b.add(tt.ms...)
			}
			text := b.exchange(oneGet)
			has(t, text, want, "Content-Type: text/html; charset=utf-8\r\n", "\r\n\r\n"+html)
		})
	}
}

// TestBackendGoesWhileTypeIsWaitedFor: the next attempt has its timeouts all the same.
func TestBackendGoesWhileTypeIsWaitedFor(t *testing.T) {
	var asked atomic.Int32
	started := make(chan struct{}, 1)
	b := newBed(t, setup{pool: untroubled, transport: Transport{ResponseTimeout: 200 * ms}, backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		if asked.Add(1) == 1 {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
			started <- struct{}{}
		}
		_, _ = io.Copy(io.Discard, r)
	})}, middlewares: []*Middleware{ContentType("type"), Retry("retry", RetryOptions{Attempts: 2})}})
	c := b.dial()
	send(t, c, oneGet)
	<-started
	weirtest.Eventually(t, patience, func() (sniffing bool) {
		b.server.each(func(w *worker) {
			w.forEach(func(c *conn) { sniffing = c.x != nil && c.x.sniffing })
		})
		return sniffing
	}, "the type is waited for")
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) { c.x.lose(accesslog.BackendDown) })
	})
	has(t, rest(t, c, false), "HTTP/1.1 504 ")
	if n := asked.Load(); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

// TestSeatsOfAttempts: a request has one place in a limit, however often it is sent and whoever answers it, and gives it back once.
func TestSeatsOfAttempts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ms     func(few, retry, page *Middleware) []*Middleware
		status int // of failing requests
		body   string
	}{
		{"outside of retry", func(few, retry, _ *Middleware) []*Middleware { return []*Middleware{few, retry} }, 500, "asked"},
		{"inside of retry", func(few, retry, _ *Middleware) []*Middleware { return []*Middleware{retry, few} }, 500, "asked"},
		{"outside of errors", func(few, _, page *Middleware) []*Middleware { return []*Middleware{few, page} }, 500, "page GET /x"},
		{"inside of errors", func(few, _, page *Middleware) []*Middleware { return []*Middleware{page, few} }, 500, "page GET /x"},
		{"between both", func(few, retry, page *Middleware) []*Middleware { return []*Middleware{page, few, retry} }, 500, "page GET /x"},
		{"between both, the other way round", func(few, retry, page *Middleware) []*Middleware { return []*Middleware{retry, few, page} }, 500, "page GET /x"},
		{"twice", func(few, retry, page *Middleware) []*Middleware {
			return []*Middleware{few, page, InFlightReq("other", 1, SourceCriterion{Host: true}), retry}
		}, 500, "page GET /x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, goOn := make(chan struct{}, 1), make(chan struct{})
			b := newBed(t, setup{pool: untroubled, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/wait":
					asked <- struct{}{}
					<-goOn
				case "/fail":
					w.WriteHeader(500)
					fmt.Fprint(w, "asked")
				}
			})}})
			b.add(tt.ms(InFlightReq("few", 1, SourceCriterion{Host: true}), Retry("retry", RetryOptions{Attempts: 3, Statuses: oneOf(500)}),
				ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Query: "/x", Service: b.service("pages", backend(t, pages))}))...)
			get := func(path string) string {
				return b.exchange("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			}
			for range 3 {
				has(t, get("/fail"), fmt.Sprintf("HTTP/1.1 %d ", tt.status), tt.body)
			}
			for range 2 { // a place that is given back twice would be there for two
				k := b.talk()
				k.say("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				<-asked
				has(t, get("/"), "HTTP/1.1 429 ")
				has(t, get("/fail"), "HTTP/1.1 429 ")
				goOn <- struct{}{}
				has(t, k.rest(), "HTTP/1.1 200 ")
			}
			has(t, get("/fail"), fmt.Sprintf("HTTP/1.1 %d ", tt.status), tt.body)
			has(t, get("/"), "HTTP/1.1 200 ")
		})
	}
}

// TestWaitersAndAttempts: who waits for an answer about a request waits once, however often the request is sent, and what it
// told the server it tells it each time.
func TestWaitersAndAttempts(t *testing.T) {
	var questions atomic.Int32
	verdicts := judge(t, func(w http.ResponseWriter, r *http.Request) {
		questions.Add(1)
		w.Header().Set("X-User", "ada")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "auth"})
		if r.Header.Get("X-Bad") != "" {
			w.WriteHeader(401)
		}
	})
	asking := forwardAuthTo(ForwardAuthOptions{Address: verdicts, ResponseHeaders: []string{"X-User"}, Cookies: []string{"session"}})[0]
	login := BasicAuth("login", BasicAuthOptions{Users: users(t, bcrypted(t, "ada", "secret")), Realm: "r", HeaderField: "X-Login", RemoveHeader: true})
	for _, tt := range []struct {
		name string
		ms   func(retry, page *Middleware) []*Middleware
	}{
		{"inside of retry", func(retry, page *Middleware) []*Middleware { return []*Middleware{page, retry, asking, login} }},
		{"outside of retry", func(retry, page *Middleware) []*Middleware { return []*Middleware{page, asking, login, retry} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int32
			b := newBed(t, setup{pool: untroubled, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-User") != "ada" || r.Header.Get("X-Login") != "ada" || r.Header.Get("Authorization") != "" {
					t.Errorf("the server is told %v", r.Header)
				}
				if sent.Add(1) < 3 {
					w.WriteHeader(500)
				}
			})}})
			b.add(tt.ms(Retry("retry", RetryOptions{Attempts: 3, Statuses: oneOf(401, 500)}),
				ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(401), Query: "/denied", Service: b.service("pages", backend(t, pages))}))...)
			get := func(lines string) string {
				return b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + lines + "\r\n")
			}
			questions.Store(0)
			text := get(basic("ada:secret"))
			has(t, text, "HTTP/1.1 200 ", "Set-Cookie: session=auth")
			if n, q := sent.Load(), questions.Load(); n != 3 || q != 1 || strings.Count(text, "Set-Cookie") != 1 {
				t.Errorf("sent %d times, after %d questions: %s", n, q, text)
			}
			has(t, get(basic("ada:secret")+"X-Bad: 1\r\n"), "HTTP/1.1 401 ", "page GET /denied")
			has(t, get(basic("ada:wrong")), "HTTP/1.1 401 ", "page GET /denied")
			if n := sent.Load(); n != 3 {
				t.Errorf("the server has got %d requests", n)
			}
			if q := questions.Load(); q != 3 {
				t.Errorf("%d questions", q)
			}
		})
	}
}

// TestHeadersOfErrorPages: a page has what those before errors say of all responses, even if the page's service was told little of
// the request, and nothing of what stands behind it.
func TestHeadersOfErrorPages(t *testing.T) {
	said := func(name string, o HeadersOptions) *Middleware {
		o.Response = append(o.Response, FieldEdit{"X-" + name, "yes"})
		return Headers(name, o)
	}
	for _, fields := range [][]string{nil, {}, {"x-one"}} {
		for _, addr := range []netip.AddrPort{backend(t, pages), netip.MustParseAddrPort("127.0.0.1:1")} {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(500))}})
			b.add(RequestID("id", "X-Request-Id", false),
				b.server.Compress("compress", CompressOptions{Encodings: Codings[:]}),
				said("Outside", HeadersOptions{
					CORS:     CORSOptions{Origins: []string{"https://a.example"}, Vary: true},
					Security: SecurityOptions{STSSeconds: 5, SecureHeaders: []FieldEdit{{"X-Scheme", "https"}}},
				}),
				ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Query: "/x", Headers: fields, Service: b.service("pages", addr)}),
				said("Inside", HeadersOptions{}))
			resp, body := b.fetch("GET", "/", "br", "Origin", "https://a.example", "X-Scheme", "https", "X-One", "1")
			h := resp.Header
			if resp.StatusCode != 500 || h.Get("X-Outside") != "yes" || h.Get("X-Inside") != "" || h.Get("X-Request-Id") == "" ||
				h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Strict-Transport-Security") != "max-age=5" || !strings.Contains(h.Get("Vary"), "Origin") {
				t.Errorf("%d %v", resp.StatusCode, h)
			}
			if own := addr.Port() == 1; own != (body == "Internal Server Error\n") || own == (h.Get("Content-Encoding") == "br") {
				t.Errorf("%v: %q", h, body)
			}
		}
	}
}

// TestCompressKnowsWhatTheClientTakes: a middleware behind it may keep that from the server.
func TestCompressKnowsWhatTheClientTakes(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %s", r.Header.Values("Accept-Encoding"), pattern(5000))
	})}})
	hide := Headers("hide", HeadersOptions{Request: []FieldEdit{{"Accept-Encoding", ""}}})
	o := usualCompress
	o.Default = "br"
	b.add(b.server.Compress("compress", o), hide)
	for accept, want := range map[string]string{"gzip": "gzip", "identity": "", "zstd, gzip;q=0.5": "zstd", "": "br"} {
		resp, body := b.fetch("GET", "/", accept)
		if got := resp.Header.Get("Content-Encoding"); got != want || !strings.HasPrefix(body, "[] ") || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q, want %q: %.30s %v", accept, got, want, body, resp.Header)
		}
	}
}
