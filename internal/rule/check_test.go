package rule

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	label := strings.Repeat("a", 64)
	for _, tt := range []struct {
		name   string
		family Family
		text   string
		want   []string // messages with hints, empty if the rule is fine
	}{
		{"tcp host", TCP, "HostSNI(`A.Example.com.`)", nil},
		{"tcp any", TCP, "HostSNI(`*`)", nil},
		{"tcp wildcard", TCP, "HostSNI(`*.example.com`)", nil},
		{"tcp underscore", TCP, "HostSNI(`_a.b_c`)", nil},
		{"tcp regexp", TCP, "HostSNIRegexp(`^[a-z]{1,5}\\.x$`)", nil},
		{"tcp all", TCP, "HostSNI(`a`) && ALPN(`h2`) && ClientIP(`10.0.0.1`) && !ClientIP(`2001:db8::/32`)", nil},
		{"http all", HTTP, "Host(`a`) && HostRegexp(`a`) && Path(`/`) && PathPrefix(`/`) && PathRegexp(`a`) && Method(`GET`) && " +
			"Header(`A`, `b`) && HeaderRegexp(`A`, `b`) && Query(`q`) && Query(`q`, `1`) && QueryRegexp(`q`, `1`) && ClientIP(`::1`)", nil},
		{"http host forms", HTTP, "Host(`*`) || Host(`*.x`) || Host(`10.0.0.1`) || Host(`::1`) || Host(`[::1]`)", nil},
		{"query regexp with one argument is a name", HTTP, "QueryRegexp(`a(`)", nil},

		{"http matcher in tcp", TCP, "Host(`a`)", []string{"Host is not a matcher of TCP routers (did you mean HostSNI?)"}},
		{"http regexp in tcp", TCP, "HostRegexp(`a`)", []string{"HostRegexp is not a matcher of TCP routers (did you mean HostSNIRegexp?)"}},
		{
			"path in tcp", TCP, "Path(`/`)",
			[]string{"Path is not a matcher of TCP routers (TCP routers know HostSNI, HostSNIRegexp, ALPN and ClientIP)"},
		},
		{"sni in http", HTTP, "HostSNI(`a`)", []string{"HostSNI is not a matcher of HTTP routers (did you mean Host?)"}},
		{
			"alpn in http", HTTP, "ALPN(`h2`)",
			[]string{"ALPN is not a matcher of HTTP routers (a TLS connection's protocol is not visible to an HTTP router)"},
		},
		{
			"too many hosts", TCP, "HostSNI(`a`, `b`)",
			[]string{"HostSNI takes 1 argument, not 2 (write HostSNI(`a`) || HostSNI(`b`))"},
		},
		{
			"too few for a header", HTTP, "Header(`a`)",
			[]string{"Header takes 2 arguments, not 1 (write Header(`Content-Type`, `application/json`))"},
		},
		{"too many for a query", HTTP, "Query(`a`, `b`, `c`)", []string{"Query takes 1 or 2 arguments, not 3 (write Query(`page`, `2`))"}},

		{"empty host", TCP, "HostSNI(``)", []string{"HostSNI: host name is empty"}},
		{"dot alone", TCP, "HostSNI(`.`)", []string{"HostSNI: host name is empty"}},
		{"two trailing dots", TCP, "HostSNI(`a..`)", []string{`HostSNI: "a.." has an empty label`}},
		{"leading dot", TCP, "HostSNI(`.a`)", []string{`HostSNI: ".a" has an empty label`}},
		{"wildcard alone with dot", TCP, "HostSNI(`*.`)", []string{`HostSNI: "*.": a wildcard is the whole first label, as in *.example.com`}},
		{"double star", TCP, "HostSNI(`**`)", []string{`HostSNI: "**": a wildcard is the whole first label, as in *.example.com`}},
		{"star inside a label", TCP, "HostSNI(`a*.x`)", []string{`HostSNI: "a*.x": a wildcard is the whole first label, as in *.example.com`}},
		{"star in the middle", TCP, "HostSNI(`a.*.x`)", []string{`HostSNI: "a.*.x": a wildcard is the whole first label, as in *.example.com`}},
		{"two stars", TCP, "HostSNI(`*.*.x`)", []string{`HostSNI: "*.*.x": a wildcard is the whole first label, as in *.example.com`}},
		{"port", HTTP, "Host(`a:80`)", []string{`Host: "a:80" is neither a host name nor an address; a port does not belong to it`}},
		{"space", TCP, "HostSNI(`a b`)", []string{`HostSNI: "a b" has ' ' in a host name`}},
		{"nul", TCP, `HostSNI("a\x00b")`, []string{`HostSNI: "a\x00b" has '\x00' in a host name`}},
		{"unicode", TCP, "HostSNI(`bücher.example`)", []string{`HostSNI: "bücher.example": host names are ASCII (write its ASCII form, which starts with xn--)`}},
		{"long label", TCP, "HostSNI(`" + label + "`)", []string{`HostSNI: label of "` + label + `" has 64 bytes, 63 are allowed`}},
		{"long name", TCP, "HostSNI(`" + strings.Repeat("a.", 127) + "a`)", []string{"HostSNI: host name has 255 bytes, 253 are allowed"}},
		{"address as sni", TCP, "HostSNI(`10.0.0.1`)", []string{`HostSNI: "10.0.0.1" is an address, and clients send none as server name (HostSNI(` + "`*`" + `) matches connections without one)`}},
		{"open bracket", HTTP, "Host(`[::1`)", []string{`Host: "[::1" lacks its closing bracket`}},
		{"zone", HTTP, "Host(`fe80::1%eth0`)", []string{`Host: "fe80::1%eth0" is neither a host name nor an address; a port does not belong to it`}},

		{"regexp", TCP, "HostSNIRegexp(`(`)", []string{"HostSNIRegexp: missing closing ): `(` (the syntax is RE2's)"}},
		{"regexp unicode", TCP, "HostSNIRegexp(`ü`)", []string{"HostSNIRegexp: host names on the wire are ASCII (write the ASCII form, which starts with xn--)"}},
		{"look-ahead", HTTP, "PathRegexp(`a(?=b)`)", []string{"PathRegexp: invalid or unsupported Perl syntax: `(?=` (the syntax is RE2's)"}},
		{"header regexp", HTTP, "HeaderRegexp(`A`, `(`)", []string{"HeaderRegexp: missing closing ): `(` (the syntax is RE2's)"}},
		{"header regexp name", HTTP, "HeaderRegexp(`A:`, `b`)", []string{`HeaderRegexp: "A:" is not a header name`}},
		{"query regexp", HTTP, "QueryRegexp(`q`, `(`)", []string{"QueryRegexp: missing closing ): `(` (the syntax is RE2's)"}},
		{"acme", TCP, "ALPN(`acme-tls/1`)", []string{"ALPN: acme-tls/1 is kept for certificate challenges"}},
		{"empty alpn", TCP, "ALPN(``)", []string{"ALPN: a protocol name has 1 to 255 bytes"}},
		{"long alpn", TCP, "ALPN(`" + strings.Repeat("a", 256) + "`)", []string{"ALPN: a protocol name has 1 to 255 bytes"}},
		{"prefix", TCP, "ClientIP(`10.0.0.0/33`)", []string{`ClientIP: "10.0.0.0/33" is not a prefix (write an address or a prefix such as 10.0.0.0/8)`}},
		{"address", TCP, "ClientIP(`10.0.0`)", []string{`ClientIP: "10.0.0" is not an address (write an address or a prefix such as 10.0.0.0/8)`}},
		{"path", HTTP, "Path(`a`)", []string{`Path: "a" does not start with a slash`}},
		{"path prefix", HTTP, "PathPrefix(``)", []string{`PathPrefix: "" does not start with a slash`}},
		{"method", HTTP, "Method(`GET POST`)", []string{`Method: "GET POST" is not a method`}},
		{"header", HTTP, "Header(``, `a`)", []string{`Header: "" is not a header name`}},
		{"query", HTTP, "Query(``)", []string{"Query: the parameter has no name"}},

		{"two names at once", TCP, "HostSNI(`a`) && HostSNI(`b`)", []string{"rule can never match: its host names exclude each other"}},
		{"name and no name", TCP, "HostSNI(`a`) && !HostSNI(`A.`)", []string{"rule can never match: its host names exclude each other"}},
		{"not any", TCP, "!HostSNI(`*`)", []string{"rule can never match: its host names exclude each other"}},
		{"name outside the wildcard", HTTP, "Host(`a.b.x`) && Host(`*.x`)", []string{"rule can never match: its host names exclude each other"}},
		{
			"several at once", TCP, "HostSNI(``) || (ALPN(``) && !Path(`/`))",
			[]string{
				"HostSNI: host name is empty", "ALPN: a protocol name has 1 to 255 bytes",
				"Path is not a matcher of TCP routers (TCP routers know HostSNI, HostSNIRegexp, ALPN and ClientIP)",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, err := range Check(e, tt.family) {
				text := err.Message
				if err.Hint != "" {
					text += " (" + err.Hint + ")"
				}
				got = append(got, text)
				if !strings.HasPrefix(err.Message, "rule ") && !strings.HasPrefix(tt.text[err.Offset:], err.Message[:2]) {
					t.Errorf("offset %d of %q points at %q", err.Offset, err.Message, tt.text[err.Offset:])
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Check(%s) (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestEveryExampleIsFine(t *testing.T) {
	for _, m := range matchers {
		t.Run(m.name, func(t *testing.T) {
			e, err := Parse(m.example)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []Family{TCP, HTTP} {
				if m.families&f == 0 {
					continue
				}
				if errs := Check(e, f); errs != nil {
					t.Errorf("%v: %v", f, errs[0])
				}
			}
		})
	}
}

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want string // empty if refused
	}{
		{"address", "10.0.0.1", "10.0.0.1/32"},
		{"IPv6 address", "2001:db8::1", "2001:db8::1/128"},
		{"mapped address", "::ffff:10.0.0.1", "10.0.0.1/32"},
		{"prefix", "10.0.0.0/8", "10.0.0.0/8"},
		{"bits behind the prefix", "10.1.2.3/8", "10.0.0.0/8"},
		{"mapped prefix", "::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"everything", "0.0.0.0/0", "0.0.0.0/0"},
		{"everything IPv6", "::/0", "::/0"},
		{"zone", "fe80::1%eth0", ""},
		{"zone in prefix", "fe80::%eth0/64", ""},
		{"leading zero", "010.0.0.1", ""},
		{"name", "localhost", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePrefix(tt.text)
			if (err != nil) != (tt.want == "") {
				t.Fatalf("got %v, %v; want %q", got, err, tt.want)
			}
			if err == nil && got != netip.MustParsePrefix(tt.want) {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}
