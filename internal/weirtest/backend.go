package weirtest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Behaviour is what a backend does with one connection. It runs on a goroutine of its own and owns the connection;
// the connection is closed when it returns, and from outside when the test ends.
type Behaviour func(conn net.Conn)

// A Backend is a TCP server inside the test process. Its methods may be called from any goroutine.
type Backend struct {
	Addr string // host:port, the same through Refuse and Accept

	t        testing.TB
	listen   func(addr string) (net.Listener, error)
	accepted atomic.Int64
	wg       sync.WaitGroup

	mu       sync.Mutex
	behave   Behaviour
	listener net.Listener // nil while refusing
	conns    map[net.Conn]struct{}
	stopped  bool
	encrypt  *tls.Config // nil: plain
}

// Serve starts a backend that treats every connection with b.
func Serve(t testing.TB, b Behaviour) *Backend {
	t.Helper()
	return serve(t, listen, "127.0.0.1:0", nil, b)
}

// ServeAt is Serve on a given address, such as one of FreeAddr or [::1]:0.
func ServeAt(t testing.TB, addr string, b Behaviour) *Backend {
	t.Helper()
	return serve(t, listen, addr, nil, b)
}

// Serve is ServeAt on a host, at a port there; 0 is any.
func (h *Host) Serve(port int, b Behaviour) *Backend {
	h.t.Helper()
	on := func(addr string) (l net.Listener, err error) {
		if entered := h.enter(func() { l, err = listen(addr) }); entered != nil {
			return nil, entered
		}
		return l, err
	}
	return serve(h.t, on, netip.AddrPortFrom(h.Addr, uint16(port)).String(), nil, b)
}

// ServeTLS is Serve behind TLS: b sees a *tls.Conn whose handshake is done. Any ALPN in next is offered.
func ServeTLS(t testing.TB, c *Certificate, b Behaviour, next ...string) *Backend {
	t.Helper()
	return serve(t, listen, "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.TLS}, NextProtos: next}, b)
}

func listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func serve(t testing.TB, listen func(string) (net.Listener, error), addr string, encrypt *tls.Config, b Behaviour) *Backend {
	t.Helper()
	s := &Backend{t: t, listen: listen, Addr: addr, behave: b, encrypt: encrypt, conns: make(map[net.Conn]struct{})}
	s.Accept()
	t.Cleanup(s.Stop)
	return s
}

// AddrPort returns Addr parsed.
func (s *Backend) AddrPort() netip.AddrPort { return netip.MustParseAddrPort(s.Addr) }

// Accepted returns how many connections were accepted so far.
func (s *Backend) Accepted() int { return int(s.accepted.Load()) }

// Active returns how many connections are open now.
func (s *Backend) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Behave changes what happens to connections accepted from now on.
func (s *Backend) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = b
}

// Accept undoes Refuse.
func (s *Backend) Accept() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.stopped {
		return
	}
	l, err := s.listen(s.Addr)
	if err != nil {
		s.t.Fatalf("listen on %s: %v", s.Addr, err)
	}
	s.listener, s.Addr = l, l.Addr().String()
	s.wg.Go(func() { s.acceptAll(l) })
}

// Refuse closes the listening socket: new connections are refused, open ones go on.
func (s *Backend) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
}

// ResetAll ends every open connection with a reset.
func (s *Backend) ResetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		Reset(conn)
	}
}

// Kill is Refuse and ResetAll: what a machine that lost its server process looks like.
func (s *Backend) Kill() {
	s.Refuse()
	s.ResetAll()
}

// Stop ends the backend for good and waits for its goroutines.
func (s *Backend) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.Refuse()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Backend) acceptAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a connection that died in the queue, or descriptors that ran out for a moment
		}
		s.accepted.Add(1)
		s.take(conn)
	}
}

func (s *Backend) take(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		conn.Close()
		return
	}
	behave := s.behave
	s.conns[conn] = struct{}{}
	s.wg.Go(func() {
		defer s.forget(conn)
		inner := conn
		if s.encrypt != nil {
			secure := tls.Server(conn, s.encrypt)
			if secure.Handshake() != nil {
				return
			}
			inner = secure
		}
		behave(inner)
		inner.Close()
	})
}

func (s *Backend) forget(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Reset closes a connection with RST instead of FIN, dropping what is not yet sent. TLS is cut off without an alert.
func Reset(conn net.Conn) {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// closeWrite ends the sending direction of a plain or TLS connection.
func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%T has no CloseWrite", conn)
	}
	return half.CloseWrite()
}

// Echo sends back what comes, and half-closes when the peer did.
func Echo(conn net.Conn) {
	_, _ = io.Copy(conn, conn)
	_ = closeWrite(conn)
}

// Who sends name and a newline as soon as the connection stands, as a server that speaks first does, and echoes from then on.
func Who(name string) Behaviour {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, name+"\n"); err == nil {
			Echo(conn)
		}
	}
}

// WhoWhenAsked answers every line with name and a newline.
func WhoWhenAsked(name string) Behaviour {
	return func(conn net.Conn) {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if _, err := io.WriteString(conn, name+"\n"); err != nil {
				return
			}
		}
	}
}

// Answer reads once, sends text, and closes.
func Answer(text string) Behaviour {
	return func(conn net.Conn) {
		if readSome(conn) {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// Greet sends text at once and then reads until the peer is done.
func Greet(text string) Behaviour {
	return func(conn net.Conn) {
		_, _ = io.WriteString(conn, text)
		discard(conn)
	}
}

// Discard reads until the peer is done and sends nothing.
func Discard(conn net.Conn) { discard(conn) }

// AnswerAfterEOF reads until the client ends its direction, and only then answers, after wait, with the count and the SHA-256 of what it read:
// "<bytes> <hex>\n". A proxy that closes both directions at the first FIN loses the answer.
func AnswerAfterEOF(wait time.Duration) Behaviour {
	return func(conn net.Conn) {
		sum := sha256.New()
		n, err := io.Copy(sum, conn)
		if err != nil {
			return
		}
		time.Sleep(wait)
		_, _ = fmt.Fprintf(conn, "%d %x\n", n, sum.Sum(nil))
	}
}

// CheckHalfClose fails the test unless conn carries a request, its end, and the answer that comes after the end:
// AnswerAfterEOF must stand at its other end. It closes conn.
func CheckHalfClose(t testing.TB, conn net.Conn, request []byte) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatalf("set a deadline: %v", err)
	}
	if _, err := conn.Write(request); err != nil {
		t.Fatalf("send %d bytes: %v", len(request), err)
	}
	if err := closeWrite(conn); err != nil {
		t.Fatalf("end the request: %v", err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read the answer after the end of the request: %v", err)
	}
	want := fmt.Sprintf("%d %x\n", len(request), sha256.Sum256(request))
	if !bytes.Equal(got, []byte(want)) {
		t.Fatalf("answer after the end of the request: %q, want %q", got, want)
	}
}

// EndFirst sends text, ends its own direction at once, and hands what the client sends until its own end to got.
// A proxy that closes both directions at the server's FIN loses it. got needs room or a reader.
func EndFirst(text string, got chan<- []byte) Behaviour {
	return func(conn net.Conn) {
		_, _ = io.WriteString(conn, text)
		_ = closeWrite(conn)
		all, _ := io.ReadAll(conn)
		got <- all
	}
}

// readSome waits for the first bytes and reports whether there were any.
func readSome(conn net.Conn) bool {
	var b [4096]byte
	n, _ := conn.Read(b[:])
	return n > 0
}

func discard(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
