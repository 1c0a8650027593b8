package config

import (
	"fmt"
	"slices"
	"strings"
)

func (c *checker) headersMiddleware(at string, h *Headers) {
	c.headerEdits(at+".customRequestHeaders", h.CustomRequestHeaders)
	c.headerEdits(at+".customResponseHeaders", h.CustomResponseHeaders)
	if _, ok := h.CustomResponseHeaders["Host"]; ok {
		c.failf(at+".customResponseHeaders.Host", "no response has one")
	}
	c.headers(at+".sslProxyHeaders", h.SSLProxyHeaders)
	for i, text := range h.AccessControlAllowOriginListRegex {
		c.regexp(fmt.Sprintf("%s.accessControlAllowOriginListRegex[%d]", at, i), text)
	}
	for _, list := range []struct {
		key    string
		tokens []string
	}{
		{"accessControlAllowHeaders", h.AccessControlAllowHeaders}, {"accessControlAllowMethods", h.AccessControlAllowMethods},
		{"accessControlExposeHeaders", h.AccessControlExposeHeaders}, {"hostsProxyHeaders", h.HostsProxyHeaders},
	} {
		for i, name := range list.tokens {
			if name != "" && !isToken(name) {
				c.failf(fmt.Sprintf("%s.%s[%d]", at, list.key, i), "%q is not a token", abbreviated(name))
			}
		}
	}
	for i, origin := range h.AccessControlAllowOriginList {
		c.value(fmt.Sprintf("%s.accessControlAllowOriginList[%d]", at, i), origin)
	}
	for _, v := range []struct{ key, value string }{
		{"contentSecurityPolicy", h.ContentSecurityPolicy}, {"contentSecurityPolicyReportOnly", h.ContentSecurityPolicyReportOnly},
		{"customBrowserXSSValue", h.CustomBrowserXSSValue}, {"customFrameOptionsValue", h.CustomFrameOptionsValue},
		{"permissionsPolicy", h.PermissionsPolicy}, {"publicKey", h.PublicKey}, {"referrerPolicy", h.ReferrerPolicy},
	} {
		c.value(at+"."+v.key, v.value)
	}
}

// headerEdits checks headers that are set or, where the value is empty,
// removed.
func (c *checker) headerEdits(at string, edits map[string]string) {
	c.headers(at, edits)
	seen := map[string]string{}
	for _, name := range sortedKeys(edits) {
		value, low := edits[name], strings.ToLower(name)
		c.value(at+"."+name, value)
		switch {
		case slices.Contains(connectionHeaders, low):
			c.fail(at+"."+name, "belongs to the connection or frames the message", "weir writes it itself")
		case low == "host" && (value == "" || strings.ContainsFunc(value, notVisible)):
			c.failf(at+"."+name, "%q is not a host", abbreviated(value))
		case seen[low] != "":
			c.failf(at+"."+name, "is %s already, which differs by case alone", seen[low])
		}
		seen[low] = name
	}
}

// value refuses what cannot stand in a header as it is.
func (c *checker) value(at, value string) {
	switch {
	case len(value) > 16<<10:
		c.failf(at, "is longer than 16384 bytes")
	case value != strings.Trim(value, " \t"):
		c.failf(at, "%q begins or ends with a blank", abbreviated(value))
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		c.failf(at, "%q has a control character", abbreviated(value))
	}
}
