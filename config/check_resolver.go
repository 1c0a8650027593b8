package config

import (
	"fmt"
	"net/netip"
)

func (c *checker) resolvers() {
	for _, name := range sortedKeys(c.cfg.Resolvers) {
		r, at := c.cfg.Resolvers[name], "resolvers."+name
		c.nameservers(at+".nameservers", r)
		c.resolverName(at, r)
		if r.MinTTL > r.MaxTTL && !c.brokenAt(at+".maxTTL") {
			c.failf(at+".minTTL", "%s is more than maxTTL %s", r.MinTTL, r.MaxTTL)
		}
	}
}

// nameservers checks the addresses of DNS servers. One that stood there twice
// would be asked twice before the next one.
func (c *checker) nameservers(at string, r *Resolver) {
	first := map[netip.AddrPort]int{}
	for i, written := range r.Nameservers {
		here := fmt.Sprintf("%s[%d]", at, i)
		if written == "" {
			continue // reported as empty
		}
		addr, wrong := r.nameserver(written)
		if wrong != nil {
			c.fail(here, wrong.message, wrong.hint)
			continue
		}
		if j, twice := first[addr]; twice {
			c.failf(here, "%s is nameservers[%d] already", written, j)
			continue
		}
		first[addr] = i
	}
}

// resolverName checks the name that the certificates of DNS servers must have.
func (c *checker) resolverName(at string, r *Resolver) {
	at, transport := at+".serverName", at+".transport"
	switch _, notAddress := netip.ParseAddr(r.ServerName); {
	case r.ServerName == "":
	case r.Transport != "tls" && !c.brokenAt(transport):
		c.fail(at, "has no meaning for transport "+r.Transport, "only for transport tls")
	case notAddress != nil && !isHostName(r.ServerName):
		c.failf(at, "%q is not a host name", abbreviated(r.ServerName))
	}
}
