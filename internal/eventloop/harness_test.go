package eventloop

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of the tests; nothing waits for it unless something is broken.
const patience = 20 * time.Second

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startLoop runs a loop that ends with the test.
func startLoop(t testing.TB, gate *Gate) *Loop {
	t.Helper()
	l, err := New(0, gate, quiet())
	if err != nil {
		t.Fatalf("open a loop: %v", err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run() }()
	t.Cleanup(func() {
		on(t, l, l.closeStreams)
		if err := l.Close(); err != nil {
			t.Errorf("close the loop: %v", err)
		}
		if err := await(t, ran, "the loop's end"); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return l
}

// closeStreams closes what a test has left open.
func (l *Loop) closeStreams() {
	for _, w := range l.watchers {
		switch w := w.(type) {
		case *Stream:
			w.Close()
		case *Listener:
			w.Close()
		case *Datagrams:
			w.Close()
		}
	}
	if l.batcher != nil {
		l.batcher.Close()
	}
}

// on runs f on the loop and waits for it.
func on(t testing.TB, l *Loop, f func()) {
	t.Helper()
	if err := l.Call(f); err != nil {
		t.Fatalf("call on the loop: %v", err)
	}
}

// ask runs f on the loop and returns what it says.
func ask[T any](t testing.TB, l *Loop, f func() T) (v T) {
	t.Helper()
	on(t, l, func() { v = f() })
	return v
}

func await[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

type acceptFunc func(ln *Listener, fd int, from netip.AddrPort)

func (f acceptFunc) Accept(ln *Listener, fd int, from netip.AddrPort) { f(ln, fd, from) }

type readyFunc func(*Stream)

func (f readyFunc) Ready(s *Stream) { f(s) }

type connectedFunc func(*Stream, error)

func (f connectedFunc) Connected(s *Stream, err error) { f(s, err) }

type expiredFunc func(*Timer)

func (f expiredFunc) Expired(t *Timer) { f(t) }

type ownerFunc func(*Stream)

func (f ownerFunc) Closed(s *Stream) { f(s) }

type securedFunc func(*Stream, error)

func (f securedFunc) Secured(s *Stream, err error) { f(s, err) }

type relayedFunc func(*Relay, End)

func (f relayedFunc) Relayed(r *Relay, end End) { f(r, end) }

// listen opens a listener on a free port of the loop.
func listen(t testing.TB, l *Loop, at netip.AddrPort, a Accepter) *Listener {
	t.Helper()
	socket, err := OpenSocket(at, false)
	if err != nil {
		t.Fatal(err)
	}
	var ln *Listener
	on(t, l, func() { ln, err = l.Listen(socket, a) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Call(ln.Close) })
	return ln
}

// dialTCP connects an ordinary socket, with a deadline so that a broken engine fails the test instead of stopping it.
func dialTCP(t testing.TB, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// accepted is a stream on the loop and the ordinary socket at its other end.
func accepted(t testing.TB, l *Loop, h Handler) (*Stream, *net.TCPConn) {
	t.Helper()
	return acceptedAt(t, l, anyPort, h)
}

func acceptedAt(t testing.TB, l *Loop, at netip.AddrPort, h Handler) (*Stream, *net.TCPConn) {
	t.Helper()
	opened := make(chan *Stream, 1)
	ln := listen(t, l, at, acceptFunc(func(ln *Listener, fd int, from netip.AddrPort) {
		s := new(Stream)
		if err := s.Open(l, fd, from, h); err != nil {
			t.Errorf("open: %v", err)
		}
		opened <- s
	}))
	c := dialTCP(t, ln.Addr())
	s := await(t, opened, "the accepted stream")
	on(t, l, ln.Close)
	return s, c
}

// server is an ordinary TCP server; serve gets each connection on a goroutine of its own and the server closes it after.
func server(t testing.TB, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			running.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // plain reads and writes: splicing would hold a pipe
	_ = c.CloseWrite()
}

// reader keeps everything a stream gives and says when that is all.
type reader struct {
	got  bytes.Buffer
	want int           // says so once this many bytes are there, if not 0
	done chan error    // nil at want, io.EOF or another error at the end
	buf  [8 << 10]byte // read through; smaller than the socket's buffer
}

func newReader(want int) *reader { return &reader{want: want, done: make(chan error, 2)} }

func (r *reader) Ready(s *Stream) {
	for {
		n, err := s.Read(r.buf[:])
		if n > 0 {
			r.got.Write(r.buf[:n])
		}
		if n > 0 && r.want > 0 && r.got.Len() >= r.want { // the test may look at got from here on
			r.done <- nil
			r.want = 0
		}
		if err == ErrAgain {
			return
		}
		if err != nil {
			r.done <- err
			s.SetHandler(nil)
			return
		}
	}
}

// pattern is n bytes that differ at every position a bug could mix up.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// fill makes the stream's socket refuse more, and returns everything that was written.
func fill(s *Stream) []byte {
	var all []byte
	for i := 0; s.Buffered() == 0; i++ {
		chunk := pattern(48<<10, byte(i))
		if err := s.Write(chunk); err != nil {
			return all
		}
		all = append(all, chunk...)
	}
	return all
}

func expectBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: differs at byte %d of %d (got %d bytes)", what, i, len(want), len(got))
		}
	}
	t.Fatalf("%s: got %d bytes, want %d", what, len(got), len(want))
}

// descriptors counts the open descriptors of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries) - 1 // one of them is the directory itself
}

func isReset(err error) bool { return errors.Is(err, unix.ECONNRESET) }

// abort closes an ordinary connection with a reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// waitDescriptors waits until no more descriptors are open than before: the other ends are goroutines that close later.
func waitDescriptors(t testing.TB, before int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for descriptors(t) > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, %d before", descriptors(t), before)
		}
		runtime.Gosched()
	}
}
