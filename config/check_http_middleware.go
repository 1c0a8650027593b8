package config

import (
	"fmt"
	"strings"
)

func (c *checker) httpMiddleware(at string, m *HTTPMiddleware) {
	c.one(at, m)
	if m.Plugin != nil && len(m.Plugin) != 1 {
		c.fail(at+".plugin", fmt.Sprintf("has %d kinds", len(m.Plugin)), "write one: plugin: { KIND: { ... } }")
	}
	c.httpAccess(at, m)
	c.pathMiddleware(at, m)
	c.bodyMiddleware(at, m)
	if p := m.AddPrefix; p != nil && p.Prefix != "" {
		if !strings.HasPrefix(p.Prefix, "/") {
			p.Prefix = "/" + p.Prefix
		}
		c.pathPrefix(at+".addPrefix.prefix", p.Prefix)
	}
	if s := m.StripPrefix; s != nil {
		for i, prefix := range s.Prefixes {
			here := fmt.Sprintf("%s.stripPrefix.prefixes[%d]", at, i)
			if prefix != "" && !strings.HasPrefix(prefix, "/") {
				c.fail(here, fmt.Sprintf("no path starts with %q", abbreviated(prefix)), fmt.Sprintf("write %q", "/"+abbreviated(prefix)))
				continue
			}
			c.pathPrefix(here, prefix)
		}
	}
}

// pathPrefix refuses what would change the shape of a request's target.
func (c *checker) pathPrefix(at, prefix string) {
	if strings.ContainsAny(prefix, "?#") || strings.ContainsFunc(prefix, notVisible) {
		c.fail(at, fmt.Sprintf("%q is not a path: it has no blanks, ? or #", abbreviated(prefix)), "write others than letters percent-encoded")
	}
}
