package eventloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/internal/weirtest"
	"pgregory.net/rapid"
)

// proxy relays every connection of a listener to a backend, as a service would, with all it needs in one pooled object.
type proxy struct {
	t       testing.TB
	loop    *Loop
	ln      *Listener
	backend netip.AddrPort
	idle    time.Duration
	server  *tls.Config // ends TLS of the clients
	client  *tls.Config // speaks TLS to the backend
	ends    chan End
	started chan *conn // every connection whose relay began; only if not nil

	live atomic.Int64
	free []*conn // the loop's
}

// conn is one proxied connection.
type conn struct {
	p     *proxy
	a, b  Stream
	relay Relay
	moved [2]int64
}

func startProxy(t testing.TB, l *Loop, backend netip.AddrPort, set func(*proxy)) *proxy {
	t.Helper()
	p := &proxy{t: t, loop: l, backend: backend, ends: make(chan End, 4096)}
	if set != nil {
		set(p)
	}
	p.ln = listen(t, l, anyPort, p)
	return p
}

func (p *proxy) Accept(_ *Listener, fd int, from netip.AddrPort) {
	var c *conn
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
	} else {
		c = &conn{p: p}
	}
	p.live.Add(1)
	if err := c.a.Open(p.loop, fd, from, nil); err != nil {
		p.t.Errorf("open: %v", err)
		return
	}
	if p.server == nil {
		c.dial()
		return
	}
	if err := c.a.StartTLS(func(under net.Conn) *tls.Conn { return tls.Server(under, p.server) }, c); err != nil {
		c.over(End{Err: err})
	}
}

func (c *conn) dial() {
	if err := c.b.Dial(c.p.loop, c.p.backend, c); err != nil {
		c.over(End{By: SideB, Err: err})
	}
}

func (c *conn) Secured(s *Stream, err error) {
	switch {
	case err != nil:
		c.over(End{Err: err})
	case s == &c.a:
		c.dial()
	default:
		c.join()
	}
}

func (c *conn) Connected(_ *Stream, err error) {
	if err != nil {
		c.over(End{By: SideB, Err: err})
		return
	}
	if c.p.client == nil {
		c.join()
		return
	}
	if err := c.b.StartTLS(func(under net.Conn) *tls.Conn { return tls.Client(under, c.p.client) }, c); err != nil {
		c.over(End{Err: err})
	}
}

func (c *conn) join() {
	c.relay.Start(&c.a, &c.b, c.p.idle, c)
	if c.p.started != nil && c.relay.Running() {
		c.p.started <- c
	}
}

func (c *conn) Relayed(_ *Relay, end End) { c.over(end) }

func (c *conn) over(end End) {
	c.a.Close()
	c.b.Close()
	c.moved[0], c.moved[1] = c.relay.Moved()
	c.p.live.Add(-1)
	select {
	case c.p.ends <- end:
	default: // a benchmark does not ask
	}
	c.p.free = append(c.p.free, c)
}

func (p *proxy) dial() *net.TCPConn { return dialTCP(p.t, p.ln.Addr()) }

// held is what a relay holds in user space and in pipes.
func (c *conn) held() (user, pipes int) {
	user = c.a.Buffered() + c.b.Buffered() + len(c.a.in) + len(c.b.in)
	for _, h := range []*half{&c.relay.ab, &c.relay.ba} {
		if h.pipe != nil {
			pipes += h.pipe.held
		}
	}
	return user, pipes
}

// transfer sends want over from while to reads it all, and both go on.
func transfer(t testing.TB, what string, from io.Writer, to io.Reader, want []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(want)
		sent <- err
	}()
	got := make([]byte, len(want))
	n, err := io.ReadFull(to, got)
	if err != nil {
		t.Fatalf("%s: read %d of %d bytes: %v", what, n, len(want), err)
	}
	if err := await(t, sent, what); err != nil {
		t.Fatalf("%s: write: %v", what, err)
	}
	expectBytes(t, what, got, want)
}

// joined is a relay with an ordinary socket at each end.
func joined(t testing.TB, l *Loop, set func(*proxy)) (p *proxy, client, backend *net.TCPConn, c *conn) {
	t.Helper()
	arrived := make(chan *net.TCPConn, 1)
	release := make(chan struct{})
	addr := server(t, func(c *net.TCPConn) { arrived <- c; <-release })
	t.Cleanup(func() { close(release) })
	p = startProxy(t, l, addr, func(p *proxy) {
		p.started = make(chan *conn, 1)
		if set != nil {
			set(p)
		}
	})
	client = p.dial()
	backend = await(t, arrived, "the backend's connection")
	return p, client, backend, await(t, p.started, "the relay")
}

func TestRelayKeepsBytesIntact(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
	}{
		{"small", []int{1, 2, 100, 1460, 4096}},
		{"around the read buffer", []int{readBufferSize - 1, readBufferSize, readBufferSize + 1, 3 * readBufferSize, 4*readBufferSize + 1}},
		{"64 MiB", []int{64 << 20}},
		{"bulk and small by turns", []int{8 << 20, 1, 8 << 20, 100, 1 << 20, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			p, client, backend, c := joined(t, l, nil)
			var total int64
			for i, n := range tt.sizes {
				transfer(t, "to the backend", client, backend, pattern(n, byte(i)))
				transfer(t, "to the client", backend, client, pattern(n, byte(i+100)))
				total += int64(n)
			}
			on(t, l, func() {
				if ab, ba := c.relay.Moved(); ab != total || ba != total {
					t.Errorf("moved %d and %d, want %d", ab, ba, total)
				}
			})
			_ = client.CloseWrite()
			_, _ = io.Copy(io.Discard, backend)
			_ = backend.CloseWrite()
			if end := await(t, p.ends, "the end"); end.Err != nil || end.By != SideA {
				t.Errorf("ended with %+v", end)
			}
		})
	}
}

// Without descriptors for pipes, bulk is copied.
func TestRelayCopiesWhenThereAreNoPipes(t *testing.T) {
	l := startLoop(t, nil)
	_, client, backend, c := joined(t, l, nil)
	want := pattern(64<<20, 9)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 3, Max: limit.Max}
	on(t, l, func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	transfer(t, "to the backend", client, backend, want)
	on(t, l, func() {
		if n := len(l.pipes.idle); n != 0 || c.relay.ab.pipe != nil {
			t.Errorf("%d pipes were opened", n)
		}
	})
}

func TestRelaySplicesBulk(t *testing.T) {
	l := startLoop(t, nil)
	_, client, backend, _ := joined(t, l, nil)
	transfer(t, "to the backend", client, backend, pattern(64<<20, 9))
	on(t, l, func() {
		if len(l.pipes.idle) == 0 {
			t.Error("64 MiB were moved without a pipe")
		}
	})
}

func TestHeldBytesGoFirst(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	a, client := accepted(t, l, h)
	b, backend := accepted(t, l, nil)
	_, _ = client.Write([]byte("peeked "))
	if err := fillTo(t, l, a, told, 7, 100); err != nil && err != ErrAgain {
		t.Fatal(err)
	}
	var r Relay
	on(t, l, func() { r.Start(a, b, 0, relayedFunc(func(*Relay, End) {})) })
	_, _ = client.Write([]byte("later"))
	_ = client.CloseWrite()
	got, err := io.ReadAll(backend)
	if err != nil || string(got) != "peeked later" {
		t.Errorf("the backend got %q, %v", got, err)
	}
	on(t, l, func() { r.Stop(nil, false) })
}

func TestHalfClose(t *testing.T) {
	for _, tt := range []struct {
		name        string
		clientFirst bool
		size        int
	}{
		{"client ends first, small answer", true, 10},
		{"client ends first, large answer", true, 8 << 20},
		{"backend ends first, small request", false, 10},
		{"backend ends first, large request", false, 8 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			p, client, backend, _ := joined(t, l, nil)
			first, last, by := client, backend, SideA
			if !tt.clientFirst {
				first, last, by = backend, client, SideB
			}
			_, _ = first.Write([]byte("request"))
			_ = first.CloseWrite()
			if got, err := io.ReadAll(last); err != nil || string(got) != "request" {
				t.Fatalf("the other side got %q, %v", got, err)
			}
			want := pattern(tt.size, 4) // only after the end arrived
			transfer(t, "the answer", last, first, want)
			_ = last.CloseWrite()
			if n, err := first.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the answer: %d, %v", n, err)
			}
			if end := await(t, p.ends, "the end"); end.Err != nil || end.By != by {
				t.Errorf("ended with %+v", end)
			}
		})
	}
}

func TestResetIsPassedOn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		byClient bool
		before   func(from, to *net.TCPConn) // what happens before the reset
	}{
		{"client, after bytes", true, nil},
		{"backend, after bytes", false, nil},
		{"client, after its end", true, func(from, to *net.TCPConn) { _ = from.CloseWrite(); _, _ = io.ReadAll(to) }},
		{"backend, after its end", false, func(from, to *net.TCPConn) { _ = from.CloseWrite(); _, _ = io.ReadAll(to) }},
		{"client, after the backend's end", true, func(from, to *net.TCPConn) { _ = to.CloseWrite(); _, _ = io.ReadAll(from) }},
		{"backend, after the client's end", false, func(from, to *net.TCPConn) { _ = to.CloseWrite(); _, _ = io.ReadAll(from) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			p, client, backend, _ := joined(t, l, nil)
			from, to, by := client, backend, SideA
			if !tt.byClient {
				from, to, by = backend, client, SideB
			}
			if tt.before != nil {
				tt.before(from, to)
				abort(from)
			} else {
				_, _ = from.Write([]byte("sent before"))
				abort(from)
				got, err := io.ReadAll(to)
				if string(got) != "sent before" || !isReset(err) {
					t.Errorf("the other side got %q, %v, want a reset", got, err)
				}
			}
			end := await(t, p.ends, "the end")
			if afterOwnEnd := strings.HasSuffix(tt.name, "its end"); (end.Err == nil) != afterOwnEnd {
				t.Errorf("ended with %+v", end)
			}
			if tt.before == nil && end.By != by {
				t.Errorf("ended by %v, want %v", end.By, by)
			}
			// A side that has read the other's end is told of the reset by its next write.
			for err := error(nil); err == nil; {
				if _, err = to.Write([]byte("x")); err != nil && !isReset(err) && !errors.Is(err, unix.EPIPE) {
					t.Errorf("write after the reset: %v", err)
				}
			}
		})
	}
}

// A reset right behind the end, both seen in one event, on a connection where the other side says nothing.
func TestResetRightBehindTheEndEndsTheRelay(t *testing.T) {
	l := startLoop(t, nil)
	p, client, _, _ := joined(t, l, nil)
	on(t, l, func() {
		_ = client.CloseWrite()
		abort(client)
	})
	if end := await(t, p.ends, "the end"); end.By != SideA {
		t.Errorf("ended with %+v", end)
	}
}

// A client that closes for good when it has said all resets what still comes for it. That is no abort: clients of
// databases leave so all the time, and a TLS server's farewell meets nobody.
func TestFarewellToAClientThatHasClosed(t *testing.T) {
	l := startLoop(t, nil)
	p, client, backend, _ := joined(t, l, nil)
	_ = client.Close()
	if _, err := backend.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the backend reads %v, want the end", err)
	}
	for err := error(nil); err == nil; {
		_, err = backend.Write([]byte("farewell")) // the first one meets a closed socket, a later one the reset
	}
	if end := await(t, p.ends, "the end"); end.Err != nil || end.By != SideA {
		t.Errorf("ended with %+v, want a normal end by the client", end)
	}
}

// A server that refuses a large request answers and closes with most of the request unread: its answer must arrive.
func TestLastWordsOfAServer(t *testing.T) {
	for _, tt := range []struct {
		name         string
		answer, size int
	}{
		{"small", 100, 1 << 20},
		{"larger", 30_000, 4 << 20}, // within the window of a new connection: a reset drops what kernels have not sent
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			want := pattern(tt.answer, 8)
			addr := server(t, func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, 10))
				_, _ = c.Write(want)
			})
			p := startProxy(t, l, addr, nil)
			client := p.dial()
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = client.Write(make([]byte, tt.size)) }) // fails half way
			got, _ := io.ReadAll(client)
			expectBytes(t, "the answer", got, want)
			sending.Wait()
			if end := await(t, p.ends, "the end"); end.By != SideB {
				t.Errorf("ended with %+v", end)
			}
		})
	}
}

// A backend that resets after it has said more than the client's window takes: the client gets all that had come, and
// then the reset.
func TestResetComesAfterWhatIsSent(t *testing.T) {
	l := startLoop(t, nil)
	p, client, backend, c := joined(t, l, nil)
	want := pattern(300_000, 11)
	if _, err := backend.Write(want); err != nil {
		t.Fatal(err)
	}
	weirtest.Eventually(t, 10*time.Second, func() bool {
		return ask(t, l, func() bool { _, back := c.relay.Moved(); return back == int64(len(want)) })
	}, "all bytes are with our kernel or the client's")
	abort(backend)
	got, err := io.ReadAll(client)
	if !isReset(err) {
		t.Errorf("the client's reading ended with %v, want a reset", err)
	}
	expectBytes(t, "what came before the reset", got, want)
	if end := await(t, p.ends, "the end"); end.By != SideB || end.Err == nil {
		t.Errorf("ended with %+v", end)
	}
}

// The same, when writing finds out first: the answer waits unread in the socket's buffer.
func TestLastWordsWhenWritingFails(t *testing.T) {
	l := startLoop(t, nil)
	p, client, backend, c := joined(t, l, nil)
	on(t, l, func() {
		_, _ = client.Write([]byte("request"))
		_, _ = backend.Write([]byte("answer"))
		abort(backend)
		c.b.fail(unix.EPIPE) // as a write would that came before the event
		c.b.readable = false
		c.a.readable = true
		c.relay.Ready(&c.a)
	})
	if got, err := io.ReadAll(client); string(got) != "answer" || !isReset(err) {
		t.Errorf("the client got %q, %v", got, err)
	}
	if end := await(t, p.ends, "the end"); end.By != SideB || end.Err == nil {
		t.Errorf("ended with %+v", end)
	}
}

func TestStoppedReaderStopsTheSender(t *testing.T) {
	for _, tt := range []struct {
		name     string
		byClient bool
	}{{"backend does not read", true}, {"client does not read", false}} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			_, client, backend, c := joined(t, l, nil)
			from, to := client, backend
			if !tt.byClient {
				from, to = backend, client
			}
			sent := writeUntilBlocked(t, l, from, c)
			on(t, l, func() {
				if user, pipes := c.held(); user > largeBuffer || pipes > pipeSize {
					t.Errorf("%d bytes are held in user space and %d in pipes", user, pipes)
				}
			})
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(to, got); err != nil {
				t.Fatal(err)
			}
			expectBytes(t, "read after all", got, sent)
			transfer(t, "and on", from, to, pattern(1<<20, 7))
			on(t, l, func() {
				if user, pipes := c.held(); user != 0 || pipes != 0 || c.a.out != nil || c.b.out != nil {
					t.Errorf("%d bytes are held in user space and %d in pipes with nothing under way", user, pipes)
				}
			})
		})
	}
}

// writeUntilBlocked writes until the sender's socket refuses and the relay stands still with bytes it cannot pass on, and
// returns what was taken.
func writeUntilBlocked(t testing.TB, l *Loop, from *net.TCPConn, c *conn) (sent []byte) {
	t.Helper()
	raw, err := from.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	look := func() (moved int64, held bool) {
		on(t, l, func() {
			user, pipes := c.held()
			moved, held = c.relay.ab.moved+c.relay.ba.moved, user+pipes > 0
		})
		return moved, held
	}
	deadline := time.Now().Add(patience)
	for still := 0; still < 20; {
		n := 0
		p := pattern(256<<10, byte(len(sent)>>18))
		if err := raw.Write(func(fd uintptr) bool { n, err = unix.Write(int(fd), p); return true }); err != nil {
			t.Fatal(err)
		}
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		sent = append(sent, p[:max(n, 0)]...)
		if len(sent) > 256<<20 || time.Now().After(deadline) {
			t.Fatalf("the sender is not stopped after %d bytes", len(sent))
		}
		before, _ := look()
		if after, held := look(); n <= 0 && held && after == before {
			still++
		} else {
			still = 0
		}
	}
	return sent
}

func TestIdleRelaysHoldNothing(t *testing.T) {
	l := startLoop(t, nil)
	addr := server(t, echo)
	p := startProxy(t, l, addr, func(p *proxy) { p.started = make(chan *conn, 200) })
	const n = 200
	var clients []*net.TCPConn
	before := descriptors(t)
	for i := range n {
		c := p.dial()
		clients = append(clients, c)
		transfer(t, "echo", c, c, pattern(1+i*500, byte(i)))
	}
	on(t, l, func() {
		for range n {
			c := <-p.started
			user, pipes := c.held()
			if user != 0 || pipes != 0 || c.a.in != nil || c.a.out != nil || c.b.in != nil || c.b.out != nil || c.relay.ab.pipe != nil || c.relay.ba.pipe != nil {
				t.Fatalf("an idle relay holds %d bytes, %d in pipes", user, pipes)
			}
		}
		if open, want := descriptors(t), before+4*n+2*len(l.pipes.idle); open != want {
			t.Errorf("%d descriptors are open, want %d", open, want)
		}
	})
	for _, c := range clients {
		_ = c.Close()
	}
	for range n {
		if end := await(t, p.ends, "an end"); end.Err != nil {
			t.Errorf("ended with %+v", end)
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	l := startLoop(t, nil)
	const idle = 200 * time.Millisecond
	p, client, backend, _ := joined(t, l, func(p *proxy) { p.idle = idle })
	start := time.Now() // the byte moves after
	transfer(t, "to the backend", client, backend, []byte("x"))
	end := await(t, p.ends, "the idle timeout")
	took := time.Since(start)
	if !errors.Is(end.Err, ErrIdle) || end.By != Neither {
		t.Errorf("ended with %+v", end)
	}
	if took < idle {
		t.Errorf("ended after %v, set to %v", took, idle)
	}
	for name, c := range map[string]*net.TCPConn{"client": client, "backend": backend} {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the %s got %v", name, err)
		}
	}
}

// The same with the wheel's clock in the test's hand: alive at every check but the last five, over at the fifth.
func TestIdleTimeoutCountsChecks(t *testing.T) {
	l := startLoop(t, nil)
	_, client, backend, c := joined(t, l, func(p *proxy) { p.idle = time.Hour })
	for range 3 * idleChecks {
		transfer(t, "to the backend", client, backend, []byte("x"))
		on(t, l, func() { c.relay.Expired(&c.relay.timer) })
	}
	on(t, l, func() {
		for side, s := range map[string]*Stream{"accepted": &c.a, "dialled": &c.b} {
			for _, o := range keepalive {
				if v, err := unix.GetsockoptInt(int(s.fd), o.level, o.option); err != nil || v != o.value {
					t.Errorf("option %d/%d of the %s side is %d (%v) after the first check, want %d", o.level, o.option, side, v, err, o.value)
				}
			}
		}
		for check := 1; c.relay.Running(); check++ {
			c.relay.Expired(&c.relay.timer)
			if running := c.relay.Running(); running != (check < idleChecks) {
				t.Fatalf("running is %v after %d checks without a byte", running, check)
			}
		}
	})
}

func TestStop(t *testing.T) {
	cause := errors.New("backend removed")
	for _, tt := range []struct {
		name  string
		cause error
		reset bool
		want  error
	}{
		{"close", nil, false, ErrStopped},
		{"reset with a cause", cause, true, cause},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			p, client, backend, c := joined(t, l, func(p *proxy) { p.idle = time.Hour })
			on(t, l, func() {
				c.relay.Stop(tt.cause, tt.reset)
				c.relay.Stop(tt.cause, tt.reset)
				if c.relay.Running() || c.relay.timer.Armed() || c.a.IsOpen() || c.b.IsOpen() {
					t.Error("something goes on after Stop")
				}
			})
			if end := await(t, p.ends, "the end"); !errors.Is(end.Err, tt.want) || end.By != Neither {
				t.Errorf("ended with %+v", end)
			}
			for name, c := range map[string]*net.TCPConn{"client": client, "backend": backend} {
				if _, err := c.Read(make([]byte, 1)); isReset(err) != tt.reset {
					t.Errorf("the %s got %v", name, err)
				}
			}
			if len(p.ends) != 0 {
				t.Error("the end was told twice")
			}
		})
	}
}

// One of the streams is closed by somebody else: the relay ends at the next byte instead of sending it nowhere.
func TestRelayOfAClosedStreamEnds(t *testing.T) {
	l := startLoop(t, nil)
	p, client, _, c := joined(t, l, nil)
	on(t, l, c.b.Close)
	_, _ = client.Write([]byte("x"))
	if end := await(t, p.ends, "the end"); !errors.Is(end.Err, ErrClosed) {
		t.Errorf("ended with %+v", end)
	}
}

// Three connections send as fast as they can; a fourth on the same loop goes on asking and being answered.
func TestBulkDoesNotStarveASmallConversation(t *testing.T) {
	l := startLoop(t, nil)
	sink := server(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	bulk := startProxy(t, l, sink, nil)
	pong := startProxy(t, l, server(t, echo), nil)
	var stop atomic.Bool
	var senders sync.WaitGroup
	chunk := make([]byte, 1<<20)
	const bulks = 3
	moving := make(chan struct{}, bulks)
	for range bulks {
		c := bulk.dial()
		senders.Go(func() {
			for first := true; first || !stop.Load(); first = false {
				if _, err := c.Write(chunk); err != nil {
					t.Errorf("bulk: %v", err)
					return
				}
				if first {
					moving <- struct{}{}
				}
			}
			_ = c.Close()
		})
	}
	for range bulks {
		await(t, moving, "bulk")
	}
	c := pong.dial()
	msg := make([]byte, 64)
	start := time.Now()
	const rounds = 20 // with one processor and the race detector, each waits long for the goroutines at the ends of the bulk
	for range rounds {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	stop.Store(true)
	senders.Wait()
	t.Logf("%d round trips beside bulk: %v each", rounds, took/rounds)
}

func TestDescriptorsComeBack(t *testing.T) {
	l := startLoop(t, nil)
	p := startProxy(t, l, server(t, echo), nil)
	before := descriptors(t)
	const n, workers = 2000, 8
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := range n / workers {
				c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(p.ln.Addr()))
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = c.Write([]byte("hello"))
				switch (i + w) % 3 {
				case 0:
					_ = c.CloseWrite()
					if got, err := io.ReadAll(c); string(got) != "hello" {
						t.Errorf("echo: %q, %v", got, err)
					}
				case 1:
					_ = c.SetLinger(0)
				}
				_ = c.Close()
			}
		})
	}
	running.Wait()
	for range n {
		await(t, p.ends, "an end")
	}
	on(t, l, func() {
		if live := p.live.Load(); live != 0 {
			t.Errorf("%d connections live on", live)
		}
	})
	waitDescriptors(t, before+2*ask(t, l, func() int { return len(l.pipes.idle) }))
}

func TestNoAllocationPerRoundTrip(t *testing.T) {
	l := startLoop(t, nil)
	p := startProxy(t, l, server(t, echo), nil)
	c := p.dial()
	msg := make([]byte, 64)
	round := func() {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(500, round); n >= 1 {
		t.Errorf("%v allocations per relayed round trip", n)
	}
}

func TestNoAllocationPerConnection(t *testing.T) {
	l, far := startLoop(t, nil), startLoop(t, nil)
	p := startProxy(t, l, listen(t, far, anyPort, &answerer{}).Addr(), nil)
	c := &caller{loop: far, to: p.ln.Addr(), done: make(chan error, 1)}
	run := func(connections int) {
		if err := far.Post(func() { c.left = connections; c.begin() }); err != nil {
			t.Fatal(err)
		}
		if err := await(t, c.done, "the connections"); err != nil {
			t.Fatal(err)
		}
	}
	run(50) // fills the pools
	const connections = 500
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(connections)
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / connections; n >= 0.5 {
		t.Errorf("%v allocations per connection", n)
	}
}

// relayRun is one random conversation: what each side does, and what the other must see of it.
type relayRun struct {
	t        *rapid.T
	conns    [2]*net.TCPConn // client, backend
	sent     [2][]byte       // written by each side, in order
	seen     [2]int          // how much of it the other side has read
	finished [2]bool
}

func (r *relayRun) write(side, n int) {
	p := pattern(n, byte(len(r.sent[side])))
	done := make(chan error, 1)
	go func() {
		_, err := r.conns[side].Write(p)
		done <- err
	}()
	r.sent[side] = append(r.sent[side], p...)
	r.read(1-side, len(r.sent[side])-r.seen[side]-min(n, 100<<10)) // leaves at most what kernels hold for sure
	if err := <-done; err != nil {
		r.t.Fatalf("side %d: write: %v", side, err)
	}
}

func (r *relayRun) read(side, n int) {
	if n <= 0 {
		return
	}
	from := 1 - side
	got := make([]byte, n)
	if _, err := io.ReadFull(r.conns[side], got); err != nil {
		r.t.Fatalf("side %d: read: %v", side, err)
	}
	if string(got) != string(r.sent[from][r.seen[from]:r.seen[from]+n]) {
		r.t.Fatalf("side %d read other bytes than side %d wrote", side, from)
	}
	r.seen[from] += n
}

func (r *relayRun) pending(side int) int { return len(r.sent[1-side]) - r.seen[1-side] }

// TestRelayConversations checks random schedules of writes, reads and half-closes, ended by an orderly close or a reset.
func TestRelayConversations(t *testing.T) {
	l := startLoop(t, nil)
	arrived := make(chan *net.TCPConn, 1)
	released := make(chan struct{}, 1)
	addr := server(t, func(c *net.TCPConn) { arrived <- c; <-released })
	p := startProxy(t, l, addr, func(p *proxy) { p.started = make(chan *conn, 1) })
	rapid.Check(t, func(rt *rapid.T) {
		client, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(p.ln.Addr()))
		if err != nil {
			rt.Fatal(err)
		}
		_ = client.SetDeadline(time.Now().Add(patience))
		r := &relayRun{t: rt, conns: [2]*net.TCPConn{client, <-arrived}}
		<-p.started // before, a reset is a connection that failed
		defer func() {
			_ = client.Close()
			_ = r.conns[1].Close()
			released <- struct{}{}
		}()
		for range rapid.IntRange(0, 12).Draw(rt, "steps") {
			side := rapid.IntRange(0, 1).Draw(rt, "side")
			switch rapid.SampledFrom([]string{"write", "write", "bulk", "read", "read", "finish"}).Draw(rt, "step") {
			case "write":
				if !r.finished[side] {
					r.write(side, rapid.IntRange(1, 100_000).Draw(rt, "bytes"))
				}
			case "bulk":
				if !r.finished[side] {
					r.write(side, rapid.IntRange(1, 3<<20).Draw(rt, "bytes"))
				}
			case "read":
				if n := r.pending(side); n > 0 {
					r.read(side, rapid.IntRange(1, n).Draw(rt, "bytes"))
				}
			case "finish":
				r.finished[side] = true
				_ = r.conns[side].CloseWrite()
			}
		}
		r.end(p, rapid.SampledFrom([]string{"close", "client resets", "backend resets"}).Draw(rt, "end"))
	})
}

func (r *relayRun) end(p *proxy, how string) {
	t := r.t
	for side := range r.conns {
		r.read(side, r.pending(side))
	}
	resetter := map[string]int{"client resets": 0, "backend resets": 1}
	if side, ok := resetter[how]; ok && !(r.finished[0] && r.finished[1]) {
		abort(r.conns[side])
		if !r.finished[side] {
			if _, err := r.conns[1-side].Read(make([]byte, 1)); !isReset(err) {
				t.Fatalf("side %d got %v, want a reset", 1-side, err)
			}
		}
		// After its own end a reset is how a side that has closed for good answers what still comes for it.
		if end := <-p.ends; end.Err == nil && !r.finished[side] {
			t.Fatalf("reset, ended with %+v", end)
		}
		return
	}
	for _, c := range r.conns {
		_ = c.CloseWrite()
	}
	for side, c := range r.conns {
		if n, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("side %d: %d, %v at the end", side, n, err)
		}
	}
	if end := <-p.ends; end.Err != nil {
		t.Fatalf("ended with %+v", end)
	}
}

func BenchmarkRelayRoundTrip(b *testing.B) {
	l := startLoop(b, nil)
	p := startProxy(b, l, server(b, echo), nil)
	c := p.dial()
	_ = c.SetDeadline(time.Time{})
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRelayConnection counts a whole connection: accept, dial, one small round trip, both ends. Client and server are
// pooled streams of a second loop, so that every allocation is the engine's. The caller goes from one connection to the
// next by itself, because posting a task for each would be counted; hence b.N.
func BenchmarkRelayConnection(b *testing.B) {
	l, far := startLoop(b, nil), startLoop(b, nil)
	backend := listen(b, far, anyPort, &answerer{})
	p := startProxy(b, l, backend.Addr(), nil)
	c := &caller{loop: far, to: p.ln.Addr(), left: b.N, done: make(chan error, 1)}
	b.ReportAllocs()
	b.ResetTimer()
	if err := far.Post(c.begin); err != nil {
		b.Fatal(err)
	}
	if err := <-c.done; err != nil {
		b.Fatal(err)
	}
}

// answerer answers every connection's first bytes and closes when the caller has.
type answerer struct{ free []*answer }

type answer struct {
	from *answerer
	s    Stream
	buf  [100]byte
}

func (a *answerer) Accept(ln *Listener, fd int, from netip.AddrPort) {
	var c *answer
	if n := len(a.free); n > 0 {
		c, a.free = a.free[n-1], a.free[:n-1]
	} else {
		c = &answer{from: a}
	}
	_ = c.s.Open(ln.Loop(), fd, from, c)
}

func (c *answer) Ready(s *Stream) {
	for {
		n, err := s.Read(c.buf[:])
		if err == ErrAgain {
			return
		}
		if err != nil {
			s.Close()
			c.from.free = append(c.from.free, c)
			return
		}
		_ = s.Write(c.buf[:n])
	}
}

// caller asks once per connection, one connection after the other.
type caller struct {
	loop *Loop
	to   netip.AddrPort
	s    Stream
	left int
	done chan error
	msg  [64]byte
	got  int
}

func (c *caller) begin() {
	c.got = 0
	if err := c.s.Dial(c.loop, c.to, c); err != nil {
		c.done <- err
	}
}

func (c *caller) Connected(s *Stream, err error) {
	if err != nil {
		c.done <- err
		return
	}
	s.SetHandler(c)
	_ = s.Write(c.msg[:])
}

func (c *caller) Ready(s *Stream) {
	for {
		n, err := s.Read(c.msg[:])
		c.got += n
		switch {
		case err == nil && c.got == len(c.msg):
			_ = s.CloseWrite()
		case err == nil:
		case err == ErrAgain:
			return
		default:
			s.Close()
			c.left--
			switch {
			case err != io.EOF:
				c.done <- err
			case c.left == 0:
				c.done <- nil
			default:
				c.begin()
			}
			return
		}
	}
}
