package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// The clients whose names the client claims in PROXY headers: addresses that
// nobody has (RFC 5737), so that a backend that hears them heard them from it.
const claims = 254

var (
	claimed   = netip.MustParsePrefix("198.51.100.0/24")
	claimedAt = netip.MustParseAddrPort("203.0.113.1:443")
)

// announcements are PROXY headers of version 2, one for each claimed client.
func announcements() ([][]byte, error) {
	all := make([][]byte, claims)
	from := claimed.Addr()
	for i := range all {
		from = from.Next()
		source := net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(20_000+i)))
		b, err := proxyproto.HeaderProxyFromAddrs(2, source, net.TCPAddrFromAddrPort(claimedAt)).Format()
		if err != nil {
			return nil, fmt.Errorf("PROXY header: %w", err)
		}
		all[i] = b
	}
	return all, nil
}

// errAnnounced is returned for a PROXY header that does not name one of the
// clients that the client claims to be.
var errAnnounced = errors.New("a PROXY header that names nobody of those who ask")

// Lengths of PROXY headers; both versions are told by their first bytes.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16  // of version 2
	proxyLine      = 107 // the longest of version 1
)

// announced reads the PROXY header that b begins with and returns its length; 0
// as long as it is not complete.
func announced(b []byte) (int, error) {
	n := 0
	if bytes.HasPrefix(b, []byte(proxySignature)) {
		if len(b) >= proxyFixed {
			n = proxyFixed + int(b[14])<<8 + int(b[15])
		}
	} else if end := bytes.Index(b, []byte("\r\n")); end > 0 {
		n = end + 2
	} else if len(b) > proxyLine {
		return 0, errAnnounced
	}
	if n == 0 || n > len(b) {
		if len(b) > small/2 {
			return 0, errAnnounced
		}
		return 0, nil
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b[:n])))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errAnnounced, err)
	}
	source, _, ok := header.TCPAddrs()
	if !ok || !claimed.Contains(source.AddrPort().Addr().Unmap()) {
		return 0, errAnnounced
	}
	return n, nil
}
