package l4

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// named starts a server that puts its name before each datagram that it sends back.
func named(t testing.TB, name string) *weirtest.DatagramServer {
	t.Helper()
	return weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
		return [][]byte{append([]byte(name), datagram...)}
	})
}

func TestUDPFlow(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		t.Run(addr, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			v, _ := b.service(upstream.Options{}, weirtest.EchoUDP(t).Addr)
			e, bound := b.open(addr, UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			if bound.Addr().IsUnspecified() {
				bound = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bound.Port())
			}
			conn := dialUDP(t, bound)
			large := strings.Repeat("x", 65_507)
			for _, text := range []string{"hello", "", large, "bye"} {
				sendUDP(t, conn, text)
				expectUDP(t, conn, text)
			}
			s := e.Stats()
			size := uint64(len("hello") + len(large) + len("bye"))
			if s.Opened != 1 || s.In != (flow.Traffic{Datagrams: 4, Bytes: size}) || s.Out != s.In {
				t.Errorf("the entrypoint counts %+v", s)
			}
		})
	}
}

func TestUDPBackendDown(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one:").Addr, named(t, "two:").Addr)
	_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conn := dialUDP(t, bound)
	sendUDP(t, conn, "a")
	expectUDP(t, conn, "one:a")
	sendUDP(t, conn, "b")
	expectUDP(t, conn, "one:b")
	pool.Backends()[0].SetHealth(upstream.Down, time.Now())
	pool.Update(upstream.Options{}, pool.Backends(), time.Now())
	sendUDP(t, conn, "c")
	expectUDP(t, conn, "two:c")
}

// TestUDPRefused: ICMP port unreachable counts against the backend, and the client's next datagram goes to another one.
func TestUDPRefused(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}}, refusing(t), weirtest.EchoUDP(t).Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conn := dialUDP(t, bound)
	sendUDP(t, conn, "lost")
	weirtest.Eventually(t, patience, func() bool { return pool.Backends()[0].Stats().ConnectFailures == 1 }, "the refusal is counted")
	sendUDP(t, conn, "again")
	expectUDP(t, conn, "again")
	if s := e.Stats(); s.Moved != 1 || s.Opened != 1 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

func TestUDPExpires(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, _ := b.service(upstream.Options{}, weirtest.EchoUDP(t).Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{IdleTimeout: 50 * time.Millisecond}, &UDPRoute{Name: "r", Service: v})
	for range 20 {
		conn := dialUDP(t, bound)
		sendUDP(t, conn, "x")
		expectUDP(t, conn, "x")
	}
	weirtest.Eventually(t, patience, func() bool { return e.Flows() == 0 && b.Flows() == 0 }, "all flows are over")
	if s := e.Stats(); s.Ended[flow.Idle] != 20 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

func TestUDPResponses(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, _ := b.service(upstream.Options{Responses: 1}, weirtest.EchoUDP(t).Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conn := dialUDP(t, bound)
	for i := range 5 {
		sendUDP(t, conn, fmt.Sprint(i))
		expectUDP(t, conn, fmt.Sprint(i))
	}
	weirtest.Eventually(t, patience, func() bool { return e.Stats().Ended[flow.Done] == 5 }, "five flows are done")
}

// TestUDPPortRange: answers leave from the port that was called.
func TestUDPPortRange(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, _ := b.service(upstream.Options{}, weirtest.EchoUDP(t).Addr)
	var addrs []netip.AddrPort
	first := weirtest.FreePorts(t, 4)
	for i := range uint16(4) {
		addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(first)+i))
	}
	b.openOn(b.bind(addrs...), UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	for _, addr := range addrs {
		conn := dialUDP(t, addr) // connected, so only this port's answers are taken
		sendUDP(t, conn, "x")
		expectUDP(t, conn, "x")
	}
}

func TestUDPShared(t *testing.T) {
	b := newUDPBench(t, Options{})
	server := weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte {
		answer := append([]byte(nil), query...)
		answer[2] |= 0x80
		return [][]byte{answer}
	})
	v, _ := b.service(upstream.Options{}, server.Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: &SharedSockets{Protocol: flow.DNS}})
	question := "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"
	for i := range 10 {
		conn := dialUDP(t, bound)
		sendUDP(t, conn, "\x00"+string(rune(i))+question)
		expectUDP(t, conn, "\x00"+string(rune(i))+"\x80"+question[1:])
	}
	awaitDrops(t, e, flow.Malformed, 0)
	sendUDP(t, dialUDP(t, bound), "not a query")
	awaitDrops(t, e, flow.Malformed, 1)
	if s := e.Stats(); s.Opened != 10 || s.Ended[flow.Done] != 10 || b.Flows() != 0 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

func TestUDPReload(t *testing.T) {
	b := newUDPBench(t, Options{})
	one, _ := b.service(upstream.Options{}, named(t, "one:").Addr)
	two, _ := b.service(upstream.Options{}, named(t, "two:").Addr)
	o := UDPOptions{IdleTimeout: time.Minute, MaxFlows: 10}
	e, bound := b.open("127.0.0.1:0", o, &UDPRoute{Name: "r", Service: one})
	conn := dialUDP(t, bound)
	ask := func(want string) {
		t.Helper()
		sendUDP(t, conn, "x")
		expectUDP(t, conn, want+":x")
	}
	ask("one")
	e.Set(o, &UDPRoute{Name: "r", Service: two})
	ask("two")
	e.Set(o, nil)
	sendUDP(t, conn, "nobody")
	awaitDrops(t, e, flow.Unrouted, 1)
	if n := b.Flows(); n != 0 {
		t.Errorf("%d flows live without a route", n)
	}
	e.Set(o, &UDPRoute{Name: "r", Service: one, Shared: &SharedSockets{Protocol: flow.OneWay}})
	sendUDP(t, conn, "one way")
	awaitDrops(t, e, flow.Unasked, 1) // the answer
	e.Set(o, &UDPRoute{Name: "r", Service: two, Middlewares: []Middleware{NewIPAllowList(nil)}})
	sendUDP(t, conn, "not me")
	awaitDrops(t, e, flow.Denied, 1)
	e.Set(o, &UDPRoute{Name: "r", Service: two})
	ask("two")
	if s := e.Stats(); s.Ended[flow.Removed] != 1 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}
