package config

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds that the cluster itself keeps to. A test of the server holds them
// against those of package cluster.
const (
	MaxClusterName = 128 // bytes
	MaxNodeName    = 255 // bytes

	clusterPort = 7946
	maxPeers    = 128 // in cluster.join
)

func (c *checker) cluster() {
	n := c.cfg.Cluster
	if n == nil {
		return
	}
	c.graphic("cluster.name", n.Name, MaxClusterName)
	c.graphic("cluster.node", n.Node, MaxNodeName)
	c.clusterAddresses(n)
	c.peers(n.Join)
	c.notContent("cluster.keyFile", n.KeyFile)
}

// graphic checks a name that appears in logs and on consoles.
func (c *checker) graphic(at, name string, most int) {
	switch {
	case len(name) > most:
		c.failf(at, "has more than %d bytes", most)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		c.failf(at, "%q has characters that cannot be printed", abbreviated(name))
	}
}

// clusterAddresses checks where the node listens, where the others reach it,
// and that the talk between them is encrypted where others could listen.
func (c *checker) clusterAddresses(n *Cluster) {
	socket, err := netip.ParseAddrPort(n.Bind)
	bind, bound := socket.Addr().Unmap(), err == nil
	if n.Bind != "" && !bound {
		c.fail("cluster.bind", fmt.Sprintf("%q is not ip:port", abbreviated(n.Bind)), `write it like "10.0.0.11:7946"`)
	}
	advertise, written := parseAdvertise(n.Advertise)
	switch {
	case n.Advertise == "" && bound && bind.IsUnspecified():
		c.fail("cluster.advertise", "missing", "bind is "+bind.String()+", which tells the other nodes no address to reach this one at")
	case n.Advertise == "":
		advertise = bind
	case !written:
		c.fail("cluster.advertise", fmt.Sprintf("%q is neither ip:port nor ip", abbreviated(n.Advertise)), `write it like "10.0.0.11:7946"`)
	case advertise.IsUnspecified() || advertise.IsMulticast():
		c.failf("cluster.advertise", "%q is not an address at which the other nodes reach this one", abbreviated(n.Advertise))
	}
	if local := bind.IsLoopback() && advertise.IsLoopback(); bound && !local && n.KeyFile == "" {
		c.fail("cluster.keyFile", "missing", "off loopback the talk between nodes is encrypted")
	}
}

// parseAdvertise reads ip:port or ip.
func parseAdvertise(s string) (netip.Addr, bool) {
	if full, err := netip.ParseAddrPort(s); err == nil {
		return full.Addr().Unmap(), full.Port() != 0
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil
}

func (c *checker) peers(join []string) {
	if len(join) > maxPeers {
		c.fail(fmt.Sprintf("cluster.join[%d]", maxPeers), fmt.Sprintf("more than %d nodes", maxPeers),
			"a few are enough: they know the others")
	}
	first := map[Peer]int{}
	for i, written := range join {
		at := fmt.Sprintf("cluster.join[%d]", i)
		if written == "" {
			continue // reported as empty
		}
		peer, wrong := parsePeer(written)
		if wrong != nil {
			c.fail(at, wrong.message, wrong.hint)
			continue
		}
		if j, twice := first[peer.folded()]; twice {
			c.failf(at, "%s is join[%d] already", written, j)
			continue
		}
		first[peer.folded()] = i
	}
}
