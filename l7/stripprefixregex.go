package l7

import "regexp"

// StripPrefixRegex returns a middleware that takes what the first of the regular expressions matches at the start of a path
// off it, and tells the server in X-Forwarded-Prefix. They see the path in the form in which it is sent on.
func StripPrefixRegex(name string, expressions []*regexp.Regexp) *Middleware {
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		path := x.req.Path()
		if n := prefixOf(path, expressions); n > 0 {
			// A field that cannot be added, because the head is as large as it may be, is one the server does without.
			_ = x.req.AddBytes("X-Forwarded-Prefix", path[:n])
			return x.setPath("/", trimSlashes(path[n:]))
		}
		return Next
	}}
}

// prefixOf is how long a prefix the first of the expressions finds whose first match begins with the path; 0 = none does.
func prefixOf(path []byte, expressions []*regexp.Regexp) int {
	for _, e := range expressions {
		if at := e.FindIndex(path); at != nil && at[0] == 0 && at[1] > 0 {
			return at[1]
		}
	}
	return 0
}
