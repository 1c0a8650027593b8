package eventloop

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/internal/weirtest"
)

// forwarder passes the datagrams of each client on through a socket of its own, as a balancer does.
type forwarder struct {
	front  *Datagrams
	server netip.AddrPort
	flows  map[netip.AddrPort]*forwarded
	dial   func(f *forwarder, d *forwarded) error
	plain  bool // neither UDP_GRO nor UDP_SEGMENT
}

// forwarded is one client's way to the server.
type forwarded struct {
	Datagrams
	owner  *forwarder
	client netip.AddrPort
	local  netip.Addr
}

func (f *forwarder) Received(_ *Datagrams, batch []Datagram) {
	var way *forwarded
	for i := range batch {
		if way == nil || batch[i].From != way.client {
			way = f.way(&batch[i])
		}
		way.Send(batch[i].Bytes)
	}
}

func (f *forwarder) way(first *Datagram) *forwarded {
	way := f.flows[first.From]
	if way != nil {
		return way
	}
	way = &forwarded{owner: f, client: first.From, local: first.Local}
	if err := f.dial(f, way); err != nil {
		panic(err)
	}
	f.flows[first.From] = way
	if f.plain {
		way.withoutTrains()
	}
	return way
}

// begin gives f its front, which has received nothing yet. It is called on the loop.
func (f *forwarder) begin(front *Datagrams) {
	if f.front = front; f.plain {
		f.front.withoutTrains()
	}
}

func (w *forwarded) Received(_ *Datagrams, batch []Datagram) {
	for i := range batch {
		w.owner.front.SendTo(batch[i].Bytes, w.client, w.local)
	}
}

func (d *Datagrams) withoutTrains() {
	d.single = true
	_ = unix.SetsockoptInt(int(d.fd), unix.SOL_UDP, unix.UDP_GRO, 0)
}

// dialFlow is what a forwarder does on the host the test runs on.
func dialFlow(f *forwarder, way *forwarded) error {
	return way.Dial(f.front.batcher, f.server, netip.Addr{}, way, nil)
}

// newForwarder is one that has no front yet.
func newForwarder(server netip.AddrPort, plain bool) *forwarder {
	return &forwarder{server: server, flows: map[netip.AddrPort]*forwarded{}, dial: dialFlow, plain: plain}
}

// players are clients that send each answer back as the next request.
type players struct {
	sockets []*Datagrams
	left    int // to be sent
	flying  int // sent and not back
	done    chan struct{}
}

func (p *players) Received(d *Datagrams, batch []Datagram) {
	for i := range batch {
		p.flying--
		p.send(d, batch[i].Bytes)
	}
	if p.flying == 0 {
		p.done <- struct{}{}
	}
}

func (p *players) send(d *Datagrams, payload []byte) {
	if p.left > 0 {
		p.left--
		p.flying++
		d.Send(payload)
	}
}

// play sends datagrams there and back, window of size bytes at once from each client.
func (p *players) play(t testing.TB, b *Batcher, datagrams, window, size int) {
	t.Helper()
	payload := make([]byte, size)
	on(t, b.loop, func() {
		p.left = datagrams
		for _, d := range p.sockets {
			for range window {
				p.send(d, payload)
			}
		}
	})
	await(t, p.done, "the datagrams")
}

// threadTime is the processor time of the thread it is called on, in nanoseconds.
func threadTime() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

type benchWork struct {
	name                  string
	clients, window, size int
	plain                 bool // clients and server send and take datagrams one by one
}

// BenchmarkDatagramFlows compares the processor time of the forwarding loop (loop-ns/op, for a datagram there and one back)
// in batches of several sizes, with and without trains; ratio is to batches of one.
func BenchmarkDatagramFlows(b *testing.B) {
	for _, w := range []benchWork{
		{"32 clients, 8 single at once, 64 bytes", 32, 8, 64, true},
		{"200 clients, 1 at once, 64 bytes", 200, 1, 64, true},
		{"4 clients, trains of 32, 1200 bytes", 4, 32, 1200, false},
	} {
		base := 0.0
		for _, slots := range []int{1, 8, 16, 32, 64} {
			for _, plain := range []bool{true, false} {
				b.Run(fmt.Sprintf("%s/batch %d/trains %v", w.name, slots, !plain), func(b *testing.B) {
					near := postOf(b, 2*slots, slots, slotSize)
					cost := playThrough(b, near, w, plain)
					if slots == 1 && plain {
						base = cost
					}
					if base > 0 { // batches of one were among those asked for
						b.ReportMetric(cost/base, "ratio")
					}
				})
			}
		}
	}
}

func playThrough(b *testing.B, near *Batcher, w benchWork, plain bool) float64 {
	b.Helper()
	far := post(b)
	server := openDatagrams(b, far, anyPort, answerAll, nil)
	f := newForwarder(server.Addr(), plain)
	front := openDatagrams(b, near, anyPort, f, nil)
	on(b, near.loop, func() { f.begin(front) })
	p := &players{done: make(chan struct{}, 1)}
	for range w.clients {
		p.sockets = append(p.sockets, dialDatagrams(b, far, front.Addr(), p, nil))
	}
	if w.plain {
		on(b, far.loop, func() {
			for _, d := range append(p.sockets, server) {
				d.withoutTrains()
			}
		})
	}
	return measure(b, near, far, p, w)
}

// BenchmarkDatagramTrains forwards trains that come across a veth from another host and go back there.
func BenchmarkDatagramTrains(b *testing.B) {
	base := 0.0
	for _, w := range []benchWork{
		{"trains of 32", 4, 32, 1200, false},
		{"32 single at once", 4, 32, 1200, true},
	} {
		for _, plain := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/trains %v", w.name, !plain), func(b *testing.B) {
				cost := playAcross(b, w, plain)
				if plain {
					base = cost
				}
				b.ReportMetric(cost/base, "ratio")
			})
		}
	}
}

func playAcross(b *testing.B, w benchWork, plain bool) float64 {
	b.Helper()
	network := weirtest.NewNetwork(b)
	here, there := network.Host(), network.Host()
	near, far := post(b), post(b)
	server := openOn(b, there, far, there.Addr, answerAll, nil)
	f := newForwarder(server.Addr(), plain)
	f.dial = func(f *forwarder, way *forwarded) error { return way.dialOn(here, near, f.server, way, nil) }
	front := openOn(b, here, near, here.Addr, f, nil)
	on(b, near.loop, func() { f.begin(front) })
	p := &players{done: make(chan struct{}, 1)}
	for range w.clients {
		p.sockets = append(p.sockets, dialOn(b, there, far, front.Addr(), p, nil))
	}
	if w.plain {
		on(b, far.loop, func() {
			for _, d := range append(p.sockets, server) {
				d.withoutTrains()
			}
		})
	}
	return measure(b, near, far, p, w)
}

func measure(b *testing.B, near, far *Batcher, p *players, w benchWork) float64 {
	b.Helper()
	on(b, near.loop, runtime.LockOSThread)               // the time of its thread is measured
	p.play(b, far, w.clients*w.window, w.window, w.size) // opens the flows
	b.ReportAllocs()
	b.ResetTimer()
	before := ask(b, near.loop, threadTime)
	const share = 20000 // for which the test's patience is enough on a busy machine too
	for left := b.N; left > 0; left -= share {
		p.play(b, far, min(left, share), w.window, w.size)
	}
	cost := float64(ask(b, near.loop, threadTime)-before) / float64(b.N)
	b.ReportMetric(cost, "loop-ns/op")
	return cost
}

// A datagram costs no memory on its way.
func TestNoAllocationPerDatagram(t *testing.T) {
	near, far := post(t), post(t)
	server := openDatagrams(t, far, anyPort, answerAll, nil)
	f := newForwarder(server.Addr(), false)
	front := openDatagrams(t, near, netip.MustParseAddrPort("0.0.0.0:0"), f, nil)
	on(t, near.loop, func() { f.begin(front) })
	p := &players{done: make(chan struct{}, 1)}
	p.sockets = append(p.sockets, dialDatagrams(t, far, netip.AddrPortFrom(anyPort.Addr(), front.Addr().Port()), p, nil))
	const datagrams = 20000
	p.play(t, far, datagrams, 8, 64)
	// Not testing.AllocsPerRun, which leaves one processor to two loops that keep it while they wait.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p.play(t, far, datagrams, 8, 64)
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > datagrams/100 { // some are the test's own
		t.Errorf("%d allocations for %d datagrams there and back", n, datagrams)
	}
}
