package rule

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// HostKind orders the ways to name hosts from the most to the least specific.
type HostKind uint8

const (
	Exact    HostKind = iota + 1 // one name
	Wildcard                     // *.example.com: exactly one label before example.com
	Regexp                       // an RE2 expression over the lower-case name
	Any                          // every name, and none at all
)

// HostPattern is the argument of a host matcher.
type HostPattern struct {
	Kind HostKind
	Name string // Exact: www.example.com; Wildcard: *.example.com; Regexp: the expression; Any: *
}

var (
	errNotASCII  = errors.New("host names are ASCII")
	errEmptyHost = errors.New("host name is empty")
)

// Bounds of RFC 1035 section 2.3.4, without the root's dot.
const (
	maxHostLength  = 253
	maxLabelLength = 63
)

// ParseHost reads the argument of Host or HostSNI: a host name, a wildcard for
// exactly one leading label, or * for everything. Names come out in lower case
// and without a trailing dot. Labels take letters, digits, hyphens and
// underscores; Unicode names are refused, not converted. An IPv6 address is
// not a host name here: see ParseHTTPHost.
func ParseHost(s string) (HostPattern, error) {
	if s == "*" {
		return HostPattern{Any, "*"}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	pattern := HostPattern{Exact, name}
	rest := name
	if suffix, ok := strings.CutPrefix(name, "*."); ok {
		pattern.Kind, rest = Wildcard, suffix
	}
	if err := checkLabels(s, rest); err != nil {
		return HostPattern{}, err
	}
	if len(name) > maxHostLength {
		return HostPattern{}, fmt.Errorf("host name has %d bytes, %d are allowed", len(name), maxHostLength)
	}
	return pattern, nil
}

// ParseHTTPHost is ParseHost for the HTTP matcher Host, which also takes IPv6
// addresses, in brackets or without; the name is the address in its shortest
// form without brackets.
func ParseHTTPHost(s string) (HostPattern, error) {
	bare := s
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(inner, "]"); !ok {
			return HostPattern{}, fmt.Errorf("%q lacks its closing bracket", s)
		}
	}
	if strings.Contains(bare, ":") {
		a, err := netip.ParseAddr(bare)
		if err != nil || a.Zone() != "" {
			return HostPattern{}, fmt.Errorf("%q is neither a host name nor an address; a port does not belong to it", s)
		}
		return HostPattern{Exact, a.String()}, nil
	}
	return ParseHost(s)
}

// checkLabels checks name, which is s in lower case and without a wildcard
// label.
func checkLabels(s, name string) error {
	if name == "" {
		return errEmptyHost
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return fmt.Errorf("%q has an empty label", s)
		case len(label) > maxLabelLength:
			return fmt.Errorf("label of %q has %d bytes, %d are allowed", s, len(label), maxLabelLength)
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			case c == '*':
				return fmt.Errorf("%q: a wildcard is the whole first label, as in *.example.com", s)
			case c >= 0x80:
				return fmt.Errorf("%q: %w", s, errNotASCII)
			default:
				return fmt.Errorf("%q has %q in a host name", s, c)
			}
		}
	}
	return nil
}

// Matches reports whether the pattern, which is not a Regexp, covers the given
// lower-case name without trailing dot.
func (p HostPattern) Matches(name string) bool {
	switch p.Kind {
	case Exact:
		return p.Name == name
	case Wildcard:
		dot := strings.IndexByte(name, '.')
		return dot > 0 && name[dot:] == p.Name[1:]
	}
	return p.Kind == Any
}

// HostPattern returns what m says about the host; ok is false if m is not a
// host matcher or its argument is malformed.
func (m Match) HostPattern() (p HostPattern, ok bool) {
	if len(m.Args) != 1 {
		return HostPattern{}, false
	}
	switch m.Name {
	case "HostSNI":
		p, err := ParseHost(m.Args[0])
		return p, err == nil
	case "Host":
		p, err := ParseHTTPHost(m.Args[0])
		return p, err == nil
	case "HostSNIRegexp", "HostRegexp":
		return HostPattern{Regexp, m.Args[0]}, true
	}
	return HostPattern{}, false
}

// Hosts returns the host patterns under which e can match at all, without
// duplicates, in the order of the text: whenever e matches, one of them covers
// the host. any is true, and names empty, if e can match under any host or
// none. If names is empty and any false, e can never match.
//
// A table indexed by host name stores e under each of the names, or beside the
// index if any is true, and evaluates only the [Residual] of e.
func Hosts(e Expr) (names []HostPattern, any bool) {
	found := hostsOf(e, false)
	if len(found) == 1 && found[0].Kind == Any {
		_, possible := Residual(e, found[0])
		return nil, possible
	}
	for _, p := range found {
		if _, possible := Residual(e, p); possible && !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	return names, false
}

// hostsOf over-approximates the hosts under which e, or its negation, holds. A
// result with Any in it is Any alone.
func hostsOf(e Expr, negated bool) []HostPattern {
	switch e := e.(type) {
	case Not:
		return hostsOf(e.Operand, !negated)
	case And:
		if negated {
			return unionOf(e, negated)
		}
		return narrowestOf(e, negated)
	case Or:
		if negated {
			return narrowestOf(e, negated)
		}
		return unionOf(e, negated)
	case Match:
		if p, ok := e.HostPattern(); ok && !negated {
			return []HostPattern{p}
		}
	}
	return []HostPattern{{Any, "*"}}
}

func unionOf(terms []Expr, negated bool) []HostPattern {
	var union []HostPattern
	for _, t := range terms {
		hosts := hostsOf(t, negated)
		if slices.ContainsFunc(hosts, func(p HostPattern) bool { return p.Kind == Any }) {
			return []HostPattern{{Any, "*"}}
		}
		union = append(union, hosts...)
	}
	return union
}

// narrowestOf picks the term that says most about the host: all terms must
// hold, so each one's hosts are an over-approximation of all.
func narrowestOf(terms []Expr, negated bool) []HostPattern {
	var best []HostPattern
	for _, t := range terms {
		hosts := hostsOf(t, negated)
		if best == nil || compareWidth(hosts, best) < 0 {
			best = hosts
		}
	}
	return best
}

func compareWidth(a, b []HostPattern) int {
	return cmp.Or(cmp.Compare(widest(a), widest(b)), cmp.Compare(len(a), len(b)))
}

func widest(hosts []HostPattern) (k HostKind) {
	for _, p := range hosts {
		k = max(k, p.Kind)
	}
	return k
}
