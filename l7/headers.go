package l7

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// FieldEdit gives a field a value; an empty one takes the field away.
type FieldEdit struct{ Name, Value string }

// HeadersOptions are what Headers does. What is zero is not done.
type HeadersOptions struct {
	Request, Response []FieldEdit // in the order in which they are done

	CORS     CORSOptions
	Security SecurityOptions
}

// CORSOptions are what browsers are told about scripts of other origins (the Fetch standard, section 3.3).
type CORSOptions struct {
	Credentials   bool
	Headers       []string // that may be sent
	Methods       []string
	Origins       []string // as they are; * is any
	OriginRegexps []*regexp.Regexp
	Expose        []string // headers of responses
	MaxAge        int      // seconds for which a browser remembers
	Vary          bool     // say that responses differ by origin
}

// SecurityOptions are what browsers are told to be careful with, and which hosts are served.
type SecurityOptions struct {
	AllowedHosts     []string    // with port, where there is one; none = all
	HostHeaders      []string    // name the host, if a proxy has set one
	SecureHeaders    []FieldEdit // say, if one of them stands there, that the client came by HTTPS
	STSSeconds       int
	STSSubdomains    bool
	STSPreload       bool
	STSAlways        bool // over plain HTTP too
	FrameDeny        bool
	FrameOptions     string // instead of DENY
	NoSniff          bool
	XSSFilter        bool
	XSSProtection    string // instead of 1; mode=block
	Policy           string // Content-Security-Policy
	PolicyReportOnly string
	PublicKey        string
	Referrer         string
	Permissions      string
	Development      bool // no hosts, STS and key pins
}

// Headers returns a middleware that edits the heads of requests and responses, answers the questions that browsers ask
// before scripts of other origins may send something, and refuses hosts that are not served.
func Headers(name string, o HeadersOptions) *Middleware {
	h := newHeaders(o)
	m := &Middleware{
		Name: name,
		Request: func(x *Exchange) Action {
			if h.cors && preflight(&x.req) {
				h.note(x)
				x.Answer(200, func(res *head.Head) { h.answerPreflight(&x.req, res) }, "")
				return Answered
			}
			for _, e := range o.Request {
				e.apply(&x.req)
			}
			h.note(x)
			if !h.served(&x.req) {
				x.detail = "bad-host"
				x.Reject(403, accesslog.Denied)
				return Answered
			}
			return Next
		},
		Response: func(x *Exchange) {
			client, _ := x.noteOf(h.self).(asker)
			h.respond(client.origin, &x.res, x.Secure() || client.secure)
		},
	}
	h.self = m
	return m
}

// asker is what a request says about who sends it. It is noted when the request comes by, for middlewares behind this one
// may take it out of the request: one that answers with another service's page asks for that with few fields.
type asker struct {
	origin []byte
	secure bool // a proxy in front says that the client came by HTTPS
}

func (h *headers) note(x *Exchange) {
	var a asker
	if h.cors {
		a.origin = bytes.Clone(x.req.Value(head.Origin))
	}
	a.secure = len(h.secure) > 0 && h.saysSecure(&x.req)
	if len(a.origin) > 0 || a.secure {
		x.keepNote(h.self, a)
	}
}

// headers are HeadersOptions made ready.
type headers struct {
	HeadersOptions
	self                     *Middleware
	cors                     bool
	headers, methods, expose string
	security, secure         []FieldEdit // of responses; the second over HTTPS only
}

func newHeaders(o HeadersOptions) *headers {
	c := o.CORS
	h := &headers{
		HeadersOptions: o,
		cors: c.Credentials || c.Vary || c.MaxAge != 0 ||
			len(c.Headers)+len(c.Methods)+len(c.Origins)+len(c.OriginRegexps)+len(c.Expose) > 0,
		headers: strings.Join(c.Headers, ","), methods: strings.Join(c.Methods, ","), expose: strings.Join(c.Expose, ","),
	}
	h.security, h.secure = o.Security.fields()
	return h
}

// fields are what every response says, and what responses over HTTPS say besides.
func (s *SecurityOptions) fields() (all, secure []FieldEdit) {
	add := func(to *[]FieldEdit, when bool, name, value string) {
		if when && value != "" {
			*to = append(*to, FieldEdit{name, value})
		}
	}
	or := func(value, usual string) string {
		if value != "" {
			return value
		}
		return usual
	}
	sts := "max-age=" + strconv.Itoa(s.STSSeconds)
	if s.STSSubdomains {
		sts += "; includeSubDomains"
	}
	if s.STSPreload {
		sts += "; preload"
	}
	wants := &secure
	if s.STSAlways {
		wants = &all
	}
	add(wants, s.STSSeconds > 0 && !s.Development, "Strict-Transport-Security", sts)
	add(&secure, !s.Development, "Public-Key-Pins", s.PublicKey)
	add(&all, s.FrameDeny || s.FrameOptions != "", "X-Frame-Options", or(s.FrameOptions, "DENY"))
	add(&all, s.NoSniff, "X-Content-Type-Options", "nosniff")
	add(&all, s.XSSFilter || s.XSSProtection != "", "X-Xss-Protection", or(s.XSSProtection, "1; mode=block"))
	add(&all, true, "Content-Security-Policy", s.Policy)
	add(&all, true, "Content-Security-Policy-Report-Only", s.PolicyReportOnly)
	add(&all, true, "Referrer-Policy", s.Referrer)
	add(&all, true, "Permissions-Policy", s.Permissions)
	return all, secure
}

// apply does the edit. A field that cannot be set, because the head is as large as it may be, is taken away: the server must
// not take the client's word for it. Names and values were checked with the configuration.
func (e FieldEdit) apply(h *head.Head) {
	if e.Value == "" || h.Set(e.Name, e.Value) != nil {
		_ = h.Delete(e.Name)
	}
}

// preflight tells the question whether a script of another origin may send a request from a request.
func preflight(req *head.Head) bool {
	if string(req.Method()) != "OPTIONS" || len(req.Value(head.Origin)) == 0 {
		return false
	}
	method, _ := req.Get("Access-Control-Request-Method")
	return len(method) > 0
}

func (h *headers) answerPreflight(req, res *head.Head) {
	if h.CORS.Credentials {
		_ = res.Set("Access-Control-Allow-Credentials", "true")
	}
	if h.headers != "" {
		_ = res.Set("Access-Control-Allow-Headers", h.headers)
	}
	if h.methods != "" {
		_ = res.Set("Access-Control-Allow-Methods", h.methods)
	}
	_ = res.Set("Access-Control-Max-Age", strconv.Itoa(h.CORS.MaxAge))
	// The origin is named where the response is seen on its way back, as it is in all responses.
}

// allowed is what is said about an origin, empty if nothing is.
func (c *CORSOptions) allowed(origin []byte) []byte {
	for _, o := range c.Origins {
		if o == "*" || string(origin) == o {
			return []byte(o)
		}
	}
	if len(origin) > 0 && slices.ContainsFunc(c.OriginRegexps, func(r *regexp.Regexp) bool { return r.Match(origin) }) {
		return origin
	}
	return nil
}

// respond edits the head of a response to a client of an origin, which came by HTTPS or not.
func (h *headers) respond(origin []byte, res *head.Head, secure bool) {
	for _, e := range h.security {
		e.apply(res)
	}
	if secure {
		for _, e := range h.secure {
			e.apply(res)
		}
	}
	for _, e := range h.Response {
		e.apply(res)
	}
	if !h.cors {
		return
	}
	if origin := h.CORS.allowed(origin); len(origin) > 0 {
		_ = res.SetBytes("Access-Control-Allow-Origin", origin)
	}
	if h.CORS.Credentials {
		_ = res.Set("Access-Control-Allow-Credentials", "true")
	}
	if h.expose != "" {
		_ = res.Set("Access-Control-Expose-Headers", h.expose)
	}
	if h.CORS.Vary {
		varyBy(res, "Origin")
	}
}

// varyBy says that the response depends on a field of the request (RFC 9110 section 12.5.5), if it does not say so yet.
func varyBy(res *head.Head, name string) {
	all := ""
	for v := range res.Values("Vary") {
		for part := range bytes.SplitSeq(v, []byte{','}) {
			if part = head.Trim(part); head.EqualFold(part, name) || string(part) == "*" {
				return
			} else if len(part) > 0 {
				all += string(part) + ", "
			}
		}
	}
	_ = res.Set("Vary", all+name)
}

// saysSecure reports whether a proxy in front says that the client came by HTTPS.
func (h *headers) saysSecure(req *head.Head) bool {
	return slices.ContainsFunc(h.Security.SecureHeaders, func(e FieldEdit) bool {
		v, found := req.Get(e.Name)
		return found && string(v) == e.Value
	})
}

// served reports whether the host of a request is one of those that are allowed.
func (h *headers) served(req *head.Head) bool {
	s := &h.Security
	if len(s.AllowedHosts) == 0 || s.Development {
		return true
	}
	host := req.Host()
	for _, name := range s.HostHeaders {
		if v, _ := req.Get(name); len(v) > 0 {
			host = v
			break
		}
	}
	return slices.ContainsFunc(s.AllowedHosts, func(a string) bool { return head.EqualFold(host, a) })
}
