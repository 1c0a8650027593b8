package route

import (
	"fmt"
	"strings"

	"github.com/weirlb/weir/internal/rule"
)

// Explanation says how a table routes one request.
type Explanation[T any] struct {
	Host     string       // as rules see it
	Path     string       // as rules see it
	Winner   *Route[T]    // nil if no route matches
	Why      string       // why the winner won over the next, or that there is none; a sentence without full stop
	Verdicts []Verdict[T] // on every route of the table, in the order of priority and name
}

// Verdict says what became of one route.
type Verdict[T any] struct {
	Route    *Route[T]
	Matched  bool
	OtherTLS bool      // it does not count because the route wants TLS and the request came without, or the other way round
	Findings []Finding // what made the rule match, or kept it from matching
}

// Finding is what one matcher of a rule said.
type Finding struct {
	Matcher rule.Match
	Held    bool
	Saw     string // what it looked at, for people; may hold any byte the client sent
}

// String tells a verdict in a line without the route's name.
func (v Verdict[T]) String() string {
	var parts []string
	for _, f := range v.Findings {
		parts = append(parts, f.String())
	}
	text := strings.Join(parts, "; ")
	switch {
	case v.OtherTLS && v.Route.TLS:
		return "is for TLS only, the request came without"
	case v.OtherTLS:
		return "is for requests without TLS only, the request came over TLS"
	case v.Matched:
		return "matches: " + text
	}
	return "does not match: " + text
}

// String tells a finding, such as: Path(`/a`) does not hold, path is "/b".
func (f Finding) String() string {
	says := "does not hold"
	if f.Held {
		says = "holds"
	}
	return fmt.Sprintf("%s %s, %s", f.Matcher, says, f.Saw)
}

// Explain evaluates every rule for req, without the index, and says what Match
// returns and why. It is for people who ask, not for traffic: it costs time and
// memory in proportion to the number of routes.
func (t *Table[T]) Explain(req *Request) Explanation[T] {
	req.prepare()
	x := Explanation[T]{Host: string(req.host), Path: string(req.Path)}
	c := newCompiler()
	var next *Route[T]
	for _, r := range t.routes {
		v := Verdict[T]{Route: r, OtherTLS: r.TLS != req.TLS}
		if !v.OtherTLS {
			v.Matched, v.Findings = c.explain(r.Rule, req)
		}
		switch {
		case v.Matched && x.Winner == nil:
			x.Winner = r
		case v.Matched && next == nil:
			next = r
		}
		x.Verdicts = append(x.Verdicts, v)
	}
	x.Why = why(x.Winner, next)
	return x
}

func why[T any](winner, next *Route[T]) string {
	switch {
	case winner == nil:
		return "no router matches"
	case next == nil:
		return "no other router matches"
	case winner.Priority > next.Priority:
		return fmt.Sprintf("its priority %d is higher than %d, that of %s", winner.Priority, next.Priority, next.Name)
	}
	return fmt.Sprintf("its priority %d is also that of %s, and its name comes first", winner.Priority, next.Name)
}

// explain evaluates e and returns what its value rests on: all terms that had
// to agree, or the one that was enough.
func (c *compiler) explain(e rule.Expr, req *Request) (holds bool, findings []Finding) {
	switch e := e.(type) {
	case rule.And:
		return c.explainTerms(e, false, req)
	case rule.Or:
		return c.explainTerms(e, true, req)
	case rule.Not:
		holds, findings = c.explain(e.Operand, req)
		return !holds, findings
	case rule.Match:
		holds = c.match(e)(req)
		return holds, []Finding{{Matcher: e, Held: holds, Saw: saw(e, req)}}
	}
	return true, nil
}

// explainTerms evaluates terms of which one with the value enough decides.
func (c *compiler) explainTerms(terms []rule.Expr, enough bool, req *Request) (bool, []Finding) {
	var all []Finding
	for _, t := range terms {
		holds, findings := c.explain(t, req)
		if holds == enough {
			return enough, findings
		}
		all = append(all, findings...)
	}
	return !enough, all
}

// saw describes what m looks at.
func saw(m rule.Match, req *Request) string {
	switch m.Name {
	case "Host", "HostRegexp":
		if len(req.host) == 0 {
			return "there is no host"
		}
		return fmt.Sprintf("host is %q", req.host)
	case "Path", "PathPrefix":
		return fmt.Sprintf("path is %q", req.Path)
	case "PathRegexp":
		return fmt.Sprintf("path is %q", req.pathText())
	case "Method":
		return fmt.Sprintf("method is %q", req.Method)
	case "ClientIP":
		return fmt.Sprintf("client is %s", req.Client)
	case "Header", "HeaderRegexp":
		return sawValues("header", m.Args[0], headerValues(req.Headers, m.Args[0]))
	}
	var values []string
	for _, p := range req.parameters() {
		if string(p.name) == m.Args[0] {
			values = append(values, string(p.value))
		}
	}
	return sawValues("parameter", m.Args[0], values)
}

func headerValues(h Headers, name string) (values []string) {
	if h != nil {
		h.Any(name, func(value []byte) bool {
			values = append(values, string(value))
			return false
		})
	}
	return values
}

func sawValues(what, name string, values []string) string {
	switch len(values) {
	case 0:
		return fmt.Sprintf("there is no %s %s", what, name)
	case 1:
		return fmt.Sprintf("%s %s is %q", what, name, values[0])
	}
	return fmt.Sprintf("%s %s is one of %q", what, name, values)
}
