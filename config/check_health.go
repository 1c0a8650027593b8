package config

import (
	"fmt"
	"slices"
	"strings"
)

// healthTypes lists the probes that fit the servers of a kind of service, the
// one used without a type first.
var healthTypes = map[string][]string{
	"TCP":  {"tcp", "tls", "http", "postgres", "mysql", "redis", "grpc"},
	"UDP":  {"udp", "dns", "tcp", "http"},
	"HTTP": {"http", "grpc", "tcp", "tls"},
}

// healthKeys lists the keys that only some probes know, with those probes.
var healthKeys = map[string][]string{
	"send":            {"tcp", "tls", "udp"},
	"expect":          {"tcp", "tls", "udp"},
	"scheme":          {"http", "grpc"},
	"service":         {"grpc"},
	"path":            {"http"},
	"method":          {"http"},
	"status":          {"http"},
	"headers":         {"http"},
	"followRedirects": {"http"},
	"hostname":        {"http", "tls", "grpc"},
	"user":            {"postgres", "mysql"},
	"database":        {"postgres"},
	"name":            {"dns"},
	"recordType":      {"dns"},
}

func (c *checker) healthCheck(at string, h *HealthCheck, family string) {
	c.healthMode(at, h, family)
	if h.Type == "" {
		h.Type = healthTypes[family][0]
	}
	if !slices.Contains(healthTypes[family], h.Type) {
		c.fail(at+".type", fmt.Sprintf("%s does not fit a %s service", h.Type, family),
			"one of "+strings.Join(healthTypes[family], ", "))
		return
	}
	if c.brokenAt(at+".type") || family == "HTTP" && c.brokenAt(at+".mode") {
		return // which keys fit is not known
	}
	given := map[string]bool{
		"send": h.Send != "", "expect": h.Expect != "", "scheme": h.Scheme != "", "service": h.Service != "", "path": h.Path != "",
		"method": h.Method != "", "status": h.Status != 0, "headers": h.Headers != nil,
		"followRedirects": h.FollowRedirects != nil,
		"hostname":        h.Hostname != "", "user": h.User != "", "database": h.Database != "", "name": h.Name != "",
		"recordType": h.RecordType != "",
	}
	for _, key := range sortedKeys(healthKeys) {
		if fits := healthKeys[key]; given[key] && !slices.Contains(fits, h.Type) {
			c.fail(at+"."+key, fmt.Sprintf("has no meaning for type %s", h.Type), "only for type "+strings.Join(fits, ", "))
		}
	}
	c.healthValues(at, h)
	h.settle(family)
}

// healthMode puts Traefik's mode in the place of type. Services that are not
// HTTP do not know it, nor the other key that is Traefik's alone.
func (c *checker) healthMode(at string, h *HealthCheck, family string) {
	switch {
	case family != "HTTP":
		if h.Mode != "" {
			c.fail(at+".mode", unsupportedMessage, "write type")
		}
		if h.FollowRedirects != nil {
			c.fail(at+".followRedirects", unsupportedMessage, "a redirect counts as healthy where status is not given")
			h.FollowRedirects = nil
		}
	case h.Mode != "" && h.Type != "":
		c.fail(at+".mode", "stands beside type and means the same", "keep one of them")
	case h.Mode != "":
		h.Type, h.Mode = h.Mode, ""
	}
}

// healthValues checks the values of the keys of single probes.
func (c *checker) healthValues(at string, h *HealthCheck) {
	const longest, longestName = 4096, 1024
	switch {
	case len(h.Send) > longest:
		c.failf(at+".send", "longer than %d bytes", longest)
	case len(h.Expect) > longest:
		c.failf(at+".expect", "longer than %d bytes", longest)
	case h.Type == "dns" && h.Name == "":
		c.fail(at+".name", "missing", "the name to ask for")
	case h.Type == "dns" && !isDomainName(h.Name):
		c.failf(at+".name", "%q is not a domain name", abbreviated(h.Name))
	case len(h.Service) > longestName:
		c.failf(at+".service", "longer than %d bytes", longestName)
	case h.Type == "udp" && h.Send == "":
		c.fail(at+".send", "missing", "what to send; UDP has no connection that could be tried instead")
	}
	if h.Path != "" && (!strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, notVisible)) {
		c.failf(at+".path", "%q is not the path of a request: it starts with / and has no blanks", abbreviated(h.Path))
	}
	if h.Method != "" && !isToken(h.Method) {
		c.failf(at+".method", "%q is not a method", abbreviated(h.Method))
	}
	if strings.ContainsFunc(h.Hostname, notVisible) {
		c.failf(at+".hostname", "%q is not a host name", abbreviated(h.Hostname))
	}
	c.headers(at+".headers", h.Headers)
}

// headers checks the headers of a request that weir makes.
func (c *checker) headers(at string, headers map[string]string) {
	for _, name := range sortedKeys(headers) {
		value := headers[name]
		switch {
		case !isToken(name):
			c.failf(at+"."+name, "%q is not a header name", abbreviated(name))
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			c.failf(at+"."+name, "%q has a control character", abbreviated(value))
		}
	}
}

// isDomainName reports whether s can be asked for: labels of 1 to 63 bytes, 253
// bytes in all without the dot at the end (RFC 1035 section 2.3.4). The root is
// a dot alone.
func isDomainName(s string) bool {
	if s == "." {
		return true
	}
	bare := strings.TrimSuffix(s, ".")
	if len(bare) > 253 || strings.ContainsFunc(bare, func(r rune) bool { return notVisible(r) || r > '~' }) {
		return false
	}
	for label := range strings.SplitSeq(bare, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// notVisible reports what may not stand in a request line.
func notVisible(r rune) bool { return r <= ' ' || r == 0x7f }

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}
