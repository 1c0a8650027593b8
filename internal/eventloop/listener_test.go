package eventloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// greeter opens a stream on every connection and says hello on it.
func greeter(t testing.TB, streams chan<- *Stream) acceptFunc {
	return func(ln *Listener, fd int, from netip.AddrPort) {
		s := new(Stream)
		if err := s.Open(ln.Loop(), fd, from, nil); err != nil {
			t.Errorf("open: %v", err)
			return
		}
		_ = s.Write([]byte("hello"))
		if streams != nil {
			streams <- s
		}
	}
}

func expectGreeting(t testing.TB, c io.Reader) {
	t.Helper()
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("greeting: %q, %v", got, err)
	}
}

func TestSeveralSocketsShareAnAddress(t *testing.T) {
	first, second := startLoop(t, nil), startLoop(t, nil)
	streams := make(chan *Stream, 200)
	ln := listen(t, first, anyPort, greeter(t, streams))
	other := listen(t, second, ln.Addr(), greeter(t, streams))
	if other.Addr() != ln.Addr() {
		t.Fatalf("bound to %v and %v", ln.Addr(), other.Addr())
	}
	byLoop := map[*Loop]int{}
	for range 100 {
		expectGreeting(t, dialTCP(t, ln.Addr()))
		byLoop[(<-streams).Loop()]++
	}
	if byLoop[first] == 0 || byLoop[second] == 0 { // a fair coin does this once in 2^99
		t.Errorf("accepted %d and %d", byLoop[first], byLoop[second])
	}
	on(t, second, other.Close)
	for range 20 {
		expectGreeting(t, dialTCP(t, ln.Addr()))
		if s := <-streams; s.Loop() != first {
			t.Fatal("a closed listener accepted")
		}
	}
}

func TestAcceptedSocketsInheritTheirOptions(t *testing.T) {
	l := startLoop(t, nil)
	s, _ := accepted(t, l, nil)
	on(t, l, func() {
		// Keepalive comes once a connection has shown itself long-lived.
		for _, o := range [...]struct{ level, option, value int }{{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0}} {
			if v, err := unix.GetsockoptInt(int(s.fd), o.level, o.option); err != nil || v != o.value {
				t.Errorf("option %d/%d is %d (%v), want %d", o.level, o.option, v, err, o.value)
			}
		}
	})
}

func TestOpenSocketRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	before := descriptors(t)
	for _, tt := range []struct {
		name string
		addr netip.AddrPort
		want error
	}{
		{"taken", taken.Addr().(*net.TCPAddr).AddrPort(), unix.EADDRINUSE},
		{"not ours", netip.MustParseAddrPort("192.0.2.1:80"), unix.EADDRNOTAVAIL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := OpenSocket(tt.addr, false); !errors.Is(err, tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// v6Socket is a socket on all of IPv6 whose port nobody listens on by IPv4, now or while the test runs. The kernel picks the
// port with an eye on IPv6 alone, and other programs listen too.
func v6Socket(t *testing.T) *Socket {
	t.Helper()
	for range 20 {
		socket, err := OpenSocket(netip.MustParseAddrPort("[::]:0"), true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = socket.Close() })
		holder, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(holder) })
		err = unix.Bind(holder, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(socket.Addr().Port())}) // and no listen
		if err == nil {
			return socket
		}
	}
	t.Fatal("the IPv4 ports are taken too")
	return nil
}

func TestV6Only(t *testing.T) {
	socket := v6Socket(t)
	if only, err := unix.GetsockoptInt(socket.FD(), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil || only != 1 {
		t.Errorf("IPV6_V6ONLY is %d (%v)", only, err)
	}
	v4 := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), socket.Addr().Port())
	if c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(v4)); err == nil {
		_ = c.Close()
		t.Error("an IPv4 connection was taken")
	}
}

// A listener closed by the first connection of a batch must not take the second one.
func TestCloseInTheMiddleOfABatch(t *testing.T) {
	l := startLoop(t, nil)
	socket, err := OpenSocket(anyPort, false)
	if err != nil {
		t.Fatal(err)
	}
	accepts := 0
	for range 5 { // queued by the kernel before the loop looks
		dialTCP(t, socket.Addr())
	}
	done := make(chan struct{})
	on(t, l, func() {
		if _, err := l.Listen(socket, acceptFunc(func(ln *Listener, fd int, _ netip.AddrPort) {
			l.Discard(fd)
			if accepts++; accepts == 2 {
				ln.Close()
				ln.Close()
				close(done)
			}
		})); err != nil {
			t.Error(err)
		}
	})
	await(t, done, "the second connection")
	on(t, l, func() {})
	if accepts != 2 {
		t.Errorf("%d connections were accepted", accepts)
	}
}

// TestCloseAcceptsWhoIsQueued: a client that is connected, as far as it knows, is served although the listener closes.
func TestCloseAcceptsWhoIsQueued(t *testing.T) {
	l := startLoop(t, nil)
	ln := listen(t, l, anyPort, greeter(t, nil))
	var clients []*net.TCPConn
	on(t, l, func() { // while the loop is busy here, nothing is accepted
		for range 3 * acceptBatch {
			c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(ln.Addr()))
			if err != nil {
				t.Error(err)
				return
			}
			clients = append(clients, c)
		}
		ln.Close()
	})
	for _, c := range clients {
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		expectGreeting(t, c)
	}
}

func TestBatchesTakeEverybodyInTheEnd(t *testing.T) {
	l := startLoop(t, nil)
	socket, err := OpenSocket(anyPort, false)
	if err != nil {
		t.Fatal(err)
	}
	const callers = 3*acceptBatch + 7
	for range callers {
		dialTCP(t, socket.Addr())
	}
	taken := make(chan struct{}, callers)
	on(t, l, func() {
		ln, err := l.Listen(socket, acceptFunc(func(_ *Listener, fd int, _ netip.AddrPort) {
			l.Discard(fd)
			taken <- struct{}{}
		}))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = l.Call(ln.Close) })
	})
	for range callers {
		await(t, taken, "a caller")
	}
}

// Running out of descriptors is tried in a process of its own: the limit belongs to a whole process.
func TestOutOfDescriptors(t *testing.T) {
	const child = "WEIR_TEST_OUT_OF_DESCRIPTORS"
	if os.Getenv(child) != "" {
		acceptWithoutDescriptors(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS: TestOutOfDescriptors")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func acceptWithoutDescriptors(t *testing.T) {
	l := startLoop(t, nil)
	streams := make(chan *Stream, 16)
	ln := listen(t, l, anyPort, greeter(t, streams))
	standing := dialTCP(t, ln.Addr())
	expectGreeting(t, standing)
	s := <-streams
	r := newReader(4)
	on(t, l, func() { s.SetHandler(r) })

	waiting, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowered := syscall.Rlimit{Cur: uint64(waiting + 1), Max: limit.Max}
	on(t, l, func() { // every number below the limit is taken, so that accept finds none
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lowered); err != nil {
			t.Error(err)
		}
		for {
			if _, err := unix.Dup(waiting); err != nil {
				return
			}
		}
	})
	ap := ln.Addr()
	if err := unix.Connect(waiting, &unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ask(t, l, ln.Pauses) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("accepting did not pause")
		}
	}

	if _, err := standing.Write([]byte("fine")); err != nil { // the connections that stand go on
		t.Error(err)
	}
	if err := await(t, r.done, "bytes of a standing connection"); err != nil {
		t.Error(err)
	}
	on(t, l, func() {
		if p := l.pipes.get(); p != nil {
			t.Error("there are descriptors for a pipe")
		}
		if err := new(Stream).Dial(l, ap, nil); !errors.Is(err, unix.EMFILE) {
			t.Errorf("dial: %v", err)
		}
	})

	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	greeting := make([]byte, 5) // accepting goes on by itself
	if n, err := unix.Read(waiting, greeting); n != 5 || err != nil {
		t.Fatalf("greeting: %d bytes, %v", n, err)
	}
	paused := ask(t, l, ln.Pauses)
	if paused > 100 {
		t.Errorf("accepting paused %d times", paused)
	}
	_ = unix.Close(waiting)
}
