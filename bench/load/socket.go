package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const nonblocking = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

// backlog is how many connections may wait to be accepted.
const backlog = 4096

// listen opens a listening socket on a free port of a host. The port is one that the kernel gives to nobody by itself; a
// socket that was told its port keeps it, also while it does not listen.
func listen(host [4]byte) (fd int, addr string, err error) {
	const lowest, ports, tries = 10_000, 10_000, 100
	for range tries {
		fd, addr, err = listenAt(host, lowest+rand.IntN(ports))
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return fd, addr, err
}

func listenAt(host [4]byte, port int) (fd int, addr string, err error) {
	fd, err = unix.Socket(unix.AF_INET, nonblocking, 0)
	if err != nil {
		return -1, "", fmt.Errorf("socket: %w", err)
	}
	// What is accepted inherits NODELAY, so that the end of a long answer is
	// not held back.
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil {
		// Connections that have ended do not stand in the way.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: host, Port: port})
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, "", fmt.Errorf("listen: %w", err)
	}
	return fd, netip.AddrPortFrom(netip.AddrFrom4(host), uint16(port)).String(), nil
}

// accept takes one connection, non-blocking. Unlike unix.Accept4 it does not
// ask who it is.
func accept(listener int) (int, error) {
	fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0,
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// dial starts a connection. On loopback it is usually there on return.
func dial(to *unix.SockaddrInet4) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, nonblocking, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

func sockaddr(addr string) (*unix.SockaddrInet4, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the balancer: %w", err)
	}
	if !a.Addr().Is4() {
		return nil, fmt.Errorf("address of the balancer: %s is not IPv4", addr)
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}, nil
}

// discard drops up to a chunk of received bytes in the kernel: with MSG_TRUNC
// TCP copies nothing (tcp(7)). 0 without an error is the end of the stream.
func discard(fd int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(nil)), chunk,
		unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// again reports that a call would have blocked.
func again(err error) bool { return err == unix.EAGAIN || err == unix.EINTR }
