package eventloop

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/internal/weirtest"
)

type receivedFunc func(*Datagrams, []Datagram)

func (f receivedFunc) Received(d *Datagrams, batch []Datagram) { f(d, batch) }

type lostFunc func(d *Datagrams, to netip.AddrPort, n int, err error)

func (f lostFunc) Lost(d *Datagrams, to netip.AddrPort, n int, err error) { f(d, to, n, err) }

// post is a batcher on a loop of its own.
func post(t testing.TB) *Batcher {
	t.Helper()
	return postOf(t, slotCount, receiveBatch, slotSize)
}

func postOf(t testing.TB, slots, most, room int) (b *Batcher) {
	t.Helper()
	l := startLoop(t, nil)
	var err error
	on(t, l, func() { b, err = newBatcher(l, slots, most, room) })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openDatagrams opens a bound socket on the batcher's loop.
func openDatagrams(t testing.TB, b *Batcher, at netip.AddrPort, r Receiver, losses Losses) *Datagrams {
	t.Helper()
	socket, err := OpenDatagrams(at, false)
	if err != nil {
		t.Fatal(err)
	}
	d := new(Datagrams)
	on(t, b.loop, func() { err = d.Open(b, socket, r, losses) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dialDatagrams connects a socket on the batcher's loop.
func dialDatagrams(t testing.TB, b *Batcher, to netip.AddrPort, r Receiver, losses Losses) *Datagrams {
	t.Helper()
	d := new(Datagrams)
	var err error
	on(t, b.loop, func() { err = d.Dial(b, to, netip.Addr{}, r, losses) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dialUDP connects an ordinary socket.
func dialUDP(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func writeUDP(t testing.TB, c *net.UDPConn, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

// writeTrain has the kernel cut p into datagrams.
func writeTrain(t testing.TB, c *net.UDPConn, p []byte, segment int) {
	t.Helper()
	control := make([]byte, controlRoom)
	if _, _, err := c.WriteMsgUDP(p, control[:putSegment(control, segment)], nil); err != nil {
		t.Fatalf("send a train: %v", err)
	}
}

// listenUDP binds an ordinary socket.
func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func expectUDP(t testing.TB, c *net.UDPConn, want []byte) {
	t.Helper()
	got := make([]byte, slotSize)
	n, err := c.Read(got)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	expectBytes(t, "datagram", got[:n], want)
}

// openOn opens a bound socket on a host, whose sockets are the host's on whatever loop they are.
func openOn(t testing.TB, h *weirtest.Host, b *Batcher, at netip.Addr, r Receiver, losses Losses) *Datagrams {
	t.Helper()
	var socket *DatagramSocket
	var err error
	h.Do(func() { socket, err = OpenDatagrams(netip.AddrPortFrom(at, 0), false) })
	if err != nil {
		t.Fatal(err)
	}
	d := new(Datagrams)
	on(t, b.loop, func() { err = d.Open(b, socket, r, losses) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dialOn connects a socket of a host, as Dial does.
func dialOn(t testing.TB, h *weirtest.Host, b *Batcher, to netip.AddrPort, r Receiver, losses Losses) *Datagrams {
	t.Helper()
	d := new(Datagrams)
	var err error
	on(t, b.loop, func() { err = d.dialOn(h, b, to, r, losses) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Datagrams) dialOn(h *weirtest.Host, b *Batcher, to netip.AddrPort, r Receiver, losses Losses) (err error) {
	var fd int
	h.Do(func() {
		if fd, err = datagramSocket(to.Addr()); err == nil {
			err = b.connect(fd, to, netip.Addr{})
		}
	})
	if err != nil {
		return err
	}
	d.begin(b, fd, r, losses)
	return d.watch()
}

// answerAll sends every datagram back where it came from.
var answerAll = receivedFunc(func(d *Datagrams, batch []Datagram) {
	for i := range batch {
		d.SendTo(batch[i].Bytes, batch[i].From, batch[i].Local)
	}
})

// kept is a copy of a datagram.
type kept struct {
	Datagram
	batch int // size of its batch
}

// keeper passes copies of what it gets on.
func keeper(into chan<- kept) receivedFunc {
	return func(_ *Datagrams, batch []Datagram) {
		for _, one := range batch {
			one.Bytes = bytes.Clone(one.Bytes)
			into <- kept{one, len(batch)}
		}
	}
}

type told struct {
	to  netip.AddrPort
	n   int
	err error
}

func teller(into chan<- told) lostFunc {
	return func(_ *Datagrams, to netip.AddrPort, n int, err error) { into <- told{to, n, err} }
}

func TestDatagramsOfAllSizesAreAnswered(t *testing.T) {
	b := post(t)
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		d := openDatagrams(t, b, netip.MustParseAddrPort(at), answerAll, nil)
		clients := []string{"127.0.0.1", "::1"}
		if ip := netip.MustParseAddrPort(at).Addr(); !ip.Is6() {
			clients = clients[:1]
		} else if !ip.IsUnspecified() {
			clients = clients[1:]
		}
		for _, client := range clients {
			c := dialUDP(t, netip.AddrPortFrom(netip.MustParseAddr(client), d.Addr().Port()))
			for _, size := range []int{1, 0, 64, 1472, 1473, 9000, 65507} {
				sent := pattern(size, byte(size))
				writeUDP(t, c, sent)
				expectUDP(t, c, sent)
			}
		}
	}
}

func TestDatagramsSayWhereTheyWereSentTo(t *testing.T) {
	b := post(t)
	for _, tt := range []struct{ name, at, call, local string }{
		{"IPv4, any", "0.0.0.0:0", "127.0.0.9", "127.0.0.9"},
		{"IPv4, one", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"IPv6, any", "[::]:0", "::1", "::1"},
		{"IPv6, one", "[::1]:0", "::1", "::1"},
		{"IPv4 on an IPv6 socket", "[::]:0", "127.0.0.9", "127.0.0.9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan kept, 1)
			d := openDatagrams(t, b, netip.MustParseAddrPort(tt.at), keeper(got), nil)
			c := dialUDP(t, netip.AddrPortFrom(netip.MustParseAddr(tt.call), d.Addr().Port()))
			writeUDP(t, c, []byte("hello"))
			one := await(t, got, "the datagram")
			if one.From != c.LocalAddr().(*net.UDPAddr).AddrPort() || one.Local != netip.MustParseAddr(tt.local) || one.Truncated {
				t.Errorf("got %+v from %s", one, c.LocalAddr())
			}
		})
	}
}

// An answer has to leave from the address that was called, or the client's connected socket does not take it.
func TestAnswersLeaveFromTheAddressThatWasCalled(t *testing.T) {
	network := weirtest.NewNetwork(t)
	host, far := network.Host(), network.Host()
	second := netip.MustParseAddr("10.99.0.77")
	if out, err := host.Command("ip", "addr", "add", second.String()+"/24", "dev", "eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := post(t)
	d := openOn(t, host, b, netip.IPv4Unspecified(), answerAll, nil)
	for _, called := range []netip.Addr{host.Addr, second} {
		var c *net.UDPConn
		var err error
		far.Do(func() {
			c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(called, d.Addr().Port())))
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		writeUDP(t, c, []byte("who is there?"))
		expectUDP(t, c, []byte("who is there?"))
		train := pattern(10*1200+500, 3) // and trains, across a link whose packets hold 1500 bytes
		writeTrain(t, c, train, 1200)
		for part := range slices.Chunk(train, 1200) {
			expectUDP(t, c, part)
		}
	}
}

func TestDialledDatagrams(t *testing.T) {
	b := post(t)
	server := weirtest.EchoUDP(t)
	got := make(chan kept, 10)
	d := dialDatagrams(t, b, netip.MustParseAddrPort(server.Addr), keeper(got), nil)
	for _, size := range []int{5, 0, 65507} {
		sent := pattern(size, 1)
		on(t, b.loop, func() {
			d.Send(sent)
			clear(sent) // it was copied
		})
		one := await(t, got, "the answer")
		expectBytes(t, "answer", one.Bytes, pattern(size, 1))
		if one.From.IsValid() || one.Local.IsValid() {
			t.Errorf("got %+v", one)
		}
	}
	if at := ask(t, b.loop, d.Addr); at.Addr() != netip.MustParseAddr("127.0.0.1") || at.Port() == 0 {
		t.Errorf("bound to %s", at)
	}
	on(t, b.loop, d.Close)
	if at := ask(t, b.loop, d.Addr); at.IsValid() || d.IsOpen() {
		t.Errorf("after Close: %s", at)
	}
}

func TestDialFromAnAddress(t *testing.T) {
	b := post(t)
	got := make(chan kept, 1)
	d := openDatagrams(t, b, anyPort, keeper(got), nil)
	from := netip.MustParseAddr("127.0.0.42")
	c := new(Datagrams)
	before := descriptors(t)
	on(t, b.loop, func() {
		if err := c.Dial(b, d.Addr(), from, answerAll, nil); err != nil {
			t.Error(err)
		}
		c.Send([]byte("x"))
	})
	if one := await(t, got, "the datagram"); one.From.Addr() != from {
		t.Errorf("came from %s", one.From)
	}
	on(t, b.loop, c.Close)
	on(t, b.loop, func() {
		if err := c.Dial(b, d.Addr(), netip.MustParseAddr("192.0.2.1"), answerAll, nil); !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("from an address of others: %v", err)
		}
	})
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// TestWiden: a dialled socket gets as much room as a bound one has.
func TestWiden(t *testing.T) {
	b := post(t)
	bound := openDatagrams(t, b, netip.MustParseAddrPort("127.0.0.1:0"), answerAll, nil)
	d := dialDatagrams(t, b, bound.Addr(), answerAll, nil)
	room := func(d *Datagrams) (in, out int) {
		in, _ = unix.GetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		out, _ = unix.GetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		return in, out
	}
	wantIn, wantOut := room(bound)
	if in, out := room(d); in >= wantIn || out >= wantOut {
		t.Fatalf("a dialled socket has %d and %d bytes before, a bound one %d and %d", in, out, wantIn, wantOut)
	}
	on(t, b.loop, d.Widen)
	if in, out := room(d); in != wantIn || out != wantOut {
		t.Errorf("it has %d and %d bytes, want %d and %d", in, out, wantIn, wantOut)
	}
}

func TestDatagramsToNobodyAreRefused(t *testing.T) {
	b := post(t)
	losses := make(chan told, 10)
	closed := openDatagrams(t, b, anyPort, answerAll, nil)
	nobody := closed.Addr()
	on(t, b.loop, closed.Close)
	d := dialDatagrams(t, b, nobody, answerAll, teller(losses))
	on(t, b.loop, func() { d.Send([]byte("anybody?")) })
	if l := await(t, losses, "the refusal"); l.err != unix.ECONNREFUSED || l.n != 0 || l.to.IsValid() {
		t.Errorf("told %+v", l)
	}
	// A refusal that is found when sending does not cost the datagram: somebody may be there by now.
	on(t, b.loop, func() { d.Send([]byte("one")); b.flush(); d.Send([]byte("two")); b.flush() })
	for range 2 {
		if l := await(t, losses, "the refusal of each"); l.err != unix.ECONNREFUSED || l.n != 0 {
			t.Errorf("told %+v", l)
		}
	}
	if n := ask(t, b.loop, d.Unsent); n != 0 {
		t.Errorf("%d datagrams count as unsent", n)
	}
}

func TestLossesAreTold(t *testing.T) {
	b := post(t)
	losses := make(chan told, 10)
	four := openDatagrams(t, b, anyPort, answerAll, teller(losses))
	peer := netip.MustParseAddrPort("127.0.0.1:9")
	for _, tt := range []struct {
		name string
		p    []byte
		to   netip.AddrPort
		n    int
		err  error
	}{
		{"too large for UDP", make([]byte, 65508), peer, 1, unix.EMSGSIZE},
		{"too large for the queue", make([]byte, copyRoom+1), peer, 1, unix.EMSGSIZE},
		{"no port", []byte("x"), netip.MustParseAddrPort("127.0.0.1:0"), 1, unix.EINVAL},
		{"another family", []byte("x"), netip.MustParseAddrPort("[::1]:9"), 1, unix.EAFNOSUPPORT},
		{"a broadcast address", []byte("x"), netip.MustParseAddrPort("255.255.255.255:9"), 1, unix.EACCES},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on(t, b.loop, func() { four.SendTo(tt.p, tt.to, netip.Addr{}) })
			if l := await(t, losses, "the loss"); l != (told{tt.to, tt.n, tt.err}) {
				t.Errorf("told %+v", l)
			}
		})
	}
	if n := ask(t, b.loop, four.Unsent); n != 5 {
		t.Errorf("%d datagrams count as unsent", n)
	}
}

// Losses do not cost what is queued behind them, and those of one peer in a row are told at once.
func TestLossInTheMiddle(t *testing.T) {
	b := post(t)
	losses := make(chan told, 10)
	d := openDatagrams(t, b, anyPort, answerAll, teller(losses))
	got := make(chan kept, 10)
	good := openDatagrams(t, b, anyPort, keeper(got), nil).Addr()
	bad := netip.MustParseAddrPort("127.0.0.1:0")
	on(t, b.loop, func() {
		d.SendTo([]byte("a"), good, netip.Addr{})
		d.SendTo([]byte("b"), bad, netip.Addr{})
		d.SendTo([]byte("cc"), bad, netip.Addr{})
		d.SendTo([]byte("d"), good, netip.Addr{})
	})
	for _, want := range []string{"a", "d"} {
		if one := await(t, got, "what was good"); string(one.Bytes) != want {
			t.Errorf("got %q, want %q", one.Bytes, want)
		}
	}
	if l := await(t, losses, "the losses"); l != (told{bad, 2, unix.EINVAL}) {
		t.Errorf("told %+v", l)
	}
}

// A socket that is full drops and counts; it neither waits nor grows. It is full because nobody answers for the address it
// sends to, which Linux waits for with the datagrams in hand (arp(7)).
func TestFullSocketDrops(t *testing.T) {
	network := weirtest.NewNetwork(t)
	host := network.Host()
	nobody := netip.AddrPortFrom(netip.MustParseAddr("10.99.0.200"), 9)
	b := post(t)
	const datagrams = 1000
	for _, dialled := range []bool{false, true} {
		lost := 0
		count := lostFunc(func(_ *Datagrams, _ netip.AddrPort, n int, err error) {
			if n > 0 && err != unix.EAGAIN && err != unix.ENOBUFS {
				t.Errorf("told of %v", err)
			}
			lost += n
		})
		var d *Datagrams
		send := func(p []byte) { d.Send(p) }
		if dialled {
			d = dialOn(t, host, b, nobody, answerAll, count)
		} else {
			d = openOn(t, host, b, host.Addr, answerAll, count)
			send = func(p []byte) { d.SendTo(p, nobody, netip.Addr{}) }
		}
		on(t, b.loop, func() {
			if err := unix.SetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
				t.Error(err)
			}
			for i := range datagrams {
				send(pattern(1000+i%7, 1))
			}
		})
		on(t, b.loop, func() {}) // the losses are told
		if n := int(ask(t, b.loop, d.Unsent)); lost < datagrams/2 || lost >= datagrams || n != lost {
			t.Errorf("dialled %v: told of %d of %d, %d are counted", dialled, lost, datagrams, n)
		}
	}
}

func TestTrainsAreSplitAndJoined(t *testing.T) {
	b := post(t)
	for _, tt := range []struct {
		name          string
		size, segment int
	}{
		{"equal", 6400, 100},
		{"the last is shorter", 6350, 100},
		{"one byte each", 64, 1},
		{"as large as it gets", 65000, 1300},
		{"two", 60000, 30000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := openDatagrams(t, b, netip.MustParseAddrPort("0.0.0.0:0"), answerAll, nil)
			c := dialUDP(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), d.Addr().Port()))
			_ = c.SetReadBuffer(1 << 20)
			train := pattern(tt.size, 9)
			writeTrain(t, c, train, tt.segment)
			for part := range slices.Chunk(train, tt.segment) {
				expectUDP(t, c, part)
			}
		})
	}
}

// What lies in one piece goes out in one piece, and a receiver without UDP_GRO gets single datagrams of it.
func TestTrainsCrossInOneCall(t *testing.T) {
	b := post(t)
	got := make(chan kept, 300)
	sink := openDatagrams(t, b, anyPort, keeper(got), nil)
	d := dialDatagrams(t, b, sink.Addr(), answerAll, nil)
	on(t, b.loop, func() {
		for i := range 50 {
			d.Send(pattern(200, byte(i)))
		}
		d.Send(pattern(10, 99))
		d.Send(pattern(200, 100))
	})
	for i := range 52 {
		size, seed := 200, byte(i)
		switch i {
		case 50:
			size, seed = 10, 99
		case 51:
			seed = 100
		}
		one := await(t, got, "a datagram")
		expectBytes(t, "datagram", one.Bytes, pattern(size, seed))
		if one.batch != 52 {
			t.Fatalf("came in a batch of %d", one.batch)
		}
	}
}

// A path that does not take a datagram in one piece takes no train of them either, but it takes them one by one.
func TestTrainsOfFragments(t *testing.T) {
	network := weirtest.NewNetwork(t)
	near, far := network.Host(), network.Host()
	b := post(t)
	got := make(chan kept, 10)
	sink := openOn(t, far, b, far.Addr, keeper(got), nil)
	d := openOn(t, near, b, near.Addr, answerAll, nil)
	on(t, b.loop, func() {
		for i := range 3 {
			d.SendTo(pattern(4000, byte(i)), sink.Addr(), netip.Addr{})
		}
	})
	for i := range 3 {
		expectBytes(t, "datagram", await(t, got, "a datagram").Bytes, pattern(4000, byte(i)))
	}
	c := dialOn(t, near, b, sink.Addr(), answerAll, nil)
	on(t, b.loop, func() {
		for i := range 3 {
			c.Send(pattern(4000, byte(i)))
		}
	})
	for i := range 3 {
		expectBytes(t, "datagram", await(t, got, "a datagram").Bytes, pattern(4000, byte(i)))
	}
	if single := ask(t, b.loop, func() bool { return c.single && !d.single }); !single {
		t.Error("only the dialled socket remembers what its path takes")
	}
}

func TestTruncatedDatagrams(t *testing.T) {
	b := postOf(t, 4, 4, 100)
	got := make(chan kept, 3)
	d := openDatagrams(t, b, anyPort, keeper(got), nil)
	c := dialUDP(t, d.Addr())
	for _, size := range []int{100, 101, 3} {
		writeUDP(t, c, pattern(size, 5))
		one := await(t, got, "the datagram")
		expectBytes(t, "datagram", one.Bytes, pattern(size, 5)[:min(size, 100)])
		if one.Truncated != (size > 100) {
			t.Errorf("%d bytes: truncated is %v", size, one.Truncated)
		}
	}
	if n := ask(t, b.loop, d.Truncated); n != 1 {
		t.Errorf("%d count as truncated", n)
	}
}

// A flood has its share of a turn, and others come before the rest of it; in the end all of it is there.
func TestFloodLetsOthersThrough(t *testing.T) {
	b := post(t)
	const flood = datagramShare + 2*receiveBatch + 5 // fits into a receive buffer of the usual size
	var order []string
	done := make(chan struct{})
	noted := func(name string) receivedFunc {
		return func(_ *Datagrams, batch []Datagram) {
			for range batch {
				if order = append(order, name); len(order) == flood+1 {
					close(done)
				}
			}
		}
	}
	loud, still := openDatagrams(t, b, anyPort, noted("loud"), nil), openDatagrams(t, b, anyPort, noted("still"), nil)
	first, second := dialUDP(t, loud.Addr()), dialUDP(t, still.Addr())
	on(t, b.loop, func() {
		for range flood {
			writeUDP(t, first, []byte("x"))
		}
		writeUDP(t, second, []byte("x"))
	})
	await(t, done, "all datagrams")
	at := slices.Index(order, "still")
	if at > datagramShare+receiveBatch {
		t.Errorf("the other socket's datagram came behind %d of the flood's", at)
	}
}

// What a task or a timer sends is on its way before anything else happens on the loop, a task posted earlier included.
func TestSentInTheSameTurn(t *testing.T) {
	b := post(t)
	server := listenUDP(t)
	d := dialDatagrams(t, b, addrOf(server), answerAll, nil)
	var timer Timer
	for _, tt := range []struct {
		name  string
		start func(f func())
	}{
		{"from a task", func(f func()) { f() }},
		{"from a timer", func(f func()) { b.loop.Arm(&timer, 1, expiredFunc(func(*Timer) { f() })) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waiting := make(chan int, 2)
			on(t, b.loop, func() {
				tt.start(func() {
					if err := b.loop.Post(func() { waiting <- len(b.out.queue) }); err != nil {
						t.Error(err)
					}
					d.Send([]byte(tt.name))
					waiting <- len(b.out.queue)
				})
			})
			if n := await(t, waiting, "what is queued"); n != 1 {
				t.Errorf("%d are queued in the turn", n)
			}
			if n := await(t, waiting, "what is queued later"); n != 0 {
				t.Errorf("%d are queued after the turn", n)
			}
			expectUDP(t, server, []byte(tt.name))
		})
	}
}

// Of two sockets that are ready at once, one closes both: what was queued goes out, and what has come is nobody's.
func TestClosedWithinItsTurn(t *testing.T) {
	b := post(t)
	server := listenUDP(t)
	calls := 0
	var sockets [2]*Datagrams
	closeAll := receivedFunc(func(*Datagrams, []Datagram) {
		if calls++; b.loop.ready < len(sockets) {
			t.Errorf("%d events came together", b.loop.ready)
		}
		for _, d := range sockets {
			d.SendTo([]byte("bye"), addrOf(server), netip.Addr{})
			d.Close()
		}
	})
	for i := range sockets {
		sockets[i] = openDatagrams(t, b, anyPort, closeAll, nil)
	}
	on(t, b.loop, func() {
		for _, d := range sockets {
			writeUDP(t, dialUDP(t, d.Addr()), []byte("x"))
		}
	})
	for range sockets {
		expectUDP(t, server, []byte("bye"))
	}
	on(t, b.loop, func() {})
	if n := ask(t, b.loop, func() int { return calls }); n != 1 {
		t.Errorf("Received was called %d times", n)
	}
}

// fillSockets opens sockets and has each of them ready with some datagrams, all before the loop goes on.
func fillSockets(t testing.TB, b *Batcher, sockets, each int, r Receiver) {
	t.Helper()
	source := listenUDP(t)
	var at []netip.AddrPort
	for i := range sockets { // each at its own address: of one address the system may pick a port for two of them
		ip := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		at = append(at, openDatagrams(t, b, netip.AddrPortFrom(ip, 0), r, nil).Addr())
	}
	on(t, b.loop, func() {
		for _, addr := range at {
			for range each {
				if _, err := source.WriteToUDPAddrPort([]byte("x"), addr); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// More sockets than events are taken at once are all served, and what they have for one other is all sent.
func TestMoreSocketsThanEvents(t *testing.T) {
	b, far := post(t), post(t)
	const sockets = pollEvents + 44
	got := make(chan kept, sockets)
	sink := openDatagrams(t, far, anyPort, keeper(got), nil)
	out := dialDatagrams(t, b, sink.Addr(), answerAll, nil)
	seen, full := map[*Datagrams]int{}, 0
	fillSockets(t, b, sockets, 1, receivedFunc(func(d *Datagrams, batch []Datagram) {
		seen[d] += len(batch)
		full = max(full, b.loop.ready)
		for i := range batch {
			out.Send(batch[i].Bytes)
		}
	}))
	for range sockets {
		await(t, got, "what was passed on")
	}
	on(t, b.loop, func() {
		if len(seen) != sockets || full != pollEvents {
			t.Errorf("%d of %d sockets have received, up to %d in a turn", len(seen), sockets, full)
		}
		for _, n := range seen {
			if n != 1 {
				t.Errorf("a socket received %d times", n)
			}
		}
	})
}

// However many sockets are flooded, a turn ends after their common share; each goes on where it was, and in the end all of
// it is there.
func TestFloodOfManySocketsLetsTasksThrough(t *testing.T) {
	b := post(t)
	const sockets, each = pollEvents + 10, datagramShare / 2 // which fits into a receive buffer of the usual size
	total, before, most := 0, 0, 0
	done := make(chan struct{})
	var turn func()
	turn = func() {
		most, before = max(most, total-before), total
		if total == sockets*each {
			close(done)
		} else if err := b.loop.Post(turn); err != nil {
			t.Error(err)
		}
	}
	fillSockets(t, b, sockets, each, receivedFunc(func(_ *Datagrams, batch []Datagram) {
		if total == 0 {
			if err := b.loop.Post(turn); err != nil {
				t.Error(err)
			}
		}
		total += len(batch)
	}))
	await(t, done, "all datagrams")
	if limit := turnShare + pollEvents*receiveBatch; most > limit {
		t.Errorf("%d datagrams came between two tasks, more than %d", most, limit)
	}
}

func TestOverflowOfTheKernelIsCounted(t *testing.T) {
	b := post(t)
	received := 0
	d := openDatagrams(t, b, anyPort, receivedFunc(func(_ *Datagrams, batch []Datagram) { received += len(batch) }), nil)
	c := dialUDP(t, d.Addr())
	const sent = 200
	on(t, b.loop, func() {
		if err := unix.SetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Error(err)
		}
		for range sent {
			writeUDP(t, c, pattern(500, 1))
		}
	})
	weirtest.Eventually(t, patience, func() bool { return ask(t, b.loop, func() bool { return received > 0 }) }, "datagrams")
	writeUDP(t, c, []byte("and now?")) // brings the count along
	weirtest.Eventually(t, patience, func() bool {
		return ask(t, b.loop, func() bool { return received+int(d.Overflowed()) == sent+1 && d.Overflowed() > 0 })
	}, "each datagram received or counted")
}

func TestCloseInReceived(t *testing.T) {
	b := post(t)
	calls := 0
	answer := receivedFunc(func(d *Datagrams, batch []Datagram) {
		calls++
		d.SendTo([]byte("bye"), batch[0].From, netip.Addr{})
		d.Close()
		d.Close()
		d.SendTo([]byte("too late"), batch[0].From, netip.Addr{})
	})
	d := openDatagrams(t, b, anyPort, answer, nil)
	c := dialUDP(t, d.Addr())
	on(t, b.loop, func() {
		for range 3*receiveBatch + 1 {
			writeUDP(t, c, []byte("x"))
		}
	})
	expectUDP(t, c, []byte("bye"))
	on(t, b.loop, func() {})
	if calls != 1 {
		t.Errorf("Received was called %d times", calls)
	}
}

// A socket closed by a callback of another, and opened anew under the same number, must not get the events and datagrams of
// the earlier one.
func TestReopenedInACallback(t *testing.T) {
	b := post(t)
	first, second := dialUDP(t, openDatagrams(t, b, anyPort, answerAll, nil).Addr()), make(chan kept, 10)
	var one, other Datagrams
	sockets := [...]*Datagrams{&one, &other}
	at := make(chan netip.AddrPort, 1)
	swap := receivedFunc(func(d *Datagrams, _ []Datagram) {
		for _, x := range sockets {
			x.Close()
		}
		socket, err := OpenDatagrams(anyPort, false)
		if err != nil {
			t.Error(err)
			return
		}
		if err := d.Open(b, socket, keeper(second), nil); err != nil {
			t.Error(err)
		}
		at <- d.Addr()
	})
	on(t, b.loop, func() {
		for _, d := range sockets {
			socket, err := OpenDatagrams(anyPort, false)
			if err != nil {
				t.Error(err)
				return
			}
			if err := d.Open(b, socket, swap, nil); err != nil {
				t.Error(err)
			}
			for range 2 * receiveBatch {
				_, err := dialUDP(t, d.Addr()).Write([]byte("old"))
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	c := dialUDP(t, await(t, at, "the new socket"))
	writeUDP(t, c, []byte("new"))
	if got := await(t, second, "the new datagram"); string(got.Bytes) != "new" {
		t.Errorf("got %q", got.Bytes)
	}
	writeUDP(t, first, []byte("fine"))
	expectUDP(t, first, []byte("fine"))
}

func TestStaleEventsDoNothing(t *testing.T) {
	b := post(t)
	d := openDatagrams(t, b, anyPort, receivedFunc(func(*Datagrams, []Datagram) { t.Error("something was received") }), nil)
	on(t, b.loop, func() {
		b.loop.dispatch(int(d.fd), unix.EPOLLIN|unix.EPOLLERR)
		fd := int(d.fd)
		d.Close()
		b.loop.dispatch(fd, unix.EPOLLIN)
	})
}

func TestPanicOfAReceiverCostsItsBatch(t *testing.T) {
	b := post(t)
	d := openDatagrams(t, b, anyPort, receivedFunc(func(d *Datagrams, batch []Datagram) {
		if string(batch[0].Bytes) == "bad" {
			panic("as told")
		}
		answerAll(d, batch)
	}), nil)
	c := dialUDP(t, d.Addr())
	writeUDP(t, c, []byte("bad"))
	weirtest.Eventually(t, patience, func() bool { return b.loop.Panics() == 1 }, "the panic")
	writeUDP(t, c, []byte("good"))
	expectUDP(t, c, []byte("good"))
}

// What is sent on being told of a loss must not keep the loop from everything else.
func TestSendingInLost(t *testing.T) {
	b := post(t)
	times := 0
	nowhere := netip.MustParseAddrPort("127.0.0.1:0")
	many := make(chan struct{})
	again := lostFunc(func(d *Datagrams, to netip.AddrPort, n int, _ error) {
		if times += n; times == 10 {
			close(many)
		}
		d.SendTo([]byte("x"), to, netip.Addr{})
	})
	d := openDatagrams(t, b, anyPort, answerAll, again)
	on(t, b.loop, func() { d.SendTo([]byte("x"), nowhere, netip.Addr{}) })
	await(t, many, "losses")
	on(t, b.loop, d.Close)
	before := ask(t, b.loop, func() int { return times })
	on(t, b.loop, func() {})
	if after := ask(t, b.loop, func() int { return times }); after != before {
		t.Errorf("told %d times after Close", after-before)
	}
}

// More than the queue holds goes out in between, in order.
func TestMoreThanTheQueueHolds(t *testing.T) {
	b, far := post(t), post(t)
	const datagrams = outboxSize + 50 // fits into a receive buffer of the usual size
	got := make(chan kept, datagrams)
	sink := openDatagrams(t, far, anyPort, keeper(got), nil)
	d := dialDatagrams(t, b, sink.Addr(), answerAll, nil)
	on(t, b.loop, func() {
		for i := range datagrams {
			d.Send(pattern(20+i%3, byte(i)))
		}
	})
	for i := range datagrams {
		expectBytes(t, "datagram", await(t, got, "a datagram").Bytes, pattern(20+i%3, byte(i)))
	}
}

func TestOpenDatagramsRefuses(t *testing.T) {
	taken := dialUDP(t, netip.MustParseAddrPort("127.0.0.1:9"))
	addr := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	before := descriptors(t)
	for _, tt := range []struct {
		name string
		addr netip.AddrPort
		want error
	}{
		{"taken", addr, unix.EADDRINUSE},
		{"not ours", netip.MustParseAddrPort("192.0.2.1:80"), unix.EADDRNOTAVAIL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := OpenDatagrams(tt.addr, false); !errors.Is(err, tt.want) {
				t.Errorf("open: %v", err)
			}
			if err := VacantDatagrams(tt.addr, false); !errors.Is(err, tt.want) {
				t.Errorf("vacant: %v", err)
			}
		})
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func TestVacantDatagrams(t *testing.T) {
	socket, err := OpenDatagrams(anyPort, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := VacantDatagrams(socket.Addr(), false); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("while it is bound: %v", err)
	}
	shared, err := OpenDatagrams(socket.Addr(), false)
	if err != nil {
		t.Fatalf("share the address: %v", err)
	}
	if err := errors.Join(shared.Close(), socket.Close()); err != nil {
		t.Fatal(err)
	}
	if err := VacantDatagrams(socket.Addr(), false); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestDatagramsOnlyIPv6(t *testing.T) {
	socket, err := OpenDatagrams(netip.MustParseAddrPort("[::]:0"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	if only, err := unix.GetsockoptInt(socket.FD(), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil || only != 1 {
		t.Errorf("IPV6_V6ONLY is %d (%v)", only, err)
	}
}

func TestALoopHasOneBatcher(t *testing.T) {
	l := startLoop(t, nil)
	on(t, l, func() {
		first, err := NewBatcher(l)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := NewBatcher(l); err == nil {
			t.Error("a second one was made")
		}
		first.Close()
		second, err := NewBatcher(l)
		if err != nil {
			t.Errorf("after Close: %v", err)
		}
		first.Close()
		if l.batcher != second {
			t.Error("closing the first one again ended the second")
		}
	})
}

// What waits when the loop has not run goes out with the first turn, or with the socket if there never is one.
func TestSendBeforeTheLoopRuns(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs bool
	}{
		{"it runs", true},
		{"it never runs", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := New(0, nil, quiet())
			if err != nil {
				t.Fatal(err)
			}
			b, err := NewBatcher(l)
			if err != nil {
				t.Fatal(err)
			}
			server := listenUDP(t)
			d := new(Datagrams)
			if err := d.Dial(b, addrOf(server), netip.Addr{}, answerAll, nil); err != nil {
				t.Fatal(err)
			}
			d.Send([]byte("early words"))
			if tt.runs {
				ran := make(chan error, 1)
				go func() { ran <- l.Run() }()
				expectUDP(t, server, []byte("early words"))
				on(t, l, d.Close)
				on(t, l, b.Close)
				defer func() { _ = await(t, ran, "the loop's end") }()
			} else {
				d.Close()
				expectUDP(t, server, []byte("early words"))
				b.Close()
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What is sent on being told of a loss waits for another turn, unless there is none.
func TestSendInLostOfTheLastTurn(t *testing.T) {
	l, err := New(0, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBatcher(l)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := OpenDatagrams(anyPort, false)
	if err != nil {
		t.Fatal(err)
	}
	server, nowhere := listenUDP(t), netip.MustParseAddrPort("127.0.0.1:0")
	d := new(Datagrams)
	lost := lostFunc(func(d *Datagrams, _ netip.AddrPort, _ int, _ error) {
		if l.tasks.ended {
			d.SendTo([]byte("last words"), addrOf(server), netip.Addr{})
			return
		}
		d.SendTo([]byte("x"), nowhere, netip.Addr{})
	})
	if err := d.Open(b, socket, answerAll, lost); err != nil {
		t.Fatal(err)
	}
	err = l.Post(func() {
		d.SendTo([]byte("x"), nowhere, netip.Addr{})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); err != nil {
		t.Error(err)
	}
	expectUDP(t, server, []byte("last words"))
	d.Close()
}

// A flow is to cost no more than 1 KiB beside its sockets, and this is the engine's part of it.
func TestDatagramsAreSmall(t *testing.T) {
	if size := unsafe.Sizeof(Datagrams{}); size > 88 {
		t.Errorf("a socket takes %d bytes", size)
	}
}
