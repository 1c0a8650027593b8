package admin

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// maxConns bounds the connections of the admin endpoint; further ones wait to be accepted.
const maxConns = 256

// unixPath returns the path of an address of the form unix:/run/weir.sock.
func unixPath(address string) (string, bool) { return strings.CutPrefix(address, "unix:") }

// Listen opens an admin address: ip:port, or unix:/path. A socket file that nobody listens on any more is replaced; a
// new one is for the owner and the group only.
func Listen(address string) (net.Listener, error) {
	path, isUnix := unixPath(address)
	if !isUnix {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		return limit(ln), nil
	}
	if err := removeDeadSocket(path); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("admin: %w", err)
	}
	return limit(ln), nil
}

// removeDeadSocket removes the socket file of a process that is gone. Anything else at the path stays.
func removeDeadSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // nothing there, or something that listening on will refuse
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s: somebody listens there", path)
	}
	return os.Remove(path)
}

// limited is a listener that has at most cap(slots) connections open.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(ln net.Listener) net.Listener {
	return &limited{Listener: ln, slots: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
