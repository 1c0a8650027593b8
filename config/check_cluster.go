package config

import (
	"fmt"
	"net/netip"
	"strings"
)

func (c *checker) cluster() {
	n := c.cfg.Cluster
	if n == nil {
		return
	}
	bind, err := netip.ParseAddrPort(n.Bind)
	switch {
	case n.Bind == "":
	case err != nil:
		c.fail("cluster.bind", fmt.Sprintf("%q is not ip:port", abbreviated(n.Bind)), `write it like "10.0.0.11:7946"`)
	case !bind.Addr().IsLoopback() && n.KeyFile == "":
		c.fail("cluster.keyFile", "missing", "off loopback the talk between nodes is encrypted")
	}
	for i, peer := range n.Join {
		if strings.HasPrefix(peer, "srv+") && len(peer) > len("srv+") || peer == "" {
			continue
		}
		if _, err := netip.ParseAddrPort(peer); err != nil {
			c.fail(fmt.Sprintf("cluster.join[%d]", i), fmt.Sprintf("%q is neither ip:port nor srv+NAME", abbreviated(peer)), "")
		}
	}
}
