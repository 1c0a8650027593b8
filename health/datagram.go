package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/weirlb/weir/upstream"
)

const (
	// datagramLimit is the longest payload of a UDP datagram over IPv4: 65,535 bytes without 20 of IP and 8 of UDP.
	datagramLimit = 65507

	// strayLimit bounds how many datagrams one wait reads that are not the answer: a server that floods its client does
	// not serve.
	strayLimit = 1024
)

var (
	errFlood     = errors.New("too many datagrams that are not the answer")
	errProxyUDP  = errors.New("version 1 of the PROXY protocol has no header for datagrams: write version 2")
	errUnixNoUDP = errors.New("a Unix socket takes no datagrams of this check")
)

// newDatagramTarget is for the kinds that send datagrams: nothing encrypts those, and a PROXY header stands before each.
func newDatagramTarget(t target, proxyProtocol int) (target, error) {
	if proxyProtocol == 1 {
		return target{}, errProxyUDP
	}
	return target{port: t.port, header: t.header}, nil
}

// introduced is a connection whose datagrams begin with a header.
type introduced struct {
	net.Conn
	header []byte
}

func (c introduced) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(slices.Concat(c.header, p))
	return max(n-len(c.header), 0), err
}

// correspond lets talk exchange datagrams with the server before ctx ends. Each call has a socket of its own, on a port that the
// kernel chooses at random, and connected, so that datagrams from elsewhere never arrive and the server's ICMP errors do.
func (t target) correspond(ctx context.Context, addr netip.AddrPort, talk func(conn net.Conn) error) error {
	addr = t.asked(addr)
	if _, ok := upstream.UnixPath(addr); ok {
		return errUnixNoUDP
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr.String())
	if err != nil {
		return fmt.Errorf("open a socket: %w", reason(err))
	}
	defer conn.Close()
	release, err := keepTo(ctx, conn)
	if err != nil {
		return err
	}
	defer release()
	if len(t.header) > 0 {
		return talk(introduced{conn, t.header})
	}
	return talk(conn)
}

// awaitDatagram reads datagrams of at most size bytes until one is the answer: accept returns nil for it, and otherwise what is
// wrong with the datagram, which it may not keep. Others are passed over until the conversation's deadline; the last of them is
// in the error then.
func awaitDatagram(conn net.Conn, size int, accept func(datagram []byte) error) error {
	buf := make([]byte, size)
	var stray error
	for strays := 0; ; strays++ {
		if strays == strayLimit {
			return fmt.Errorf("%w: %d, the last one: %w", errFlood, strays, stray)
		}
		n, err := conn.Read(buf)
		if err != nil && stray != nil {
			return fmt.Errorf("wait for the answer: %w; got something else: %w", reason(err), stray)
		}
		if err != nil {
			return fmt.Errorf("wait for the answer: %w", reason(err))
		}
		if stray = accept(buf[:n]); stray == nil {
			return nil
		}
	}
}
