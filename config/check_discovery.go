package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// discovery checks the sources of a service's servers. The same one twice is
// work done twice, and most likely a slip.
func (c *checker) discovery(at string, sources Discovery) {
	for i, s := range sources {
		here := c.cfg.item(at, i)
		c.oneOf(here, s, "write a list with an entry for each")
		c.source(here, s)
		if j := slices.IndexFunc(sources[:i], s.equal); j >= 0 && !c.brokenWithin(here) {
			c.failf(here, "is discovery[%d] already", j)
		}
	}
}

func (c *checker) source(at string, s *Source) {
	if s.DNSSRV != nil {
		c.lookup(at+".dnsSRV", s.DNSSRV.Name, &s.DNSSRV.Resolver)
	}
	if s.DNS != nil {
		c.lookup(at+".dns", s.DNS.Name, &s.DNS.Resolver)
	}
	if s.File != nil && strings.ContainsRune(s.File.Path, 0) {
		c.fail(at+".file.path", "the path of a file has no zero byte", "")
	}
	if s.HTTP != nil {
		c.httpSource(at+".http", s.HTTP)
	}
}

// lookup checks what is asked for, and who is asked.
func (c *checker) lookup(at, name string, resolver *string) {
	_, err := netip.ParseAddr(name)
	switch {
	case name == "": // reported as missing
	case err == nil:
		c.fail(at+".name", fmt.Sprintf("%q is an address and not a name", abbreviated(name)), "list it in servers")
	case !isHostName(name):
		c.fail(at+".name", fmt.Sprintf("%q is not a name that DNS has", abbreviated(name)),
			"letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all")
	}
	if *resolver != defaultResolver {
		refer(c, at+".resolver", resolver, "resolvers", c.cfg.Resolvers)
	}
}

func (c *checker) httpSource(at string, s *HTTPSource) {
	c.headers(at+".headers", s.Headers)
	for _, name := range sortedKeys(s.Headers) {
		if strings.EqualFold(name, "Host") {
			c.fail(at+".headers."+name, "is the host of the URL, and no other", "put it into the URL")
		}
	}
	if s.TLS != nil && strings.ContainsFunc(s.TLS.ServerName, notVisible) {
		c.failf(at+".tls.serverName", "%q is not a host name", abbreviated(s.TLS.ServerName))
	}
	if s.URL == "" {
		return // reported as missing
	}
	u, wrong := parseListURL(s.URL)
	switch {
	case wrong != nil:
		c.fail(at+".url", wrong.message, wrong.hint)
	case u.Scheme != "https" && s.TLS != nil:
		c.fail(at+".tls", "has no meaning for an http URL", "write https:// or remove the key")
	}
}

// parseListURL reads the URL of a list of servers. The messages never show a
// user or password that stands in it. There may be none: URLs get into logs.
func parseListURL(written string) (*url.URL, *fault) {
	const form = `write it like "https://inventory.internal/servers.json"`
	u, err := url.Parse(written)
	if err != nil {
		return nil, &fault{withoutUser(written) + " is not a URL", form}
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, &fault{fmt.Sprintf("%q is not an http or https URL", abbreviated(u.Redacted())), form}
	case u.User != nil:
		return nil, &fault{"a user in the URL would show wherever the URL does", `write headers: { Authorization: "Basic ..." }`}
	case u.Fragment != "":
		return nil, &fault{"a fragment in the URL would not be sent", "remove the # and what follows it"}
	}
	if u.Port() == "" {
		return u, nil
	}
	port, err := parsePort(u.Port())
	if err != nil {
		return nil, &fault{err.Error(), form}
	}
	if port == 0 {
		return nil, &fault{"port 0, to which nobody can connect", form}
	}
	return u, nil
}

// equal reports whether two sources are one. Names in DNS have no case
// (RFC 4343).
func (s *Source) equal(o *Source) bool { return reflect.DeepEqual(s.folded(), o.folded()) }

// folded returns a copy in which what means the same is the same.
func (s *Source) folded() Source {
	out := *s
	if s.DNSSRV != nil {
		srv := *s.DNSSRV
		srv.Name, srv.Resolver = strings.ToLower(srv.Name), orDefault(srv.Resolver, defaultResolver)
		out.DNSSRV = &srv
	}
	if s.DNS != nil {
		host := *s.DNS
		host.Name, host.Resolver = strings.ToLower(host.Name), orDefault(host.Resolver, defaultResolver)
		out.DNS = &host
	}
	if s.File != nil {
		out.File = &FileSource{Path: filepath.Clean(s.File.Path)}
	}
	return out
}

// isHostName reports whether s is the name of a host or of a service: a domain
// name of letters, digits, hyphens and underscores.
func isHostName(s string) bool {
	return s != "." && isDomainName(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
