package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// origin is a backend that lives in this process, so that it can die at a
// moment that is known. It counts the connections that it is given, and tells
// clients who it is.
type origin struct {
	addr  string
	l     *net.TCPListener
	taken atomic.Uint64 // connections accepted
	ended chan struct{} // closed when nothing is accepted any more
	stuck net.Conn      // what fills the queue of one that is silent
}

// originPatience is how long a client of an origin may say nothing.
const originPatience = 10 * time.Second

// newOrigins starts n of them, each at an address of its own and all at one
// port below those that the kernel gives to outgoing connections: nobody else
// comes to listen where one has died.
func newOrigins(n int) ([]*origin, error) {
	const tries = 20
	var err error
	for range tries {
		var all []*origin
		if all, err = originsAt(n, lowestPort+rand.IntN(freePorts)); err == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("start %d backends: %w", n, err)
}

func originsAt(n, port int) ([]*origin, error) {
	var all []*origin
	for i := range n {
		l, err := net.Listen("tcp4", originAddr(i, port).String())
		if err != nil {
			closeOrigins(all)
			return nil, err
		}
		o := &origin{addr: l.Addr().String(), l: l.(*net.TCPListener), ended: make(chan struct{})}
		go o.serve()
		all = append(all, o)
	}
	return all, nil
}

// originAddr is where the i-th of 65,536 is: loopback, but apart from what
// else listens there.
func originAddr(i, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 32, byte(i >> 8), byte(i)}), uint16(port))
}

func closeOrigins(all []*origin) {
	for _, o := range all {
		o.close()
	}
}

// serve accepts until it is told not to.
func (o *origin) serve() {
	defer close(o.ended)
	for {
		conn, err := o.l.Accept()
		if err != nil {
			return
		}
		o.taken.Add(1)
		go o.answer(conn)
	}
}

// answer tells a client the origin's address, and waits until it has gone.
// Who says nothing has come to see whether anybody is there.
func (o *origin) answer(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(originPatience))
	b := make([]byte, 1)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
		if _, err := conn.Write([]byte(o.addr + "\n")); err != nil {
			return
		}
	}
}

// refuse ends it as a process ends: who connects from now on is refused. It
// returns the moment before.
func (o *origin) refuse() (time.Time, error) {
	at := time.Now()
	return at, o.l.Close()
}

// fallSilent ends it as a machine ends: who connects from now on hears
// nothing. It returns the moment before. To that end nothing is accepted any
// more, and the queue of connections that wait for it is full: the kernel
// drops those that come then.
func (o *origin) fallSilent() (time.Time, error) {
	at := time.Now()
	if err := o.l.SetDeadline(at); err != nil {
		return at, fmt.Errorf("silence %s: %w", o.addr, err)
	}
	<-o.ended
	raw, err := o.l.SyscallConn()
	if err != nil {
		return at, fmt.Errorf("silence %s: %w", o.addr, err)
	}
	var shorten error
	if err := raw.Control(func(fd uintptr) { shorten = unix.Listen(int(fd), 0) }); err != nil || shorten != nil {
		return at, fmt.Errorf("silence %s: %v, %v", o.addr, err, shorten)
	}
	// A queue of length 0 has room for one. If a probe has just taken it, this
	// one finds it full.
	d := net.Dialer{Timeout: 100 * time.Millisecond}
	o.stuck, _ = d.DialContext(context.Background(), "tcp4", o.addr)
	return at, nil
}

// close ends it, whether it is dead already or not.
func (o *origin) close() {
	o.l.Close()
	<-o.ended
	if o.stuck != nil {
		o.stuck.Close()
	}
}

// ask says something to whoever listens at an address, and returns who
// answers: the address of an origin.
func ask(ctx context.Context, addr string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(originPatience))
	if _, err := conn.Write([]byte("?")); err != nil {
		return "", err
	}
	var said []byte
	b := make([]byte, 64)
	for {
		n, err := conn.Read(b)
		said = append(said, b[:n]...)
		if len(said) > 0 && said[len(said)-1] == '\n' {
			return string(said[:len(said)-1]), nil
		}
		if err != nil {
			return "", fmt.Errorf("%s answers %s: %w", addr, strconv.Quote(string(said)), err)
		}
	}
}
