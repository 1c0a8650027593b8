package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

func (c *checker) tracing() {
	t := c.cfg.Tracing
	if t == nil {
		return
	}
	c.traceNames("tracing.capturedRequestHeaders", t.CapturedRequestHeaders)
	c.traceNames("tracing.capturedResponseHeaders", t.CapturedResponseHeaders)
	for _, key := range sortedKeys(t.ResourceAttributes) {
		if key == "service.name" {
			c.fail("tracing.resourceAttributes."+key, "is said twice", "write serviceName")
		}
	}
	o := t.OTLP
	if o == nil {
		return
	}
	c.oneOf("tracing.otlp", o, "spans go to one collector, which can send them on")
	if h := o.HTTP; h != nil {
		c.webURL("tracing.otlp.http.endpoint", h.Endpoint)
		c.sentHeaders("tracing.otlp.http.headers", h.Headers)
		if h.TLS != nil {
			c.callTLS("tracing.otlp.http.tls", h.TLS.CA, h.TLS.Cert, h.TLS.Key)
			if strings.HasPrefix(h.Endpoint, "http://") {
				c.fail("tracing.otlp.http.tls", "the endpoint is not https", "write https:// or remove tls")
			}
		}
	}
	if g := o.GRPC; g != nil {
		c.hostPort("tracing.otlp.grpc.endpoint", g.Endpoint)
		c.sentHeaders("tracing.otlp.grpc.headers", g.Headers)
		if g.TLS != nil {
			c.callTLS("tracing.otlp.grpc.tls", g.TLS.CA, g.TLS.Cert, g.TLS.Key)
			if g.Insecure {
				c.fail("tracing.otlp.grpc.tls", "insecure is true, which is no TLS", "remove one of them")
			}
		}
	}
}

// traceNames checks names of headers that spans tell.
func (c *checker) traceNames(at string, names []string) {
	for i, name := range names {
		if !isToken(name) && name != "" {
			c.failf(fmt.Sprintf("%s[%d]", at, i), "%q is not a header name", abbreviated(name))
		}
	}
}

// sentHeaders checks headers of requests that weir itself makes.
func (c *checker) sentHeaders(at string, headers map[string]string) {
	for _, name := range sortedKeys(headers) {
		switch {
		case !isToken(name):
			c.failf(at+"."+name, "%q is not a header name", abbreviated(name))
		case strings.ContainsFunc(headers[name], func(r rune) bool { return r < ' ' || r == 0x7f }):
			c.fail(at+"."+name, "the value has a control character", "")
		}
	}
}

// hostPort checks the address of a server that is called by name.
func (c *checker) hostPort(at, s string) {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" || strings.ContainsFunc(s, notVisible) || strings.ContainsAny(s, "/?#@") {
		c.fail(at, fmt.Sprintf("%q is not host:port", abbreviated(s)), `write it like "collector.example.com:4317", without a scheme`)
	}
}

// callTLS checks the files with which weir calls a server of its own.
func (c *checker) callTLS(at, ca, cert, key string) {
	c.notContent(at+".ca", ca)
	c.notContent(at+".cert", cert)
	c.notContent(at+".key", key)
	if (cert == "") != (key == "") {
		c.fail(at, "cert and key go together", "")
	}
}
