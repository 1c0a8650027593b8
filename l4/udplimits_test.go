package l4

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// wantDropped holds the counts of all causes. Those that are not named must be 0.
func wantDropped(t *testing.T, what string, got flow.Stats, want map[flow.Cause]uint64) {
	t.Helper()
	for cause := range flow.Cause(flow.NumCauses) {
		if got.Dropped[cause] != want[cause] {
			t.Errorf("%s counts %d dropped as %v, want %d", what, got.Dropped[cause], cause, want[cause])
		}
	}
}

// trial is an entrypoint with an echo behind it and a limit before it.
type trial struct {
	*udpBench
	entry   *UDPEntrypoint
	bound   netip.AddrPort
	service *UDPService
}

func newTrial(t *testing.T, o Options, u UDPOptions, middlewares ...Middleware) *trial {
	t.Helper()
	b := newUDPBench(t, o)
	v, _ := b.service(upstream.Options{}, weirtest.EchoUDP(t).Addr)
	e, bound := b.open("127.0.0.1:0", u, &UDPRoute{Name: "r", Service: v, Middlewares: middlewares})
	return &trial{b, e, bound, v}
}

// echoed sends a datagram and wants it back.
func echoed(t *testing.T, conns ...*net.UDPConn) {
	t.Helper()
	for _, conn := range conns {
		sendUDP(t, conn, "hello")
		expectUDP(t, conn, "hello")
	}
}

// dials returns n clients from 127.0.0.1, each with a port of its own.
func dials(t *testing.T, to netip.AddrPort, n int) (conns []*net.UDPConn) {
	t.Helper()
	for range n {
		conns = append(conns, dialUDP(t, to))
	}
	return conns
}

func TestUDPMaxFlows(t *testing.T) {
	const most, more = 4, 6
	b := newTrial(t, Options{}, UDPOptions{MaxFlows: most})
	conns := dials(t, b.bound, most+more)
	echoed(t, conns[:most]...)
	for _, conn := range conns[most:] {
		sendUDP(t, conn, "too many")
	}
	awaitDrops(t, b.entry, flow.TooMany, more)
	echoed(t, conns[:most]...)
	s := b.entry.Stats()
	wantDropped(t, "the entrypoint", s, map[flow.Cause]uint64{flow.TooMany: more})
	if s.Opened != most || s.In.Datagrams != 2*most || s.Out != s.In {
		t.Errorf("the entrypoint counts %+v", s)
	}
	b.entry.Set(UDPOptions{IdleTimeout: time.Minute, MaxFlows: most + 1}, b.entry.settings.route)
	echoed(t, conns[:most+1]...)
	sendUDP(t, conns[most+1], "too many")
	awaitDrops(t, b.entry, flow.TooMany, more+1)
}

// TestUDPFlowsOfTheServer: all entrypoints together have no more flows than the server may; shared sockets do not count.
func TestUDPFlowsOfTheServer(t *testing.T) {
	const most = 3
	b := newTrial(t, Options{MaxFlows: most}, UDPOptions{})
	other, otherBound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: b.service})
	names, _ := b.udpBench.service(upstream.Options{}, dnsServer(t).Addr)
	shared, sharedBound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: names, Shared: dnsSockets})

	live := append(dials(t, b.bound, 2), dialUDP(t, otherBound))
	echoed(t, live...)
	sendUDP(t, dialUDP(t, b.bound), "too many")
	awaitDrops(t, b.entry, flow.TooMany, 1)
	sendUDP(t, dialUDP(t, otherBound), "too many")
	awaitDrops(t, other, flow.TooMany, 1)
	echoed(t, live...)
	for i := range uint16(2 * most) {
		conn := dialUDP(t, sharedBound)
		sendUDP(t, conn, dnsQuery(i, "name"))
		expectUDP(t, conn, dnsAnswer(i, "name"))
	}
	wantDropped(t, "the shared entrypoint", shared.Stats(), nil)
	if n := b.Flows(); n != most {
		t.Errorf("the server counts %d flows", n)
	}
	other.Cut(flow.Removed)
	weirtest.Eventually(t, patience, func() bool { return b.Flows() == most-1 }, "a flow that was cut is still counted")
	echoed(t, dialUDP(t, b.bound))
}

// TestUDPFlowsPerSource: the entrypoint's own bound and the middleware's do the same, one beside the other.
func TestUDPFlowsPerSource(t *testing.T) {
	for _, tt := range []struct {
		name        string
		options     UDPOptions
		middlewares []Middleware
	}{
		{name: "of the entrypoint", options: UDPOptions{MaxFlowsPerSource: 2}},
		{name: "of a middleware", middlewares: []Middleware{NewInFlightConn(2)}},
		{name: "the smaller of both", options: UDPOptions{MaxFlowsPerSource: 5}, middlewares: []Middleware{NewInFlightConn(2)}},
		{name: "the smaller of both, the other way", options: UDPOptions{MaxFlowsPerSource: 2}, middlewares: []Middleware{NewInFlightConn(5)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTrial(t, Options{}, tt.options, tt.middlewares...)
			conns := dials(t, b.bound, 5)
			echoed(t, conns[:2]...)
			for _, conn := range conns[2:] {
				sendUDP(t, conn, "too many")
			}
			awaitDrops(t, b.entry, flow.TooManySource, 3)
			echoed(t, conns[:2]...)
			c := newCrowd(t, b.bound)
			c.ask(0, 20) // others have a count of their own
			wantDropped(t, "the entrypoint", b.entry.Stats(), map[flow.Cause]uint64{flow.TooManySource: 3})
			if n := b.entry.Flows(); n != 22 {
				t.Errorf("%d flows live, want 22", n)
			}
		})
	}
}

// TestUDPFlowsPerSourceChanged: another bound holds from the next datagrams on, and moves nobody who may stay.
func TestUDPFlowsPerSourceChanged(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, _ := b.service(upstream.Options{}, named(t, "one:").Addr, named(t, "two:").Addr)
	r := &UDPRoute{Name: "r", Service: v}
	o := UDPOptions{IdleTimeout: time.Minute, MaxFlows: 10, MaxFlowsPerSource: 4}
	e, bound := b.open("127.0.0.1:0", o, r)
	conns := dials(t, bound, 4)
	answers := make([]string, len(conns))
	for i, conn := range conns {
		sendUDP(t, conn, "x")
		answers[i] = readUDP(t, conn)
	}
	o.MaxFlowsPerSource = 3
	e.Set(o, r)
	for i, conn := range conns[:3] {
		sendUDP(t, conn, "x")
		expectUDP(t, conn, answers[i])
	}
	sendUDP(t, conns[3], "x")
	awaitDrops(t, e, flow.TooManySource, 1)
	o.MaxFlowsPerSource = 0
	e.Set(o, r)
	for i, conn := range conns[:3] {
		sendUDP(t, conn, "x")
		expectUDP(t, conn, answers[i])
	}
	if s := e.Stats(); s.Moved != 0 || s.Opened != 4 || s.Ended[flow.Excluded] != 1 || s.Active != 3 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

// TestUDPRateLimit: it is asked about each datagram, of flows and of shared sockets.
func TestUDPRateLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shared *SharedSockets
	}{{name: "flows"}, {"queries", dnsSockets}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			v, _ := b.service(upstream.Options{}, dnsServer(t).Addr)
			rate := NewRateLimit(1, 3, time.Hour, time.Now())
			e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: tt.shared, Middlewares: []Middleware{rate}})
			conn := dialUDP(t, bound)
			for i := range uint16(3) {
				sendUDP(t, conn, dnsQuery(i, "name"))
				expectUDP(t, conn, dnsAnswer(i, "name"))
			}
			for i := range uint16(7) {
				sendUDP(t, conn, dnsQuery(i, "name"))
			}
			awaitDrops(t, e, flow.RateLimited, 7)
			s := e.Stats()
			wantDropped(t, "the entrypoint", s, map[flow.Cause]uint64{flow.RateLimited: 7})
			if s.In.Datagrams != 3 || s.Out.Datagrams != 3 {
				t.Errorf("the entrypoint counts %+v", s)
			}
		})
	}
}

// TestUDPAllowList: who is not on it leaves nothing behind, whatever else was asked before.
func TestUDPAllowList(t *testing.T) {
	allowed := NewIPAllowList([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	for _, tt := range []struct {
		name   string
		shared *SharedSockets
		order  []Middleware
	}{
		{name: "flows", order: []Middleware{allowed, NewInFlightConn(1)}},
		{name: "flows, counted before", order: []Middleware{NewInFlightConn(1), allowed}},
		{name: "queries", shared: dnsSockets, order: []Middleware{NewInFlightConn(1), allowed}},
		{name: "one way", shared: &SharedSockets{}, order: []Middleware{NewInFlightConn(1), allowed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			server := dnsServer(t)
			v, _ := b.service(upstream.Options{}, server.Addr)
			e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: tt.shared, Middlewares: tt.order})
			c := newCrowd(t, bound)
			for i := range 3 {
				c.send(i, dnsQuery(1, "name"))
				c.send(i, dnsQuery(2, "name"))
			}
			awaitDrops(t, e, flow.Denied, 6)
			if n := e.Flows() + b.Flows(); n != 0 {
				t.Errorf("%d flows are counted of clients that were denied", n)
			}
			sendUDP(t, dialUDP(t, bound), dnsQuery(3, "name"))
			weirtest.Eventually(t, patience, func() bool { return server.Received() == 1 }, "nobody is let in")
			if d := e.Stats().Dropped; d[flow.Denied] != 6 || d[flow.TooManySource] != 0 {
				t.Errorf("dropped: %v", d)
			}
		})
	}
}

// TestUDPAmplification: a source that was seen once draws no more than the bound allows, one that answers draws anything.
func TestUDPAmplification(t *testing.T) {
	b := newUDPBench(t, Options{})
	server := weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
		switch string(datagram[:1]) {
		case "s":
			return [][]byte{make([]byte, 100)}
		case "l":
			return [][]byte{make([]byte, 1000), make([]byte, 272), make([]byte, 1)}
		}
		return nil
	})
	v, _ := b.service(upstream.Options{}, server.Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{Amplification: 3}, &UDPRoute{Name: "r", Service: v})

	conn := dialUDP(t, bound)
	sendUDP(t, conn, "l"+string(make([]byte, 71))) // with its headers 100 bytes, so it may draw 300
	if n := len(readUDP(t, conn)); n != 272 {
		t.Errorf("%d bytes came, want the answer of 272", n)
	}
	awaitDrops(t, e, flow.Amplified, 2)
	if s := v.Stats(); s.Dropped[flow.Amplified] != 2 || s.Out != (flow.Traffic{Datagrams: 1, Bytes: 272}) {
		t.Errorf("the service counts %+v", s)
	}
	sendUDP(t, conn, "l") // it has got an answer, so it is there
	for _, want := range []int{1000, 272, 1} {
		if n := len(readUDP(t, conn)); n != want {
			t.Errorf("%d bytes came, want %d", n, want)
		}
	}
	awaitDrops(t, e, flow.Amplified, 2)
}
