package eventloop

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// datagramBuffer is asked for as the receive and the send buffer of a bound socket, in bytes; the kernel doubles it for its own
// needs and caps it at net.core.rmem_max and wmem_max. It holds some ten thousand small datagrams while a loop is busy.
const datagramBuffer = 4 << 20

// DatagramSocket is a bound UDP socket that no loop serves yet. It can be opened before the loops that will serve it run,
// and handed from one owner to another.
type DatagramSocket struct {
	fd   int
	addr netip.AddrPort
	six  bool // an IPv6 socket, which takes IPv4 addresses in their mapped form
}

// OpenDatagrams binds a UDP socket. Several sockets may share one address (SO_REUSEPORT): the kernel sends all datagrams
// of a source to the same of them while their number does not change. An unspecified IPv6 address ([::]) takes IPv4 too
// unless v6only is set. Port 0 picks a free one.
func OpenDatagrams(addr netip.AddrPort, v6only bool) (*DatagramSocket, error) {
	fd, err := datagramSocket(addr.Addr())
	if err != nil {
		return nil, fmt.Errorf("listen on %s/udp: %w", addr, err)
	}
	bound, err := prepareDatagrams(fd, addr, v6only)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s/udp: %w", addr, err)
	}
	return &DatagramSocket{fd: fd, addr: bound, six: addr.Addr().Is6()}, nil
}

// VacantDatagrams returns an error when another UDP socket holds addr already. Two programs of one user that both allow
// sharing would bind it without one, and the kernel would deal the sources out between them.
func VacantDatagrams(addr netip.AddrPort, v6only bool) error {
	fd, err := datagramSocket(addr.Addr())
	if err != nil {
		return fmt.Errorf("listen on %s/udp: %w", addr, err)
	}
	defer unix.Close(fd)
	if _, err := bindDatagrams(fd, addr, v6only); err != nil {
		return fmt.Errorf("listen on %s/udp: %w", addr, err)
	}
	return nil
}

func datagramSocket(ip netip.Addr) (int, error) {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// prepareDatagrams sets a socket's options and binds it, in this order: a datagram must not come in before it is known
// which address it was sent to.
func prepareDatagrams(fd int, addr netip.AddrPort, v6only bool) (netip.AddrPort, error) {
	for _, o := range datagramOptions(addr.Addr()) {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return netip.AddrPort{}, fmt.Errorf("set socket option %d/%d: %w", o.level, o.option, err)
		}
	}
	return bindDatagrams(fd, addr, v6only)
}

type socketOption struct{ level, option, value int }

// datagramOptions are those of a socket that will be bound to ip.
func datagramOptions(ip netip.Addr) []socketOption {
	options := []socketOption{
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, datagramBuffer},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, datagramBuffer},
		{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
		{unix.SOL_UDP, unix.UDP_GRO, 1},
	}
	switch { // a socket with one address knows where its datagrams were sent to
	case ip.IsUnspecified() && ip.Is4():
		options = append(options, socketOption{unix.SOL_IP, unix.IP_PKTINFO, 1})
	case ip.IsUnspecified():
		options = append(options, socketOption{unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1}) // for IPv4 too, in the mapped form
	}
	return options
}

// bindDatagrams gives fd its address. SO_REUSEADDR is not set: for UDP it would let others bind the address as well.
func bindDatagrams(fd int, addr netip.AddrPort, v6only bool) (netip.AddrPort, error) {
	var none netip.AddrPort
	if addr.Addr().Is6() {
		only := 0
		if v6only {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return none, fmt.Errorf("set IPV6_V6ONLY: %w", err)
		}
	}
	var raw rawAddr
	raw.set(addr)
	if err := raw.bind(fd); err != nil {
		return none, fmt.Errorf("bind: %w", err)
	}
	if err := raw.localName(fd); err != nil {
		return none, fmt.Errorf("read bound address: %w", err)
	}
	return raw.addrPort(), nil
}

// Addr is the bound address, with the port the kernel picked where 0 was asked for.
func (s *DatagramSocket) Addr() netip.AddrPort { return s.addr }

// FD is the descriptor; it stays the DatagramSocket's.
func (s *DatagramSocket) FD() int { return s.fd }

// Close closes a socket that no Datagrams has taken over.
func (s *DatagramSocket) Close() error { return unix.Close(s.fd) }
