package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http2"
)

// interimLimit bounds the 1xx responses before the final one.
const interimLimit = 8

// httpProber sends one request on a connection of its own and judges the status of the response; where it follows redirects, more of them.
type httpProber struct {
	target target
	scheme string
	host   string // empty: the address asked
	first  httpRequest
	fields []byte // fields but Host, without the empty line at the end
	status int    // 0 = any from 200 to 399
	follow bool
	speak  func(ctx context.Context, conn net.Conn, r httpRequest, host string) (*http.Response, error) // a request
}

func newHTTP(t target, params Params) (Prober, error) {
	o := params.HTTP
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Path == "" {
		o.Path = "/"
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	fields := http.Header{"User-Agent": {"weir"}, "Accept": {"*/*"}}
	for name, values := range o.Headers {
		fields[http.CanonicalHeaderKey(name)] = values
	}
	if o.Host == "" {
		o.Host = fields.Get("Host")
	}
	fields.Del("Host")
	scheme := "http"
	if t.tls != nil {
		scheme = "https"
		t.tls.NextProtos = []string{"http/1.1"}
		if t.tls.ServerName == "" {
			t.tls.ServerName = hostname(o.Host)
		}
	}
	fields["Connection"] = []string{"close"}
	var text bytes.Buffer
	if err := fields.Write(&text); err != nil {
		return nil, err
	}
	p := httpProber{
		target: t, scheme: scheme, host: o.Host, first: httpRequest{method: o.Method, path: o.Path}, fields: text.Bytes(),
		status: o.Status, follow: o.FollowRedirects,
	}
	p.speak = p.speak1
	if o.HTTP2 {
		fields.Del("Connection")
		p.speak = speaker2(fields)
	}
	return p, nil
}

// validate refuses what would change the shape of the request or could never succeed.
func (o *HTTP) validate() error {
	if !isToken(o.Method) {
		return fmt.Errorf("method %q is not a token", o.Method)
	}
	if err := validPath(o.Path); err != nil {
		return err
	}
	if err := validHost(o.Host); err != nil {
		return err
	}
	for name, values := range o.Headers {
		if !isToken(name) {
			return fmt.Errorf("header name %q is not a token", name)
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				return fmt.Errorf("header %s: value %q breaks its line", name, value)
			}
		}
	}
	if o.Status != 0 && (o.Status < 200 || o.Status > 599) {
		return fmt.Errorf("status %d is not between 200 and 599", o.Status)
	}
	return nil
}

// validPath refuses what is not a path with an optional query, as it stands in a request line.
func validPath(path string) error {
	if _, err := url.ParseRequestURI(path); err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #") {
		return fmt.Errorf("path %q is not a path with an optional query", path)
	}
	return nil
}

// validHost refuses what would end a Host header or cannot stand in one.
func validHost(host string) error {
	if strings.ContainsAny(host, " \t\r\n\x00/") {
		return fmt.Errorf("host %q is not a host name", host)
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// hostname returns a host without its port.
func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func (p httpProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	at := origin{scheme: p.scheme, host: p.host, addr: p.target.asked(addr)}
	if at.host == "" {
		at.host = at.addr.String()
	}
	r := p.first
	for range 1 + redirectLimit {
		answer, err := p.ask(ctx, addr, r, at.host)
		if err != nil {
			return err
		}
		if !p.follow || answer.status == p.status {
			return p.judge(answer.status)
		}
		next, ok, err := at.next(r, answer)
		if err != nil {
			return err
		}
		if !ok {
			return p.judge(answer.status)
		}
		r = next
	}
	return fmt.Errorf("more than %d redirects", redirectLimit)
}

// ask sends one request on a connection of its own.
func (p httpProber) ask(ctx context.Context, addr netip.AddrPort, r httpRequest, host string) (a httpAnswer, err error) {
	err = p.target.visit(ctx, addr, func(conn net.Conn) error {
		resp, err := p.speak(ctx, conn, r, host)
		if err != nil {
			return err
		}
		a = httpAnswer{status: resp.StatusCode, location: resp.Header.Get("Location")}
		if err := p.judge(a.status); err != nil && !redirects(a.status) {
			return err
		}
		// The status has decided. The body is read only so that the server is not cut off in the middle of a short answer.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, readLimit))
		abort(conn)
		return nil
	})
	return a, err
}

// speak1 speaks HTTP/1.1.
func (p httpProber) speak1(_ context.Context, conn net.Conn, r httpRequest, host string) (*http.Response, error) {
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\n%sHost: %s\r\n\r\n", r.method, r.path, p.fields, host)
	if err := write(conn, "the request", request); err != nil {
		return nil, err
	}
	resp, err := readResponse(bufio.NewReader(io.LimitReader(conn, readLimit)), r.method)
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", reason(err))
	}
	return resp, nil
}

// speaker2 speaks HTTP/2. The connection's own goroutine, which reads, ends with it.
func speaker2(fields http.Header) func(context.Context, net.Conn, httpRequest, string) (*http.Response, error) {
	transport := &http2.Transport{AllowHTTP: true, DisableCompression: true, MaxHeaderListSize: readLimit}
	return func(ctx context.Context, conn net.Conn, r httpRequest, host string) (*http.Response, error) {
		c, err := transport.NewClientConn(conn)
		if err != nil {
			return nil, fmt.Errorf("begin HTTP/2: %w", reason(err))
		}
		req, err := http.NewRequestWithContext(ctx, r.method, "http://"+host+r.path, nil)
		if err != nil {
			return nil, err
		}
		req.Header = fields.Clone()
		resp, err := c.RoundTrip(req)
		if err != nil {
			return nil, fmt.Errorf("ask over HTTP/2: %w", reason(err))
		}
		return resp, nil
	}
}

// judge returns nil if the status means success.
func (p httpProber) judge(status int) error {
	if p.accepts(status) {
		return nil
	}
	return fmt.Errorf("status %d", status)
}

func (p httpProber) accepts(status int) bool {
	if p.status != 0 {
		return status == p.status
	}
	return 200 <= status && status <= 399
}

// readResponse reads a response's head, past interim ones, leaving its body in r.
func readResponse(r *bufio.Reader, method string) (*http.Response, error) {
	for range interimLimit {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("ended, or over %d bytes, before the status was known: %w", readLimit, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, fmt.Errorf("more than %d interim responses", interimLimit)
}
