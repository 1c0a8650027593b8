package l7

import (
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/route"
)

// EncodedCharacters returns a middleware that answers requests whose path has one of the characters in percent-encoded form
// with 400. It sees the path as middlewares before it have left it.
func EncodedCharacters(name string, refused route.Encoded) *Middleware {
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if !refused.In(x.req.Path()) {
			return Next
		}
		x.detail = "encoded-character"
		x.Reject(400, accesslog.BadRequest)
		return Answered
	}}
}
