package eventloop

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// through is a flow between two streams of a loop, the ordinary sockets at their other ends, and what moves it.
type through struct {
	Flow
	src, dst  *Stream
	from, to  *net.TCPConn
	limit     int64 // still to be moved
	moved     int64
	done      chan error
	exhausted bool
	bulky     bool // splice from the first byte on
}

func newThrough(t testing.TB, l *Loop, limit int64) *through {
	t.Helper()
	f := &through{limit: limit, done: make(chan error, 1)}
	f.src, f.from = accepted(t, l, nil)
	f.dst, f.to = accepted(t, l, nil)
	on(t, l, func() {
		f.Open(f.src, f.dst)
		f.src.SetHandler(f)
		f.dst.SetHandler(f)
		f.Ready(f.src)
	})
	return f
}

// Ready moves as long as there is something to move and room for it.
func (f *through) Ready(*Stream) {
	for !f.exhausted {
		if f.limit == 0 {
			f.end(nil)
			return
		}
		if !f.dst.HasRoom() {
			return
		}
		if f.bulky {
			f.full = bulkReads
		}
		n, err := f.Move(f.limit)
		f.moved += int64(n)
		f.limit -= int64(n)
		switch {
		case err == ErrAgain:
			return
		case err != nil:
			f.end(err)
			return
		case f.dst.Failed() != nil:
			f.end(f.dst.Failed())
			return
		}
	}
}

func (f *through) end(err error) {
	f.exhausted = true
	f.done <- err
}

// A flow moves exactly as much as it is told, held bytes first, and leaves the rest in the source.
func TestFlowByLength(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		held int // bytes of it that the source holds beforehand
	}{
		{"nothing held", 1000, 0},
		{"some held", 1000, 10},
		{"all held", 1000, 1000},
		{"more held than wanted", 1000, 1500},
		{"bulk", 5 << 20, 0},
		{"bulk of which some is held", 5<<20 + 3, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			f := &through{limit: int64(tt.size), done: make(chan error, 1)}
			told, h := arrivals()
			f.src, f.from = accepted(t, l, h)
			f.dst, f.to = accepted(t, l, nil)
			const more = "behind it"
			data := append(pattern(max(tt.size, tt.held), 1), more...)
			go func() { _, _ = f.from.Write(data) }()
			if tt.held > 0 {
				if err := fillTo(t, l, f.src, told, tt.held, tt.held); err != nil && err != ErrPeekFull {
					t.Fatal(err)
				}
			}
			on(t, l, func() {
				f.Open(f.src, f.dst)
				f.src.SetHandler(f)
				f.dst.SetHandler(f)
				f.Ready(f.src)
			})
			got := make([]byte, tt.size)
			if _, err := io.ReadFull(f.to, got); err != nil {
				t.Fatal(err)
			}
			if err := await(t, f.done, "the flow's end"); err != nil {
				t.Fatal(err)
			}
			expectBytes(t, "moved", got, data[:tt.size])
			told2, h2 := arrivals()
			on(t, l, func() { f.src.SetHandler(h2) })
			left := data[tt.size:]
			if err := fillTo(t, l, f.src, told2, len(left), len(left)); err != nil && err != ErrPeekFull {
				t.Fatal(err)
			}
			on(t, l, func() {
				expectBytes(t, "left", f.src.Peeked(), left)
				if f.Held() {
					t.Error("a pipe is held with nothing in it")
				}
			})
		})
	}
}

// Bulk goes through a pipe, which is kept for the next bulk.
func TestFlowSplices(t *testing.T) {
	l := startLoop(t, nil)
	const size = 24 << 20
	f := newThrough(t, l, size)
	data := pattern(size, 2)
	go func() { _, _ = f.from.Write(data) }()
	got := make([]byte, size)
	if _, err := io.ReadFull(f.to, got); err != nil {
		t.Fatal(err)
	}
	if err := await(t, f.done, "the flow's end"); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, "moved", got, data)
	on(t, l, func() {
		if f.moved != size || len(l.pipes.idle) == 0 {
			t.Errorf("%d bytes, and %d pipes were used", f.moved, len(l.pipes.idle))
		}
	})
}

// Closing drops what is in the pipe, and the pipe with it: the next flow must not find bytes of this one.
func TestFlowCloseDropsWhatIsHeld(t *testing.T) {
	l := startLoop(t, nil)
	f := newThrough(t, l, 1<<40)
	on(t, l, func() { f.bulky = true })
	go func() { _, _ = f.from.Write(pattern(32<<20, 3)) }() // nobody reads at the other end
	held := func() bool { return ask(t, l, f.Held) }
	before := descriptors(t)
	for !held() {
		runtime.Gosched() // the loop moves until the socket is full
	}
	on(t, l, func() {
		f.exhausted = true
		f.Close()
		f.Close()
		if f.Held() || len(l.pipes.idle) != 0 {
			t.Errorf("held %v, %d pipes are kept, one with bytes of this flow", f.Held(), len(l.pipes.idle))
		}
	})
	waitDescriptors(t, before)
	_ = f.from.Close()
}

// The source's end and errors come back from Move; what is wrong with the destination stays with it.
func TestFlowEnds(t *testing.T) {
	for _, size := range []int{0, 100, 2 << 20} {
		l := startLoop(t, nil)
		f := newThrough(t, l, 1<<40)
		go func() {
			_, _ = f.from.Write(pattern(size, 4))
			_ = f.from.CloseWrite()
		}()
		if n, err := io.CopyN(io.Discard, f.to, int64(size)); err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if err := await(t, f.done, "the flow's end"); err != io.EOF {
			t.Errorf("after %d bytes: %v", size, err)
		}
	}

	l := startLoop(t, nil)
	f := newThrough(t, l, 1<<40)
	abort(f.from)
	if err := await(t, f.done, "the flow's end"); !isReset(err) {
		t.Errorf("after a reset of the source: %v", err)
	}

	f = newThrough(t, l, 1<<40)
	abort(f.to)
	go func() {
		for block := pattern(1<<10, 5); ; {
			if _, err := f.from.Write(block); err != nil {
				return
			}
		}
	}()
	if err := await(t, f.done, "the flow's end"); !isReset(err) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("after a reset of the destination: %v", err)
	}
	on(t, l, func() {
		if f.dst.Failed() == nil || f.src.Failed() != nil {
			t.Errorf("destination %v, source %v", f.dst.Failed(), f.src.Failed())
		}
		f.Close()
	})
	_ = f.from.Close()
}

// received is a copy of what Receive gives.
func received(s *Stream, limit int) (string, error) {
	b, err := s.Receive(limit)
	return string(b), err
}

// Receive gives what is held and what has come since, and Hold says what of it is to be seen again.
func TestReceiveAndHold(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	receive := func(limit int) (text string, err error) {
		t.Helper()
		for {
			on(t, l, func() { text, err = received(s, limit) })
			if err != ErrAgain || text != "" {
				return text, err
			}
			await(t, told, "bytes")
		}
	}
	expect := func(limit int, want string, hold int) {
		t.Helper()
		text, err := receive(limit)
		if text != want || err != nil && err != ErrAgain && err != ErrPeekFull {
			t.Fatalf("%q, %v, want %q", text, err, want)
		}
		on(t, l, func() {
			if s.in == nil {
				s.Hold(l.buf[len(text)-hold : len(text)]) // where the bytes are that are not held
			} else {
				s.Hold(s.in[len(s.in)-hold:])
			}
			if got := string(s.Peeked()); got != text[len(text)-hold:] {
				t.Fatalf("%q is held, want %q", got, text[len(text)-hold:])
			}
			if hold == 0 && s.in != nil {
				t.Fatal("a buffer is held with nothing in it")
			}
		})
	}
	send := func(text string) {
		t.Helper()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	on(t, l, func() {
		if text, err := received(s, 10); text != "" || err != ErrAgain {
			t.Errorf("with nothing there: %q, %v", text, err)
		}
		s.Hold(nil)
	})
	send("hello")
	expect(3, "hel", 0)
	expect(10, "lo", 2)
	send(" world")
	for held := 0; held < 8; { // both the held bytes and what has come
		text, err := receive(100)
		if err != nil && err != ErrAgain {
			t.Fatal(err)
		}
		held = len(text)
	}
	expect(100, "lo world", 5)
	expect(5, "world", 5) // no more may be held: ErrPeekFull
	if _, err := receive(5); err != ErrPeekFull {
		t.Errorf("with as many held as may be: %v", err)
	}
	expect(100, "world", 0)
	_ = c.CloseWrite()
	if text, err := receive(10); text != "" || err != io.EOF {
		t.Errorf("at the end: %q, %v", text, err)
	}
}

// Bytes that were held when the end came are given with it.
func TestReceiveAtTheEnd(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	_, _ = c.Write([]byte("last"))
	if err := fillTo(t, l, s, told, 4, 100); err != nil && err != ErrAgain {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	for {
		var text string
		var err error
		on(t, l, func() { text, err = received(s, 100) })
		if text != "last" {
			t.Fatalf("%q, %v", text, err)
		}
		if err == io.EOF {
			break
		}
		await(t, told, "the end")
	}
}

// Whether the peer has left shows without reading, whatever of its bytes is unread; that it is still there shows too.
func TestPeerLeft(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(*net.TCPConn)
		left  bool
	}{
		{"still there", func(*net.TCPConn) {}, false},
		{"end", func(c *net.TCPConn) { _ = c.CloseWrite() }, true},
		{"close", func(c *net.TCPConn) { _ = c.Close() }, true},
		{"reset", abort, true},
	} {
		for _, unread := range []string{"", "unread"} {
			t.Run(tt.name+" "+unread, func(t *testing.T) {
				l := startLoop(t, nil)
				told, h := arrivals()
				s, c := accepted(t, l, h)
				on(t, l, func() {
					if s.PeerLeft() {
						t.Error("the peer is said to have left before it has")
					}
				})
				_, _ = c.Write([]byte(unread + "."))
				await(t, told, "bytes")
				tt.leave(c)
				if !tt.left {
					if ask(t, l, s.PeerLeft) {
						t.Error("the peer is said to have left")
					}
					return
				}
				for !ask(t, l, s.PeerLeft) {
					await(t, told, "news of the end")
				}
			})
		}
	}
	l := startLoop(t, nil)
	s, _ := accepted(t, l, nil)
	on(t, l, func() {
		_ = s.CloseWrite()
		if s.PeerLeft() {
			t.Error("the peer is said to have left when this side has sent its end")
		}
		s.Close()
		if !s.PeerLeft() {
			t.Error("a closed stream has a peer")
		}
	})
}

// A connection is quiet as long as there is nothing to read in it, in the kernel or held, not even an end.
func TestQuietAndMayRead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(*net.TCPConn)
		quiet bool
	}{
		{"silent", func(*net.TCPConn) {}, true},
		{"bytes", func(c *net.TCPConn) { _, _ = c.Write([]byte("x")) }, false},
		{"end", func(c *net.TCPConn) { _ = c.CloseWrite() }, false},
		{"reset", abort, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			told, h := arrivals()
			s, c := accepted(t, l, h)
			for range len(told) {
				<-told // the news of its beginning
			}
			// On the loop, so that the kernel has it and the loop has not heard of it.
			on(t, l, func() {
				tt.do(c)
				if s.Quiet() != tt.quiet {
					t.Errorf("quiet %v, want %v", s.Quiet(), tt.quiet)
				}
			})
			if tt.quiet {
				if ask(t, l, s.MayRead) {
					t.Error("there may be something to read")
				}
				return
			}
			for !ask(t, l, s.MayRead) {
				await(t, told, "news")
			}
		})
	}
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	_, _ = c.Write([]byte("held"))
	if err := fillTo(t, l, s, told, 4, 4); err != nil && err != ErrPeekFull {
		t.Fatal(err)
	}
	on(t, l, func() {
		if s.Quiet() {
			t.Error("quiet with bytes held")
		}
		s.Close()
		if s.Quiet() {
			t.Error("quiet when it is closed")
		}
	})
}

// What the peer said before its reset can be read although writing has failed, and before the loop has heard of either.
func TestLastWordsBehindAFailedWrite(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	for range len(told) {
		<-told // the news of its beginning
	}
	on(t, l, func() {
		_, _ = c.Write([]byte("last words"))
		abort(c)
		for s.Failed() == nil {
			_ = s.Write([]byte("more"))
		}
		if text, _ := received(s, 100); text != "last words" {
			t.Errorf("%q", text)
		}
		if _, err := received(s, 100); err == nil || err == ErrAgain {
			t.Errorf("behind them: %v", err)
		}
	})
}
