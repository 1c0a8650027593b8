package health

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// asked records the requests of a probe in order.
type asked struct {
	mu  sync.Mutex
	got []string
}

func (a *asked) add(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, r.Method+" "+r.RequestURI+" "+r.Host)
}

func (a *asked) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

func TestHTTPRedirects(t *testing.T) {
	var log asked
	elsewhere := weirtest.Refused(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.add(r)
		to, status := "", http.StatusFound
		switch r.URL.Path {
		case "/ok", "/a/ok":
			return
		case "/sick":
			to, status = "", http.StatusServiceUnavailable
		case "/nowhere":
		case "/relative", "/a/relative":
			to = "ok"
		case "/query":
			to = "/ok?a=b&c=%20d"
		case "/absolute":
			to = "http://" + r.Host + "/ok"
		case "/own-port":
			to = "http://shop.test:" + r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }).String()[len("127.0.0.1:"):] + "/ok"
		case "/default-port":
			to = "http://SHOP.test:80/ok"
		case "/other-port":
			to = "http://shop.test:1/ok"
		case "/to-sick":
			to = "/sick"
		case "/see-other":
			to, status = "/ok", http.StatusSeeOther
		case "/permanent":
			to, status = "/ok", http.StatusPermanentRedirect
		case "/choices":
			to, status = "/sick", http.StatusMultipleChoices
		case "/elsewhere":
			to = "http://" + elsewhere + "/ok"
		case "/https":
			to = "https://" + r.Host + "/ok"
		case "/mail":
			to = "mailto:root@" + r.Host
		case "/broken":
			to = "http://[::1/"
		case "/blank":
			to = "/ok?a b"
		case "/loop":
			to = "/loop"
		case "/1", "/2", "/3", "/4", "/5", "/6":
			to = "/" + string(r.URL.Path[1]-1)
		case "/0":
			return
		}
		if to != "" {
			w.Header()["Location"] = []string{to}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	tests := []struct {
		name string
		o    HTTP
		want string   // error
		asks []string // without the host where it is the address
	}{
		{"no redirect", HTTP{Path: "/ok"}, "", []string{"GET /ok"}},
		{"relative", HTTP{Path: "/a/relative?x"}, "", []string{"GET /a/relative?x", "GET /a/ok"}},
		{"query", HTTP{Path: "/query"}, "", []string{"GET /query", "GET /ok?a=b&c=%20d"}},
		{"absolute", HTTP{Path: "/absolute"}, "", []string{"GET /absolute", "GET /ok"}},
		{"by name, with the server's port", HTTP{Path: "/own-port", Host: "shop.test"}, "", []string{"GET /own-port shop.test", "GET /ok shop.test"}},
		{"by name, with the clients' port", HTTP{Path: "/default-port", Host: "shop.test"}, "", []string{"GET /default-port shop.test", "GET /ok shop.test"}},
		{"by name, another port", HTTP{Path: "/other-port", Host: "shop.test"}, "", []string{"GET /other-port shop.test"}},
		{"what is behind decides", HTTP{Path: "/to-sick"}, "status 503", []string{"GET /to-sick", "GET /sick"}},
		{"the status that is wanted is the answer", HTTP{Path: "/to-sick", Status: 302}, "", []string{"GET /to-sick"}},
		{"the status that is wanted is behind", HTTP{Path: "/permanent", Status: 200}, "", []string{"GET /permanent", "GET /ok"}},
		{"POST, then GET", HTTP{Path: "/relative", Method: "POST"}, "", []string{"POST /relative", "GET /ok"}},
		{"POST again", HTTP{Path: "/permanent", Method: "POST"}, "", []string{"POST /permanent", "POST /ok"}},
		{"HEAD again", HTTP{Path: "/see-other", Method: "HEAD"}, "", []string{"HEAD /see-other", "HEAD /ok"}},
		{"OPTIONS, then GET", HTTP{Path: "/see-other", Method: "OPTIONS"}, "", []string{"OPTIONS /see-other", "GET /ok"}},
		{"OPTIONS again", HTTP{Path: "/relative", Method: "OPTIONS"}, "", []string{"OPTIONS /relative", "OPTIONS /ok"}},
		{"choices are not followed", HTTP{Path: "/choices"}, "", []string{"GET /choices"}},
		{"no location", HTTP{Path: "/nowhere"}, "", []string{"GET /nowhere"}},
		{"another server is an answer", HTTP{Path: "/elsewhere"}, "", []string{"GET /elsewhere"}},
		{"another server is an answer, if not the wanted one", HTTP{Path: "/elsewhere", Status: 200}, "status 302", []string{"GET /elsewhere"}},
		{"another scheme", HTTP{Path: "/https"}, "", []string{"GET /https"}},
		{"no server", HTTP{Path: "/mail"}, "", []string{"GET /mail"}},
		{"no address", HTTP{Path: "/broken"}, "which is no address", []string{"GET /broken"}},
		{"no path", HTTP{Path: "/blank"}, "which is no address", []string{"GET /blank"}},
		{"the last that is followed", HTTP{Path: "/5"}, "", []string{"GET /5", "GET /4", "GET /3", "GET /2", "GET /1", "GET /0"}},
		{"one more", HTTP{Path: "/6"}, "more than 5 redirects", []string{"GET /6", "GET /5", "GET /4", "GET /3", "GET /2", "GET /1"}},
		{"in circles", HTTP{Path: "/loop"}, "more than 5 redirects", slices.Repeat([]string{"GET /loop"}, 6)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(log.all())
			tt.o.FollowRedirects = true
			check(t, probe(t, newProber(t, "http", Params{HTTP: tt.o}), addr), tt.want)
			var got []string
			for _, r := range log.all()[before:] {
				got = append(got, strings.TrimSuffix(r, " "+addr))
			}
			if !slices.Equal(got, tt.asks) {
				t.Errorf("asked %q, want %q", got, tt.asks)
			}
		})
	}
}

// Inside TLS the redirects of the server lead to it too, and not to its plain neighbour.
func TestRedirectOrigin(t *testing.T) {
	tests := []struct {
		name     string
		o        origin
		location string
		path     string // empty: not followed
	}{
		{"https", origin{"https", "shop.test", netip.MustParseAddrPort("192.0.2.1:8443")}, "https://shop.test/x", "/x"},
		{"https, default port", origin{"https", "shop.test:443", netip.MustParseAddrPort("192.0.2.1:8443")}, "https://shop.test/x", "/x"},
		{"https, own port", origin{"https", "shop.test", netip.MustParseAddrPort("192.0.2.1:8443")}, "https://shop.test:8443/x", "/x"},
		{"to plain", origin{"https", "shop.test", netip.MustParseAddrPort("192.0.2.1:8443")}, "http://shop.test:8443/x", ""},
		{"IPv6", origin{"http", "[2001:db8::1]:80", netip.MustParseAddrPort("[2001:db8::1]:80")}, "http://[2001:db8::1]/x", "/x"},
		{"without a scheme", origin{"http", "shop.test", netip.MustParseAddrPort("192.0.2.1:80")}, "//shop.test/x", "/x"},
		{"another name", origin{"http", "shop.test", netip.MustParseAddrPort("192.0.2.1:80")}, "//shop.test.evil.test/x", ""},
		{"another name by a user's", origin{"http", "shop.test", netip.MustParseAddrPort("192.0.2.1:80")}, "//shop.test@evil.test/x", ""},
		{"fragment", origin{"http", "shop.test", netip.MustParseAddrPort("192.0.2.1:80")}, "/x#y", "/x"},
		{"host that is no URL's", origin{"http", "shop test:x", netip.MustParseAddrPort("192.0.2.1:80")}, "/x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next, ok, err := tt.o.next(httpRequest{"GET", "/"}, httpAnswer{http.StatusFound, tt.location})
			if err != nil {
				t.Fatal(err)
			}
			if ok != (tt.path != "") || ok && next.path != tt.path {
				t.Errorf("followed: %v to %q, want %q", ok, next.path, tt.path)
			}
		})
	}
}

// Wherever a server points, a request that follows has a path that stays within its line.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/x", "x?y", "//shop.test/x", "http://shop.test:8080/%0d%0a", "?\x00", "http:x", "//"} {
		f.Add(seed)
	}
	o := origin{"http", "shop.test", netip.MustParseAddrPort("192.0.2.1:8080")}
	f.Fuzz(func(t *testing.T, location string) {
		next, ok, err := o.next(httpRequest{"GET", "/a/b?c"}, httpAnswer{http.StatusFound, location})
		if err == nil && ok && (!strings.HasPrefix(next.path, "/") || strings.ContainsAny(next.path, " \r\n\x00")) {
			t.Fatalf("%q leads to %q", location, next.path)
		}
	})
}
