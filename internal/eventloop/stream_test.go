package eventloop

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// arrivals tells of every readiness of a stream until its channel is full.
func arrivals() (chan struct{}, readyFunc) {
	told := make(chan struct{}, 64)
	return told, func(*Stream) {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}

// fillTo fills s on the loop until n bytes are held or there is an error other than ErrAgain.
func fillTo(t testing.TB, l *Loop, s *Stream, told <-chan struct{}, n, limit int) error {
	t.Helper()
	for {
		var err error
		held := 0
		on(t, l, func() { err = s.Fill(limit); held = len(s.Peeked()) })
		if held >= n || err != nil && err != ErrAgain {
			return err
		}
		await(t, told, "bytes")
	}
}

// A peer that begins a hello and falls silent must not be worth a large buffer: thousands of them are cheap to send.
func TestFillGrowsOnlyWhatIsFull(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	for _, tt := range []struct{ send, want int }{{300, smallBuffer}, {smallBuffer - 300, smallBuffer}, {1, largeBuffer}} {
		_, _ = c.Write(pattern(tt.send, 1))
		held := ask(t, l, func() int { return len(s.Peeked()) }) + tt.send
		if err := fillTo(t, l, s, told, held, largeBuffer); err != nil && err != ErrAgain {
			t.Fatal(err)
		}
		// As one does that wants more and finds that nothing has arrived; with a full buffer that is what makes it grow.
		if tt.want == smallBuffer && held < smallBuffer {
			if err := ask(t, l, func() error { return s.Fill(largeBuffer) }); err != ErrAgain {
				t.Fatal(err)
			}
		}
		if room := ask(t, l, func() int { return cap(s.in) }); room != tt.want {
			t.Errorf("%d bytes are held in a buffer of %d, want %d", held, room, tt.want)
		}
	}
}

func TestFillHoldsUpToItsLimit(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	if err := ask(t, l, func() error { return s.Fill(100) }); err != ErrAgain {
		t.Fatalf("with nothing there: %v", err)
	}
	if held := ask(t, l, func() bool { return s.in != nil }); held {
		t.Error("a buffer is held with nothing in it")
	}
	sent := pattern(20_000, 1)
	_, _ = c.Write(sent)
	for _, limit := range []int{1, 5, 4096, 4097, 9000, 20_000} {
		if err := fillTo(t, l, s, told, limit, limit); err != nil {
			t.Fatalf("limit %d: %v", limit, err)
		}
		on(t, l, func() {
			expectBytes(t, "peeked", s.Peeked(), sent[:limit])
			if err := s.Fill(limit); err != ErrPeekFull {
				t.Errorf("limit %d reached: %v", limit, err)
			}
		})
	}
	_ = c.CloseWrite()
	if err := fillTo(t, l, s, told, 20_001, 30_000); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
	on(t, l, func() {
		s.Consume(3)
		expectBytes(t, "after Consume", s.Peeked(), sent[3:])
		got := make([]byte, 0, len(sent))
		buf := make([]byte, 7000)
		if n, err := s.Read(nil); n != 0 || err != nil {
			t.Errorf("read of nothing: %d, %v", n, err)
		}
		for {
			n, err := s.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("read: %v", err)
			}
		}
		expectBytes(t, "read", got, sent[3:])
		if s.in != nil {
			t.Error("a buffer is held with nothing in it")
		}
		if _, err := s.Read(buf); err != io.EOF {
			t.Errorf("read after the end: %v", err)
		}
	})
}

func TestReadTakesHeldBytesFirst(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	_, _ = c.Write([]byte("held and "))
	if err := fillTo(t, l, s, told, 9, 100); err != nil && err != ErrAgain {
		t.Fatal(err)
	}
	rest := newReader(13)
	_, _ = c.Write([]byte("late"))
	on(t, l, func() {
		s.SetHandler(rest)
		rest.Ready(s)
	})
	if err := await(t, rest.done, "the bytes"); err != nil {
		t.Fatal(err)
	}
	if got := rest.got.String(); got != "held and late" {
		t.Errorf("read %q", got)
	}
}

// TCP urgent data makes a read stop short with more behind it, and no event tells of the rest.
func TestUrgentDataDoesNotHideWhatFollows(t *testing.T) {
	l := startLoop(t, nil)
	r := newReader(0)
	s, c := accepted(t, l, nil)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on(t, l, func() { // the loop sees everything in one event
		_, _ = c.Write([]byte("before"))
		_ = raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
		_, _ = c.Write([]byte("behind"))
		r.want = len("beforebehind")
		s.SetHandler(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, r.done, "the bytes behind the urgent one"); err != nil {
		t.Fatal(err)
	}
	if got := r.got.String(); got != "beforebehind" {
		t.Errorf("read %q", got)
	}
}

func TestWriteKeepsWhatTheSocketRefuses(t *testing.T) {
	l := startLoop(t, nil)
	s, c := accepted(t, l, nil)
	var sent []byte
	on(t, l, func() {
		sent = fill(s)
		for i := range 200 { // small and large, on top of what is kept
			p := pattern(i*37, byte(i))
			if err := s.Write(p); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, p...)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Errorf("second CloseWrite: %v", err)
		}
		if err := s.Write([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		if s.Buffered() == 0 {
			t.Error("nothing is buffered")
		}
	})
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	expectBytes(t, "received", got, sent)
	on(t, l, func() {
		if s.Buffered() != 0 || s.out != nil {
			t.Errorf("%d bytes are buffered, buffer held: %v", s.Buffered(), s.out != nil)
		}
	})
	r := newReader(4) // reading is open still
	on(t, l, func() { s.SetHandler(r) })
	_, _ = c.Write([]byte("more"))
	if err := await(t, r.done, "bytes after CloseWrite"); err != nil {
		t.Error(err)
	}
}

// A writer that stays a socket's room ahead never lets the buffer run empty. The buffer must not grow for it.
func TestUnsentBytesOfASteadyWriterAreCompacted(t *testing.T) {
	l := startLoop(t, nil)
	const mark, total = 4 << 20, 128 << 20
	s, c := accepted(t, l, nil)
	chunk := pattern(64<<10, 3)
	written, most, drained := 0, 0, 0
	done := make(chan struct{})
	ahead := readyFunc(func(s *Stream) {
		if s.Buffered() == 0 {
			drained++
		}
		for written < total && s.Buffered() < mark {
			_ = s.Write(chunk)
			written += len(chunk)
			most = max(most, cap(s.out))
		}
		if written >= total {
			s.SetHandler(nil)
			close(done)
		}
	})
	on(t, l, func() {
		_ = unix.SetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 512<<10)
		s.SetHandler(ahead)
		ahead(s)
	})
	go func() { _, _ = io.Copy(io.Discard, c) }()
	await(t, done, "the writer")
	if most > 8*mark {
		t.Errorf("the buffer grew to %d bytes with at most %d in it (empty %d times)", most, mark+len(chunk), drained)
	}
	_ = c.Close()
}

// The model of keep: whatever is written and however the socket drains, the bytes stay in order and the room bounded.
func TestKeepStaysInOrderAndBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &Stream{loop: &Loop{}}
	var want, got []byte
	most := 0
	for step := range 20_000 {
		p := pattern(rng.IntN(3000), byte(step))
		s.keep(p)
		want = append(want, p...)
		most = max(most, s.Buffered())
		for s.Buffered() > 40_000 { // the socket takes some, never all
			n := 1 + rng.IntN(s.Buffered()-1)
			got = append(got, s.out[s.outDone:int(s.outDone)+n]...)
			s.outDone += int32(n)
		}
		if cap(s.out) > max(8*most, largeBuffer) {
			t.Fatalf("step %d: room for %d bytes with at most %d kept", step, cap(s.out), most)
		}
	}
	got = append(got, s.out[s.outDone:]...)
	expectBytes(t, "kept", got, want)
}

func TestResetReachesThePeer(t *testing.T) {
	l := startLoop(t, nil)
	s, c := accepted(t, l, nil)
	on(t, l, func() {
		_ = s.Write([]byte("sent before"))
		s.Reset()
		s.Reset()
	})
	got, err := io.ReadAll(c)
	if !isReset(err) {
		t.Errorf("the peer got %v, want a reset", err)
	}
	if string(got) != "sent before" {
		t.Errorf("the peer read %q", got)
	}
}

func TestCloseOnce(t *testing.T) {
	l := startLoop(t, nil)
	s, c := accepted(t, l, nil)
	told := 0
	on(t, l, func() {
		s.SetOwner(ownerFunc(func(closed *Stream) {
			told++
			if closed != s || s.IsOpen() {
				t.Error("the owner is told before the stream is closed")
			}
			s.Close()
		}))
		s.Close()
		s.Close()
		s.Reset()
		s.KeepAlive() // must not touch a descriptor that is somebody else's by now
		if told != 1 {
			t.Errorf("the owner was told %d times", told)
		}
		if s.IsOpen() || !s.Gone() {
			t.Error("the stream says that it is open")
		}
		for what, err := range map[string]error{
			"write": s.Write([]byte("x")), "close write": s.CloseWrite(), "fill": s.Fill(10), "read": second(s.Read(make([]byte, 1))),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after close: %v", what, err)
			}
		}
		if s.Local().IsValid() {
			t.Error("a closed stream has a local address")
		}
	})
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer got %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAddresses(t *testing.T) {
	l := startLoop(t, nil)
	for _, tt := range []struct{ name, listen, dial, from string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1", "::1"},
		{"IPv4 on a dual-stack socket", "[::]:0", "127.0.0.1", "127.0.0.1"},
		{"another address of the same machine", "0.0.0.0:0", "127.0.0.9", "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			streams := make(chan *Stream, 1)
			ln := listen(t, l, netip.MustParseAddrPort(tt.listen), acceptFunc(func(_ *Listener, fd int, from netip.AddrPort) {
				s := new(Stream)
				_ = s.Open(l, fd, from, nil)
				streams <- s
			}))
			if ln.Addr().Port() == 0 || ln.Loop() != l {
				t.Errorf("listener says %v", ln.Addr())
			}
			to := netip.AddrPortFrom(netip.MustParseAddr(tt.dial), ln.Addr().Port())
			c := dialTCP(t, to)
			s := await(t, streams, "the stream")
			if s.Remote() != c.LocalAddr().(*net.TCPAddr).AddrPort() || s.Remote().Addr() != netip.MustParseAddr(tt.from) {
				t.Errorf("remote is %v, the client is %v", s.Remote(), c.LocalAddr())
			}
			if got := ask(t, l, s.Local); got != to {
				t.Errorf("local is %v, the client called %v", got, to)
			}
			if s.Loop() != l {
				t.Error("the stream is on another loop")
			}
			on(t, l, func() {
				s.SetRemote(netip.MustParseAddrPort("192.0.2.1:99"))
				if s.Remote().String() != "192.0.2.1:99" {
					t.Errorf("remote is %v after SetRemote", s.Remote())
				}
				s.Close()
			})
		})
	}
}

func TestRawAddrZones(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "[::1]:443", "[fe80::1%7]:65535", "[2001:db8::2]:1"} {
		var raw rawAddr
		want := netip.MustParseAddrPort(text)
		raw.set(want)
		if got := raw.addrPort(); got != want {
			t.Errorf("%v came back as %v", want, got)
		}
	}
	if got := new(rawAddr).addrPort(); got.IsValid() {
		t.Errorf("an empty address came back as %v", got)
	}
}

func TestGone(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	if ask(t, l, s.Gone) {
		t.Error("gone while connected")
	}
	_, _ = c.Write([]byte("unread"))
	await(t, told, "bytes")
	abort(c)
	for !ask(t, l, s.Gone) {
		await(t, told, "the reset")
	}
}

// An error that comes right after the peer's end is not swallowed by it.
func TestResetBehindTheEndIsNoticed(t *testing.T) {
	l := startLoop(t, nil)
	s, c := accepted(t, l, nil)
	ended := make(chan error, 1)
	on(t, l, func() { // both are there when the loop looks
		_, _ = c.Write([]byte("bye"))
		_ = c.CloseWrite()
		abort(c)
		s.SetHandler(readyFunc(func(s *Stream) {
			got, err := readAll(s)
			if string(got) != "bye" || err != io.EOF {
				t.Errorf("read %q, %v", got, err)
			}
			s.SetHandler(nil)
			ended <- s.Failed()
		}))
	})
	if err := await(t, ended, "the end"); err == nil {
		t.Error("the reset went unnoticed")
	}
}

// readAll reads s until it has nothing more to say.
func readAll(s *Stream) ([]byte, error) {
	var got bytes.Buffer
	var buf [100]byte
	for {
		n, err := s.Read(buf[:])
		got.Write(buf[:n])
		if err != nil {
			return got.Bytes(), err
		}
	}
}

func TestBufferPoolLendsWhatFits(t *testing.T) {
	var p bufferPool
	for _, tt := range []struct{ ask, room int }{
		{0, smallBuffer}, {1, smallBuffer}, {smallBuffer, smallBuffer}, {smallBuffer + 1, largeBuffer}, {largeBuffer, largeBuffer}, {largeBuffer + 1, largeBuffer + 1},
	} {
		b := p.get(tt.ask)
		if len(b) != 0 || cap(b) != tt.room {
			t.Errorf("asked for %d: length %d, room %d", tt.ask, len(b), cap(b))
		}
		p.put(append(b, "dirt"...))
		if again := p.get(tt.ask); len(again) != 0 {
			t.Errorf("asked for %d: a used buffer came back with %d bytes in it", tt.ask, len(again))
		}
	}
	for range 3 * smallKept {
		p.put(make([]byte, 0, smallBuffer))
		p.put(make([]byte, 0, largeBuffer))
		p.put(make([]byte, 0, 1000))
	}
	if len(p.small) != smallKept || len(p.large) != largeKept {
		t.Errorf("%d small and %d large buffers are kept", len(p.small), len(p.large))
	}
}
