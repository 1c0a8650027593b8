package head

import "encoding/binary"

// What a byte may be part of.
const (
	classToken      = 1 << iota // RFC 9110 section 5.6.2
	classMethod                 // a token without lower-case letters
	classTarget                 // visible ASCII without #
	classHost                   // a registered name without escapes and sub-delimiters
	classHex                    // a hexadecimal digit
	classUnderscore             // _
)

var classes = makeClasses() // never written again

func makeClasses() (t [256]uint8) {
	for c := range 256 {
		b := byte(c)
		digit := '0' <= b && b <= '9'
		lower := 'a' <= b && b <= 'z'
		upper := 'A' <= b && b <= 'Z'
		if digit || lower || upper || contains("!#$%&'*+-.^_`|~", b) {
			t[c] |= classToken
			if !lower {
				t[c] |= classMethod
			}
		}
		if 0x21 <= b && b <= 0x7e && b != '#' {
			t[c] |= classTarget
		}
		if digit || lower || upper || contains("-._~", b) {
			t[c] |= classHost
		}
		if digit || 'a' <= lowered(b) && lowered(b) <= 'f' {
			t[c] |= classHex
		}
	}
	t['_'] |= classUnderscore
	return t
}

func contains(set string, b byte) bool {
	for i := range len(set) {
		if set[i] == b {
			return true
		}
	}
	return false
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// IsTokenByte reports whether c may stand in a token, such as a field name
// (RFC 9110 section 5.6.2).
func IsTokenByte(c byte) bool { return classes[c]&classToken != 0 }

// TokenLen is how many bytes at the start of b are of a token, and whether an
// underscore is among them.
func TokenLen(b []byte) (n int, underscore bool) {
	var seen uint8
	for i, c := range b {
		class := classes[c]
		if class&classToken == 0 {
			return i, seen&classUnderscore != 0
		}
		seen |= class
	}
	return len(b), seen&classUnderscore != 0
}

// IsToken reports whether s is a token: one or more of its bytes, nothing else.
func IsToken[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return len(s) > 0
}

// IsValue reports whether all bytes of b may stand in a field value: spaces,
// tabs, visible characters and everything from 0x80 (RFC 9110 section 5.5). It
// looks at eight bytes at a time.
func IsValue(b []byte) bool {
	if len(b) < 8 {
		return isValue(b)
	}
	last := b[len(b)-8:] // its first bytes are looked at twice, which is quicker than one by one
	for ; len(b) > 8; b = b[8:] {
		if hasControl(b) && !isValue(b[:8]) {
			return false
		}
	}
	return !hasControl(last) || isValue(last)
}

// hasControl reports whether the first eight bytes of b may have control bytes
// among them; a tab is one.
func hasControl(b []byte) bool {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	w := binary.LittleEndian.Uint64(b)
	del := w ^ 0x7f*ones
	return ((w-' '*ones)&^w|(del-ones)&^del)&tops != 0
}

func isValue[T ~string | ~[]byte](b T) bool {
	for i := range len(b) {
		if c := b[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// EqualFold reports whether a and b are the same but for the case of ASCII
// letters.
func EqualFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lowered(a[i]) != lowered(b[i]) {
			return false
		}
	}
	return true
}
