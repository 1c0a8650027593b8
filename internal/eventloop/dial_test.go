package eventloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/internal/weirtest"
)

type dialled struct {
	s   *Stream
	err error
}

// dial connects s from the loop; the channel gets what the Dialer is told, or Dial's own error.
func dial(t testing.TB, l *Loop, s *Stream, to netip.AddrPort) <-chan dialled {
	t.Helper()
	told := make(chan dialled, 2)
	on(t, l, func() {
		inside := true
		if err := s.Dial(l, to, connectedFunc(func(s *Stream, err error) {
			if inside {
				t.Error("the Dialer was told from inside Dial")
			}
			told <- dialled{s, err}
		})); err != nil {
			told <- dialled{s, err}
		}
		inside = false
	})
	return told
}

func TestDialConnects(t *testing.T) {
	l := startLoop(t, nil)
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			r := newReader(0)
			far := make(chan *Stream, 1)
			ln := listen(t, l, netip.MustParseAddrPort(at), acceptFunc(func(_ *Listener, fd int, from netip.AddrPort) {
				s := new(Stream)
				_ = s.Open(l, fd, from, r)
				far <- s
			}))
			s := new(Stream)
			if d := await(t, dial(t, l, s, ln.Addr()), "the connection"); d.err != nil || d.s != s {
				t.Fatalf("connected: %+v", d)
			}
			peer := await(t, far, "the other end")
			on(t, l, func() {
				if s.Remote() != ln.Addr() || s.Local() != peer.Remote() {
					t.Errorf("dialled %v from %v, accepted from %v", s.Remote(), s.Local(), peer.Remote())
				}
				_ = s.Write([]byte("one "))
				_ = s.Write([]byte("two"))
				s.KeepAlive()
				_ = s.CloseWrite()
			})
			if err := await(t, r.done, "the bytes"); err != io.EOF {
				t.Error(err)
			}
			if got := r.got.String(); got != "one two" {
				t.Errorf("got %q", got)
			}
			on(t, l, func() {
				nodelay, err := unix.GetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
				if err != nil || nodelay == 0 {
					t.Errorf("NODELAY is %d after the second write (%v)", nodelay, err)
				}
				s.Close()
				peer.Close()
			})
		})
	}
}

func TestDialRefused(t *testing.T) {
	l := startLoop(t, nil)
	addr := netip.MustParseAddrPort(weirtest.Refused(t))
	before := descriptors(t)
	for range 50 {
		s := new(Stream)
		d := await(t, dial(t, l, s, addr), "the refusal")
		if !errors.Is(d.err, unix.ECONNREFUSED) {
			t.Fatalf("connected: %v", d.err)
		}
		if s.IsOpen() {
			t.Fatal("the stream is open")
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func TestDialUnreachable(t *testing.T) {
	l := startLoop(t, nil)
	for _, tt := range []struct {
		name, to string
		want     error
	}{
		{"broadcast", "255.255.255.255:80", unix.ENETUNREACH},
		{"link-local without a zone", "[fe80::1]:80", unix.EINVAL},
		{"no address", "", unix.EAFNOSUPPORT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var to netip.AddrPort
			if tt.to != "" {
				to = netip.MustParseAddrPort(tt.to)
			}
			before := descriptors(t)
			s := new(Stream)
			d := await(t, dial(t, l, s, to), "the refusal")
			if !errors.Is(d.err, tt.want) && !errors.Is(d.err, unix.EACCES) {
				t.Errorf("dialled %v: %v", to, d.err)
			}
			if after := descriptors(t); after != before || s.IsOpen() {
				t.Errorf("%d descriptors are open, %d before; stream open: %v", after, before, s.IsOpen())
			}
		})
	}
}

// blackHole is an address that answers no SYN: its accept queue is full.
func blackHole(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	var raw rawAddr
	if err := raw.localName(fd); err != nil {
		t.Fatal(err)
	}
	dialTCP(t, raw.addrPort()) // the queue of "no backlog" holds one
	return raw.addrPort()
}

func TestDialBlackHoledEndsByTimerAndClose(t *testing.T) {
	l := startLoop(t, nil)
	to := blackHole(t)
	before := descriptors(t)
	s := new(Stream)
	var deadline Timer
	expired := make(chan struct{})
	told := dial(t, l, s, to)
	on(t, l, func() {
		l.Arm(&deadline, time.Millisecond, expiredFunc(func(*Timer) {
			if !s.IsOpen() {
				t.Error("the stream is closed before the deadline")
			}
			s.Close()
			close(expired)
		}))
	})
	await(t, expired, "the deadline")
	on(t, l, func() {})
	select {
	case d := <-told:
		t.Errorf("the Dialer was told %v", d.err)
	default:
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// A stale event of an earlier descriptor with the same number must not pass for the end of the attempt.
func TestStaleEventDoesNotCompleteADial(t *testing.T) {
	l := startLoop(t, nil)
	s := new(Stream)
	told := dial(t, l, s, blackHole(t))
	on(t, l, func() {
		for _, events := range []uint32{unix.EPOLLOUT, unix.EPOLLIN, unix.EPOLLERR | unix.EPOLLHUP} {
			s.event(events)
		}
		if !s.connecting {
			t.Error("the attempt is over")
		}
		s.Close()
	})
	select {
	case d := <-told:
		t.Errorf("the Dialer was told %v", d.err)
	default:
	}
}

// A handler may be set before the connection stands.
func TestHandlerSetWhileConnecting(t *testing.T) {
	l := startLoop(t, nil)
	addr := server(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("hi")) })
	r := newReader(2)
	s := new(Stream)
	connected := make(chan error, 1)
	on(t, l, func() {
		if err := s.Dial(l, addr, connectedFunc(func(s *Stream, err error) { connected <- err; r.Ready(s) })); err != nil {
			t.Error(err)
		}
		s.SetHandler(r)
	})
	if err := await(t, connected, "the connection"); err != nil {
		t.Error(err)
	}
	if err := await(t, r.done, "the greeting"); err != nil {
		t.Error(err)
	}
}

// A server that speaks first and leaves at once may have done so before the loop looks at the connection.
func TestDialedServerThatSpokeAndLeft(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(*net.TCPConn)
		want  func(error) bool
	}{
		{"end", func(c *net.TCPConn) { _ = c.Close() }, func(err error) bool { return err == io.EOF }},
		{"half-close", func(c *net.TCPConn) { _ = c.CloseWrite(); _, _ = io.Copy(io.Discard, c) }, func(err error) bool { return err == io.EOF }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			spoke := make(chan struct{})
			addr := server(t, func(c *net.TCPConn) {
				_, _ = c.Write([]byte("greeting"))
				_ = c.CloseWrite()
				close(spoke)
				tt.leave(c)
			})
			r := newReader(0)
			s := new(Stream)
			on(t, l, func() {
				if err := s.Dial(l, addr, connectedFunc(func(s *Stream, err error) {
					if err != nil {
						t.Errorf("connected: %v", err)
						return
					}
					s.SetHandler(r)
					r.Ready(s)
				})); err != nil {
					t.Error(err)
				}
				await(t, spoke, "the server") // the loop stands still until the FIN is sent
			})
			if err := await(t, r.done, "the server's end"); !tt.want(err) {
				t.Errorf("read: %v", err)
			}
			if got := r.got.String(); got != "greeting" {
				t.Errorf("read %q", got)
			}
			on(t, l, s.Close)
		})
	}
}

// One object serves many connections, one after the other: accepted, dialled, refused, reset.
func TestStreamServesSeveralLives(t *testing.T) {
	l := startLoop(t, nil)
	addr := server(t, echo)
	s := new(Stream)
	closed := 0
	before := descriptors(t)
	for life := range 20 {
		if d := await(t, dial(t, l, s, addr), "the connection"); d.err != nil {
			t.Fatal(d.err)
		}
		r := newReader(0)
		on(t, l, func() {
			if s.Buffered() != 0 || s.Failed() != nil || len(s.Peeked()) != 0 || s.ended || s.finish {
				t.Errorf("life %d begins with what an earlier one left", life)
			}
			s.SetOwner(ownerFunc(func(*Stream) { closed++ }))
			s.SetHandler(r)
			_ = s.Write([]byte("hello"))
			_ = s.CloseWrite()
		})
		if err := await(t, r.done, "the echo"); err != io.EOF || r.got.String() != "hello" {
			t.Fatalf("life %d: %q, %v", life, r.got.String(), err)
		}
		on(t, l, func() {
			if life%2 == 0 {
				fillHeld(s)
			}
			s.Close()
		})
	}
	if n := ask(t, l, func() int { return closed }); n != 20 {
		t.Errorf("the owners were told %d times", n)
	}
	waitDescriptors(t, before)
}

// fillHeld leaves bytes in the stream's buffers, for the next life to find if Close forgot them.
func fillHeld(s *Stream) {
	s.in = append(s.loop.buffers.get(10), "left over"...)
	s.out = append(s.loop.buffers.get(10), "left over"...)
}

// A Unix socket has an address too, and what TCP can tell about a peer it can tell as well.
func TestDialUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := startLoop(t, nil)
	s := new(Stream)
	to := netip.AddrPortFrom(netip.IPv6Unspecified().WithZone(path), 0)
	if d := <-dial(t, l, s, to); d.err != nil {
		t.Fatal(d.err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {
		if err := s.Write([]byte("ping")); err != nil {
			t.Error(err)
		}
		if s.PeerLeft() || !s.Quiet() {
			t.Error("a peer that is there and silent looks gone, or as if it had said something")
		}
	})
	got := make([]byte, 4)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "ping" {
		t.Fatalf("%q, %v", got, err)
	}
	server.Close()
	weirtest.Eventually(t, patience, func() (left bool) {
		on(t, l, func() { left = s.PeerLeft() })
		return left
	}, "a peer that has left is not noticed")
	on(t, l, s.Close)

	gone := new(Stream)
	to = netip.AddrPortFrom(netip.IPv6Unspecified().WithZone(path+".not"), 0)
	if d := <-dial(t, l, gone, to); !errors.Is(d.err, unix.ENOENT) {
		t.Errorf("dialling a path where nothing is: %v", d.err)
	}
}
