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

func (f *forwarder) begin() {
	if f.plain {
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
	left    int
	done    chan struct{}
}

func (p *players) Received(d *Datagrams, batch []Datagram) {
	for i := range batch {
		if p.left > 0 {
			d.Send(batch[i].Bytes)
		}
		if p.left--; p.left == 0 {
			p.done <- struct{}{} // those still on their way come to nothing
		}
	}
}

// serve plays rounds datagrams, window of size bytes at once from each client.
func (p *players) serve(t testing.TB, b *Batcher, rounds, window, size int) {
	t.Helper()
	payload := make([]byte, size)
	on(t, b.loop, func() {
		p.left = rounds
		for _, d := range p.sockets {
			for range window {
				d.Send(payload)
			}
		}
	})
	await(t, p.done, "the rounds")
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
		{"8 clients, trains of 32, 1200 bytes", 8, 32, 1200, false},
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
					b.ReportMetric(cost/base, "ratio")
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
	f.front = openDatagrams(b, near, anyPort, f, nil)
	on(b, near.loop, f.begin)
	p := &players{done: make(chan struct{}, 1)}
	for range w.clients {
		p.sockets = append(p.sockets, dialDatagrams(b, far, f.front.Addr(), p, nil))
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
		{"trains of 32", 8, 32, 1200, false},
		{"32 single at once", 8, 32, 1200, true},
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
	f.front = openOn(b, here, near, here.Addr, f, nil)
	on(b, near.loop, f.begin)
	p := &players{done: make(chan struct{}, 1)}
	for range w.clients {
		p.sockets = append(p.sockets, dialOn(b, there, far, f.front.Addr(), p, nil))
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
	on(b, near.loop, runtime.LockOSThread)                // the time of its thread is measured
	p.serve(b, far, w.clients*w.window, w.window, w.size) // opens the flows
	b.ReportAllocs()
	b.ResetTimer()
	before := ask(b, near.loop, threadTime)
	p.serve(b, far, max(b.N, w.clients*w.window), w.window, w.size)
	cost := float64(ask(b, near.loop, threadTime)-before) / float64(max(b.N, w.clients*w.window))
	b.ReportMetric(cost, "loop-ns/op")
	return cost
}

// A datagram costs no memory on its way.
func TestNoAllocationPerDatagram(t *testing.T) {
	near, far := post(t), post(t)
	server := openDatagrams(t, far, anyPort, answerAll, nil)
	f := newForwarder(server.Addr(), false)
	f.front = openDatagrams(t, near, netip.MustParseAddrPort("0.0.0.0:0"), f, nil)
	p := &players{done: make(chan struct{}, 1)}
	p.sockets = append(p.sockets, dialDatagrams(t, far, netip.AddrPortFrom(anyPort.Addr(), f.front.Addr().Port()), p, nil))
	const datagrams = 1000
	p.serve(t, far, datagrams, 8, 64)
	if n := testing.AllocsPerRun(5, func() { p.serve(t, far, datagrams, 8, 64) }); n >= 50 { // of the test itself
		t.Errorf("%v allocations for %d datagrams", n, datagrams)
	}
}
