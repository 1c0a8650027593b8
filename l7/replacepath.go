package l7

import (
	"strings"

	"github.com/weirlb/weir/l7/route"
)

// ReplacePath returns a middleware that replaces every path by one path and tells the server in X-Replaced-Path what it
// was. The query stays.
func ReplacePath(name, path string) *Middleware {
	fixed := route.Argument("/" + strings.TrimLeft(path, "/"))
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		before := x.req.Path()
		if before[0] != '/' { // the asterisk of OPTIONS is no path
			return Next
		}
		x.tellReplaced(before)
		return x.setPath(fixed, nil)
	}}
}

// tellReplaced tells the server what the path was. What a client says about that is no news.
func (x *Exchange) tellReplaced(path []byte) {
	_ = x.req.SetBytes("X-Replaced-Path", path) // where the head is full, the server does without
}
