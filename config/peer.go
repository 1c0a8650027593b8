package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Peer is a node of the cluster to look for, as cluster.join names it.
type Peer struct {
	Host string // an address, the name of a host, or with SRV the name of an SRV record
	Port uint16 // 0: the usual one; with SRV always, as the record says it
	SRV  bool
}

// peerForm tells how a node is written.
const peerForm = `write an ip or host, with or without a port, like "10.0.0.12:7946", or srv+NAME`

// ParsePeer reads a value of cluster.join. The error says what is wrong with
// it.
func ParsePeer(s string) (Peer, error) {
	p, wrong := parsePeer(s)
	if wrong != nil {
		return Peer{}, errors.New(wrong.message)
	}
	return p, nil
}

func parsePeer(s string) (Peer, *fault) {
	name, srv := strings.CutPrefix(s, "srv+")
	if srv {
		if !isHostName(name) {
			return Peer{}, &fault{strconv.Quote(abbreviated(name)) + " is not the name of an SRV record", `write it like "srv+_weir._tcp.example.com"`}
		}
		return Peer{Host: name, SRV: true}, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return Peer{Host: addr.Unmap().String()}, reachable(s, addr)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, ""
	}
	p := Peer{Host: host}
	if err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Peer{}, &fault{strconv.Quote(abbreviated(port)) + " is not a port", peerForm}
		}
		p.Port = uint16(n)
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		p.Host = addr.Unmap().String()
		return p, reachable(s, addr)
	case !isHostName(host) || looksLikeAddress(host):
		return Peer{}, &fault{strconv.Quote(abbreviated(s)) + " is neither an address nor the name of a host", peerForm}
	}
	return p, nil
}

// reachable finds fault with addresses that are nobody's.
func reachable(s string, addr netip.Addr) *fault {
	if addr.IsUnspecified() || addr.IsMulticast() {
		return &fault{strconv.Quote(abbreviated(s)) + " is not the address of a node", ""}
	}
	return nil
}

// looksLikeAddress reports whether the last label is a number, as of no name
// that there is (RFC 3696 section 2): 10.0.0.300 is an address gone wrong.
func looksLikeAddress(host string) bool {
	bare := strings.TrimSuffix(host, ".")
	last := bare[strings.LastIndexByte(bare, '.')+1:]
	return !strings.ContainsFunc(last, func(r rune) bool { return r < '0' || r > '9' })
}

// folded writes two peers that are one alike. Names in DNS have no case.
func (p Peer) folded() Peer {
	p.Host = strings.ToLower(strings.TrimSuffix(p.Host, "."))
	if p.Port == 0 && !p.SRV {
		p.Port = clusterPort
	}
	return p
}
