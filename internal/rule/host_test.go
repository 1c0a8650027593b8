package rule

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseHost(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want HostPattern
	}{
		{"any", "*", HostPattern{Any, "*"}},
		{"exact", "a.example.com", HostPattern{Exact, "a.example.com"}},
		{"capitals", "A.Example.COM", HostPattern{Exact, "a.example.com"}},
		{"trailing dot", "a.example.com.", HostPattern{Exact, "a.example.com"}},
		{"wildcard", "*.Example.com.", HostPattern{Wildcard, "*.example.com"}},
		{"A-label", "xn--bcher-kva.example", HostPattern{Exact, "xn--bcher-kva.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseHost(tt.text)
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestParseHTTPHost(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want string
	}{
		{"name", "A.x", "a.x"},
		{"IPv4", "10.0.0.1", "10.0.0.1"},
		{"IPv6", "2001:DB8:0::1", "2001:db8::1"},
		{"IPv6 in brackets", "[2001:DB8:0::1]", "2001:db8::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseHTTPHost(tt.text)
			if want := (HostPattern{Exact, tt.want}); err != nil || got != want {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	exact := func(name string) HostPattern { return HostPattern{Exact, name} }
	for _, tt := range []struct {
		name string
		text string
		want []HostPattern
		any  bool
	}{
		{"exact", "HostSNI(`a`)", []HostPattern{exact("a")}, false},
		{"any", "HostSNI(`*`)", nil, true},
		{"no host", "ClientIP(`::1`)", nil, true},
		{"not a host", "!HostSNI(`a`)", nil, true},
		{"and", "HostSNI(`a`) && ALPN(`h2`)", []HostPattern{exact("a")}, false},
		{"or", "HostSNI(`a`) || HostSNI(`*.b`) || HostSNI(`A`)", []HostPattern{exact("a"), {Wildcard, "*.b"}}, false},
		{"or without host", "HostSNI(`a`) || ALPN(`h2`)", nil, true},
		{"wildcard narrowed to a name", "HostSNI(`*.x`) && (HostSNI(`a.x`) || HostSNI(`b.y`))", []HostPattern{exact("a.x")}, false},
		{"wildcard without a name", "HostSNI(`*.x`) && !HostSNI(`a.x`)", []HostPattern{{Wildcard, "*.x"}}, false},
		{"regexp", "HostSNIRegexp(`^a`)", []HostPattern{{Regexp, "^a"}}, false},
		{"regexp beside a wildcard", "HostSNIRegexp(`^a`) && HostSNI(`*.x`)", []HostPattern{{Wildcard, "*.x"}}, false},
		{"de Morgan", "!(!HostSNI(`a`) || ALPN(`h2`))", []HostPattern{exact("a")}, false},
		{"de Morgan and", "!(!HostSNI(`a`) && !HostSNI(`b`))", []HostPattern{exact("a"), exact("b")}, false},
		{"twice not", "!!HostSNI(`a`)", []HostPattern{exact("a")}, false},
		{"impossible", "HostSNI(`a`) && HostSNI(`b`)", nil, false},
		{"impossible wildcard", "HostSNI(`*.x`) && HostSNI(`*.y`)", nil, false},
		{"HTTP", "Host(`a`) && PathPrefix(`/`)", []HostPattern{exact("a")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			got, any := Hosts(e)
			if diff := cmp.Diff(tt.want, got); diff != "" || any != tt.any {
				t.Errorf("any = %v, want %v; names (-want +got):\n%s", any, tt.any, diff)
			}
		})
	}
}

func TestResidual(t *testing.T) {
	for _, tt := range []struct {
		name     string
		text     string
		under    HostPattern
		want     string // empty for nothing left
		possible bool
	}{
		{"host alone", "HostSNI(`a`)", HostPattern{Exact, "a"}, "", true},
		{"host and more", "HostSNI(`a`) && ALPN(`h2`)", HostPattern{Exact, "a"}, "ALPN(`h2`)", true},
		{"another host", "HostSNI(`a`) && ALPN(`h2`)", HostPattern{Exact, "b"}, "", false},
		{
			"one branch", "(HostSNI(`a`) && ALPN(`h2`)) || (HostSNI(`b`) && ClientIP(`::1`))",
			HostPattern{Exact, "b"}, "ClientIP(`::1`)", true,
		},
		{"name under its wildcard", "HostSNI(`a.x`)", HostPattern{Wildcard, "*.x"}, "HostSNI(`a.x`)", true},
		{"name outside the wildcard", "!HostSNI(`a.y`) && ALPN(`h2`)", HostPattern{Wildcard, "*.x"}, "ALPN(`h2`)", true},
		{"wildcard over a name", "HostSNI(`*.x`)", HostPattern{Exact, "a.x"}, "", true},
		{"expression", "HostSNIRegexp(`a`)", HostPattern{Exact, "a"}, "HostSNIRegexp(`a`)", true},
		{"expression under itself", "HostSNIRegexp(`a`) && ALPN(`h2`)", HostPattern{Regexp, "a"}, "ALPN(`h2`)", true},
		{"name under any", "!HostSNI(`a`)", HostPattern{Any, "*"}, "!HostSNI(`a`)", true},
		{"or decided", "HostSNI(`a`) || ALPN(`h2`)", HostPattern{Exact, "a"}, "", true},
		{
			"flattened", "HostSNI(`a`) && (HostSNI(`b`) || (ALPN(`x`) && ALPN(`y`))) && ALPN(`z`)",
			HostPattern{Exact, "a"}, "ALPN(`x`) && ALPN(`y`) && ALPN(`z`)", true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			rest, possible := Residual(e, tt.under)
			got := ""
			if rest != nil {
				got = rest.String()
			}
			if got != tt.want || possible != tt.possible {
				t.Errorf("got %q, %v; want %q, %v", got, possible, tt.want, tt.possible)
			}
		})
	}
}

// eval is the plain meaning of a rule: the measure for Hosts and Residual.
func eval(e Expr, host string, alpn []string) bool {
	switch e := e.(type) {
	case And:
		for _, t := range e {
			if !eval(t, host, alpn) {
				return false
			}
		}
		return true
	case Or:
		return slices.ContainsFunc(e, func(t Expr) bool { return eval(t, host, alpn) })
	case Not:
		return !eval(e.Operand, host, alpn)
	case Match:
		switch p, ok := e.HostPattern(); {
		case !ok:
			return slices.Contains(alpn, e.Args[0])
		case p.Kind == Regexp:
			return regexp.MustCompile(p.Name).MatchString(host)
		default:
			return p.Matches(host)
		}
	}
	return e == nil
}

func TestHostsAndResidualKeepTheMeaning(t *testing.T) {
	leaf := rapid.SampledFrom([]Match{
		{Name: "HostSNI", Args: []string{"a.x"}},
		{Name: "HostSNI", Args: []string{"b.x"}},
		{Name: "HostSNI", Args: []string{"*.x"}},
		{Name: "HostSNI", Args: []string{"*.a.x"}},
		{Name: "HostSNI", Args: []string{"*"}},
		{Name: "HostSNIRegexp", Args: []string{"^a"}},
		{Name: "HostSNIRegexp", Args: []string{"x$"}},
		{Name: "ALPN", Args: []string{"h2"}},
		{Name: "ALPN", Args: []string{"redis"}},
	})
	covers := func(p HostPattern, host string) bool {
		if p.Kind == Regexp {
			return regexp.MustCompile(p.Name).MatchString(host)
		}
		return p.Matches(host)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := drawExpr(t, leaf, 4)
		host := rapid.SampledFrom([]string{"", "x", "a.x", "b.x", "c.x", "a.a.x", "c.a.x", "a.y"}).Draw(t, "host")
		alpn := rapid.SampledFrom([][]string{nil, {"h2"}, {"redis"}, {"h2", "redis"}}).Draw(t, "alpn")
		want := eval(e, host, alpn)

		names, any := Hosts(e)
		if any {
			names = []HostPattern{{Any, "*"}}
		}
		covered := false
		for _, p := range names {
			if !covers(p, host) {
				continue
			}
			covered = true
			rest, possible := Residual(e, p)
			if got := possible && eval(rest, host, alpn); got != want {
				t.Fatalf("%v under %v leaves %v: %v for %q %q, want %v", e, p, rest, got, host, alpn, want)
			}
		}
		if want && !covered {
			t.Fatalf("%v matches %q, which none of %v covers", e, host, names)
		}
	})
}
