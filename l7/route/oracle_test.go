package route

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/rule"
)

// The oracle evaluates rules as one reads them, on strings and with the
// standard library, one after the other. It shares no code with the table.

type oracle struct {
	host, text string
	query      url.Values
	req        *Request
}

func newOracle(req *Request) oracle {
	query, _ := url.ParseQuery(string(req.RawQuery)) // with an error come the pairs that are fine
	return oracle{host: oracleHost(string(req.Host)), text: oracleText(string(req.Path)), query: query, req: req}
}

var bracketed = regexp.MustCompile(`^\[([^\]]*)\](:.*)?$`)

func oracleHost(host string) string {
	bare := host
	if m := bracketed.FindStringSubmatch(host); m != nil {
		bare = m[1]
	}
	if a, err := netip.ParseAddr(bare); err == nil && a.Is6() {
		return a.String()
	}
	if name, _, ok := strings.Cut(host, ":"); ok && strings.Count(host, ":") == 1 && !strings.HasPrefix(host, "[") {
		host = name
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 32
		}
		return r
	}, strings.TrimSuffix(host, "."))
}

var spelling = regexp.MustCompile(`(?s)%[0-9A-Fa-f]{2}|%|[\x00-\x1f\x7f]`)

// oracleText decodes all that may be decoded and encodes what may not.
func oracleText(path string) string {
	return spelling.ReplaceAllStringFunc(path, func(s string) string {
		c := s[0]
		if len(s) == 3 {
			plain, err := url.PathUnescape(s)
			if err != nil {
				panic(err)
			}
			c = plain[0]
		}
		if c < ' ' || c == 0x7f || strings.IndexByte(":/?#[]@!$&'()*+,;=%", c) >= 0 {
			return fmt.Sprintf("%%%02X", c)
		}
		return string([]byte{c})
	})
}

func (o oracle) holds(e rule.Expr) bool {
	switch e := e.(type) {
	case rule.And:
		return !slices.ContainsFunc(e, func(t rule.Expr) bool { return !o.holds(t) })
	case rule.Or:
		return slices.ContainsFunc(e, o.holds)
	case rule.Not:
		return !o.holds(e.Operand)
	case rule.Match:
		return o.matches(e.Name, e.Args)
	}
	panic("no such expression")
}

func (o oracle) matches(name string, args []string) bool {
	arg, value := args[0], args[len(args)-1]
	switch name {
	case "Host":
		pattern, err := rule.ParseHTTPHost(arg)
		if err != nil {
			panic(err)
		}
		return pattern.Matches(o.host)
	case "HostRegexp":
		return regexp.MustCompile(arg).MatchString(o.host)
	case "Path":
		return o.text == oracleText(arg)
	case "PathPrefix":
		return strings.HasPrefix(o.text, oracleText(arg))
	case "PathRegexp":
		return regexp.MustCompile(arg).MatchString(o.text)
	case "Method":
		return strings.ToUpper(arg) == string(o.req.Method)
	case "Header":
		return slices.Contains(headerValues(o.req.Headers, arg), value)
	case "HeaderRegexp":
		return slices.ContainsFunc(headerValues(o.req.Headers, arg), regexp.MustCompile(value).MatchString)
	case "ClientIP":
		prefix, err := netip.ParsePrefix(arg)
		return err == nil && prefix.Contains(o.req.Client)
	case "Query":
		if len(args) == 1 {
			value = ""
		}
		return slices.Contains(o.query[arg], value)
	case "QueryRegexp":
		if len(args) == 1 {
			return slices.Contains(o.query[arg], "")
		}
		return slices.ContainsFunc(o.query[arg], regexp.MustCompile(value).MatchString)
	}
	panic("no such matcher: " + name)
}

// choose returns the name of the route the request belongs to.
func (o oracle) choose(routes []*Route[string]) string {
	var best *Route[string]
	for _, r := range routes {
		better := best == nil || r.Priority > best.Priority || r.Priority == best.Priority && r.Name < best.Name
		if better && r.TLS == o.req.TLS && o.holds(r.Rule) {
			best = r
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}

var leaves = []rule.Match{
	{Name: "Host", Args: []string{"a.x"}}, {Name: "Host", Args: []string{"B.x."}}, {Name: "Host", Args: []string{"*.x"}}, {Name: "Host", Args: []string{"*.b.x"}},
	{Name: "Host", Args: []string{"x"}}, {Name: "Host", Args: []string{"*"}}, {Name: "Host", Args: []string{"[::1]"}}, {Name: "Host", Args: []string{"192.0.2.1"}},
	{Name: "HostRegexp", Args: []string{"^a"}}, {Name: "HostRegexp", Args: []string{`\.x$`}}, {Name: "HostRegexp", Args: []string{"^$"}}, {Name: "HostRegexp", Args: []string{":"}},
	{Name: "Path", Args: []string{"/"}}, {Name: "Path", Args: []string{"/a"}}, {Name: "Path", Args: []string{"/a/b"}}, {Name: "Path", Args: []string{"/a b"}}, {Name: "Path", Args: []string{"/%61"}},
	{Name: "PathPrefix", Args: []string{"/"}}, {Name: "PathPrefix", Args: []string{"/a"}}, {Name: "PathPrefix", Args: []string{"/a/"}}, {Name: "PathPrefix", Args: []string{"/a/b"}},
	{Name: "PathPrefix", Args: []string{"/ab"}}, {Name: "PathPrefix", Args: []string{"/\xc3"}}, {Name: "PathPrefix", Args: []string{"/é"}}, {Name: "PathPrefix", Args: []string{"/a%2fb"}}, {Name: "PathPrefix", Args: []string{"/%"}},
	{Name: "PathRegexp", Args: []string{"^/a"}}, {Name: "PathRegexp", Args: []string{"[é b]$"}}, {Name: "PathRegexp", Args: []string{"^/.*/b"}}, {Name: "PathRegexp", Args: []string{"%"}},
	{Name: "Method", Args: []string{"get"}}, {Name: "Method", Args: []string{"POST"}},
	{Name: "Header", Args: []string{"x-a", "1"}}, {Name: "HeaderRegexp", Args: []string{"X-A", "^[12]$"}},
	{Name: "Query", Args: []string{"q"}}, {Name: "Query", Args: []string{"q", "1"}}, {Name: "QueryRegexp", Args: []string{"q", "^[ 1]*$"}}, {Name: "QueryRegexp", Args: []string{"q"}},
	{Name: "ClientIP", Args: []string{"192.0.2.0/24"}}, {Name: "ClientIP", Args: []string{"2001:db8::/32"}},
}

// drawExpr prefers shallow trees, as people write them.
func drawExpr(t *rapid.T, depth int) rule.Expr {
	kind := rapid.SampledFrom([]string{"match", "match", "and", "and", "or", "not"}).Draw(t, "kind")
	if depth == 0 || kind == "match" {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	if kind == "not" {
		return rule.Not{Operand: drawExpr(t, depth-1)}
	}
	terms := make([]rule.Expr, rapid.IntRange(2, 3).Draw(t, "terms"))
	for i := range terms {
		terms[i] = drawExpr(t, depth-1)
	}
	if kind == "and" {
		return rule.And(terms)
	}
	return rule.Or(terms)
}

func drawRequest(t *rapid.T) *Request {
	from := func(name string, choices ...string) []byte { return []byte(rapid.SampledFrom(choices).Draw(t, name)) }
	r := &Request{
		Host:     from("host", "a.x", "A.X.:80", "b.x", "c.x", "c.b.x", "x", "", "[::1]:80", "::1", "192.0.2.1:1", "y"),
		Path:     from("path", "/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/abc", "/a%20b", "/%C3%A9", "/%C3%A8", "/a%2Fb", "/%25", "/b", "*"),
		RawQuery: from("query", "", "q", "q=1", "q=+&q=2", "Q=1", "q=1;", "p&q=%31", "q=%"),
		Method:   from("method", "GET", "POST", "get"),
		Client:   netip.MustParseAddr(string(from("client", "192.0.2.1", "2001:db8::1", "10.0.0.1"))),
		TLS:      rapid.Bool().Draw(t, "tls"),
	}
	if values := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 2).Draw(t, "headers"); len(values) > 0 {
		var headers fields
		for _, v := range values {
			headers = append(headers, field{"X-a", []byte(v)})
		}
		r.Headers = headers
	}
	return r
}

// usable builds a table of the routes without those that can never match,
// about which the oracle must agree.
func usable(t interface {
	Helper()
	Fatalf(string, ...any)
}, routes []*Route[string], requests []*Request) (*Table[string], []*Route[string]) {
	t.Helper()
	routes = slices.DeleteFunc(routes, func(r *Route[string]) bool {
		if len(rule.Check(r.Rule, rule.HTTP)) > 0 {
			return true
		}
		_, err := NewTable([]*Route[string]{r})
		if err == nil {
			return false
		}
		for _, req := range requests {
			if !errors.Is(err, ErrNeverMatches) || newOracle(req).holds(r.Rule) {
				t.Fatalf("%v, but it matches %s%s?%s", err, req.Host, req.Path, req.RawQuery)
			}
		}
		return true
	})
	table, err := NewTable(routes)
	if err != nil {
		t.Fatalf("NewTable: %v", err)
	}
	return table, routes
}

// compare holds Match and Explain to the oracle.
func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, table *Table[string], routes []*Route[string], req *Request) {
	t.Helper()
	want, got := newOracle(req).choose(routes), ""
	if r, ok := table.Match(req); ok {
		got = r.Name
	}
	explained := table.Explain(req)
	winner := ""
	if explained.Winner != nil {
		winner = explained.Winner.Name
	}
	if got == want && winner == want {
		return
	}
	var rules strings.Builder
	for _, v := range explained.Verdicts {
		fmt.Fprintf(&rules, "\n%s, priority %d, TLS %v: %s", v.Route.Name, v.Route.Priority, v.Route.TLS, v.Route.Rule)
	}
	t.Fatalf("%s %s%s?%s, TLS %v: Match says %q, Explain %q, the oracle %q of%s", req.Method, req.Host, req.Path, req.RawQuery, req.TLS, got, winner, want, rules.String())
}

func TestMatchIsEvaluationInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var routes []*Route[string]
		for i := range rapid.IntRange(1, 12).Draw(t, "routes") {
			routes = append(routes, &Route[string]{
				Name: fmt.Sprintf("r%02d", i), Rule: drawExpr(t, 3), Priority: rapid.IntRange(-1, 4).Draw(t, "priority"), TLS: rapid.Bool().Draw(t, "tls"),
			})
		}
		var requests []*Request
		for range 12 {
			requests = append(requests, drawRequest(t))
		}
		table, routes := usable(t, routes, requests)
		for _, req := range requests {
			compare(t, table, routes, req)
		}
	})
}

// FuzzMatch reads one rule a line; a line's number is its priority, and those
// of even lines are for TLS.
func FuzzMatch(f *testing.F) {
	f.Add("Host(`a.x`) && PathPrefix(`/a`)\nPath(`/a`) || !Host(`*.x`)", "A.x:80", "/a", "q=1", "GET", "1")
	f.Add("PathPrefix(`/é b`)\nPathPrefix(`/é b`)\nPathRegexp(`é b$`)", "[::1]", "/%c3%a9%20b", "", "POST", "")
	f.Add("!(Query(`q`, `1 2`) && Host(`*.x`))\nQueryRegexp(`q`, `^1`)\nHeaderRegexp(`A`, `[0-9]`)", "", "/../%2f", "&q=1+2;&q=%31+2", "", "7")
	f.Add("HostRegexp(`^a`) && !(Path(`/a`) || Path(`/b`))\nHost(`a`)\nHostRegexp(`^a`)", "ab.", "/b//", "%", "x", "")
	f.Fuzz(func(t *testing.T, rules, host, path, query, method, header string) {
		normal, _, err := NormalizePath([]byte(path))
		if err != nil || len(rules)+len(query) > 4096 {
			return
		}
		var routes []*Route[string]
		for i, text := range strings.Split(rules, "\n") {
			if e, err := rule.Parse(text); err == nil && !hasOddAddress(e) {
				routes = append(routes, &Route[string]{Name: fmt.Sprintf("r%d", i), Rule: e, Priority: i / 2, TLS: i%2 == 0})
			}
		}
		req := &Request{
			Host: []byte(host), Path: normal, RawQuery: []byte(query), Method: []byte(method),
			Headers: newFields([2]string{"A", header}), Client: netip.MustParseAddr("192.0.2.1"),
		}
		secure := *req
		secure.TLS = true
		table, routes := usable(t, routes, []*Request{req, &secure})
		compare(t, table, routes, req)
		compare(t, table, routes, &secure)
	})
}

// hasOddAddress reports whether e has an address that the oracle, which takes
// prefixes only, reads otherwise.
func hasOddAddress(e rule.Expr) bool {
	for m := range rule.Matches(e) {
		if m.Name != "ClientIP" {
			continue
		}
		if p, err := netip.ParsePrefix(m.Args[0]); err != nil || p.Addr().Is4In6() {
			return true
		}
	}
	return false
}
