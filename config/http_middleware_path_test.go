package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keysIn returns the keys of a type of the language.
func keysIn[T any]() (keys []string) {
	for _, f := range keysOf(reflect.TypeFor[T]()) {
		keys = append(keys, f.key)
	}
	return keys
}

// problemCase is a document and all that is wrong with it.
type problemCase struct {
	name, document string
	want           []string
}

func runProblems(t *testing.T, tests []problemCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.document))
			var got []string
			for _, p := range problemsOf(t, err) {
				got = append(got, p.Error()[len("x.yaml:"):])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckPathMiddlewares(t *testing.T) {
	runProblems(t, []problemCase{
		{"expressions", `
http:
  middlewares:
    a: {stripPrefixRegex: {regex: ["/a", "/(b"]}}
    b: {replacePath: {path: "a b"}}
    c: {replacePathRegex: {regex: "(?=x)", replacement: "/"}}
    d: {redirectRegex: {regex: "^http://([a-z]+)/(?P<rest>.*)", replacement: "https://$1x/${rest}$$2$2$3"}}
    e: {stripPrefixRegex: {}}
    f: {replacePathRegex: {replacement: /x}}
    g: {redirectRegex: {regex: x}}
    h: {encodedCharacters: {allowEncodedSlash: true, allowEncodedNullCharacter: true}}
`, []string{
			`4:42: http.middlewares.a.stripPrefixRegex.regex[1]: "/(b" is not a regular expression: missing closing ): ` + "`/(b`" + ` (the syntax is that of RE2, without lookaround and backreferences)`,
			`5:29: http.middlewares.b.replacePath.path: "/a b" is not a path: it has no blanks, ? or # (write others than letters percent-encoded)`,
			`6:35: http.middlewares.c.replacePathRegex.regex: "(?=x)" is not a regular expression: invalid or unsupported Perl syntax: ` + "`(?=`" + ` (the syntax is that of RE2, without lookaround and backreferences)`,
			`7:78: http.middlewares.d.redirectRegex.replacement: the expression has no group "1x" (write ${1} where a letter, digit or _ follows, and $$ for a dollar sign)`,
			`8:9: http.middlewares.e.stripPrefixRegex.regex: missing (Regular expressions; what the first finds at the start of the path is removed and told to the server in X-Forwarded-Prefix.)`,
			`9:9: http.middlewares.f.replacePathRegex.regex: missing (Regular expression that is looked for in the path.)`,
			`10:9: http.middlewares.g.redirectRegex.replacement: missing (What stands there instead in the new URL; $1 and ${1} stand for what the first group has found.)`,
			`11:81: http.middlewares.h.encodedCharacters.allowEncodedNullCharacter: true is not supported by weir (no path has one that means well)`,
		}},
		{"chains", `
http:
  middlewares:
    a: {chain: {middlewares: [b, c, "d@file", nope]}}
    b: {chain: {middlewares: [e]}}
    c: {chain: {middlewares: [a]}}
    d: {chain: {middlewares: []}}
    e: {addPrefix: {prefix: /e}}
`, []string{
			`4:47: http.middlewares.a.chain.middlewares[3]: no "nope" in http.middlewares (there are a, b, c, d, e)`,
			`6:31: http.middlewares.c.chain.middlewares[0]: leads in a circle: a -> c -> a`,
			`7:30: http.middlewares.d.chain.middlewares: must not be empty (HTTP middlewares in the order they see the request; chains among them, too.)`,
		}},
	})
}

// TestChainsOfChains: ten lines must not come to a thousand million middlewares.
func TestChainsOfChains(t *testing.T) {
	var b strings.Builder
	b.WriteString("http:\n  middlewares:\n    m0: {addPrefix: {prefix: /a}}\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&b, "    m%d: {chain: {middlewares: [m%d, m%d]}}\n", i, i-1, i-1)
	}
	_, err := Parse("x.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "http.middlewares.m9.chain: comes to more than 256 middlewares") || strings.Contains(err.Error(), "m8.chain:") {
		t.Error(err)
	}
}

func TestUnchained(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
http:
  middlewares:
    a: {addPrefix: {prefix: /a}}
    b: {addPrefix: {prefix: /b}}
    ab: {chain: {middlewares: [a, "b@file"]}}
    abba: {chain: {middlewares: [ab, b, a]}}
`)
	names := []string{"b", "abba", "a"}
	if diff := cmp.Diff([]string{"b", "a", "b", "b", "a", "a"}, cfg.HTTP.Unchained(names)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(names, []string{"b", "abba", "a"}) {
		t.Error("the names that were given are changed")
	}
}
