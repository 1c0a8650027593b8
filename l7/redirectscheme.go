package l7

import (
	"strconv"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// RedirectSchemeOptions say where requests are redirected to.
type RedirectSchemeOptions struct {
	Scheme    string // http or https
	Port      int    // 0, or the scheme's usual one = none is named
	Permanent bool   // the client may remember it: 301 and 308 instead of 302 and 307
}

// RedirectScheme returns a middleware that redirects requests of another scheme, or to another port, to the same host and
// path. GET is answered with 301 or 302, other methods with 308 or 307, which keep them (RFC 9110 section 15.4). The
// scheme that counts is the client's as far as a trusted proxy says it.
func RedirectScheme(name string, o RedirectSchemeOptions) *Middleware {
	if o.Port == usualPort(o.Scheme) {
		o.Port = 0
	}
	return &Middleware{Name: name, Request: o.redirect}
}

func (o RedirectSchemeOptions) redirect(x *Exchange) Action {
	h := &x.req
	scheme := x.clientScheme()
	_, port := h.Hostname(), 0
	if host := h.Host(); len(host) > len(h.Hostname())+1 {
		port, _ = strconv.Atoi(string(host[len(h.Hostname())+1:])) // it was checked; 0 never is one
	}
	if port == usualPort(scheme) {
		port = 0
	}
	if scheme == o.Scheme && port == o.Port {
		return Next
	}
	if len(h.Hostname()) == 0 { // HTTP/1.0 need not say
		x.Reject(400, accesslog.BadRequest)
		return Answered
	}
	out := append(x.worker.scratch(), o.Scheme...)
	out = append(append(out, "://"...), h.Hostname()...)
	if o.Port != 0 {
		out = strconv.AppendInt(append(out, ':'), int64(o.Port), 10)
	}
	if target := h.Target(); target[0] == '/' { // OPTIONS * has no path
		out = append(out, target...)
	}
	location := string(out)
	x.worker.sent(out)
	x.Answer(o.status(string(h.Method())), func(h *head.Head) { _ = h.Set("Location", location) }, "")
	return Answered
}

func (o RedirectSchemeOptions) status(method string) int {
	switch {
	case method == "GET" && o.Permanent:
		return 301
	case method == "GET":
		return 302
	case o.Permanent:
		return 308
	}
	return 307
}

// clientScheme is how the client itself has asked: X-Forwarded-Proto is weir's own by now, or a trusted proxy's. For an
// upgrade some proxies write ws and wss there.
func (x *Exchange) clientScheme() string {
	switch v := x.req.Value(head.XForwardedProto); {
	case head.EqualFold(v, "https"), head.EqualFold(v, "wss"):
		return "https"
	case head.EqualFold(v, "http"), head.EqualFold(v, "ws"):
		return "http"
	}
	return x.Scheme()
}

func usualPort(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}
