package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Listen is the parsed address of an entrypoint.
type Listen struct {
	Network string     // tcp or udp
	Addr    netip.Addr // the zero Addr means all IPv4 and IPv6 addresses; :: all IPv6, 0.0.0.0 all IPv4
	First   uint16     // first port; 0 lets the kernel choose, and then Last is 0 too
	Last    uint16     // last port, included
}

// ParseListen reads [ip]:port[-port][/tcp|/udp].
func ParseListen(address string) (Listen, error) {
	l := Listen{Network: "tcp"}
	rest, network, found := strings.Cut(address, "/")
	if found {
		if network != "tcp" && network != "udp" {
			return Listen{}, fmt.Errorf("unknown network %q: write /tcp, /udp or nothing", abbreviated(network))
		}
		l.Network = network
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return Listen{}, fmt.Errorf("%q has no port: write ip:port, or :port for all addresses", abbreviated(rest))
	}
	if err := l.parseHost(rest[:colon]); err != nil {
		return Listen{}, err
	}
	first, last, isRange := strings.Cut(rest[colon+1:], "-")
	var err error
	if l.First, err = parsePort(first); err != nil {
		return Listen{}, err
	}
	l.Last = l.First
	if !isRange {
		return l, nil
	}
	if l.Last, err = parsePort(last); err != nil {
		return Listen{}, err
	}
	if l.First == 0 || l.Last < l.First {
		return Listen{}, fmt.Errorf("%s-%s is not a range of ports", first, last)
	}
	return l, nil
}

func (l *Listen) parseHost(host string) error {
	if host == "" {
		return nil
	}
	bare, bracketed := host, false
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare, bracketed = host[1:len(host)-1], true
	}
	addr, err := netip.ParseAddr(bare)
	switch {
	case err != nil && host == "*":
		return fmt.Errorf("%q is not an IP address: leave it out to listen on all addresses", host)
	case err != nil:
		return fmt.Errorf("%q is not an IP address: write the address to listen on, or nothing for all", abbreviated(host))
	case addr.Is6() != bracketed:
		return fmt.Errorf("%q: an IPv6 address, and only that, stands in [ ]", abbreviated(host))
	}
	l.Addr = addr.Unmap()
	return nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%q is not a port: write a number from 0 to 65535", abbreviated(s))
	}
	return uint16(n), nil
}

// overlaps reports whether both would listen on one port of one address.
func (l Listen) overlaps(m Listen) bool {
	if l.Network != m.Network || l.First == 0 || m.First == 0 || l.Last < m.First || m.Last < l.First {
		return false
	}
	switch {
	case !l.Addr.IsValid() || !m.Addr.IsValid():
		return true
	case l.Addr.Is4() != m.Addr.Is4():
		return false
	}
	return l.Addr == m.Addr || l.Addr.IsUnspecified() || m.Addr.IsUnspecified()
}

// Listen returns the parsed Address; it is valid in a loaded Config.
func (e *EntryPoint) Listen() Listen {
	l, err := ParseListen(e.Address)
	if err != nil {
		return Listen{}
	}
	return l
}
