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

// maxNameservers bounds the DNS servers of one resolver: a lookup that asks them
// all must end in bearable time.
const maxNameservers = 8

// nameservers checks the addresses of DNS servers.
func (c *checker) nameservers(at string, r *Resolver) {
	if len(r.Nameservers) > maxNameservers {
		c.failf(fmt.Sprintf("%s[%d]", at, maxNameservers), "more than %d DNS servers", maxNameservers)
	}
	first := map[netip.AddrPort]int{}
	for i, written := range r.Nameservers {
		here := fmt.Sprintf("%s[%d]", at, i)
		if written == "" {
			continue // reported as empty
		}
		addr, wrong := parseNameserver(written, r.Transport)
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

// parseNameserver reads the address of a DNS server. Without a port it is that
// of the transport (RFC 1035 section 4.2, RFC 7858 section 3.1).
func parseNameserver(written, transport string) (netip.AddrPort, *fault) {
	const form = `write it like "10.0.0.2:53" or "10.0.0.2"`
	if ip, err := netip.ParseAddr(written); err == nil {
		port := uint16(53)
		if transport == "tls" {
			port = 853
		}
		return netip.AddrPortFrom(ip.Unmap(), port), nil
	}
	addr, err := netip.ParseAddrPort(written)
	switch {
	case err != nil:
		return netip.AddrPort{}, &fault{fmt.Sprintf("%q is neither ip:port nor ip", abbreviated(written)), form}
	case addr.Port() == 0:
		return netip.AddrPort{}, &fault{written + " has port 0, where nobody answers", form}
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}
