package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// queueSize is what a UDP socket here may hold, in bytes of kernel memory:
// what is measured must lose datagrams before the load does.
const queueSize = 4 << 20

// listenUDP opens a socket on a free port of an address, which may be the
// unspecified one.
func listenUDP(at netip.Addr) (fd int, addr netip.AddrPort, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, addr, fmt.Errorf("socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at.As4()})
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, queueSize)
		}
	}
	// Above the system's own bound only with privileges; less is worth a try.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queueSize)
	var bound unix.Sockaddr
	if err == nil {
		bound, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("listen for datagrams: %w", err)
	}
	v4 := bound.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port)), nil
}

// connectUDP makes a socket speak with one address only.
func connectUDP(fd int, to unix.RawSockaddrInet4) error {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&to.Port))[:])
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr, Port: int(port)}); err != nil {
		return fmt.Errorf("connect for datagrams: %w", err)
	}
	return nil
}

// joinTrains makes a socket hand over trains as one (UDP_GRO, udp(7)).
func joinTrains(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return fmt.Errorf("take trains of datagrams: %w", err)
	}
	return nil
}

// tellAddresses makes a socket say which of its addresses a datagram was sent
// to (IP_PKTINFO, ip(7)).
func tellAddresses(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return fmt.Errorf("ask for addresses of datagrams: %w", err)
	}
	return nil
}

// udpAddr reads an IPv4 address with its port.
func udpAddr(what, addr string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return a, fmt.Errorf("address of the %s: %w", what, err)
	}
	if !a.Addr().Is4() {
		return a, fmt.Errorf("address of the %s: %s is not IPv4", what, addr)
	}
	return a, nil
}
