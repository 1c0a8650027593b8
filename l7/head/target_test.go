package head

import (
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		name, method, target   string
		path, query, sent, err string
		host, scheme           string
		hasQuery               bool
	}{
		{name: "root", target: "/", path: "/"},
		{name: "path", target: "/a/b;c=1/%2f%C3%A9", path: "/a/b;c=1/%2f%C3%A9"},
		{name: "query", target: "/a?b=c&d", path: "/a", query: "b=c&d", hasQuery: true},
		{name: "empty query", target: "/a?", path: "/a", hasQuery: true},
		{name: "two question marks", target: "/a?b?c", path: "/a", query: "b?c", hasQuery: true},
		{name: "what browsers leave unescaped", target: "/a|b?c=[1]{2}^`%\\\"", path: "/a|b", query: "c=[1]{2}^`%\\\"", hasQuery: true},
		{name: "two slashes", target: "//x/y", path: "//x/y"},
		{name: "asterisk", method: "OPTIONS", target: "*", path: "*"},
		{name: "absolute", target: "http://example.com/a?b", path: "/a", query: "b", hasQuery: true, sent: "/a?b", host: "example.com", scheme: "http"},
		{name: "absolute in capitals", target: "HTTPS://EXAMPLE.com/", path: "/", sent: "/", host: "EXAMPLE.com", scheme: "HTTPS"},
		{name: "absolute without path", target: "http://example.com", path: "/", sent: "/", host: "example.com", scheme: "http"},
		{name: "absolute without path, OPTIONS", method: "OPTIONS", target: "http://example.com", path: "*", sent: "*", host: "example.com", scheme: "http"},
		{name: "absolute without path, with query", target: "http://example.com?a=b", path: "/", query: "a=b", hasQuery: true, sent: "/?a=b", host: "example.com", scheme: "http"},
		{name: "absolute with the usual port", target: "http://example.com:80/", path: "/", sent: "/", host: "example.com:80", scheme: "http"},

		{name: "empty", target: "", err: "target"},
		{name: "no slash", target: "a", err: "target"},
		{name: "asterisk for GET", target: "*", err: "target"},
		{name: "asterisk and more", method: "OPTIONS", target: "*/", err: "target"},
		{name: "fragment", target: "/a#b", err: "target"},
		{name: "fragment behind query", target: "/a?b#c", err: "target"},
		{name: "control byte", target: "/a\x01", err: "target"},
		{name: "DEL", target: "/a?\x7f", err: "target"},
		{name: "raw umlaut", target: "/\xc3\xa4", err: "target"},
		{name: "raw umlaut in query", target: "/?\xc3\xa4", err: "target"},
		{name: "tab", target: "/a\tb", err: "target"},
		{name: "backslash", target: "/a\\b", err: "target"},
		{name: "broken escape", target: "/%zz", err: "target"},
		{name: "short escape", target: "/%2", err: "target"},
		{name: "authority", target: "example.com:443", err: "target"},
		{name: "other scheme", target: "ftp://example.com/", err: "target"},
		{name: "file", target: "file:///etc/passwd", err: "target"},
		{name: "no authority", target: "http:///a", err: "host"},
		{name: "no authority at all", target: "http://", err: "target"},
		{name: "user", target: "http://me@example.com/", err: "host"},
		{name: "backslash in authority", target: "http://example.com\\@other/", err: "host"},
		{name: "two ports", target: "http://example.com:80:80/", err: "host"},
		{name: "fragment in authority", target: "http://example.com#a", err: "host"},
		{name: "fragment of absolute", target: "http://example.com/#a", err: "target"},
		{name: "other host", target: "http://other.com/", err: "mismatch"},
		{name: "other port", target: "http://example.com:81/", err: "mismatch"},
		{name: "usual port of another scheme", target: "https://example.com:80/", err: "mismatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = "GET"
			}
			h := new(Head)
			text := method + " " + tt.target + " HTTP/1.1\r\nHost: example.com\r\n\r\n"
			err := readRequest(t, h, text)
			want := map[string]error{"": nil, "target": ErrTarget, "host": ErrHost, "mismatch": ErrHostMismatch}[tt.err]
			if err != want {
				t.Fatalf("error %v, want %v", err, want)
			}
			if err != nil {
				return
			}
			query, has := h.Query()
			if string(h.Path()) != tt.path || string(query) != tt.query || has != tt.hasQuery {
				t.Errorf("path %q, query %q, %v", h.Path(), query, has)
			}
			if string(h.Scheme()) != tt.scheme || string(h.Asked()) != tt.target {
				t.Errorf("scheme %q, asked %q", h.Scheme(), h.Asked())
			}
			if tt.host != "" && string(h.Host()) != tt.host {
				t.Errorf("host %q", h.Host())
			}
			if tt.sent != "" {
				text = strings.Replace(text, tt.target, tt.sent, 1)
			}
			if got := string(h.AppendRequest(nil)); got != text {
				t.Errorf("sent as %q", got)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   error
	}{
		{"GET", nil}, {"M-SEARCH", nil}, {"VERSION-CONTROL", nil}, {"X1!#$", nil}, {strings.Repeat("A", 32), nil},
		{"CONNECT", ErrConnect}, {"get", ErrMethod}, {"Get", ErrMethod}, {"G@T", ErrMethod}, {"G\x00T", ErrMethod}, {"G\tT", ErrMethod},
		{"\xc3\x84", ErrMethod}, {"", ErrMethod}, {"(GET)", ErrMethod}, {strings.Repeat("A", 33), ErrMethodLength},
	} {
		h := new(Head)
		if err := h.StartRequest(tt.method, "", "", "/", HTTP11); err != tt.want {
			t.Errorf("%q: %v, want %v", tt.method, err, tt.want)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		host string
		ok   bool
	}{
		{"example.com", true}, {"EXAMPLE.com.", true}, {"a", true}, {"my_host", true}, {"xn--bcher-kva.example", true}, {"1.2.3.4", true},
		{"example.com:80", true}, {"example.com:65535", true}, {"[::1]", true}, {"[2001:db8::1]:8080", true}, {"[::ffff:1.2.3.4]", true},
		{strings.Repeat("a.", 127), true},

		{"", false}, {":80", false}, {".", false}, {".a", false}, {"a..b", false}, {"a b", false}, {"a,b", false}, {"a/b", false},
		{"a@b", false}, {"a\\b", false}, {"a?b", false}, {"a#b", false}, {"a%41", false}, {"b\xc3\xbccher", false}, {"a\x00", false},
		{"a\tb", false}, {"a:", false}, {"a:b", false}, {"a:65536", false}, {"a:000080", false}, {"a:80:80", false}, {"a:-1", false},
		{"a:+80", false}, {"::1", false}, {"[::1", false}, {"[]", false}, {"[::1]a", false}, {"[::1]:", false}, {"[::1]80", false},
		{"[fe80::1%eth0]", false}, {"[1.2.3.4]", false}, {"[:::]", false}, {"[" + strings.Repeat("0", 100) + "]", false},
		{"'a'", false}, {"a;b", false}, {"*", false}, {strings.Repeat("a", 255), false},
	} {
		if got := isHost(tt.host); got != tt.ok {
			t.Errorf("isHost(%q) is %v", tt.host, got)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		host, bare string
		want       error
	}{
		{"one", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", "a:80", "a", nil},
		{"IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]:80", "[::1]", nil},
		{"IPv6 without port", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "[::1]", "[::1]", nil},
		{"none", "GET / HTTP/1.1\r\nA: b\r\n\r\n", "", "", ErrHostMissing},
		{"none beside an absolute target", "GET http://a/ HTTP/1.1\r\nA: b\r\n\r\n", "", "", ErrHostMissing},
		{"two", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "", "", ErrHostRepeated},
		{"a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "", "", ErrHost},
		{"empty", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "", "", ErrHost},
		{"1.0 with", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "a", "a", nil},
		{"1.0 without", "GET / HTTP/1.0\r\nA: b\r\n\r\n", "", "", nil},
		{"1.0 with two", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "", "", ErrHostRepeated},
		{"1.0 with an absolute target", "GET http://a/ HTTP/1.0\r\nA: b\r\n\r\n", "a", "a", nil},
		{"the same twice", "GET http://a:80/ HTTP/1.1\r\nHost: A\r\n\r\n", "a:80", "a", nil},
		{"https", "GET https://a/ HTTP/1.1\r\nHost: A:443\r\n\r\n", "a", "a", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := new(Head)
			if err := readRequest(t, h, tt.text); err != tt.want {
				t.Fatalf("error %v, want %v", err, tt.want)
			} else if err == nil && (string(h.Host()) != tt.host || string(h.Hostname()) != tt.bare) {
				t.Errorf("host %q, name %q", h.Host(), h.Hostname())
			}
		})
	}
}

func TestAppendRequestFillsInTheHost(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"named by the target", "GET http://a:81/x HTTP/1.0\r\nA: b\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a:81\r\nA: b\r\n\r\n"},
		{"not named", "GET /x HTTP/1.0\r\nA: b\r\n\r\n", "GET /x HTTP/1.1\r\nHost: \r\nA: b\r\n\r\n"},
		{"named by the field", "GET /x HTTP/1.0\r\nA: b\r\nHost: c\r\n\r\n", "GET /x HTTP/1.1\r\nA: b\r\nHost: c\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := mustRequest(t, tt.text)
			if got := string(h.AppendRequest(nil)); got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestSetTarget(t *testing.T) {
	h := mustRequest(t, plain)
	for _, bad := range []string{"", "x", "/a b", "/a#b", "/a\r\nX: y", "/%z", "*", "http://a/"} {
		if err := h.SetTarget(bad); err != ErrTarget {
			t.Errorf("SetTarget(%q): %v", bad, err)
		}
		if err := h.SetTargetBytes([]byte(bad)); err != ErrTarget {
			t.Errorf("SetTargetBytes(%q): %v", bad, err)
		}
	}
	if string(h.Target()) != "/a?b=c" {
		t.Errorf("target is %q", h.Target())
	}
	if err := h.SetTarget("/api?x"); err != nil {
		t.Fatal(err)
	}
	query, _ := h.Query()
	if string(h.Path()) != "/api" || string(query) != "x" || string(h.Asked()) != "/a?b=c" {
		t.Errorf("path %q, query %q, asked %q", h.Path(), query, h.Asked())
	}
	if want, got := strings.Replace(plain, "/a?b=c", "/api?x", 1), string(h.AppendRequest(nil)); got != want {
		t.Errorf("got %q", got)
	}
	if err := h.SetTarget("/" + strings.Repeat("a", maxEdits)); err != ErrFull {
		t.Errorf("a very long one: %v", err)
	}
}

// TestMadeHeads makes heads that were not read, as HTTP/2 and weir's own answers
// do.
func TestMadeHeads(t *testing.T) {
	h := new(Head)
	if err := h.StartRequest("POST", "https", "example.com", "/a?b", HTTP2); err != nil {
		t.Fatal(err)
	}
	if err := h.Add("content-type", "text/plain"); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckHost(); err != nil {
		t.Fatal(err)
	}
	h.SetFraming(Framing{Kind: Chunked})
	const request = "POST /a?b HTTP/1.1\r\nHost: example.com\r\ncontent-type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
	if got := string(h.AppendRequest(nil)); got != request {
		t.Errorf("got %q", got)
	}
	h.Reset()
	if err := h.StartRequest("GET", "https", "", "/", HTTP2); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckHost(); err != ErrHostMissing {
		t.Errorf("HTTP/2 without host: %v", err)
	}
	h.Reset()
	if err := h.StartRequest("GET", "https", "a b", "/", HTTP2); err != ErrHost {
		t.Errorf("HTTP/2 with a bad host: %v", err)
	}
	h.Reset()
	if err := h.SetStatus(503, "Service Unavailable"); err != nil {
		t.Fatal(err)
	}
	h.SetFraming(Framing{Kind: Length, Length: 0})
	h.SetHop(HopKeepAlive)
	const response = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
	if got := string(h.AppendResponse(nil)); got != response {
		t.Errorf("got %q", got)
	}
	if err := h.SetStatus(99, ""); err != ErrStatus {
		t.Errorf("status 99: %v", err)
	}
	if err := h.SetStatus(200, "a\r\nb"); err != ErrValue {
		t.Errorf("reason with a line: %v", err)
	}
	readResponse(t, h, "HTTP/1.0 200 OK then\r\nA: b\r\n\r\n")
	if got := string(h.AppendResponse(nil)); got != "HTTP/1.1 200 OK then\r\nA: b\r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestSetMethod(t *testing.T) {
	h := mustRequest(t, "POST /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := h.SetMethod("get"); err == nil {
		t.Error("a method that none may send is taken")
	}
	for _, m := range []string{"HEAD", "GET"} {
		if err := h.SetMethod(m); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(h.AppendRequest(nil)); got != "GET /a HTTP/1.1\r\nHost: x\r\n\r\n" || string(h.AskedMethod()) != "POST" || string(h.Method()) != "GET" {
		t.Errorf("%q, asked with %s", got, h.AskedMethod())
	}
	h.Reset()
	if len(h.AskedMethod()) != 0 {
		t.Error("the method outlives its head")
	}
}
