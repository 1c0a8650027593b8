package eventloop

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAddr is room for a socket address as the kernel writes it. The loops keep one each, because the ready-made wrappers
// allocate an address object per call, and one of them asks the kernel for the protocol besides.
type rawAddr struct {
	sa     unix.RawSockaddrAny
	length uint32
}

// reset makes the whole room available to the next call.
func (a *rawAddr) reset() { a.length = uint32(unsafe.Sizeof(a.sa)) }

// addrPort reads an IPv4 or IPv6 address; v4-mapped addresses come back as IPv4. Other families give the zero value.
func (a *rawAddr) addrPort() netip.AddrPort {
	switch a.sa.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), networkOrder(sa.Port))
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&a.sa))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(sa.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, networkOrder(sa.Port))
	}
	return netip.AddrPort{}
}

// familyOf is the address family of addr. A zone that is an absolute path makes it the address of a Unix socket.
func familyOf(addr netip.AddrPort) int {
	switch ip := addr.Addr(); {
	case strings.HasPrefix(ip.Zone(), "/"):
		return unix.AF_UNIX
	case ip.Is6():
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// set writes addr in the form of its own family. A path that is too long is cut, and leads nowhere then.
func (a *rawAddr) set(addr netip.AddrPort) {
	ip := addr.Addr()
	if familyOf(addr) == unix.AF_UNIX {
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&a.sa))
		*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		for i, c := range []byte(ip.Zone()[:min(len(ip.Zone()), len(sa.Path)-1)]) {
			sa.Path[i] = int8(c)
		}
		a.length = uint32(unsafe.Sizeof(*sa))
		return
	}
	if ip.Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.sa))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(addr.Port()), Addr: ip.As4()}
		a.length = uint32(unsafe.Sizeof(*sa))
		return
	}
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&a.sa))
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(addr.Port()), Addr: ip.As16()}
	if zone, err := strconv.ParseUint(ip.Zone(), 10, 32); err == nil {
		sa.Scope_id = uint32(zone)
	}
	a.length = uint32(unsafe.Sizeof(*sa))
}

// networkOrder turns a port of a raw address into a number, and back.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}

// accept takes one connection from a listening socket, non-blocking and close-on-exec, its peer's address in a.
func (a *rawAddr) accept(fd int) (int, error) {
	a.reset()
	for {
		nfd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&a.sa)),
			uintptr(unsafe.Pointer(&a.length)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(nfd), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}

// connect starts connecting fd to the address in a.
func (a *rawAddr) connect(fd int) error {
	_, _, errno := syscall.Syscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.sa)), uintptr(a.length))
	if errno != 0 {
		return errno
	}
	return nil
}

// peerName asks for the address at the other end of fd; it fails while fd is not connected.
func (a *rawAddr) peerName(fd int) error { return a.name(syscall.SYS_GETPEERNAME, fd) }

// localName asks for the address of fd itself.
func (a *rawAddr) localName(fd int) error { return a.name(syscall.SYS_GETSOCKNAME, fd) }

func (a *rawAddr) name(call uintptr, fd int) error {
	a.reset()
	_, _, errno := syscall.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&a.sa)), uintptr(unsafe.Pointer(&a.length)))
	if errno != 0 {
		return errno
	}
	return nil
}

// bind binds fd to the address in a.
func (a *rawAddr) bind(fd int) error {
	_, _, errno := syscall.Syscall(syscall.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&a.sa)), uintptr(a.length))
	if errno != 0 {
		return errno
	}
	return nil
}
