package route

import (
	"bytes"
	"errors"
)

// Errors of NormalizePath. All of them are the client's fault: the answer is
// 400.
var (
	ErrPathStart = errors.New("path does not start with a slash")
	ErrPathByte  = errors.New("path has a byte that no path may have")
	ErrEscape    = errors.New("path has a broken percent-encoding")
	ErrEncoded   = errors.New("path has an encoded character that is refused")
	ErrTraversal = errors.New("path has a hidden dot segment")
)

// Encoded is a set of characters that a path may hold in percent-encoded form
// only, and that backends disagree about.
type Encoded uint8

const (
	EncodedSlash        Encoded = 1 << iota // %2F
	EncodedBackslash                        // %5C
	EncodedSemicolon                        // %3B
	EncodedPercent                          // %25
	EncodedQuestionMark                     // %3F
	EncodedHash                             // %23
)

// In reports whether a path in normal form has one of the characters.
func (e Encoded) In(path []byte) bool {
	for i := 0; i+2 < len(path); i++ {
		if path[i] == '%' && encoded(unhex(path[i+1])<<4|unhex(path[i+2]))&e != 0 {
			return true
		}
	}
	return false
}

// Normalizer says how paths are normalized; the zero Normalizer is how
// NormalizePath does it.
type Normalizer struct {
	// KeepEmpty keeps empty segments, which RFC 3986 tells apart from none.
	// By default they are merged, as Traefik does: most servers behind a
	// balancer read //admin as /admin, so a router for /admin must see it.
	KeepEmpty bool
	// Refuse are the encoded characters that make a path an error. The others
	// are passed on as they are, never decoded.
	Refuse Encoded
}

// NormalizePath brings the path of a request, without query, into the form that
// is routed and forwarded. It follows RFC 3986 section 6.2.2, with the
// additions that keep a backend from reading another path than the rules did:
//
//   - percent-encoded unreserved characters are decoded, the digits of all
//     other encodings are upper case;
//   - "." and ".." segments are removed, however they are encoded, and ".."
//     stops at the root;
//   - empty segments are merged, see Normalizer;
//   - the characters " < > ^ ` { | } are encoded, as browsers and servers
//     disagree on whether they have to be;
//   - an empty path is "/".
//
// Refused are broken encodings and %00; raw control characters, spaces,
// backslashes, bytes that are not ASCII, '?' and '#'; and dot segments that only
// a careless server sees, next to an encoded slash or backslash or before a
// semicolon, as in /..%2Fadmin and /..;/admin.
//
// The result is a fixed point: normalizing it again changes nothing. It is raw
// itself if nothing had to change, otherwise new memory of at most three times
// the size; raw is never written to. The asterisk of OPTIONS is not a path.
func NormalizePath(raw []byte) (path []byte, changed bool, err error) {
	return Normalizer{}.Path(raw)
}

// Path is NormalizePath under the options of n.
func (n Normalizer) Path(raw []byte) (path []byte, changed bool, err error) {
	switch {
	case len(raw) == 0:
		return []byte{'/'}, true, nil
	case raw[0] != '/':
		return nil, false, ErrPathStart
	case n.settled(raw):
		return raw, false, nil
	}
	path, err = n.recode(raw)
	if err != nil {
		return nil, false, err
	}
	path = n.resolve(path)
	if hidesDots(path) {
		return nil, false, ErrTraversal
	}
	if bytes.Equal(path, raw) {
		return raw, false, nil
	}
	return path, true, nil
}

// settled reports whether raw is in normal form for certain. It may say no to
// a path that is; nearly all paths get a yes in this one pass.
func (n Normalizer) settled(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '/':
			if rest := raw[i+1:]; len(rest) > 0 && (rest[0] == '.' && dotted(rest) || rest[0] == '/' && !n.KeepEmpty) {
				return false
			}
		case c == '%':
			if i+2 >= len(raw) || !plainEscape(raw[i+1], raw[i+2]) {
				return false
			}
			i += 2
		case charClass[c]&inPath == 0:
			return false
		}
	}
	return true
}

// dotted reports whether segment, with all that follows it, may be a dot
// segment in some reading.
func dotted(segment []byte) bool {
	for _, c := range segment {
		switch c {
		case '.':
		case '/', ';', '%':
			return true
		default:
			return false
		}
	}
	return true
}

// plainEscape reports whether %hl, as it stands, is normal and of no interest
// to anybody.
func plainEscape(h, l byte) bool {
	if charClass[h]&upperHex == 0 || charClass[l]&upperHex == 0 {
		return false
	}
	c := unhex(h)<<4 | unhex(l)
	return c != 0 && charClass[c]&unreserved == 0 && encoded(c) == 0
}

// encoded returns the set c is in, empty if it is in none.
func encoded(c byte) Encoded {
	switch c {
	case '/':
		return EncodedSlash
	case '\\':
		return EncodedBackslash
	case ';':
		return EncodedSemicolon
	case '%':
		return EncodedPercent
	case '?':
		return EncodedQuestionMark
	case '#':
		return EncodedHash
	}
	return 0
}

// recode returns a copy of raw in which every character is spelt in the one way
// it has in a normal path.
func (n Normalizer) recode(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw)+8)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) || charClass[raw[i+1]]&anyHex == 0 || charClass[raw[i+2]]&anyHex == 0 {
				return nil, ErrEscape
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			if c == 0 || encoded(c)&n.Refuse != 0 {
				return nil, ErrEncoded
			}
			if charClass[c]&unreserved != 0 {
				out = append(out, c)
			} else {
				out = appendEscape(out, c)
			}
		case charClass[c]&inPath != 0:
			out = append(out, c)
		case charClass[c]&loose != 0:
			out = appendEscape(out, c)
		default:
			return nil, ErrPathByte
		}
	}
	return out, nil
}

// resolve removes dot segments from path, and empty ones if they are merged, in
// place. It is the algorithm of RFC 3986 section 5.2.4 for paths that start
// with a slash.
func (n Normalizer) resolve(path []byte) []byte {
	out := path[:0] // never overtakes the segment that is read
	for start := 0; start < len(path); {
		end := start + 1
		for end < len(path) && path[end] != '/' {
			end++
		}
		segment, last := path[start:end], end == len(path) // with its leading slash
		switch {
		case string(segment) == "/.." || string(segment) == "/.":
			if len(segment) == 3 {
				out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
			}
			if last {
				out = append(out, '/')
			}
		case len(segment) > 1 || last || n.KeepEmpty:
			out = append(out, segment...)
		}
		start = end
	}
	return out
}

// hidesDots reports whether a server that decodes slashes and backslashes, or
// that takes off what follows a semicolon, finds a dot segment in path, which
// is recoded and resolved.
func hidesDots(path []byte) bool {
	dots, only := 0, true // of the segment so far: how many, and nothing else
	for i := 0; i < len(path); i++ {
		c, wasEscape := path[i], false
		if c == '%' {
			c, wasEscape = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
		}
		switch {
		case c == '/' || c == '\\' || c == ';':
			if only && (dots == 1 || dots == 2) {
				return true
			}
			// What follows a semicolon is not the segment's name any more.
			dots, only = 0, c != ';'
		case c == '.' && !wasEscape:
			dots++
		default:
			only = false
		}
	}
	return only && (dots == 1 || dots == 2)
}

// pathText appends to dst the text of a normalized path as people write it in
// rules: encodings are decoded, but for reserved characters and the percent
// sign, which mean something else when decoded, and control characters. Two
// different paths have two different texts.
func pathText(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) && charClass[path[i+1]]&anyHex != 0 && charClass[path[i+2]]&anyHex != 0 {
			if d := unhex(path[i+1])<<4 | unhex(path[i+2]); charClass[d]&(reserved|control) == 0 {
				c = d
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// rulePath returns the argument of Path or PathPrefix in the form of normalized
// paths, so that /a b, /a%20b and /%61%20b in a rule are the same. A percent
// sign that starts no encoding stands for itself. Characters that a normalized
// path never has unencoded, such as ?, are left: they match nothing.
func rulePath(arg string) string {
	out := make([]byte, 0, len(arg))
	for i := 0; i < len(arg); i++ {
		c := arg[i]
		switch {
		case c == '%' && i+2 < len(arg) && charClass[arg[i+1]]&anyHex != 0 && charClass[arg[i+2]]&anyHex != 0:
			c = unhex(arg[i+1])<<4 | unhex(arg[i+2])
			i += 2
			if charClass[c]&unreserved != 0 {
				out = append(out, c)
			} else {
				out = appendEscape(out, c)
			}
		case c != '%' && charClass[c]&(unreserved|reserved) != 0:
			out = append(out, c)
		default:
			out = appendEscape(out, c)
		}
	}
	return string(out)
}

// Argument returns a path that a person has written, in the form of normalized paths: see rulePath. It is for those
// who compare paths with arguments of their own.
func Argument(path string) string { return rulePath(path) }

func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// unhex returns the value of a hexadecimal digit, and nonsense for others.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// Classes of characters.
const (
	unreserved = 1 << iota // RFC 3986 section 2.3
	reserved               // RFC 3986 section 2.2, and the percent sign
	inPath                 // stands unencoded in a normalized path: pchar of RFC 3986, slash, and the brackets people forget to encode
	loose                  // accepted unencoded, and encoded
	upperHex               // 0-9 A-F
	anyHex                 // 0-9 A-F a-f
	control                // 0-31 and 127
)

// charClass holds the classes of each byte; it is never changed.
var charClass = classify()

func classify() (classes [256]uint8) {
	mark := func(chars string, class uint8) {
		for i := range len(chars) {
			classes[chars[i]] |= class
		}
	}
	const digits, upper, lower = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
	mark(digits+upper+lower+"-._~", unreserved|inPath)
	mark("!$&'()*+,;=:@/[]", reserved|inPath)
	mark("?#%", reserved)
	mark("\"<>^`{|}", loose)
	mark(digits+"ABCDEF", upperHex|anyHex)
	mark("abcdef", anyHex)
	for c := range ' ' {
		classes[c] |= control
	}
	classes[0x7f] |= control
	return classes
}
