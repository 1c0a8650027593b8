package config

import (
	"fmt"
	"strings"
)

func (c *checker) entryPoints() {
	names := sortedKeys(c.cfg.EntryPoints)
	listens := make(map[string]Listen, len(names))
	for _, name := range names {
		e := c.cfg.EntryPoints[name]
		at := "entryPoints." + name
		if l, err := ParseListen(e.Address); err == nil {
			listens[name] = l
			c.networkKeys(at, e, l.Network)
		} else if e.Address != "" {
			c.fail(at+".address", err.Error(), "")
		}
		if e.ProxyProtocol != nil {
			c.proxyProtocol(at+".proxyProtocol", e.ProxyProtocol)
		}
		c.entryPointHTTP(at+".http", &e.HTTP)
	}
	c.clashes(names, listens)
	c.redirections(names)
}

func (c *checker) proxyProtocol(at string, p *ProxyProtocol) {
	if len(p.TrustedIPs) == 0 && !p.Insecure && !c.brokenWithin(at) {
		c.fail(at, "trusts nobody, so no header would ever be read", "name the proxies in trustedIPs")
	}
}

// clashes reports entrypoints that share a port, with each other or with the
// admin endpoint. The loops listen with SO_REUSEPORT, so the kernel would not
// refuse it but deal the connections out between the two at random.
func (c *checker) clashes(names []string, listens map[string]Listen) {
	for i, name := range names {
		l, ok := listens[name]
		if !ok {
			continue
		}
		at := "entryPoints." + name + ".address"
		for _, other := range names[:i] {
			if m, ok := listens[other]; ok && l.overlaps(m) {
				file, line, col := c.cfg.Position("entryPoints." + other + ".address")
				c.failf(at, "%s clashes with %s of entryPoints.%s at %s:%d:%d",
					c.cfg.EntryPoints[name].Address, c.cfg.EntryPoints[other].Address, other, file, line, col)
			}
		}
		if admin, err := ParseListen(c.cfg.Admin.Address); err == nil && l.overlaps(admin) {
			c.failf(at, "%s clashes with the admin endpoint at %s", c.cfg.EntryPoints[name].Address, c.cfg.Admin.Address)
		}
	}
}

func (c *checker) adminAddress() {
	const at = "admin.address"
	l, err := ParseListen(c.cfg.Admin.Address)
	switch {
	case c.cfg.Admin.Address == "":
	case err != nil:
		c.fail(at, err.Error(), "")
	case l.Network != "tcp" || l.First != l.Last:
		c.failf(at, "%s: the admin endpoint listens on one TCP port", c.cfg.Admin.Address)
	}
}

// routerEntryPoints checks the entrypoints of a router and fills in the
// default ones where it names none.
func (c *checker) routerEntryPoints(at string, names *[]string, network string) {
	at += ".entryPoints"
	seen := map[string]bool{}
	for i := range *names {
		name, here := &(*names)[i], fmt.Sprintf("%s[%d]", at, i)
		refer(c, here, name, "entryPoints", c.cfg.EntryPoints)
		if seen[*name] {
			c.failf(here, "%q is named twice", *name)
		}
		seen[*name] = true
		e := c.cfg.EntryPoints[*name]
		if e == nil {
			continue
		}
		if l, err := ParseListen(e.Address); err == nil && l.Network != network {
			c.failf(here, "%q listens on %s and this router is for %s", *name, l.Network, network)
		}
	}
	if len(*names) > 0 {
		return
	}
	*names = c.defaultEntryPoints(network)
	if len(*names) == 0 && !c.brokenWithin("entryPoints") && !c.brokenAt("entryPoints") {
		hint := "add one to entryPoints"
		if network == "udp" {
			hint += `, with an address that ends in /udp`
		}
		c.fail(at, "there is no "+strings.ToUpper(network)+" entrypoint to listen on", hint)
	}
}

// defaultEntryPoints returns the entrypoints of the network that are marked
// asDefault, or all of them where none is; none of UDP ever is.
func (c *checker) defaultEntryPoints(network string) []string {
	var marked, all []string
	for _, name := range sortedKeys(c.cfg.EntryPoints) {
		e := c.cfg.EntryPoints[name]
		if e.Listen().Network != network {
			continue
		}
		all = append(all, name)
		if e.AsDefault {
			marked = append(marked, name)
		}
	}
	if len(marked) > 0 {
		return marked
	}
	return all
}
