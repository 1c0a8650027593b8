package eventloop

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Dialer learns how a connection attempt ended.
type Dialer interface {
	// Connected is called on the loop: err is nil when s is connected and ready to be written to, and otherwise the
	// system's reason (ECONNREFUSED, EHOSTUNREACH, ...) with s closed already.
	Connected(s *Stream, err error)
}

// errBacklog is what a Unix socket says whose server does not keep up with accepting; unlike TCP it does not try again.
var errBacklog = errors.New("the server's backlog is full")

// Dial starts to connect s to addr and returns at once; an address whose zone is an absolute path is that of a Unix socket. d is told how it ended, never from inside Dial. An error means
// that the attempt could not even start, and d will not be told. The caller bounds the attempt by a timer and Close.
func (s *Stream) Dial(l *Loop, addr netip.AddrPort, d Dialer) error {
	family := familyOf(addr)
	fd, err := l.socket(family)
	if err != nil {
		return fmt.Errorf("dial %s: socket: %w", addr, err)
	}
	l.addr.set(addr)
	if err := l.addr.connect(fd); err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		if family == unix.AF_UNIX && err == unix.EAGAIN {
			err = errBacklog
		}
		return fmt.Errorf("dial %s: %w", addr, err)
	}
	s.begin(l, fd, addr, nil)
	s.connecting, s.dialer, s.tellsRoom = true, d, true
	if err := l.watch(fd, s); err != nil {
		s.Close()
		return fmt.Errorf("dial %s: %w", addr, err)
	}
	return nil
}

// socket opens one, with a descriptor that somebody else gives back where there is no other.
func (l *Loop) socket(family int) (fd int, err error) {
	for {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err == nil || !l.relieved(err) {
			return fd, err
		}
	}
}

// connectEvent finds out whether the connection stands. Only getpeername proves that it does: the event may be a stale
// one of an earlier descriptor with the same number, and SO_ERROR is 0 while the attempt is still going on.
func (s *Stream) connectEvent(events uint32) {
	err := s.loop.addr.peerName(int(s.fd))
	if err != nil {
		code, soErr := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if soErr == nil && code == 0 {
			return // still connecting
		}
		if soErr == nil {
			err = unix.Errno(code)
		}
	}
	d := s.dialer
	s.dialer = nil
	if err != nil {
		s.Close()
		d.Connected(s, err)
		return
	}
	s.connecting, s.writable = false, true
	s.hint(events) // a server that speaks first and leaves may be in this very event
	d.Connected(s, nil)
}
