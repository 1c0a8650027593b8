package l7

import (
	"iter"

	"github.com/weirlb/weir/l7/head"
)

// negotiate returns the coding that a client likes best of those offered, by its Accept-Encoding (RFC 9110 section 12.5.3);
// of those that it likes equally, the first; where it only says that it takes anything, the usual one, if there is one. It is
// empty where the client takes none of them, or likes the content as it is better. What is malformed in a value says nothing.
func negotiate(values iter.Seq[[]byte], offered []string, usual string) string {
	const unsaid = -1
	var weights [8]int // of those offered, in thousandths
	offered = offered[:min(len(offered), len(weights))]
	for i := range offered {
		weights[i] = unsaid
	}
	identity, rest := unsaid, unsaid
	for value := range values {
		for element := range head.List(value) {
			coding, weight, ok := weighted(element)
			switch {
			case !ok:
			case head.EqualFold(coding, "identity"):
				identity = weight
			case len(coding) == 1 && coding[0] == '*':
				rest = weight
			default:
				for i, o := range offered {
					if head.EqualFold(coding, o) || o == "gzip" && head.EqualFold(coding, "x-gzip") {
						weights[i] = weight
					}
				}
			}
		}
	}
	best, most, named := "", 0, false
	for i, o := range offered {
		weight := weights[i]
		if weight == unsaid {
			weight = rest
		}
		if weight > most || weight == most && o == usual && !named && weights[i] == unsaid && most > 0 {
			best, most, named = o, weight, weights[i] != unsaid
		}
	}
	if identity > most {
		return ""
	}
	return best
}

// weighted takes an element of Accept-Encoding apart: a coding, and its weight in thousandths, which is 1000 where it has
// none.
func weighted(element []byte) (coding []byte, weight int, ok bool) {
	end := 0
	for end < len(element) && element[end] != ';' && element[end] != ' ' && element[end] != '\t' {
		end++
	}
	coding, rest := element[:end], head.Trim(element[end:])
	if !head.IsToken(coding) {
		return nil, 0, false
	}
	if len(rest) == 0 {
		return coding, 1000, true
	}
	if rest[0] != ';' {
		return nil, 0, false
	}
	if rest = head.Trim(rest[1:]); len(rest) < 2 || rest[0]|0x20 != 'q' || rest[1] != '=' {
		return nil, 0, false
	}
	weight, ok = qvalue(rest[2:])
	return coding, weight, ok
}

// qvalue reads a weight (RFC 9110 section 12.4.2): from 0 to 1, with up to three digits behind the point.
func qvalue(b []byte) (thousandths int, ok bool) {
	if len(b) == 0 || len(b) > len("0.000") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	n := int(b[0]-'0') * 1000
	for i, scale := 2, 100; i < len(b); i, scale = i+1, scale/10 {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		n += int(b[i]-'0') * scale
	}
	return n, n <= 1000
}
