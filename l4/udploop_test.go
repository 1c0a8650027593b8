package l4

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// ways are the manners in which an entrypoint leads datagrams.
var ways = []struct {
	name   string
	shared *SharedSockets
}{
	{name: "flows"}, {"queries", dnsSockets}, {"one way", &SharedSockets{}}, {"mixed", &SharedSockets{Protocol: flow.Auto}},
}

// leadTo makes addr the only backend of a pool.
func leadTo(pool *upstream.Pool, addr netip.AddrPort) {
	backend := upstream.NewBackend("udp", upstream.Endpoint{Addr: addr, Weight: 1})
	pool.Update(upstream.Options{}, []*upstream.Backend{backend}, time.Now())
}

// TestUDPSourceLoop: what comes from one of our own sockets is dropped at once, so that a circle of entrypoints has nothing
// to do for a datagram but to pass it on once.
func TestUDPSourceLoop(t *testing.T) {
	for _, way := range ways {
		for _, tt := range []struct{ name, one, two string }{
			{name: "itself", one: "127.0.0.1:0"},
			{name: "itself, on all addresses", one: "0.0.0.0:0"},
			{name: "each other", one: "127.0.0.1:0", two: "127.0.0.1:0"},
			{name: "each other, IPv6", one: "[::1]:0", two: "[::1]:0"},
			{name: "each other, on all addresses", one: "[::]:0", two: "0.0.0.0:0"},
		} {
			t.Run(way.name+"/"+tt.name, func(t *testing.T) {
				b := newUDPBench(t, Options{})
				open := func(addr string) (*UDPEntrypoint, netip.AddrPort, *upstream.Pool) {
					v, pool := b.service(upstream.Options{})
					e, bound := b.open(addr, UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: way.shared})
					return e, called(bound), pool
				}
				one, oneBound, onePool := open(tt.one)
				last := one
				if leadTo(onePool, oneBound); tt.two != "" {
					two, twoBound, twoPool := open(tt.two)
					leadTo(onePool, twoBound)
					leadTo(twoPool, oneBound)
					last = two
				}
				conn := dialUDP(t, oneBound)
				for n := range uint64(3) {
					sendUDP(t, conn, dnsQuery(uint16(n), "name"))
					awaitDrops(t, last, flow.Looped, n+1)
				}
				if s := one.Stats(); s.In.Datagrams != 3 || s.Out.Datagrams != 0 {
					t.Errorf("the entrypoint counts %+v", s)
				}
				if s := last.Stats(); last != one && (s.In.Datagrams != 0 || s.Opened != 0) {
					t.Errorf("the entrypoint behind it counts %+v", s)
				}
			})
		}
	}
}

// called is where clients reach a bound address.
func called(bound netip.AddrPort) netip.AddrPort {
	switch ip := bound.Addr(); {
	case !ip.IsUnspecified():
		return bound
	case ip.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), bound.Port())
}

// TestUDPClientWithOurPort: a client on another address may have a port that is one of ours, be it an entrypoint's or that of
// a flow.
func TestUDPClientWithOurPort(t *testing.T) {
	b := newTrial(t, Options{}, UDPOptions{})
	echoed(t, dialUDP(t, b.bound))
	ports := []uint16{b.bound.Port()}
	for port := range b.own.ports {
		if b.own.ports[port].wires.Load() > 0 {
			ports = append(ports, uint16(port))
		}
	}
	if len(ports) != 2 {
		t.Fatalf("ports %v are ours, want that of the entrypoint and one of a flow", ports)
	}
	for _, port := range ports {
		local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(port)}
		conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(b.bound))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		echoed(t, conn)
	}
	wantDropped(t, "the entrypoint", b.entry.Stats(), nil)
}

func TestOwnAddresses(t *testing.T) {
	at := netip.MustParseAddrPort
	o := newOwnAddresses()
	o.hosts.Store(&map[netip.Addr]struct{}{netip.MustParseAddr("192.0.2.1"): {}, netip.MustParseAddr("2001:db8::1"): {}, netip.MustParseAddr("fe80::1"): {}})
	o.bind([]netip.AddrPort{at("192.0.2.1:53"), at("192.0.2.1:53"), at("0.0.0.0:5353"), at("[::]:5354")})
	o.add(at("192.0.2.1:40000"))
	o.add(at("[fe80::1%2]:40001"))
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.1:53", true}, {"192.0.2.2:53", false}, {"127.0.0.1:53", false}, {"192.0.2.1:54", false},
		{"192.0.2.1:5353", true}, {"127.0.0.9:5353", true}, {"192.0.2.2:5353", false}, {"[2001:db8::2]:5353", false},
		{"[2001:db8::1]:5354", true}, {"[::1]:5354", true}, {"192.0.2.1:5354", true}, {"[fe80::1%3]:5354", true}, {"[2001:db8::2]:5354", false},
		{"192.0.2.1:40000", true}, {"192.0.2.2:40000", false}, {"127.0.0.1:40000", false}, {"192.0.2.1:40001", false},
		{"[fe80::1%2]:40001", true}, {"[fe80::2%2]:40001", false}, {"192.0.2.1:0", false},
	} {
		if got := o.has(at(tt.addr)); got != tt.want {
			t.Errorf("%s is ours: %v, want %v", tt.addr, got, tt.want)
		}
	}

	o.unbind([]netip.AddrPort{at("192.0.2.1:53")})
	o.remove(at("192.0.2.1:40000"))
	if !o.has(at("192.0.2.1:53")) || o.has(at("192.0.2.1:40000")) {
		t.Error("an address is ours as long as one socket of ours has it, and no longer")
	}
	o.unbind([]netip.AddrPort{at("192.0.2.1:53")})
	if o.has(at("192.0.2.1:53")) || !o.has(at("0.0.0.0:5353")) {
		t.Error("after the last one was closed it is still ours, or another one is no more")
	}
}

// TestOwnAddressesFollowTheHost: addresses come and go.
func TestOwnAddressesFollowTheHost(t *testing.T) {
	o := newOwnAddresses()
	o.bind([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")})
	gone := netip.MustParseAddrPort("192.0.2.1:53")
	o.hosts.Store(&map[netip.Addr]struct{}{gone.Addr(): {}})
	if !o.has(gone) {
		t.Error("an address of the host is not ours")
	}
	o.refresh()
	if o.has(gone) {
		t.Error("an address that the host has no more is still ours")
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip := netip.MustParsePrefix(a.String()).Addr()
		if !o.has(netip.AddrPortFrom(ip, 53)) {
			t.Errorf("%s is not ours", ip)
		}
	}
}
