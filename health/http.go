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
)

// interimLimit bounds the 1xx responses before the final one.
const interimLimit = 8

// httpProber sends one request on a connection of its own and judges the status of the response.
type httpProber struct {
	target target
	host   string // empty: the address asked
	head   []byte // request line and fields but Host, without the empty line at the end
	method string // the response's framing depends on it
	status int    // 0 = any from 200 to 399
}

func newHTTP(t target, p Params) (Prober, error) {
	o := p.HTTP
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
	if t.tls != nil {
		t.tls.NextProtos = []string{"http/1.1"}
		if t.tls.ServerName == "" {
			t.tls.ServerName = hostname(o.Host)
		}
	}
	fields["Connection"] = []string{"close"}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", o.Method, o.Path)
	if err := fields.Write(&head); err != nil {
		return nil, err
	}
	return httpProber{target: t, host: o.Host, head: head.Bytes(), method: o.Method, status: o.Status}, nil
}

// validate refuses what would change the shape of the request or could never succeed.
func (o *HTTP) validate() error {
	if !isToken(o.Method) {
		return fmt.Errorf("method %q is not a token", o.Method)
	}
	if _, err := url.ParseRequestURI(o.Path); err != nil || !strings.HasPrefix(o.Path, "/") || strings.ContainsAny(o.Path, " #") {
		return fmt.Errorf("path %q is not a path with an optional query", o.Path)
	}
	if strings.ContainsAny(o.Host, " \t\r\n/") {
		return fmt.Errorf("host %q is not a host name", o.Host)
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
	host := p.host
	if host == "" {
		host = addr.String()
		if p.target.port != 0 {
			host = netip.AddrPortFrom(addr.Addr(), p.target.port).String()
		}
	}
	return p.target.visit(ctx, addr, func(conn net.Conn) error { return p.talk(conn, host) })
}

func (p httpProber) talk(conn net.Conn, host string) error {
	request := fmt.Appendf(bytes.Clone(p.head), "Host: %s\r\n\r\n", host)
	if err := write(conn, "the request", request); err != nil {
		return err
	}
	resp, err := readResponse(bufio.NewReader(io.LimitReader(conn, readLimit)), p.method)
	if err != nil {
		return fmt.Errorf("read the response: %w", reason(err))
	}
	if !p.accepts(resp.StatusCode) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	// The status has decided. The body is read only so that the server is not cut off in the middle of a short answer.
	_, _ = io.Copy(io.Discard, resp.Body)
	abort(conn)
	return nil
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
