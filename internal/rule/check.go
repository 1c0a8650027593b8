package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Check reports everything that keeps e from being the rule of a router of
// family f: matchers of the other family, wrong numbers of arguments,
// arguments that are not what their matcher takes, and host names that
// contradict each other so that nothing could ever match. It returns nil for a
// usable rule.
func Check(e Expr, f Family) []*Error {
	var errs []*Error
	for m := range Matches(e) {
		if err := checkMatch(m, f); err != nil {
			errs = append(errs, err)
		}
	}
	if errs != nil {
		return errs
	}
	if names, any := Hosts(e); len(names) == 0 && !any {
		return []*Error{{Message: "rule can never match: its host names exclude each other"}}
	}
	return nil
}

func checkMatch(m Match, f Family) *Error {
	spec, ok := lookup(m.Name)
	if !ok {
		return unknownMatcher(m.Name, m.Offset)
	}
	if spec.families&f == 0 {
		return &Error{
			Offset:  m.Offset,
			Message: fmt.Sprintf("%s is not a matcher of %s routers", spec.name, f),
			Hint:    siblingHint(spec.name, f),
		}
	}
	if n := len(m.Args); n < spec.min || n > spec.max {
		return &Error{Offset: m.Offset, Message: countMessage(spec, n), Hint: countHint(spec, m)}
	}
	if message, hint := spec.check(m.Args); message != "" {
		return &Error{Offset: m.Offset, Message: spec.name + ": " + message, Hint: hint}
	}
	return nil
}

// siblingHint names the matcher of family f that does what the given one does
// in the other family.
func siblingHint(name string, f Family) string {
	switch {
	case f == TCP && name == "Host":
		return "did you mean HostSNI?"
	case f == TCP && name == "HostRegexp":
		return "did you mean HostSNIRegexp?"
	case f == HTTP && name == "HostSNI":
		return "did you mean Host?"
	case f == HTTP && name == "HostSNIRegexp":
		return "did you mean HostRegexp?"
	case f == TCP:
		return "TCP routers know HostSNI, HostSNIRegexp, ALPN and ClientIP"
	}
	return "a TLS connection's protocol is not visible to an HTTP router"
}

func countMessage(spec matcher, n int) string {
	want := fmt.Sprintf("%d", spec.max)
	if spec.min != spec.max {
		want = fmt.Sprintf("%d or %d", spec.min, spec.max)
	}
	if spec.max == 1 {
		return fmt.Sprintf("%s takes %s argument, not %d", spec.name, want, n)
	}
	return fmt.Sprintf("%s takes %s arguments, not %d", spec.name, want, n)
}

// countHint turns the old way of giving alternatives, several arguments, into
// the one that works.
func countHint(spec matcher, m Match) string {
	if spec.max != 1 || len(m.Args) != 2 {
		return "write " + spec.example
	}
	first, second := Match{Name: spec.name, Args: m.Args[:1]}, Match{Name: spec.name, Args: m.Args[1:]}
	return "write " + Or{first, second}.String()
}

// The check functions below return what is wrong with the arguments, whose
// number is right already, and what to write instead.

func checkHost(args []string) (message, hint string) {
	_, err := ParseHTTPHost(args[0])
	return explain(err)
}

// checkHostSNI refuses addresses: RFC 6066 section 3 forbids them as server
// names, so the rule would wait for ever.
func checkHostSNI(args []string) (message, hint string) {
	if _, err := netip.ParseAddr(args[0]); err == nil {
		return fmt.Sprintf("%q is an address, and clients send none as server name", args[0]),
			"HostSNI(`*`) matches connections without one"
	}
	_, err := ParseHost(args[0])
	return explain(err)
}

func explain(err error) (message, hint string) {
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, errNotASCII):
		return err.Error(), "write its ASCII form, which starts with xn--"
	}
	return err.Error(), ""
}

func checkHostRegexp(args []string) (message, hint string) {
	for i := range len(args[0]) {
		if args[0][i] >= 0x80 {
			return "host names on the wire are ASCII", "write the ASCII form, which starts with xn--"
		}
	}
	return checkRegexp(args)
}

// checkRegexp checks the last argument, which is where every matcher has its
// expression.
func checkRegexp(args []string) (message, hint string) {
	if _, err := regexp.Compile(args[len(args)-1]); err != nil {
		return strings.TrimPrefix(err.Error(), "error parsing regexp: "), "the syntax is RE2's"
	}
	return "", ""
}

// checkALPN keeps acme-tls/1 for the certificate authority's challenge (RFC
// 8737), which a router must not take away. RFC 7301 bounds the name.
func checkALPN(args []string) (message, hint string) {
	switch n := len(args[0]); {
	case args[0] == "acme-tls/1":
		return "acme-tls/1 is kept for certificate challenges", ""
	case n == 0 || n > 255:
		return "a protocol name has 1 to 255 bytes", ""
	}
	return "", ""
}

func checkClientIP(args []string) (message, hint string) {
	if _, err := ParsePrefix(args[0]); err != nil {
		return err.Error(), "write an address or a prefix such as 10.0.0.0/8"
	}
	return "", ""
}

func checkPath(args []string) (message, hint string) {
	if !strings.HasPrefix(args[0], "/") {
		return fmt.Sprintf("%q does not start with a slash", args[0]), ""
	}
	return "", ""
}

func checkMethod(args []string) (message, hint string) {
	if !isToken(args[0]) {
		return fmt.Sprintf("%q is not a method", args[0]), ""
	}
	return "", ""
}

func checkHeader(args []string) (message, hint string) {
	if !isToken(args[0]) {
		return fmt.Sprintf("%q is not a header name", args[0]), ""
	}
	return "", ""
}

func checkHeaderRegexp(args []string) (message, hint string) {
	if message, hint = checkHeader(args); message != "" {
		return message, hint
	}
	return checkRegexp(args)
}

func checkQuery(args []string) (message, hint string) {
	if args[0] == "" {
		return "the parameter has no name", ""
	}
	return "", ""
}

// checkQueryRegexp leaves a single argument alone: as in Traefik v3 it then
// means what Query means.
func checkQueryRegexp(args []string) (message, hint string) {
	if message, hint = checkQuery(args); message != "" || len(args) == 1 {
		return message, hint
	}
	return checkRegexp(args)
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// ParsePrefix reads the argument of ClientIP: an address or a prefix. A single
// address becomes a prefix of its full length; bits behind the prefix are
// cleared; an IPv4 address mapped into IPv6 becomes IPv4, so that it matches
// the unmapped addresses connections carry. Zones are refused.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not an address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
