package eventloop

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	controlRoom   = 128 // bytes for all control messages of a datagram: the largest set takes 88
	segmentSize   = 2   // bytes of UDP_SEGMENT's argument
	controlHeader = 16  // a size of 8 bytes, a level and a type of 4 each (cmsg(3)); weir runs on 64 bits only
)

// control is what the kernel says about a datagram beside its bytes.
type control struct {
	local     netip.Addr // address to answer from; invalid when the kernel did not say
	segment   int        // size of all datagrams but the last of a train that came as one; 0 when there is but one
	overflow  uint32     // datagrams that the socket has dropped so far, modulo 2^32
	overflown bool       // overflow is given
}

// parseControl reads control messages, and stops at the first that does not fit: what the kernel wrote may be cut short.
func parseControl(b []byte) (c control) {
	for len(b) >= controlHeader {
		size := binary.NativeEndian.Uint64(b)
		if size < controlHeader || size > uint64(len(b)) {
			return c
		}
		c.add(binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:]), b[controlHeader:size])
		b = b[min(controlAlign(int(size)), len(b)):]
	}
	return c
}

func (c *control) add(level, kind uint32, data []byte) {
	switch {
	case level == unix.SOL_UDP && kind == unix.UDP_GRO && len(data) >= 4:
		c.segment = max(int(int32(binary.NativeEndian.Uint32(data))), 0)
	case level == unix.SOL_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		// Not where the datagram was sent to, which may be a broadcast address, but the address to answer from (ip(7)).
		c.local = netip.AddrFrom4([4]byte(data[4:8]))
	case level == unix.SOL_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if ip := netip.AddrFrom16([16]byte(data[:16])).Unmap(); !ip.IsMulticast() {
			c.local = ip
		}
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		c.overflow, c.overflown = binary.NativeEndian.Uint32(data), true
	}
}

// controlAlign is where the message after one of n bytes begins.
func controlAlign(n int) int { return (n + 7) &^ 7 }

// putLocal writes the message that has a datagram leave from local, and returns its size with padding. six is the form
// that an IPv6 socket wants, for IPv4 addresses too.
func putLocal(b []byte, local netip.Addr, six bool) int {
	if six {
		data := putControl(b, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		ip := local.As16()
		copy(data, ip[:])
		clear(data[16:]) // the interface follows from the addresses
		return controlAlign(controlHeader + unix.SizeofInet6Pktinfo)
	}
	data := putControl(b, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	clear(data)
	if local.Is4() {
		ip := local.As4()
		copy(data[4:], ip[:])
	}
	return controlAlign(controlHeader + unix.SizeofInet4Pktinfo)
}

// putSegment writes the message that has the kernel cut the bytes into datagrams of n, and returns its size with padding.
func putSegment(b []byte, n int) int {
	binary.NativeEndian.PutUint16(putControl(b, unix.SOL_UDP, unix.UDP_SEGMENT, segmentSize), uint16(n))
	return controlAlign(controlHeader + segmentSize)
}

// putControl writes a header and returns the room for n bytes of data.
func putControl(b []byte, level, kind uint32, n int) []byte {
	binary.NativeEndian.PutUint64(b, uint64(controlHeader+n))
	binary.NativeEndian.PutUint32(b[8:], level)
	binary.NativeEndian.PutUint32(b[12:], kind)
	return b[controlHeader : controlHeader+n]
}
