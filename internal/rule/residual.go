package rule

// truth is what is known of an expression: false, true, or neither.
type truth uint8

const (
	unknown truth = iota
	never
	always
)

// Residual returns what is left to evaluate of e once it is known that the
// host is covered by p. rest is nil if nothing is left: the rule matches.
// possible is false if e cannot match under such a host; rest is nil then too.
func Residual(e Expr, p HostPattern) (rest Expr, possible bool) {
	rest, known := reduce(e, p)
	return rest, known != never
}

// reduce simplifies e under p. The expression is nil unless the truth is
// unknown.
func reduce(e Expr, p HostPattern) (Expr, truth) {
	switch e := e.(type) {
	case And:
		terms, known := reduceAll(e, p, never, always)
		if known != unknown {
			return nil, known
		}
		if len(terms) == 1 {
			return terms[0], unknown
		}
		return And(flatten[And](terms)), unknown
	case Or:
		terms, known := reduceAll(e, p, always, never)
		if known != unknown {
			return nil, known
		}
		if len(terms) == 1 {
			return terms[0], unknown
		}
		return Or(flatten[Or](terms)), unknown
	case Not:
		operand, known := reduce(e.Operand, p)
		switch known {
		case never:
			return nil, always
		case always:
			return nil, never
		}
		return Not{Operand: operand}, unknown
	case Match:
		if q, ok := e.HostPattern(); ok {
			if known := covers(q, p); known != unknown {
				return nil, known
			}
		}
	}
	return e, unknown
}

// reduceAll reduces terms; one that is decisive decides for all, those that
// are neutral fall away.
func reduceAll(terms []Expr, p HostPattern, decisive, neutral truth) ([]Expr, truth) {
	var left []Expr
	for _, t := range terms {
		rest, known := reduce(t, p)
		switch known {
		case decisive:
			return nil, decisive
		case unknown:
			left = append(left, rest)
		}
	}
	if len(left) == 0 {
		return nil, neutral
	}
	return left, unknown
}

// covers says whether q holds for all hosts of p, for none, or for some.
// Expressions are not compiled here, so what they cover is only known of
// themselves.
func covers(q, p HostPattern) truth {
	switch {
	case q.Kind == Any || q == p:
		return always
	case q.Kind == Regexp || p.Kind == Regexp || p.Kind == Any:
		return unknown
	case p.Kind == Exact && q.Matches(p.Name):
		return always
	case p.Kind == Wildcard && p.Matches(q.Name):
		return unknown // q is one name among those p covers
	}
	return never
}
