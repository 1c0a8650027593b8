package trace

import "bytes"

// Bounds of a tracestate (section 3.3.1 of the Recommendation).
const (
	maxMembers = 32
	maxKey     = 256 // bytes
	maxValue   = 256
	maxState   = 512 // of all together, which everybody passes on
	longMember = 128 // those that are longer are the first to be left out
)

// CleanState makes a tracestate of the values of a request's tracestate fields, joined by commas, and reports whether it is a
// good one; where it is not, nobody may pass it on. It works in place. One that is longer than 512 bytes is shortened by whole
// members: the long ones first, then from the end, where the oldest are.
func CleanState(joined []byte) (state []byte, ok bool) {
	n := 0
	for member := range bytes.SplitSeq(joined, []byte{','}) {
		member = bytes.Trim(member, " \t")
		if len(member) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(member, []byte{'='})
		if n++; n > maxMembers || !isKey(key) || !isValue(value) || hasMember(state, key) {
			return nil, false
		}
		if n == 1 {
			state = joined[:0]
		} else {
			state = append(state, ',')
		}
		state = append(state, member...) // never beyond where it was
	}
	return shorten(state), true
}

// isKey reports whether b may name a member. Level 2 asks less of it than the first Recommendation did, which told keys of
// tenants from others.
func isKey(b []byte) bool {
	if len(b) == 0 || len(b) > maxKey || !isLowerOrDigit(b[0]) {
		return false
	}
	for _, c := range b[1:] {
		if !isLowerOrDigit(c) && c != '_' && c != '-' && c != '*' && c != '/' && c != '@' {
			return false
		}
	}
	return true
}

func isLowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// isValue reports whether b, which has no comma and no space behind it, may be a member's value.
func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxValue
}

// hasMember reports whether a list, whose members are good, has one with the key.
func hasMember(list, key []byte) bool {
	for len(list) > 0 {
		member, rest, _ := bytes.Cut(list, []byte{','})
		if len(member) > len(key) && member[len(key)] == '=' && bytes.HasPrefix(member, key) {
			return true
		}
		list = rest
	}
	return false
}

// shorten takes members out of a list until it is short enough.
func shorten(b []byte) []byte {
	for _, longer := range [...]int{longMember, 0} {
		for end := len(b); len(b) > maxState && end > 0; {
			from := 1 + bytes.LastIndexByte(b[:end], ',')
			if end-from > longer {
				b = append(b[:max(from-1, 0)], b[min(end+1-min(from, 1), len(b)):]...) // with the comma before it, or behind the first one
			}
			end = from - 1
		}
	}
	return b
}
