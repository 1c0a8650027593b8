package l4

import (
	"net/netip"
	"regexp"

	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/sni"
)

// predicate evaluates what is left of a rule once the table has found the server name.
type predicate func(hello *sni.Hello, client netip.Addr) bool

// compile turns a checked expression into a predicate; nil stays nil.
func compile(e rule.Expr) predicate {
	switch e := e.(type) {
	case rule.And:
		return all(compileEach(e))
	case rule.Or:
		return anyOf(compileEach(e))
	case rule.Not:
		p := compile(e.Operand)
		return func(hello *sni.Hello, client netip.Addr) bool { return !p(hello, client) }
	case rule.Match:
		return matchers[e.Name](e.Args[0])
	}
	return nil
}

func compileEach(terms []rule.Expr) []predicate {
	var ps []predicate
	for _, t := range terms {
		ps = append(ps, compile(t))
	}
	return ps
}

func all(ps []predicate) predicate {
	return func(hello *sni.Hello, client netip.Addr) bool {
		for _, p := range ps {
			if !p(hello, client) {
				return false
			}
		}
		return true
	}
}

func anyOf(ps []predicate) predicate {
	return func(hello *sni.Hello, client netip.Addr) bool {
		for _, p := range ps {
			if p(hello, client) {
				return true
			}
		}
		return false
	}
}

// matchers are the words of the rule language a TCP connection can be asked about. Arguments were checked by rule.Check.
var matchers = map[string]func(arg string) predicate{
	"HostSNI":       matchHost,
	"HostSNIRegexp": matchHostRegexp,
	"ALPN":          matchALPN,
	"ClientIP":      matchClientIP,
}

func matchHost(arg string) predicate {
	pattern, err := rule.ParseHost(arg)
	if err != nil {
		return never
	}
	return func(hello *sni.Hello, _ netip.Addr) bool { return pattern.Matches(view(hello.ServerName)) }
}

func matchHostRegexp(arg string) predicate {
	re, err := regexp.Compile(arg)
	if err != nil {
		return never
	}
	return func(hello *sni.Hello, _ netip.Addr) bool { return re.Match(hello.ServerName) }
}

func matchALPN(arg string) predicate {
	return func(hello *sni.Hello, _ netip.Addr) bool { return hello.HasALPN(arg) }
}

func matchClientIP(arg string) predicate {
	prefix, err := rule.ParsePrefix(arg)
	if err != nil {
		return never
	}
	// A netip.Prefix contains no address with a zone.
	return func(_ *sni.Hello, client netip.Addr) bool { return prefix.Contains(client.WithZone("")) }
}

// never stands for a matcher whose argument is broken, which rule.Check would have refused.
func never(*sni.Hello, netip.Addr) bool { return false }
