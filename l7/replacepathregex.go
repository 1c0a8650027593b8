package l7

import "regexp"

// ReplacePathRegex returns a middleware that replaces, in paths in which the expression finds something, all that it finds,
// as [regexp.Regexp.ReplaceAllString] does with $1 and ${name} in the replacement. The server is told in X-Replaced-Path
// what the path was. What comes of it is cleaned like the path of a request: no replacement leads out of the root.
func ReplacePathRegex(name string, expression *regexp.Regexp, replacement string) *Middleware {
	with := []byte(replacement)
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		path := x.req.Path()
		if path[0] != '/' || !expression.Match(path) {
			return Next
		}
		after := asPath(expression.ReplaceAll(path, with))
		x.tellReplaced(path)
		return x.setPath("", after)
	}}
}

// asPath makes a path of any bytes: it begins with a slash, and what may not stand in a path is percent-encoded.
func asPath(b []byte) []byte {
	out := make([]byte, 0, len(b)+1)
	if len(b) == 0 || b[0] != '/' {
		out = append(out, '/')
	}
	const digits = "0123456789ABCDEF"
	for i, c := range b {
		switch {
		case c <= ' ', c >= 0x7f, c == '?', c == '#', c == '\\', c == '%' && !isEscape(b[i:]):
			out = append(out, '%', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}

// isEscape reports whether b begins with a percent sign and two hexadecimal digits.
func isEscape(b []byte) bool { return len(b) >= 3 && isHex(b[1]) && isHex(b[2]) }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
