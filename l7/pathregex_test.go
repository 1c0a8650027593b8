package l7

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/weirlb/weir/l7/route"
)

func TestPathMiddlewares(t *testing.T) {
	strip := func(expressions ...string) *Middleware {
		var list []*regexp.Regexp
		for _, e := range expressions {
			list = append(list, regexp.MustCompile(e))
		}
		return StripPrefixRegex("strip", list)
	}
	replace := func(e, with string) *Middleware { return ReplacePathRegex("replace", regexp.MustCompile(e), with) }
	for _, tt := range []struct {
		name        string
		m           *Middleware
		target, out string // what the server sees: target, X-Forwarded-Prefix, X-Replaced-Path
	}{
		{"strip", strip("/[a-z]+/[0-9]+"), "/api/12/a?q", "/a?q|/api/12|"},
		{"strip all", strip("/[a-z]+"), "/api", "/|/api|"},
		{"strip the first that fits", strip("/x", "/a", "/api"), "/api/b", "/pi/b|/a|"},
		{"strip only at the start", strip("/b"), "/a/b", "/a/b||"},
		{"strip nothing", strip("/?x*"), "/", "/|/|"},
		{"strip empty", strip("x*"), "/x", "/x||"},
		{"strip to no other host", strip("/a/"), "/a//evil.test", "/evil.test|/a/|"},
		{"strip sees what is sent on", strip("/a%20b"), "/%61%20b/c", "/c|/a%20b|"},
		{"strip leaves no dot segments", strip("/api"), "/api../etc", "/etc|/api|"},
		{"fixed strip leaves none either", StripPrefix("strip", []string{"/api"}), "/api../etc", "/etc|/api|"},
		{"replace", ReplacePath("replace", "/new"), "/old/a%2Fb?q=1", "/new?q=1||/old/a%2Fb"},
		{"replace without slash", ReplacePath("replace", "new path"), "/old", "/new%20path||/old"},
		{"replace by itself", ReplacePath("replace", "/a"), "/a", "/a||/a"},
		{"replace a part", replace("^/old/(.*)", "/new/$1"), "/old/a/b?q=/old/", "/new/a/b?q=/old/||/old/a/b"},
		{"replace with braces", replace("^/(\\w+)/(?P<rest>.*)", "/${rest}/${1}x"), "/a/b", "/b/ax||/a/b"},
		{"replace all there are", replace("a", "b"), "/a/a", "/b/b||/a/a"},
		{"replace nothing", replace("^/old", "/new"), "/a", "/a||"},
		{"replace by nothing", replace(".*", ""), "/a", "/||/a"},
		{"replace by what is no path", replace("^/", "x?y#z %zz"), "/a", "/x%3Fy%23z%20%25zza||/a"},
		{"replace keeps escapes", replace("^/a", ""), "/a/%2F%20", "/%2F%20||/a/%2F%20"},
		{"replace leads out of nothing", replace("^/static(.*)$", "/files/$1"), "/static../x", "/x||/static../x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, answers(okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, middlewares: []*Middleware{tt.m}})
			b.exchange("GET " + tt.target + " HTTP/1.1\r\nHost: a\r\nX-Replaced-Path: /lie\r\nConnection: close\r\n\r\n")
			sent := strings.Replace(strings.Join(o.all(), ""), "x-replaced-path", "X-Replaced-Path", 1) // as HTTP/2 has it
			want := strings.Split(tt.out, "|")
			has(t, sent, "GET "+want[0]+" HTTP/1.1\r\n")
			if want[1] != "" {
				has(t, sent, "X-Forwarded-Prefix: "+want[1]+"\r\n")
			}
			if want[2] != "" {
				has(t, sent, "X-Replaced-Path: "+want[2]+"\r\n")
			}
			if n := strings.Count(sent, "X-Replaced-Path: "); n != 1 || strings.Count(sent, "X-Forwarded-Prefix: ") > 1 {
				t.Errorf("fields are there twice:\n%s", sent)
			}
		})
	}
}

func TestPathMiddlewaresLeaveTheAsteriskAlone(t *testing.T) {
	any := regexp.MustCompile(".*")
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, seen)}, rule: "Method(`OPTIONS`)",
		middlewares: []*Middleware{StripPrefixRegex("s", []*regexp.Regexp{regexp.MustCompile("/")}), ReplacePath("r", "/x"), ReplacePathRegex("rr", any, "/y")}})
	has(t, b.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 OK\r\n")
}

func TestRedirectRegex(t *testing.T) {
	for _, tt := range []struct {
		name, regex, with string
		permanent         bool
		method            string
		want              string // start of the answer
		location          string
	}{
		{"GET", "^http://a.test/(.*)", "https://b.test/x/$1", false, "GET", "302 Found", "https://b.test/x/p/q?r=s"},
		{"GET for good", "^http://(\\w+).test/(.*)", "http://${1}s.test/${2}", true, "GET", "301 Moved Permanently", "http://as.test/p/q?r=s"},
		{"POST", "/p/", "/P/", false, "POST", "307 Temporary Redirect", "http://a.test/P/q?r=s"},
		{"POST for good", "/p/", "/P/", true, "POST", "308 Permanent Redirect", "http://a.test/P/q?r=s"},
		{"HEAD", "/p/", "/P/", false, "HEAD", "307 Temporary Redirect", "http://a.test/P/q?r=s"},
		{"not found", "^https://", "x", false, "GET", "200 OK", ""},
		{"to itself", "/p/", "/p/", false, "GET", "200 OK", ""},
		{"blanks are encoded", "/p/", "/a b/", false, "GET", "302 Found", "http://a.test/a%20b/q?r=s"},
		{"no URL", "^http://a.test", "http://[::", false, "GET", "500 Internal Server Error", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)},
				middlewares: []*Middleware{RedirectRegex("to", regexp.MustCompile(tt.regex), tt.with, tt.permanent)}})
			text := b.exchange(tt.method + " /p/q?r=s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			has(t, text, "HTTP/1.1 "+tt.want+"\r\n")
			if tt.location != "" {
				has(t, text, "Location: "+tt.location+"\r\n")
			} else if strings.Contains(text, "Location") {
				t.Error(text)
			}
		})
	}
}

// FuzzAsPath: whatever a replacement makes of a path, what is sent on is a path that means the same to everybody.
func FuzzAsPath(f *testing.F) {
	for _, s := range []string{"", "/", "a?b#c", "/%zz%", "\x00\\\xff", "//..//./x", "/%2e%2E/%"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := asPath(b)
		for _, c := range path {
			if c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '\\' {
				t.Fatalf("%q becomes %q", b, path)
			}
		}
		if path[0] != '/' {
			t.Fatalf("%q becomes %q", b, path)
		}
		if clean, _, err := route.NormalizePath(path); err == nil && len(clean) > 3*len(path)+1 {
			t.Fatalf("%q becomes %q", path, clean)
		}
	})
}
