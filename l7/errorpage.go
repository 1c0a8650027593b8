package l7

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// ErrorPagesOptions say which answers get another body, and where that comes from.
type ErrorPagesOptions struct {
	Statuses Statuses // below 200, 204 and 304 are left out: they have no body
	Rewrites []StatusRewrite
	Service  *Service
	// Query is what the service is asked for: a path, perhaps with a query. {status} and {originalStatus} stand for the
	// status that the client gets and the one before it was rewritten, {url} for the target that the client asked for,
	// escaped. Empty = the path of the request.
	Query string
	// Headers are the fields of the request that the service gets, besides those that say who the client is; nil = all.
	Headers []string
}

// StatusRewrite gives answers with a status from First to Last the status To.
type StatusRewrite struct{ First, Last, To int }

// page is the answer of another service that takes the place of one.
type page struct {
	of      *Middleware // whose page it is; nil = there is none
	status  int         // that the client gets
	kept    []FieldEdit // of the answer, because the status says half without them
	counted bool        // on the router's service, or that has nothing to do with it
}

// shown is the status that the client will get of a response.
func (x *Exchange) shown() int {
	if x.page.of != nil {
		return x.page.status
	}
	return x.effective()
}

// ErrorPages returns a middleware that answers with the body of another service where the answer has one of the statuses,
// whether it is a backend's, weir's own or that of a middleware behind it. The client gets the status all the same, or what
// it is rewritten to. Where the other service fails too, the answer is weir's own, with the status.
func ErrorPages(name string, o ErrorPagesOptions) *Middleware {
	m := &Middleware{Name: name}
	m.Outcome = func(x *Exchange, status int) bool {
		if status < 200 || status == 204 || status == 304 || !o.Statuses.Has(status) {
			return false
		}
		to := o.rewrite(status)
		x.askInstead(status, page{of: m, status: to, kept: keptOf(&x.res, to)}, o.Service, o.target(to, status, x.req.Asked(), x.req.Target()), o.Headers)
		return true
	}
	m.Response = func(x *Exchange) {
		if x.page.of != m {
			return
		}
		_ = x.res.SetStatus(x.page.status, http.StatusText(x.page.status)) // both are good
		for _, e := range x.page.kept {
			_ = x.res.Delete(e.Name) // the page knows nothing about it
		}
		for _, e := range x.page.kept {
			_ = x.res.Add(e.Name, e.Value) // one that has no room is one the client does without
		}
		if x.res.Framing().Kind == head.None && string(x.req.Method()) != "HEAD" {
			x.res.SetFraming(head.Framing{Kind: head.Length}) // a page without a body said nothing about it
		}
	}
	return m
}

// keptOf are the fields of an answer that go with the status which the client gets, and not with the body: how it proves who
// it is, what it may do instead, and when it may come again (RFC 9110 sections 11.6.1, 10.2.1 and 10.2.3).
func keptOf(h *head.Head, status int) (kept []FieldEdit) {
	name := ""
	switch status {
	case 401:
		name = "WWW-Authenticate"
	case 405:
		name = "Allow"
	case 413, 429, 503:
		name = "Retry-After"
	default:
		return nil
	}
	for value := range h.Values(name) {
		kept = append(kept, FieldEdit{name, string(value)})
	}
	return kept
}

// rewrite is the status that the client gets: of the rewrites that hold, the narrowest counts, and of those the first.
func (o *ErrorPagesOptions) rewrite(status int) int {
	to, width := status, 1000
	for _, r := range o.Rewrites {
		if w := r.Last - r.First; r.First <= status && status <= r.Last && w < width {
			to, width = r.To, w
		}
	}
	return to
}

// target is what the service is asked for.
func (o *ErrorPagesOptions) target(status, original int, asked, target []byte) string {
	if o.Query == "" {
		if target[0] != '/' {
			return "/"
		}
		return string(target)
	}
	return strings.NewReplacer(
		"{status}", strconv.Itoa(status), "{originalStatus}", strconv.Itoa(original), "{url}", url.QueryEscape(string(asked)),
	).Replace("/" + strings.TrimPrefix(o.Query, "/"))
}

// askInstead drops the response that has the status, and asks another service for one in its place. It is for Outcome: the
// middlewares behind that of the page do not see what comes of it. What the client still sends of its body is dropped.
func (x *Exchange) askInstead(status int, p page, v *Service, target string, fields []string) {
	p.counted = x.page.counted || x.service == nil || x.service == x.router.Service
	x.page = p
	now := x.drop(status)
	x.next = x.outer + 1
	x.copies, x.wanted = 0, 0
	x.dropReplay()
	x.swallow()
	x.unread = !x.reqBody.Done()
	x.conn.last = x.conn.last || x.unread
	x.reqBody.Begin(head.Framing{})
	x.wantsMore = false
	x.based = 0
	if err := asPageRequest(&x.req, target, fields); err != nil {
		x.fail(p.status, accesslog.Weir, accesslog.NoBackend)
		return
	}
	c := x.ask(v)
	x.follow(c)
	if c.offer == nothing {
		x.fail(p.status, accesslog.Weir, accesslog.NoBackend)
		return
	}
	x.pick(now)
}

// asPageRequest makes a GET for another target of a request, or a HEAD of a HEAD, without a body. The errors are
// head.ErrTarget, for a target that became one only with the client's, and head.ErrFull.
func asPageRequest(h *head.Head, target string, fields []string) error {
	if string(h.Method()) != "HEAD" {
		if err := h.SetMethod("GET"); err != nil {
			return err
		}
	}
	h.Discard(head.Expect)
	h.StripHop()
	h.Switch(nil)
	h.SetFraming(head.Framing{})
	if fields != nil {
		keepFields(h, fields)
	}
	return h.SetTarget(target)
}

// keepFields takes all fields away but some, and those by which a server knows who asks.
func keepFields(h *head.Head, fields []string) {
	var gone []string
	for name := range h.All() {
		switch k := head.Lookup(name); {
		case k == head.Host, k == head.XRealIP, k >= head.Forwarded && k <= head.XForwardedMethod:
		case !containsFold(fields, name):
			gone = append(gone, string(name))
		}
	}
	for _, name := range gone {
		_ = h.Delete(name) // what is protected is weir's own
	}
}

func containsFold(list []string, name []byte) bool {
	for _, s := range list {
		if head.EqualFold(s, name) {
			return true
		}
	}
	return false
}
