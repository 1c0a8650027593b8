package l7

import (
	"net/url"
	"regexp"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// RedirectRegex returns a middleware that redirects requests in whose URL the expression finds something to what comes of
// replacing it, with $1 and ${name} in the replacement. The URL is scheme, host and target; the scheme is the client's as
// far as a trusted proxy says it. A URL that stays the same is not redirected, for that would never end. The statuses are
// those of RedirectScheme.
func RedirectRegex(name string, expression *regexp.Regexp, replacement string, permanent bool) *Middleware {
	status := RedirectSchemeOptions{Permanent: permanent}.status
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		asked := x.url()
		location, ok := redirection(asked, expression, replacement)
		switch {
		case !ok:
			x.detail = "bad-location"
			x.Reject(500, accesslog.Answered)
		case location == asked:
			return Next
		default:
			x.Answer(status(string(x.req.Method())), func(h *head.Head) { _ = h.Set("Location", location) }, "")
		}
		return Answered
	}}
}

// redirection is where a URL leads to: to itself where the expression finds nothing. It is not ok where no URL comes of it.
func redirection(asked string, expression *regexp.Regexp, replacement string) (location string, ok bool) {
	location = expression.ReplaceAllString(asked, replacement)
	if location == asked {
		return asked, true
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", false
	}
	return u.String(), true
}

// url is what the client asked for, as far as weir knows it.
func (x *Exchange) url() string {
	out := append(x.worker.scratch(), x.clientScheme()...)
	out = append(append(out, "://"...), x.req.Host()...)
	if target := x.req.Target(); target[0] == '/' {
		out = append(out, target...)
	}
	asked := string(out)
	x.worker.sent(out)
	return asked
}
