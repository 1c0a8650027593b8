package l7

import (
	"bytes"
	"strings"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/route"
)

// StripPrefix returns a middleware that takes the first of the prefixes with which a path begins off it, and tells the
// server in X-Forwarded-Prefix. Prefixes are compared in normalized form, byte by byte: /api takes /apis to /s, as
// Traefik has it, so that who means the segment alone writes /api/ in the rule.
func StripPrefix(name string, prefixes []string) *Middleware {
	type prefix struct {
		path  []byte // as paths are normalized
		value string // as the server is told
	}
	var list []prefix
	for _, p := range prefixes {
		if p = strings.TrimSpace(p); p != "" {
			list = append(list, prefix{[]byte(route.Argument(p)), p})
		}
	}
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		path := x.req.Path()
		for _, p := range list {
			if !bytes.HasPrefix(path, p.path) {
				continue
			}
			// A field that cannot be added, because the head is as large as it may be, is one the server does without.
			_ = x.req.Add("X-Forwarded-Prefix", p.value)
			// Servers take //host for another host: what is left begins with one slash.
			return x.setPath("/", trimSlashes(path[len(p.path):]))
		}
		return Next
	}}
}

var dotSegment = []byte("/.") // never written to

// AddPrefix returns a middleware that puts a prefix before every path.
func AddPrefix(name, prefix string) *Middleware {
	before := route.Argument("/" + strings.Trim(prefix, "/"))
	if before == "/" {
		before = ""
	}
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if path := x.req.Path(); len(path) > 0 && path[0] == '/' { // the asterisk of OPTIONS is no path
			return x.setPath(before, path)
		}
		return Next
	}}
}

func trimSlashes(path []byte) []byte { return bytes.TrimLeft(path, "/") }

// setPath makes the request go to before with path behind it; the query stays. What of a path is taken away may leave dot
// segments where there were none, as /api does of /api../x: they are resolved, like those that a client sends.
func (x *Exchange) setPath(before string, path []byte) Action {
	out := append(append(x.worker.scratch(), before...), path...)
	if bytes.Contains(out, dotSegment) {
		clean, _, err := x.conn.set.Paths.Path(out)
		if err != nil {
			x.detail = "bad-path"
			x.Reject(400, accesslog.BadRequest)
			return Answered
		}
		out = append(out[:0], clean...)
	}
	if query, ok := x.req.Query(); ok {
		out = append(append(out, '?'), query...)
	}
	err := x.req.SetTargetBytes(out)
	x.worker.sent(out)
	if err != nil {
		x.detail = "long-path" // nothing else can be wrong: all bytes were good before
		x.Reject(414, accesslog.BadRequest)
		return Answered
	}
	return Next
}
