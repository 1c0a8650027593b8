package rule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func match(name string, offset int, args ...string) Match {
	return Match{Name: name, Args: args, Offset: offset}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want Expr
	}{
		{"backticks", "HostSNI(`a.example.com`)", match("HostSNI", 0, "a.example.com")},
		{"double quotes", `HostSNI("a.example.com")`, match("HostSNI", 0, "a.example.com")},
		{"escapes", `HostSNIRegexp("^a\\.b\"$")`, match("HostSNIRegexp", 0, `^a\.b"$`)},
		{"no escapes in backticks", "HostSNIRegexp(`^a\\.b$`)", match("HostSNIRegexp", 0, `^a\.b$`)},
		{"lower case name", "hostsni(`*`)", match("HostSNI", 0, "*")},
		{"upper case name", "CLIENTIP(`::1`)", match("ClientIP", 0, "::1")},
		{"two arguments", "Header(`A` , `b`)", match("Header", 0, "A", "b")},
		{"space everywhere", " \t\r\n HostSNI ( `a` ) \n", match("HostSNI", 5, "a")},
		{"operators inside a string", "Path(`/a && (b || !c)`)", match("Path", 0, "/a && (b || !c)")},
		{"and", "HostSNI(`a`) && ALPN(`h2`)", And{match("HostSNI", 0, "a"), match("ALPN", 16, "h2")}},
		{"or without spaces", "HostSNI(`a`)||ALPN(`h2`)", Or{match("HostSNI", 0, "a"), match("ALPN", 14, "h2")}},
		{"not", "!ALPN(`h2`)", Not{match("ALPN", 1, "h2")}},
		{"not twice", "! !ALPN(`h2`)", Not{Not{match("ALPN", 3, "h2")}}},
		{
			"and binds tighter than or", "Path(`/a`) || Path(`/b`) && Path(`/c`)",
			Or{match("Path", 0, "/a"), And{match("Path", 14, "/b"), match("Path", 28, "/c")}},
		},
		{
			"not binds tighter than and", "!Path(`/a`) && Path(`/b`)",
			And{Not{match("Path", 1, "/a")}, match("Path", 15, "/b")},
		},
		{
			"parentheses", "!(Path(`/a`) || Path(`/b`))",
			Not{Or{match("Path", 2, "/a"), match("Path", 16, "/b")}},
		},
		{
			"nested chains become one", "Path(`/a`) && (Path(`/b`) && ((Path(`/c`))))",
			And{match("Path", 0, "/a"), match("Path", 15, "/b"), match("Path", 31, "/c")},
		},
		{
			"the documented example", "Host(`a`) && (PathPrefix(`/x`) || !Method(`GET`))",
			And{match("Host", 0, "a"), Or{match("PathPrefix", 14, "/x"), Not{match("Method", 35, "GET")}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
			}
			again, err := Parse(got.String())
			if err != nil || !Equal(got, again) {
				t.Errorf("Parse(%q) = %v, %v; want the tree it was printed from", got.String(), again, err)
			}
		})
	}
}

func TestParseError(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want Error
	}{
		{"empty", "", Error{0, "rule ends where a matcher should stand", ""}},
		{"blank", "  ", Error{2, "rule ends where a matcher should stand", ""}},
		{"unknown", "Foo(`a`)", Error{0, `unknown matcher "Foo"`, ""}},
		{"misspelt", "!HostSN(`a`)", Error{1, `unknown matcher "HostSN"`, "did you mean HostSNI?"}},
		{"v2 name", "Headers(`a`, `b`)", Error{0, `unknown matcher "Headers"`, "did you mean Header?"}},
		{"word operator", "HostSNI(`a`) && not(ALPN(`b`))", Error{16, `"not" is not an operator`, "write !"}},
		{"single and", "ALPN(`a`) & ALPN(`b`)", Error{10, "single '&'", "write &&"}},
		{"single or", "ALPN(`a`) | ALPN(`b`)", Error{10, "single '|'", "write ||"}},
		{"dangling and", "ALPN(`a`) &&", Error{12, "rule ends where a matcher should stand", ""}},
		{"leading and", "&& ALPN(`a`)", Error{0, "found '&' where a matcher should stand", ""}},
		{"two matchers", "ALPN(`a`) ALPN(`b`)", Error{10, "found 'A' where &&, || or the end of the rule should stand", ""}},
		{"stray )", "ALPN(`a`))", Error{9, "found ')' where &&, || or the end of the rule should stand", ""}},
		{"open (", "  (ALPN(`a`)", Error{2, "parenthesis is never closed", ""}},
		{"junk in (", "(ALPN(`a`) x)", Error{11, "found 'x' where &&, || or ) should stand", ""}},
		{"empty ()", "()", Error{1, "found ')' where a matcher should stand", ""}},
		{"no (", "ALPN", Error{4, "ALPN lacks its argument", "write ALPN(`h2`)"}},
		{"no argument", "ALPN( )", Error{6, "ALPN lacks its argument", "write ALPN(`h2`)"}},
		{"open argument list", "ALPN(`a`", Error{8, "rule ends where ) after the arguments of ALPN should stand", ""}},
		{"open after (", "ALPN(", Error{5, "rule ends where a string should stand", ""}},
		{"trailing comma", "ALPN(`a`,)", Error{9, "arguments are strings", "put it in backticks or double quotes"}},
		{"no comma", "Header(`a` `b`)", Error{11, "found '`' where a comma or ) after the argument of Header should stand", ""}},
		{"open backtick", "ALPN(`a)", Error{5, "string is never closed", ""}},
		{
			"open quote", `ALPN("a)`,
			Error{
				5, "string is never closed or has an escape that means nothing",
				"in double quotes a backslash is written twice; backticks need no escapes",
			},
		},
		{"single quotes", "ALPN('a')", Error{5, "string in single quotes", "use backticks or double quotes"}},
		{"bare word", "ALPN(h2)", Error{5, "arguments are strings", "put it in backticks or double quotes"}},
		{"not ASCII", "é(`a`)", Error{0, "found 'é' where a matcher should stand", ""}},
		{"not UTF-8", "ALPN(`\xff`)", Error{0, "rule is not valid UTF-8", ""}},
		{"too long", "ALPN(`" + strings.Repeat("a", MaxLength) + "`)", Error{MaxLength, "rule is longer than 8192 bytes", ""}},
		{"too deep in parentheses", strings.Repeat("(", MaxDepth+1), Error{MaxDepth, "nested deeper than 64", ""}},
		{"too deep in negations", strings.Repeat("!", MaxDepth+1), Error{MaxDepth, "nested deeper than 64", ""}},
		{
			"too many matchers", strings.Repeat("ALPN(`a`)||", MaxMatches) + "ALPN(`a`)",
			Error{MaxMatches * 11, "more than 256 matchers", ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Parse(tt.text)
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("Parse = %v, %v; want an *Error", e, err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAtTheLimits(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"depth", strings.Repeat("(!", MaxDepth/2) + "ALPN(`a`)" + strings.Repeat(")", MaxDepth/2)},
		{"matchers", strings.Repeat("ALPN(`a`)||", MaxMatches-1) + "ALPN(`a`)"},
		{"length", "ALPN(`" + strings.Repeat("a", MaxLength-len("ALPN(``)")) + "`)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  Error
		want string
	}{
		{"plain", Error{3, "wrong", ""}, "at byte 3: wrong"},
		{"with hint", Error{3, "wrong", "write right"}, "at byte 3: wrong (write right)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPriority(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want int
	}{
		{"catch-all", "HostSNI(`*`)", -1},
		{"catch-all otherwise spelt", "( hostsni(\"*\") )", -1},
		{"host", "HostSNI(`a`)", 12},
		{"catch-all with more", "HostSNI(`*`) && ALPN(`h2`)", 26},
		{"bytes, not runes", "Path(`/é`)", 11},
		{"HTTP catch-all", "Host(`*`)", 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := Priority(tt.text, e); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMatchesStops(t *testing.T) {
	e, err := Parse("Path(`/a`) && !(Path(`/b`) || Path(`/c`)) && Path(`/d`)")
	if err != nil {
		t.Fatal(err)
	}
	var all, two []string
	for m := range Matches(e) {
		all = append(all, m.Args[0])
	}
	for m := range Matches(e) {
		if two = append(two, m.Args[0]); len(two) == 2 {
			break
		}
	}
	if diff := cmp.Diff([]string{"/a", "/b", "/c", "/d"}, all); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/a", "/b"}, two); diff != "" {
		t.Errorf("two (-want +got):\n%s", diff)
	}
}

// drawExpr makes trees as the parser makes them: chains have two terms at
// least and no chain of their own kind directly inside.
func drawExpr(t *rapid.T, leaf *rapid.Generator[Match], depth int) Expr {
	kind := rapid.IntRange(0, 3).Draw(t, "kind")
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 1:
		return And(flatten[And](drawTerms(t, leaf, depth)))
	case 2:
		return Or(flatten[Or](drawTerms(t, leaf, depth)))
	case 3:
		return Not{drawExpr(t, leaf, depth-1)}
	}
	return leaf.Draw(t, "match")
}

func drawTerms(t *rapid.T, leaf *rapid.Generator[Match], depth int) []Expr {
	terms := make([]Expr, rapid.IntRange(2, 3).Draw(t, "terms"))
	for i := range terms {
		terms[i] = drawExpr(t, leaf, depth-1)
	}
	return terms
}

func TestStringIsReadBack(t *testing.T) {
	leaf := rapid.Custom(func(t *rapid.T) Match {
		m := rapid.SampledFrom(matchers).Draw(t, "matcher")
		return Match{Name: m.name, Args: rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "args")}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := drawExpr(t, leaf, 4)
		text := e.String()
		if len(text) > MaxLength {
			return
		}
		got, err := Parse(text)
		if err != nil {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		if !Equal(e, got) {
			t.Fatalf("Parse(%q) = %v", text, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"HostSNI(`*`)", "HostSNI(`a`) && !(ALPN(\"h\\x32\") || ClientIP(`10.0.0.0/8`))",
		"Host(`[::1]`) && Header(`A`, `b`) && Query(`q`)", "HostSNIRegexp(`^(a|b)+$`)", "!!(((Path(`/`))))", "ALPN('a')",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			var ruleErr *Error
			if !errors.As(err, &ruleErr) || ruleErr.Offset < 0 || ruleErr.Offset > len(text) {
				t.Fatalf("error %v does not point into the %d bytes of the rule", err, len(text))
			}
			return
		}
		for _, family := range []Family{TCP, HTTP} {
			for _, err := range Check(e, family) {
				if err.Offset > len(text) {
					t.Fatalf("error %v does not point into the rule", err)
				}
			}
		}
		Hosts(e)
		if printed := e.String(); len(printed) <= MaxLength {
			again, err := Parse(printed)
			if err != nil || !Equal(e, again) {
				t.Fatalf("%q printed as %q reads back as %v, %v", text, printed, again, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("(HostSNI(`a.example.com`) || HostSNI(`*.b.example.com`)) && !ClientIP(`10.0.0.0/8`)"); err != nil {
			b.Fatal(err)
		}
	}
}
