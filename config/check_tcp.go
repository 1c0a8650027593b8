package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/weirlb/weir/internal/rule"
)

func (c *checker) tcp() {
	t := &c.cfg.TCP
	for _, name := range sortedKeys(t.Routers) {
		r, at := t.Routers[name], "tcp.routers."+name
		c.routerEntryPoints(at, &r.EntryPoints, "tcp")
		c.rule(at+".rule", r.Rule, rule.TCP, r.TLS != nil || c.brokenAt(at+".tls"))
		refer(c, at+".service", &r.Service, "tcp.services", t.Services)
		for i := range r.Middlewares {
			refer(c, fmt.Sprintf("%s.middlewares[%d]", at, i), &r.Middlewares[i], "tcp.middlewares", t.Middlewares)
		}
		if r.TLS != nil {
			c.tlsOptionsName(at+".tls.options", &r.TLS.Options)
		}
	}
	for _, name := range sortedKeys(t.Middlewares) {
		c.one("tcp.middlewares."+name, t.Middlewares[name])
	}
	next := make(map[string][]reference, len(t.Services))
	for _, name := range sortedKeys(t.Services) {
		s, at := t.Services[name], "tcp.services."+name
		c.one(at, s)
		if s.LoadBalancer != nil {
			c.loadBalancer(at+".loadBalancer", s.LoadBalancer)
		}
		next[name] = references(c, "tcp.services", t.Services, mentions(at, s.Weighted, s.Failover))
	}
	c.circles(sortedKeys(t.Services), func(name string) []reference { return next[name] })
}

// tlsOptionsName checks a reference to TLS settings. The default ones are
// there without being written.
func (c *checker) tlsOptionsName(at string, name *string) {
	if *name == "" || *name == "default" {
		return
	}
	refer(c, at, name, "tls.options", c.cfg.TLS.Options)
}

func (c *checker) loadBalancer(at string, l *LoadBalancer) {
	c.servers(at, l.Servers, l.Discovery)
	if l.HealthCheck != nil {
		c.healthCheck(at+".healthCheck", l.HealthCheck, "TCP")
	}
	ref := &l.ServersTransport
	refer(c, at+".serversTransport", &ref.Name, "tcp.serversTransports", c.cfg.TCP.ServersTransports)
}

// servers checks the addresses of a service's servers and where further ones
// come from.
func (c *checker) servers(at string, servers []Server, discovery Discovery) {
	c.discovery(at+".discovery", discovery)
	if len(servers) == 0 && len(discovery) == 0 && !c.brokenWithin(at) {
		c.fail(at+".servers", "the service has no servers", `add one, such as { address: "10.0.0.1:5432" }, or write discovery`)
	}
	first := map[netip.AddrPort]int{}
	for i := range servers {
		here := fmt.Sprintf("%s.servers[%d].address", at, i)
		addr, ok := c.serverAddress(here, servers[i].Address)
		if !ok {
			continue
		}
		if j, twice := first[addr]; twice {
			c.failf(here, "%s is servers[%d] already", servers[i].Address, j)
			continue
		}
		first[addr] = i
	}
}

func (c *checker) serverAddress(at, written string) (netip.AddrPort, bool) {
	const form = `write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432"`
	addr, err := netip.ParseAddrPort(written)
	if err == nil && addr.Port() != 0 {
		if wrong := zoneFault(addr.Addr()); wrong != nil {
			c.fail(at, wrong.message, wrong.hint)
			return netip.AddrPort{}, false
		}
		return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), true
	}
	host, _, splitErr := net.SplitHostPort(written)
	_, ipErr := netip.ParseAddr(host)
	switch {
	case written == "": // reported as missing
	case err == nil:
		c.fail(at, fmt.Sprintf("%s has port 0, to which nobody can connect", written), form)
	case splitErr == nil && host != "" && ipErr != nil:
		wrong := hostNameFault(host)
		c.fail(at, wrong.message, wrong.hint)
	default:
		c.fail(at, fmt.Sprintf("%q is not ip:port", abbreviated(written)), form)
	}
	return netip.AddrPort{}, false
}

// zoneFault says why the zone of a server's address cannot be used, nil where
// there is none or it can. weir hands numbers of interfaces to the kernel and
// looks no names up; a zone that is a path is its own form of a Unix socket.
func zoneFault(ip netip.Addr) *fault {
	zone := ip.Zone()
	number, err := strconv.ParseUint(zone, 10, 32)
	switch {
	case zone == "":
		return nil
	case !ip.IsLinkLocalUnicast():
		message := fmt.Sprintf("%q has a zone, which only a link-local address has", abbreviated(ip.String()))
		return &fault{message, "remove the % and what follows it"}
	case err != nil || number == 0 || strconv.FormatUint(number, 10) != zone:
		message := fmt.Sprintf("the zone %q is not the number of an interface", abbreviated(zone))
		return &fault{message, "write its number, which ip link shows"}
	}
	return nil
}
