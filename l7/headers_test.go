package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// told answers with the header of the request, sorted, but for what every request has, and with a few headers of its own.
func told(w http.ResponseWriter, r *http.Request) {
	var lines []string
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") && name != "X-Forwarded-For" || name == "X-Real-Ip" {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s=%q", name, values))
	}
	slices.Sort(lines)
	w.Header().Set("Server", "origin")
	w.Header().Set("X-Powered-By", "tests")
	fmt.Fprintf(w, "%s %s", r.Host, strings.Join(lines, " "))
}

// behaviour is one line of a table: what a middleware makes of a request.
type behaviour struct {
	name    string
	m       []*Middleware
	request string   // without the end of its head; GET / HTTP/1.1 and Host are put before what has no start line
	status  int      // 0 = 200
	want    []string // in the answer
	wantNot []string
	trusted bool // the client is a trusted proxy
	record  []string
}

// behave runs a table through a server.
func behave(t *testing.T, handler http.HandlerFunc, table []behaviour) {
	t.Helper()
	addr := backend(t, handler)
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			o := FrontOptions{}
			if tt.trusted {
				o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: tt.m, front: o})
			text := tt.request
			if first, _, _ := strings.Cut(text, "\r\n"); !strings.HasSuffix(first, " HTTP/1.1") {
				text = "GET / HTTP/1.1\r\nHost: a.test\r\n" + text
			}
			answer := b.exchange(text + "Connection: close\r\n\r\n")
			has(t, answer, fmt.Sprintf("HTTP/1.1 %d ", max(tt.status, 200)))
			has(t, answer, tt.want...)
			for _, not := range tt.wantNot {
				if strings.Contains(answer, not) {
					t.Errorf("%q is in:\n%s", not, answer)
				}
			}
			if len(tt.record) > 0 {
				has(t, b.records(1)[0], tt.record...)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	with := func(o HeadersOptions) []*Middleware { return []*Middleware{Headers("h", o)} }
	cors := func(c CORSOptions) []*Middleware { return with(HeadersOptions{CORS: c}) }
	secure := func(s SecurityOptions) []*Middleware { return with(HeadersOptions{Security: s}) }
	const ask = "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\nAccess-Control-Request-Method: PUT\r\n"
	only := regexp.MustCompile(`^https://[a-c]\.test$`)
	behave(t, told, []behaviour{
		{name: "request", m: with(HeadersOptions{Request: []FieldEdit{{"Host", "b.test"}, {"X-One", "1"}, {"X-Two", ""}}}),
			request: "X-Two: 2\r\nX-One: 9\r\nx-one: 8\r\n", want: []string{"b.test ", `X-One=["1"]`}, wantNot: []string{"X-Two"}},
		{name: "request, who the client is", m: with(HeadersOptions{Request: []FieldEdit{{"X-Forwarded-For", ""}}}), wantNot: []string{"X-Forwarded-For"}},
		{name: "response", m: with(HeadersOptions{Response: []FieldEdit{{"Server", ""}, {"X-Powered-By", "weir"}, {"X-New", "n"}}}),
			want: []string{"X-Powered-By: weir\r\n", "X-New: n\r\n"}, wantNot: []string{"Server:", "tests"}},

		{name: "preflight", m: cors(CORSOptions{Methods: []string{"GET", "PUT"}, Headers: []string{"X-A", "X-B"}, Origins: []string{"https://b.test"}, MaxAge: 100, Credentials: true, Vary: true}),
			request: ask, want: []string{"Access-Control-Allow-Methods: GET,PUT\r\n", "Access-Control-Allow-Headers: X-A,X-B\r\n", "Access-Control-Max-Age: 100\r\n",
				"Access-Control-Allow-Origin: https://b.test\r\n", "Access-Control-Allow-Credentials: true\r\n", "Vary: Origin\r\n", "Content-Length: 0\r\n"},
			record: []string{`"answered"`}},
		{name: "preflight of another origin", m: cors(CORSOptions{Methods: []string{"PUT"}, Origins: []string{"https://c.test"}}),
			request: ask, want: []string{"Access-Control-Allow-Methods: PUT\r\n"}, wantNot: []string{"Allow-Origin", "a.test"}},
		{name: "options that ask nothing", m: cors(CORSOptions{Methods: []string{"PUT"}}),
			request: "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\n", want: []string{"\r\n\r\na.test "}},
		{name: "preflight without CORS", m: with(HeadersOptions{Response: []FieldEdit{{"X", "y"}}}), request: ask, want: []string{"\r\n\r\na.test "}},
		{name: "any origin", m: cors(CORSOptions{Origins: []string{"*"}}), request: "Origin: https://x.test\r\n", want: []string{"Access-Control-Allow-Origin: *\r\n"}},
		{name: "origin by a regular expression", m: cors(CORSOptions{OriginRegexps: []*regexp.Regexp{only}}),
			request: "Origin: https://b.test\r\n", want: []string{"Access-Control-Allow-Origin: https://b.test\r\n"}},
		{name: "origin beside it", m: cors(CORSOptions{OriginRegexps: []*regexp.Regexp{only}}), request: "Origin: https://b.test.evil\r\n", wantNot: []string{"Allow-Origin"}},
		{name: "no origin", m: cors(CORSOptions{OriginRegexps: []*regexp.Regexp{regexp.MustCompile("")}}), wantNot: []string{"Allow-Origin"}},
		{name: "response for scripts", m: cors(CORSOptions{Expose: []string{"X-A", "X-B"}, Credentials: true}),
			want: []string{"Access-Control-Expose-Headers: X-A,X-B\r\n", "Access-Control-Allow-Credentials: true\r\n"}},
		{name: "vary is kept", m: []*Middleware{Headers("out", HeadersOptions{CORS: CORSOptions{Vary: true}}), Headers("in", HeadersOptions{Response: []FieldEdit{{"Vary", "Accept"}}})},
			want: []string{"Vary: Accept, Origin\r\n"}},
		{name: "vary is there", m: []*Middleware{Headers("out", HeadersOptions{CORS: CORSOptions{Vary: true}}), Headers("in", HeadersOptions{Response: []FieldEdit{{"Vary", "Accept, origin"}}})},
			want: []string{"Vary: Accept, origin\r\n"}},

		{name: "security", m: secure(SecurityOptions{FrameDeny: true, NoSniff: true, XSSFilter: true, Policy: "default-src 'self'", PolicyReportOnly: "x", Referrer: "no-referrer", Permissions: "camera=()"}),
			want: []string{"X-Frame-Options: DENY\r\n", "X-Content-Type-Options: nosniff\r\n", "X-Xss-Protection: 1; mode=block\r\n", "Content-Security-Policy: default-src 'self'\r\n",
				"Content-Security-Policy-Report-Only: x\r\n", "Referrer-Policy: no-referrer\r\n", "Permissions-Policy: camera=()\r\n"}},
		{name: "security, values", m: secure(SecurityOptions{FrameDeny: true, FrameOptions: "SAMEORIGIN", XSSFilter: true, XSSProtection: "0"}),
			want: []string{"X-Frame-Options: SAMEORIGIN\r\n", "X-Xss-Protection: 0\r\n"}},
		{name: "STS over plain HTTP", m: secure(SecurityOptions{STSSeconds: 100, PublicKey: "pin"}), wantNot: []string{"Strict-Transport", "Public-Key"}},
		{name: "STS anyway", m: secure(SecurityOptions{STSSeconds: 100, STSSubdomains: true, STSPreload: true, STSAlways: true}),
			want: []string{"Strict-Transport-Security: max-age=100; includeSubDomains; preload\r\n"}},
		{name: "STS because a proxy says so", m: secure(SecurityOptions{STSSeconds: 100, PublicKey: "pin", SecureHeaders: []FieldEdit{{"X-Https", "on"}}}),
			request: "X-Https: on\r\n", want: []string{"Strict-Transport-Security: max-age=100\r\n", "Public-Key-Pins: pin\r\n"}},
		{name: "STS because a proxy says another thing", m: secure(SecurityOptions{STSSeconds: 100, SecureHeaders: []FieldEdit{{"X-Https", "on"}}}),
			request: "X-Https: off\r\n", wantNot: []string{"Strict-Transport"}},
		{name: "STS in development", m: secure(SecurityOptions{STSSeconds: 100, STSAlways: true, Development: true}), wantNot: []string{"Strict-Transport"}},
		{name: "the response's own word is last", m: with(HeadersOptions{Response: []FieldEdit{{"X-Frame-Options", "custom"}}, Security: SecurityOptions{FrameDeny: true}}),
			want: []string{"X-Frame-Options: custom\r\n"}, wantNot: []string{"DENY"}},

		{name: "allowed host", m: secure(SecurityOptions{AllowedHosts: []string{"b.test", "A.test"}}), want: []string{"\r\n\r\na.test "}},
		{name: "another host", m: secure(SecurityOptions{AllowedHosts: []string{"b.test"}, NoSniff: true}), status: 403, want: []string{"nosniff"},
			record: []string{`"denied"`, `"bad-host"`}},
		{name: "another port", m: secure(SecurityOptions{AllowedHosts: []string{"a.test"}}), request: "GET / HTTP/1.1\r\nHost: a.test:81\r\n", status: 403},
		{name: "host of a proxy", m: secure(SecurityOptions{AllowedHosts: []string{"b.test"}, HostHeaders: []string{"X-No", "X-Host"}}), request: "X-Host: b.test\r\n"},
		{name: "host of a proxy that is another", m: secure(SecurityOptions{AllowedHosts: []string{"a.test"}, HostHeaders: []string{"X-Host"}}), request: "X-Host: c.test\r\n", status: 403},
		{name: "hosts in development", m: secure(SecurityOptions{AllowedHosts: []string{"b.test"}, Development: true})},
		{name: "host after the edit", m: with(HeadersOptions{Request: []FieldEdit{{"Host", "b.test"}}, Security: SecurityOptions{AllowedHosts: []string{"b.test"}}}), want: []string{"\r\n\r\nb.test "}},
	})
}
