package l7

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

const (
	maxAsking     = 256      // questions on their way to one authentication server
	maxAskWaiting = 2048     // and requests that wait for one of them
	maxAskHead    = 64 << 10 // bytes of the head of an answer
)

// ForwardAuthOptions say whom ForwardAuth asks, and what is done with the answer.
type ForwardAuthOptions struct {
	Address         *url.URL
	TLS             *tls.Config // nil = the usual
	Timeout         time.Duration
	MaxBody         int64          // bytes of an answer
	TrustForwarded  bool           // tell it the X-Forwarded-* that trusted proxies have sent
	RequestHeaders  []string       // that it is told; none = all
	ResponseHeaders []string       // of its answer that replace those of the request
	ResponsePattern *regexp.Regexp // further ones; nil = none
	Cookies         []string       // of its answer that the client gets
	UserField       string         // of its answer, for the log
	KeepLocation    bool           // Location is not made absolute
	KeepMethod      bool           // it is asked with the method of the request, not with GET
	TellBody        bool           // it is told the body of the request, which is held until it is here
	MaxTold         int64          // bytes of that; requests with more are refused
	Signin          string         // where a client is sent to whom it answers 401; empty = nowhere
}

// ForwardAuth returns a middleware that asks another server whether a request may pass: a status of 2xx says so, any other
// answer is given to the client. The question is asked before the body is read, unless the body is part of it.
func ForwardAuth(name string, o ForwardAuthOptions) *Middleware {
	a := &forwardAuth{ForwardAuthOptions: o, asking: new(hands)}
	a.asking.init(maxAsking, maxAskWaiting)
	a.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: o.TLS, DisableCompression: true, MaxIdleConnsPerHost: 32, MaxConnsPerHost: maxAsking,
			IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxAskHead, TLSHandshakeTimeout: o.Timeout,
		},
	}
	a.self = &Middleware{Name: name, Request: a.request}
	if len(o.Cookies) > 0 {
		a.self.Response = a.response
	}
	return a.self
}

type forwardAuth struct {
	ForwardAuthOptions
	self   *Middleware
	client *http.Client
	asking *hands
}

// verdict is what an authentication server has answered.
type verdict struct {
	status int
	header http.Header
	body   []byte
}

// errLongVerdict and errNoVerdict are answers of an authentication server that cannot be used.
var (
	errLongVerdict = errors.New("the answer is too long")
	errNoVerdict   = errors.New("the answer has a status that no client can be given")
)

func (a *forwardAuth) request(x *Exchange) Action {
	if a.TellBody {
		switch action, err := x.takeIn(a.MaxTold); {
		case err == errLongBody:
			x.detail = "auth-long-body"
			x.Reject(401, accesslog.Denied) // and not 413: what the server would have said is not known
			return Answered
		case err != nil:
			x.detail = "auth-busy"
			x.Reject(503, accesslog.Limit)
			return Answered
		case action != Next:
			return action
		}
	}
	// The time that it waits for others counts: nobody waits longer for an answer than was said.
	ctx, cancel := context.WithTimeout(context.Background(), a.Timeout)
	q := a.question(x).WithContext(ctx)
	var c call
	if x.traced.by != nil {
		c = x.call(time.Now())
		q.Header.Set("Traceparent", string(x.traced.sender(&c).AppendParent(nil)))
		if state := x.req.Value(head.TraceState); len(state) > 0 {
			q.Header.Set("Tracestate", string(state))
		}
	}
	var v verdict
	var failed error
	err := x.goAmong(a.asking, func() {
		defer cancel()
		v, failed = a.ask(q)
	}, func() {
		if x.traced.recorded() {
			a.tell(x, &c, q, v, failed)
		}
		a.answered(x, v, failed)
	})
	if err != nil {
		cancel()
		x.detail = "auth-busy"
		x.Reject(503, accesslog.Limit)
		return Answered
	}
	return Wait
}

// tell tells the span of a question that was asked.
func (a *forwardAuth) tell(x *Exchange, c *call, q *http.Request, v verdict, failed error) {
	b := x.worker.spans
	method := tellMethod(b, q.Method)
	b.Text("weir.middleware", a.self.Name)
	b.Text("server.address", a.Address.Hostname())
	if port, err := strconv.Atoi(a.Address.Port()); err == nil {
		b.Int("server.port", port)
	}
	b.Text("url.full", a.Address.Scheme+"://"+a.Address.Host+a.Address.EscapedPath())
	reason := accesslog.Unknown
	if failed != nil {
		reason = accesslog.ConnectFailed
	} else {
		b.Int("http.response.status_code", v.status)
	}
	fault := tellFault(b, v.status, 400, accesslog.Weir, reason)
	x.worker.tellCall(&x.traced, c, method, a.self.Name, fault)
}

// question makes the request that is sent to the authentication server.
func (a *forwardAuth) question(x *Exchange) *http.Request {
	h := &x.req
	q := &http.Request{
		Method: "GET", URL: a.Address, Host: a.Address.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if a.KeepMethod {
		q.Method = string(h.Method())
	}
	if a.TellBody {
		tellBody(q, x.taken())
	}
	named := nominated(h)
	for name, value := range h.All() {
		n := http.CanonicalHeaderKey(string(name))
		if ofConnection[n] || n == "Host" || slices.Contains(named, n) {
			continue
		}
		if len(a.RequestHeaders) > 0 && !slices.ContainsFunc(a.RequestHeaders, func(s string) bool { return strings.EqualFold(s, n) }) {
			continue
		}
		q.Header.Add(n, string(value))
	}
	if len(q.Header["User-Agent"]) == 0 {
		q.Header.Set("User-Agent", "") // net/http would name itself
	}
	for _, f := range []struct {
		known head.Known
		seen  string // by weir itself
	}{
		{head.XForwardedFor, x.Client().Addr().Unmap().WithZone("").String()},
		{head.XForwardedMethod, string(h.Method())},
		{head.XForwardedProto, x.Scheme()},
		{head.XForwardedHost, string(h.Host())},
		{head.XForwardedURI, string(h.Target())},
	} {
		if said := h.Value(f.known); a.TrustForwarded && len(said) > 0 {
			f.seen = string(said)
		}
		q.Header.Set(f.known.String(), f.seen)
	}
	return q
}

// tellBody makes content the body of a question. It is not copied: nobody writes to what was taken in.
func tellBody(q *http.Request, content []byte) {
	if len(content) == 0 {
		return
	}
	q.ContentLength = int64(len(content))
	q.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil } // on another connection
	q.Body, _ = q.GetBody()
}

// ofConnection are fields that are about one connection, or frame one message: a question is one of its own.
var ofConnection = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Http2-Settings": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authentication-Info": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// nominated are the fields that Connection names.
func nominated(h *head.Head) (names []string) {
	for v := range h.Values("Connection") {
		for name := range bytes.SplitSeq(v, []byte{','}) {
			// Those that weir itself looks at cannot be made to vanish.
			if name = head.Trim(name); len(name) > 0 && len(names) < head.MaxNominated && head.Lookup(name) == head.Other {
				names = append(names, http.CanonicalHeaderKey(string(name)))
			}
		}
	}
	return names
}

// ask asks and waits for the answer.
func (a *forwardAuth) ask(q *http.Request) (v verdict, err error) {
	resp, err := a.client.Do(q)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if v.body, err = io.ReadAll(io.LimitReader(resp.Body, a.MaxBody+1)); err != nil {
		return v, err
	}
	if int64(len(v.body)) > a.MaxBody {
		return v, errLongVerdict
	}
	v.status, v.header = resp.StatusCode, resp.Header
	if v.status < 200 || v.status > 599 {
		return v, fmt.Errorf("%w: %d", errNoVerdict, v.status)
	}
	if location := v.header.Get("Location"); location != "" && !a.KeepLocation {
		u, err := a.Address.Parse(location)
		if err != nil {
			return v, err
		}
		v.header.Set("Location", u.String())
	}
	return v, nil
}

// answered goes on with a request about which there is an answer, or none.
func (a *forwardAuth) answered(x *Exchange, v verdict, failed error) {
	switch {
	case failed != nil:
		x.worker.server.options.Log.Debug("no answer from the authentication server", "middleware", a.self.Name, "error", failed)
		x.detail = "auth-failed"
		switch {
		case errors.Is(failed, context.DeadlineExceeded):
			x.detail = "auth-timeout"
		case errors.Is(failed, errLongVerdict):
			x.detail = "auth-long-answer"
		}
		x.Reject(503, accesslog.Denied)
		return
	case v.status < 300:
		if a.admit(x, v) {
			x.Continue()
		}
		return
	case v.status == 401 && a.Signin != "":
		v = verdict{status: 302, header: http.Header{"Location": {a.Signin}}}
	}
	x.detail = "auth-denied"
	x.answerFor(accesslog.Denied, v.status, func(h *head.Head) {
		for _, name := range sortedNames(v.header) {
			if ofConnection[name] {
				continue
			}
			for _, value := range v.header[name] {
				_ = h.Add(name, value) // what cannot be written is left out
			}
		}
	}, string(v.body))
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// admit gives the request what the answer says about it. It returns false when that is not possible, and the request is
// answered: the server must not take the client's word for it.
func (a *forwardAuth) admit(x *Exchange, v verdict) bool {
	h := &x.req
	var err error
	replace := func(name string, values []string) {
		err = errors.Join(err, h.Delete(name))
		for _, value := range values {
			err = errors.Join(err, h.Add(name, value))
		}
	}
	for _, name := range a.ResponseHeaders {
		replace(name, v.header.Values(name))
	}
	if p := a.ResponsePattern; p != nil {
		var sent []string
		for name := range h.All() {
			if n := http.CanonicalHeaderKey(string(name)); p.MatchString(n) && !ofConnection[n] && n != "Host" {
				sent = append(sent, n)
			}
		}
		for _, name := range sent {
			replace(name, nil)
		}
		for _, name := range sortedNames(v.header) {
			if p.MatchString(name) && !ofConnection[name] && name != "Host" {
				replace(name, v.header[name])
			}
		}
	}
	if err != nil {
		x.detail = "long-head"
		x.Reject(431, accesslog.BadRequest)
		return false
	}
	if a.UserField != "" {
		x.user = v.header.Get(a.UserField)
	}
	if len(a.Cookies) > 0 {
		if given := slices.DeleteFunc(slices.Clone(v.header["Set-Cookie"]), func(line string) bool { return !a.givesCookie(line) }); len(v.header["Set-Cookie"]) > 0 {
			x.keepNote(a.self, given)
		}
	}
	return true
}

// givesCookie reports whether the client gets the cookie that a Set-Cookie sets from the authentication server.
func (a *forwardAuth) givesCookie(line string) bool {
	name, _, _ := strings.Cut(line, "=")
	return slices.Contains(a.Cookies, strings.TrimSpace(name))
}

// response gives the client the authentication server's cookies in place of the server's own of the same names.
func (a *forwardAuth) response(x *Exchange) {
	given, ok := x.noteOf(a.self).([]string)
	if !ok {
		return
	}
	lines := slices.Clone(given)
	for v := range x.res.Values("Set-Cookie") {
		if line := string(v); !a.givesCookie(line) {
			lines = append(lines, line)
		}
	}
	_ = x.res.Delete("Set-Cookie")
	for _, line := range lines {
		_ = x.res.Add("Set-Cookie", line) // what cannot be written is left out
	}
}
