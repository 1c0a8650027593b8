package discovery

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const (
	// DefaultResolvConf is where the system's resolvers are listed.
	DefaultResolvConf = "/etc/resolv.conf"

	maxResolvConf      = 64 << 10    // bytes that are read
	maxNameservers     = 8           // that are used; the C library stops at 3
	resolvConfInterval = time.Second // between two looks at the file
)

// system is what a resolv.conf(5) says.
type system struct {
	servers []netip.AddrPort
	config  *dns.ClientConfig // search and ndots
}

// parseResolvConf reads a resolv.conf(5). Servers that are not addresses are left out, as the C library does.
func parseResolvConf(r io.Reader, port uint16) (system, error) {
	config, err := dns.ClientConfigFromReader(io.LimitReader(r, maxResolvConf))
	if err != nil {
		return system{}, err
	}
	s := system{config: config}
	for _, text := range config.Servers {
		addr, err := netip.ParseAddr(text)
		if err == nil && len(s.servers) < maxNameservers {
			s.servers = append(s.servers, netip.AddrPortFrom(addr.Unmap(), port))
		}
	}
	return s, nil
}

// A resolvConf follows the file: a DHCP client or a VPN may replace it at any time.
type resolvConf struct {
	path   string
	port   uint16
	asked  bool        // its servers are asked, so that a file without any is broken; else only its search list counts
	looked time.Time   // when the file was last looked at
	info   fs.FileInfo // of the file as it was read; nil = not yet
	system system      // the last good content
	err    error       // of the last look
}

// refresh reads the file if it has changed, and reports whether it did. A file that is gone or broken changes nothing.
func (c *resolvConf) refresh(now time.Time) bool {
	if !c.looked.IsZero() && now.Sub(c.looked) < resolvConfInterval {
		return false
	}
	c.looked = now
	info, err := os.Stat(c.path)
	if err != nil {
		c.err = err
		return false
	}
	if c.info != nil && os.SameFile(c.info, info) && info.ModTime().Equal(c.info.ModTime()) && info.Size() == c.info.Size() {
		return false
	}
	s, err := c.read()
	if err != nil {
		c.err = err
		return false
	}
	c.info, c.system, c.err = info, s, nil
	return true
}

func (c *resolvConf) read() (system, error) {
	f, err := os.Open(c.path)
	if err != nil {
		return system{}, err
	}
	defer f.Close()
	s, err := parseResolvConf(f, c.port)
	if err == nil && c.asked && len(s.servers) == 0 {
		err = fmt.Errorf("%s names no server", c.path)
	}
	return s, err
}

// parseNameserver reads ip, ip:port or [ip]:port.
func parseNameserver(text string, port uint16) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), port), nil
	}
	host, service, err := net.SplitHostPort(text)
	if err == nil {
		addr, errAddr := netip.ParseAddr(host)
		n, errPort := strconv.ParseUint(service, 10, 16)
		if errAddr == nil && errPort == nil && n > 0 {
			return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("name server %q: write it as ip or ip:port, e.g. 10.0.0.2:53", text)
}
