package route

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/rule"
)

// fields are headers in the order of the wire.
type fields []field

type field struct {
	name  string
	value []byte
}

func (f fields) Any(name string, match func(value []byte) bool) bool {
	for _, field := range f {
		if strings.EqualFold(field.name, name) && match(field.value) {
			return true
		}
	}
	return false
}

func newFields(headers ...[2]string) (f fields) {
	for _, h := range headers {
		f = append(f, field{h[0], []byte(h[1])})
	}
	return f
}

func parse(t testing.TB, text string) rule.Expr {
	t.Helper()
	e, err := rule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newRoute makes a route with the priority its rule gives it.
func newRoute(t testing.TB, name, text string) *Route[string] {
	t.Helper()
	e := parse(t, text)
	return &Route[string]{Name: name, Rule: e, Priority: rule.Priority(text, e)}
}

func newTable(t testing.TB, routes ...*Route[string]) *Table[string] {
	t.Helper()
	table, err := NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// request makes a request of a URL such as https://example.com/a?b, whose path
// is normalized as that of every request.
func request(t testing.TB, url string, headers ...[2]string) *Request {
	t.Helper()
	r := &Request{Method: []byte("GET"), Client: netip.MustParseAddr("192.0.2.1"), Headers: newFields(headers...)}
	rest, ok := strings.CutPrefix(url, "https://")
	if r.TLS = ok; !ok {
		rest = strings.TrimPrefix(url, "http://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	p, _, err := NormalizePath([]byte(path))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	r.Host, r.Path, r.RawQuery = []byte(host), p, []byte(query)
	return r
}

// TestMatcher holds every matcher to what it does in Traefik v3.
func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule string
		yes  []string
		no   []string
	}{
		{
			"host", "Host(`example.com`)",
			[]string{"http://example.com", "http://example.com:8080", "http://EXAMPLE.COM/path", "http://example.com./path", "http://Example.com.:80", "http://example.com:"},
			[]string{"http://example.org", "http://www.example.com", "http://example.com..", "http://", "http://xexample.com", "http://example.co"},
		},
		{"host in capitals with a dot", "Host(`EXAMPLE.COM.`)", []string{"http://example.com", "http://example.com."}, []string{"http://example.org."}},
		{
			"wildcard", "Host(`*.example.com`)",
			[]string{"http://a.example.com", "http://A.EXAMPLE.com:80", "http://a.example.com."},
			[]string{"http://example.com", "http://a.b.example.com", "http://.example.com", "http://aexample.com"},
		},
		{"any host", "Host(`*`)", []string{"http://a", "http://a.b.c", "http://", "http://[::1]:80"}, nil},
		{"IPv4 host", "Host(`192.0.2.1`)", []string{"http://192.0.2.1", "http://192.0.2.1:80"}, []string{"http://192.0.2.10"}},
		{
			"IPv6 host", "Host(`2001:db8::1`)",
			[]string{"http://[2001:db8::1]", "http://[2001:DB8:0::1]:8080", "http://2001:db8::1", "http://[2001:db8::1]:"},
			[]string{"http://[2001:db8::2]", "http://[2001:db8::1]x", "http://[2001:db8::1", "http://2001:db8::1:80", "http://[::ffff:192.0.2.1]"},
		},
		{"IPv6 host in brackets", "Host(`[::1]`)", []string{"http://[::1]", "http://[0:0::1]:443"}, []string{"http://[::2]", "http://[", "http://[]"}},
		{
			"host expression", "HostRegexp(`^[a-z-]+\\.com$`)",
			[]string{"http://example.com", "http://EXAMPLE.com:8080", "http://example.com."},
			[]string{"http://example.org", "http://a.example.com", "http://"},
		},
		{"host expression for none", "HostRegexp(`^$`)", []string{"http://", "http://:80"}, []string{"http://a"}},
		{"host expression in capitals", "HostRegexp(`^[A-Z]+\\.com$`)", nil, []string{"http://example.com", "http://EXAMPLE.com"}},
		{"host expression without anchors", "HostRegexp(`ample`)", []string{"http://example.com"}, []string{"http://test"}},

		{
			"path", "Path(`/css`)",
			[]string{"http://a/css", "http://a/%63ss", "http://a/x/../css", "http://a//css", "http://a/css?q"},
			[]string{"http://a", "http://a/", "http://a/css/", "http://a/css/main.css", "http://a/CSS", "http://a/cs"},
		},
		{"root", "Path(`/`)", []string{"http://a", "http://a/", "http://a/."}, []string{"http://a/a"}},
		{
			"prefix is text, not segments", "PathPrefix(`/css`)",
			[]string{"http://a/css", "http://a/css/", "http://a/css/main.css", "http://a/css2", "http://a/cssx/y"},
			[]string{"http://a", "http://a/cs", "http://a/x/css", "http://a/CSS", "http://a/css/../js"},
		},
		{"prefix with slash", "PathPrefix(`/css/`)", []string{"http://a/css/", "http://a/css/a"}, []string{"http://a/css"}},
		{"rule written with spaces", "PathPrefix(`/foo bar`)", []string{"http://a/foo%20bar/baz"}, []string{"http://a/foo+bar", "http://a/foo"}},
		{"rule written encoded", "Path(`/foo%20b%61r`)", []string{"http://a/foo%20bar", "http://a/%66oo%20bar"}, []string{"http://a/foo%2520bar"}},
		{"rule in UTF-8", "Path(`/é`)", []string{"http://a/%c3%a9", "http://a/%C3%A9"}, []string{"http://a/%e9"}},
		{"encoded slash is no slash", "PathPrefix(`/a/b`)", []string{"http://a/a/b"}, []string{"http://a/a%2Fb"}},
		{"encoded slash in the rule", "Path(`/a%2fb`)", []string{"http://a/a%2Fb", "http://a/a%2fb"}, []string{"http://a/a/b"}},
		{"percent in the rule", "Path(`/100%`)", []string{"http://a/100%25"}, []string{"http://a/100"}},
		{
			"path expression", "PathRegexp(`^/(css|js)`)",
			[]string{"http://a/css", "http://a/css/main.css", "http://a/js", "http://a/%6as"},
			[]string{"http://a", "http://a/html", "http://a/CSS", "http://a/x/js"},
		},
		{"path expression sees decoded text", "PathRegexp(`^/{é b}$`)", []string{"http://a/{%C3%A9%20b}", "http://a/%7B%c3%a9%20b%7d"}, []string{"http://a/{e%20b}"}},
		{"path expression sees reserved as they are", "PathRegexp(`^/[^/]+$`)", []string{"http://a/a%2Fb", "http://a/a"}, []string{"http://a/a/b"}},
		{"path expression cannot be cut by a newline", "PathRegexp(`^/admin.*x$`)", []string{"http://a/admin%0Ax"}, []string{"http://a/admin%0A"}},

		{"method", "Method(`GET`)", []string{"http://a"}, nil},
		{"method in small letters", "Method(`get`)", []string{"http://a"}, nil},
		{"other method", "Method(`POST`)", nil, []string{"http://a"}},
		{"client", "ClientIP(`192.0.2.1`)", []string{"http://a"}, nil},
		{"client's network", "ClientIP(`192.0.2.77/24`)", []string{"http://a"}, nil},
		{"other client", "ClientIP(`192.0.2.2`)", nil, []string{"http://a"}},

		{
			"query", "Query(`q`, `traefik`)",
			[]string{"http://a?q=traefik", "http://a?rel=ddg&q=traefik", "http://a?q=traefik&q=proxy", "http://a?q=awesome&q=traefik", "http://a?%71=tr%61efik", "http://a?&&q=traefik"},
			[]string{"http://a", "http://a?q=nginx", "http://a?rel=ddg", "http://a?q=TRAEFIK", "http://a?Q=traefik", "http://a?rel=traefik", "http://a?q=traefik;x", "http://a?q%=traefik", "http://a?q=traefik%"},
		},
		{"query without value", "Query(`mobile`)", []string{"http://a?mobile", "http://a?mobile=", "http://a?mobile=1&mobile"}, []string{"http://a", "http://a?mobile=true", "http://a?=mobile"}},
		{"query with a space", "Query(`q`, `a b`)", []string{"http://a?q=a+b", "http://a?q=a%20b"}, []string{"http://a?q=a%2Bb"}},
		{"query with equals sign", "Query(`q`, `a=b`)", []string{"http://a?q=a=b"}, []string{"http://a?q=a"}},
		{
			"query expression", "QueryRegexp(`q`, `^(traefik|nginx)$`)",
			[]string{"http://a?q=traefik", "http://a?q=awesome&q=nginx", "http://a?q=nginx&q=proxy", "http://a?q=%6eginx"},
			[]string{"http://a", "http://a?q=NGINX", "http://a?Q=nginx", "http://a?rel=nginx", "http://a?q=haproxy"},
		},
		{"query expression of one argument", "QueryRegexp(`q`)", []string{"http://a?q"}, []string{"http://a?q=1"}},
		{"query expression for anything", "QueryRegexp(`q`, `^.*$`)", []string{"http://a?q", "http://a?q=x"}, []string{"http://a?Q=x"}},

		{"not", "!Path(`/a`)", []string{"http://a/b", "http://a/a/"}, []string{"http://a/a"}},
		{"not a host", "!Host(`a`)", []string{"http://b", "http://"}, []string{"http://a", "http://A:80"}},
		{"not a wildcard's exception", "Host(`*.x`) && !Host(`a.x`)", []string{"http://b.x"}, []string{"http://a.x", "http://x"}},
		{"and", "Host(`a`) && PathPrefix(`/b`) && Query(`c`)", []string{"http://a/b?c"}, []string{"http://a/b", "http://b/b?c", "http://a/c?c"}},
		{
			"or over host and path", "(Host(`a`) && Path(`/a`)) || (Host(`b`) && Path(`/b`)) || Query(`all`)",
			[]string{"http://a/a", "http://b/b", "http://c/c?all"}, []string{"http://a/b", "http://b/a", "http://c/c"},
		},
		{"or of prefixes", "PathPrefix(`/a`) || PathPrefix(`/a/b`) || Path(`/c`)", []string{"http://h/a/b/c", "http://h/a", "http://h/c"}, []string{"http://h/c/", "http://h/"}},
		{"double negation", "!(!Host(`a`) || !(Path(`/a`) || Path(`/b`)))", []string{"http://a/a", "http://a/b"}, []string{"http://a/c", "http://b/a"}},
		{"prefix and expression", "Path(`/v1/a`) && PathRegexp(`^/v[0-9]/`)", []string{"http://a/v1/a"}, []string{"http://a/v2/a"}},
		{"prefix inside prefix", "PathPrefix(`/a`) && PathPrefix(`/a/b`) && !PathPrefix(`/a/b/c`)", []string{"http://h/a/b", "http://h/a/b/d"}, []string{"http://h/a", "http://h/a/b/c", "http://h/a/b/cd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, newRoute(t, "it", tt.rule))
			for _, url := range tt.yes {
				if r, ok := table.Match(request(t, url)); !ok || r.Name != "it" {
					t.Errorf("%s does not match %s", tt.rule, url)
				}
			}
			for _, url := range tt.no {
				if _, ok := table.Match(request(t, url)); ok {
					t.Errorf("%s matches %s", tt.rule, url)
				}
			}
		})
	}
}

func TestHeaderMatcher(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rule    string
		headers [][2]string
		want    bool
	}{
		{"value", "Header(`X-Forwarded-Proto`, `https`)", [][2]string{{"X-Forwarded-Proto", "https"}}, true},
		{"name in any case", "Header(`x-forwarded-proto`, `https`)", [][2]string{{"X-FORWARDED-Proto", "https"}}, true},
		{"second line", "Header(`X`, `b`)", [][2]string{{"X", "a"}, {"X", "b"}}, true},
		{"not a part of a list", "Header(`X`, `b`)", [][2]string{{"X", "a, b"}}, false},
		{"other value", "Header(`X`, `b`)", [][2]string{{"X", "B"}}, false},
		{"other name", "Header(`X`, `b`)", [][2]string{{"Y", "b"}}, false},
		{"none", "Header(`X`, `b`)", nil, false},
		{"expression", "HeaderRegexp(`X-Forwarded-Proto`, `^https?$`)", [][2]string{{"X-Forwarded-Proto", "ws"}, {"X-Forwarded-Proto", "http"}}, true},
		{"expression in the wrong case", "HeaderRegexp(`X-Forwarded-Proto`, `^https?$`)", [][2]string{{"X-Forwarded-Proto", "HTTPS"}}, false},
		{"not", "!Header(`X`, `b`)", [][2]string{{"X", "c"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, newRoute(t, "it", tt.rule))
			if _, ok := table.Match(request(t, "http://a/", tt.headers...)); ok != tt.want {
				t.Errorf("match = %v", ok)
			}
		})
	}
}

func TestMatchWithoutHeadersAndAddress(t *testing.T) {
	table := newTable(t, newRoute(t, "it", "Header(`A`, `b`) || ClientIP(`0.0.0.0/0`) || ClientIP(`::/0`)"))
	if r, ok := table.Match(new(Request)); ok {
		t.Errorf("%s matches an empty request", r.Name)
	}
}

func TestClientAddresses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rule   string
		client string
		want   bool
	}{
		{"IPv4 in IPv6", "ClientIP(`10.0.0.0/8`)", "::ffff:10.1.2.3", true},
		{"IPv4 in IPv6 in the rule", "ClientIP(`::ffff:10.0.0.0/104`)", "10.1.2.3", true},
		{"zone", "ClientIP(`fe80::/10`)", "fe80::1%eth0", true},
		{"other family", "ClientIP(`0.0.0.0/0`)", "::1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := request(t, "http://a/")
			req.Client = netip.MustParseAddr(tt.client)
			if _, ok := newTable(t, newRoute(t, "it", tt.rule)).Match(req); ok != tt.want {
				t.Errorf("match = %v", ok)
			}
		})
	}
}

func TestSelection(t *testing.T) {
	at := func(priority int, r *Route[string]) *Route[string] { r.Priority = priority; return r }
	secure := func(r *Route[string]) *Route[string] { r.TLS = true; return r }
	for _, tt := range []struct {
		name   string
		routes []*Route[string]
		want   map[string]string // route by URL, none if empty
	}{
		{"empty table", nil, map[string]string{"http://a/": "", "https://a/": ""}},
		{
			"longer rules go first",
			[]*Route[string]{newRoute(t, "short", "PathPrefix(`/a`)"), newRoute(t, "long", "PathPrefix(`/a/b`)"), newRoute(t, "host", "Host(`example.com`) && PathPrefix(`/`)")},
			map[string]string{"http://x/a/b/c": "long", "http://x/a/c": "short", "http://example.com/a/b": "host", "http://x/": ""},
		},
		{
			"a long rule with a short prefix beats a short one with a long prefix",
			[]*Route[string]{newRoute(t, "prefix", "PathPrefix(`/a/b/c`)"), newRoute(t, "wordy", "PathPrefix(`/`) && !Header(`X-Never-Sent`, `a`)")},
			map[string]string{"http://x/a/b/c": "wordy"},
		},
		{
			"explicit priority beats specificity",
			[]*Route[string]{at(1, newRoute(t, "exact", "Host(`a.x`) && Path(`/a`)")), at(2, newRoute(t, "prefix", "PathPrefix(`/a`)")), at(3, newRoute(t, "wild", "Host(`*.x`)")), at(4, newRoute(t, "regexp", "HostRegexp(`^b`)"))},
			map[string]string{"http://a.x/a": "wild", "http://a.y/a": "prefix", "http://b.x/": "regexp", "http://b/": "regexp"},
		},
		{
			"negative priority",
			[]*Route[string]{at(-5, newRoute(t, "all", "PathPrefix(`/`)")), at(-1, newRoute(t, "a", "Path(`/a`)"))},
			map[string]string{"http://x/a": "a", "http://x/b": "all"},
		},
		{
			"equal priorities go by name",
			[]*Route[string]{at(7, newRoute(t, "c", "Host(`a`)")), at(7, newRoute(t, "a", "PathPrefix(`/`)")), at(7, newRoute(t, "b", "Path(`/`)"))},
			map[string]string{"http://a/": "a"},
		},
		{
			"no rule is every request",
			[]*Route[string]{at(-1, &Route[string]{Name: "all"}), newRoute(t, "a", "Host(`a`)")},
			map[string]string{"http://a/": "a", "http://b/": "all", "http://": "all", "https://b/": ""},
		},
		{
			"a route that fails leaves the next",
			[]*Route[string]{at(3, newRoute(t, "post", "Host(`a`) && Method(`POST`)")), at(2, newRoute(t, "client", "Host(`a`) && ClientIP(`10.0.0.0/8`)")), at(1, newRoute(t, "rest", "Host(`a`)"))},
			map[string]string{"http://a/": "rest"},
		},
		{
			"TLS and plain are two worlds",
			[]*Route[string]{newRoute(t, "plain", "Host(`a`)"), secure(newRoute(t, "secure", "Host(`a`)")), secure(newRoute(t, "only", "Host(`b`)"))},
			map[string]string{"http://a/": "plain", "https://a/": "secure", "http://b/": "", "https://b/": "only"},
		},
		{
			"nodes of the tree split where prefixes part",
			[]*Route[string]{newRoute(t, "abcd", "PathPrefix(`/abcd`)"), newRoute(t, "abef", "PathPrefix(`/abef`)"), newRoute(t, "ab", "PathPrefix(`/ab`)"), newRoute(t, "x", "PathPrefix(`/x`)"), newRoute(t, "abcdefg", "PathPrefix(`/abcdefg`)")},
			map[string]string{
				"http://h/abcd": "abcd", "http://h/abcde": "abcd", "http://h/abef/": "abef", "http://h/abe": "ab", "http://h/ab": "ab",
				"http://h/a": "", "http://h/x": "x", "http://h/abcdefgh": "abcdefg", "http://h/abcdef": "abcd",
			},
		},
		{
			"the better route may lie in the shorter prefix",
			[]*Route[string]{at(9, newRoute(t, "top", "PathPrefix(`/a`) && Query(`q`)")), at(5, newRoute(t, "low", "PathPrefix(`/a/b`)"))},
			map[string]string{"http://h/a/b?q": "top", "http://h/a/b": "low"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, tt.routes...)
			for url, want := range tt.want {
				got := ""
				if r, ok := table.Match(request(t, url)); ok {
					got = r.Name
				}
				if got != want {
					t.Errorf("%s goes to %q, want %q", url, got, want)
				}
			}
		})
	}
}

func TestNewTableErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []string
		never bool
		want  string
	}{
		{"contradicting paths", []string{"Path(`/a`) && Path(`/b`)"}, true, "router r0: rule can never match: Path(`/a`) && Path(`/b`)"},
		{"path outside the prefix", []string{"Path(`/`)", "Path(`/a`) && PathPrefix(`/b`)"}, true, "router r1: rule can never match: Path(`/a`) && PathPrefix(`/b`)"},
		{"prefixes apart", []string{"PathPrefix(`/a`) && PathPrefix(`/b`)"}, true, "router r0: rule can never match: PathPrefix(`/a`) && PathPrefix(`/b`)"},
		{"path and no path", []string{"Host(`a`) && Path(`/a`) && !Path(`/%61`)"}, true, "router r0: rule can never match: Host(`a`) && Path(`/a`) && !Path(`/%61`)"},
		{"path against expression", []string{"Path(`/a`) && PathRegexp(`^/b`)"}, true, "router r0: rule can never match: Path(`/a`) && PathRegexp(`^/b`)"},
		{"hosts", []string{"Host(`a`) && Host(`b`)"}, false, "router r0: at byte 0: rule can never match: its host names exclude each other"},
		{"unchecked argument", []string{"PathRegexp(`(`)"}, false, "router r0: at byte 0: PathRegexp: missing closing ): `(` (the syntax is RE2's)"},
		{"TCP rule", []string{"HostSNI(`a`)"}, false, "router r0: at byte 0: HostSNI is not a matcher of HTTP routers (did you mean Host?)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var routes []*Route[string]
			for i, text := range tt.rules {
				routes = append(routes, &Route[string]{Name: "r" + string(rune('0'+i)), Rule: parse(t, text)})
			}
			_, err := NewTable(routes)
			if err == nil || err.Error() != tt.want || errors.Is(err, ErrNeverMatches) != tt.never {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	t.Run("same name", func(t *testing.T) {
		a, b := newRoute(t, "a", "Path(`/a`)"), newRoute(t, "a", "Path(`/b`)")
		if _, err := NewTable([]*Route[string]{a, b}); !errors.Is(err, errSameName) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHasTLSHost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []string
		yes   []string
		no    []string
	}{
		{"no route", nil, nil, []string{"", "a"}},
		{"exact", []string{"Host(`a.x`) && Path(`/`)"}, []string{"a.x", "A.X", "a.x."}, []string{"", "b.x", "x"}},
		{"wildcard", []string{"Host(`*.x`)"}, []string{"a.x", "B.X."}, []string{"", "x", "a.b.x"}},
		{"expression", []string{"HostRegexp(`^a`)"}, []string{"a", "AB"}, []string{"", "b"}},
		{"any", []string{"PathPrefix(`/`)"}, []string{"", "a"}, nil},
		{"negated", []string{"!Host(`a`)"}, []string{"", "a", "b"}, nil}, // a name says nothing about the Host field
		{"address", []string{"Host(`192.0.2.1`)"}, []string{""}, []string{"a"}},
		{"IPv6 address", []string{"Host(`::1`)"}, []string{""}, []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var routes []*Route[string]
			for _, text := range tt.rules {
				r := newRoute(t, text, text)
				r.TLS = true
				routes = append(routes, r)
			}
			routes = append(routes, newRoute(t, "plain", "PathPrefix(`/`)")) // must not count
			table := newTable(t, routes...)
			for _, name := range tt.yes {
				if !table.HasTLSHost([]byte(name)) {
					t.Errorf("no route for %q", name)
				}
			}
			for _, name := range tt.no {
				if table.HasTLSHost([]byte(name)) {
					t.Errorf("a route for %q", name)
				}
			}
		})
	}
}

// TestRequestIsReused checks that nothing of one request is left for the next.
func TestRequestIsReused(t *testing.T) {
	table := newTable(t, newRoute(t, "q", "Query(`q`, `a b`)"), newRoute(t, "p", "PathRegexp(`^/a b$`)"), newRoute(t, "h", "Host(`h`)"))
	req := request(t, "http://a/?q=a+b")
	want := []struct{ url, route string }{
		{"http://a/?q=a+b", "q"}, {"http://a/a%20b?q=b", "p"}, {"http://a/a%20c?", ""}, {"http://H/?q=%", "h"}, {"http://g/?p=a+b&q=a%20", ""}, {"http://a/?x=%41&q=a%20b", "q"},
	}
	for _, w := range want {
		next := request(t, w.url)
		req.Host, req.Path, req.RawQuery = next.Host, next.Path, next.RawQuery
		before := bytes.Join([][]byte{req.Host, req.Path, req.RawQuery}, []byte(" "))
		got := ""
		if r, ok := table.Match(req); ok {
			got = r.Name
		}
		if got != w.route {
			t.Errorf("%s goes to %q, want %q", w.url, got, w.route)
		}
		if after := bytes.Join([][]byte{req.Host, req.Path, req.RawQuery}, []byte(" ")); !bytes.Equal(before, after) {
			t.Errorf("%q was written to: %q", before, after)
		}
	}
}

// TestQueryMemoryIsGivenBack sends one request with a huge query and then a
// small one.
func TestQueryMemoryIsGivenBack(t *testing.T) {
	table := newTable(t, newRoute(t, "q", "Query(`last`, `1`)"))
	req := request(t, "http://a/?"+strings.Repeat("a=b&", 4*maxKeptParameters)+"last=1")
	if _, ok := table.Match(req); !ok {
		t.Fatal("the last of many parameters is not seen")
	}
	req.RawQuery = []byte("last=1")
	if _, ok := table.Match(req); !ok || cap(req.query) > maxKeptParameters {
		t.Errorf("match = %v, and room for %d parameters is kept", ok, cap(req.query))
	}
}

func TestParseQuery(t *testing.T) {
	for _, tt := range []struct {
		name  string
		query string
		want  [][2]string
	}{
		{"empty", "", nil},
		{"pairs", "a=1&b=2", [][2]string{{"a", "1"}, {"b", "2"}}},
		{"no value", "a&b=", [][2]string{{"a", ""}, {"b", ""}}},
		{"no name", "=1", [][2]string{{"", "1"}}},
		{"ampersands alone", "&&a=1&", [][2]string{{"a", "1"}}},
		{"several equals signs", "a=b=c", [][2]string{{"a", "b=c"}}},
		{"encodings", "%61+b=%31%2B%26%3d+", [][2]string{{"a b", "1+&= "}}},
		{"broken name", "%=1&b=2", [][2]string{{"b", "2"}}},
		{"broken value", "a=x%4&b=%zz&c=%41", [][2]string{{"c", "A"}}},
		{"broken value behind a decoded name", "%61=%4&b=%41", [][2]string{{"b", "A"}}},
		{"semicolons", "a=1;b=2&c=3", [][2]string{{"c", "3"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{RawQuery: []byte(tt.query)}
			var got [][2]string
			for _, p := range req.parameters() {
				got = append(got, [2]string{string(p.name), string(p.value)})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
