package eventloop

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	acceptBatch   = 64                     // connections taken per event, so that a flood of new ones does not starve the old
	acceptPause   = 100 * time.Millisecond // rest after the system ran out of descriptors or memory
	listenBacklog = 4096                   // the kernel caps it at net.core.somaxconn
)

// Accepter gets the connections of a listener.
type Accepter interface {
	// Accept is called on the listener's loop and owns fd, which is non-blocking: it opens a Stream on it or closes it.
	// from is the peer's address.
	Accept(ln *Listener, fd int, from netip.AddrPort)
}

// Socket is a bound and listening TCP socket that no loop serves yet. It can be opened before the loops that will serve
// it run, and handed from one owner to another.
type Socket struct {
	fd   int
	addr netip.AddrPort
}

// OpenSocket binds a TCP socket and listens. Several sockets may share one address (SO_REUSEPORT): the kernel spreads new
// connections over them. An unspecified IPv6 address ([::]) takes IPv4 too unless v6only is set. Port 0 picks a free one.
func OpenSocket(addr netip.AddrPort, v6only bool) (*Socket, error) {
	fd, err := streamSocket(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	bound, err := bindAndListen(fd, addr, v6only)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Socket{fd: fd, addr: bound}, nil
}

// Vacant returns an error when another socket holds addr already. Two programs of one user that both allow sharing would
// bind it without one, and the kernel would deal the connections out between them.
func Vacant(addr netip.AddrPort, v6only bool) error {
	fd, err := streamSocket(addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	defer unix.Close(fd)
	if err := bind(fd, addr, v6only); err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return nil
}

func streamSocket(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// bind gives fd its address, which connections of an earlier listener may still be closing on.
func bind(fd int, addr netip.AddrPort, v6only bool) error {
	if addr.Addr().Is6() {
		only := 0
		if v6only {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fmt.Errorf("set IPV6_V6ONLY: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	var raw rawAddr
	raw.set(addr)
	if err := raw.bind(fd); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func bindAndListen(fd int, addr netip.AddrPort, v6only bool) (netip.AddrPort, error) {
	var none netip.AddrPort
	// Accepted sockets inherit NODELAY from here, which saves a system call per connection. They would inherit keepalive
	// too, but most connections end before it matters, and each would have the kernel set a timer and take it back.
	for _, o := range [...]struct{ level, option, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return none, fmt.Errorf("set socket option %d/%d: %w", o.level, o.option, err)
		}
	}
	if err := bind(fd, addr, v6only); err != nil {
		return none, err
	}
	var raw rawAddr
	if err := unix.Listen(fd, listenBacklog); err != nil {
		return none, fmt.Errorf("listen: %w", err)
	}
	if err := raw.localName(fd); err != nil {
		return none, fmt.Errorf("read bound address: %w", err)
	}
	return raw.addrPort(), nil
}

// Addr is the bound address, with the port the kernel picked where 0 was asked for.
func (s *Socket) Addr() netip.AddrPort { return s.addr }

// FD is the descriptor; it stays the Socket's.
func (s *Socket) FD() int { return s.fd }

// Close closes a socket that no Listener has taken over.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// Listener accepts connections from one socket on one loop.
type Listener struct {
	loop     *Loop
	socket   *Socket
	accepter Accepter
	resume   Timer
	taking   bool // connections are being accepted
	closed   bool
	pauses   atomic.Int64
}

// Listen starts accepting from socket, which the listener owns from now on.
func (l *Loop) Listen(socket *Socket, a Accepter) (*Listener, error) {
	ln := &Listener{loop: l, socket: socket, accepter: a}
	if err := l.watchLevel(socket.fd, ln); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket.addr, err)
	}
	return ln, nil
}

// Loop is the loop that accepts.
func (ln *Listener) Loop() *Loop { return ln.loop }

// Addr is the bound address.
func (ln *Listener) Addr() netip.AddrPort { return ln.socket.addr }

// Pauses counts how often accepting rested because the system was out of descriptors or memory. Safe from any goroutine.
func (ln *Listener) Pauses() int64 { return ln.pauses.Load() }

// Close stops accepting and closes the socket. Connections that the kernel has queued on it are accepted first: their clients
// have been told that they are connected, and would be reset. Those that come in the instant between, and those for which there is
// no descriptor, are reset; so are all of them when an accepter closes its listener.
func (ln *Listener) Close() {
	if ln.closed {
		return
	}
	if !ln.taking {
		_ = ln.take(listenBacklog) // what the system has no room for now will not come again
	}
	ln.closed = true
	ln.loop.Disarm(&ln.resume)
	ln.loop.forget(ln.socket.fd)
}

// event accepts those who wait, up to a bounded batch; the poller reports the rest again. To ask how many there are costs a
// quarter of what it does to find out by an accept that brings nothing: the kernel makes a socket and a file first.
func (ln *Listener) event(uint32) {
	if err := ln.take(min(max(waiting(ln.socket.fd), 1), acceptBatch)); err != nil {
		ln.pause(err)
	}
}

// take accepts connections, at most so many, until none is left. The error says that the system is out of resources.
func (ln *Listener) take(most int) error {
	ln.taking = true
	defer func() { ln.taking = false }()
	for range most {
		if ln.closed {
			return nil
		}
		fd, err := ln.loop.addr.accept(ln.socket.fd)
		if err == nil {
			ln.hand(fd, ln.loop.addr.addrPort())
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if exhausted(err) {
			if ln.loop.relieved(err) {
				continue
			}
			return err
		}
		// Anything else concerns the one connection that went away while it was queued (accept(2), "Error handling").
	}
	return nil
}

// hand gives a connection to the accepter. A panic there costs this connection only.
func (ln *Listener) hand(fd int, from netip.AddrPort) {
	defer func() {
		if cause := recover(); cause != nil {
			ln.loop.panicked(cause)
			ln.discard(fd, from)
		}
	}()
	ln.accepter.Accept(ln, fd, from)
}

// discard closes a connection whose accepter panicked, unless it was closed already and its number is another's by now.
func (ln *Listener) discard(fd int, from netip.AddrPort) {
	if ln.loop.abandon(fd) {
		return
	}
	if ln.loop.addr.peerName(fd) == nil && ln.loop.addr.addrPort() == from {
		_ = unix.Close(fd)
	}
}

// exhausted tells the errors that mean "not now" for every connection from those that concern a single one.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// pause rests instead of spinning on an error that will repeat; the kernel's queue holds the callers meanwhile.
func (ln *Listener) pause(cause error) {
	ln.pauses.Add(1)
	ln.loop.log.Warn("accepting paused: the system is out of resources", "address", ln.socket.addr, "error", cause, "for", acceptPause)
	ln.loop.unwatch(ln.socket.fd)
	ln.loop.Arm(&ln.resume, acceptPause, ln)
}

// Expired ends a pause.
func (ln *Listener) Expired(*Timer) {
	if err := ln.loop.watchLevel(ln.socket.fd, ln); err != nil {
		ln.pause(err)
	}
}
