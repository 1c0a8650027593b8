package l4

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// manyAddresses are a host's own beside its first: answers that left from that one would reach no client.
var manyAddresses = []string{"10.99.0.101", "fd00:99::101", "fd00:99::102", "fe80::101"}

// newHosts returns a host with many addresses and another one, which is a client of it.
func newHosts(t *testing.T) (weir, client *weirtest.Host) {
	t.Helper()
	n := weirtest.NewNetwork(t)
	weir, client = n.Host(), n.Host()
	add := func(h *weirtest.Host, addr string) {
		t.Helper()
		args := []string{"addr", "add", addr + "/24", "dev", "eth0"}
		if strings.Contains(addr, ":") {
			args = []string{"addr", "add", addr + "/64", "dev", "eth0", "nodad"}
		}
		if out, err := h.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	for _, addr := range manyAddresses {
		add(weir, addr)
	}
	add(client, "fd00:99::1")
	add(client, "fe80::1")
	return weir, client
}

// call connects a client's socket.
func call(t *testing.T, client *weirtest.Host, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	var err error
	client.Do(func() {
		if to.Addr().IsLinkLocalUnicast() {
			var link *net.Interface
			if link, err = net.InterfaceByName("eth0"); err != nil {
				return
			}
			to = netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(link.Index)), to.Port())
		}
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestUDPAnswersFromTheAddressCalled: on a host with many addresses, a client takes answers from the one that it called and
// from no other. Backends are reached by another network, for the loops do not live on that host.
func TestUDPAnswersFromTheAddressCalled(t *testing.T) {
	weir, client := newHosts(t)
	const first, ports = 5300, 3
	for _, tt := range []struct {
		name   string
		bind   netip.Addr // the zero value is all addresses
		called []string
	}{
		{"all", netip.Addr{}, append([]string{weir.Addr.String()}, manyAddresses...)},
		{"all of IPv4", netip.IPv4Unspecified(), []string{weir.Addr.String(), manyAddresses[0]}},
		{"all of IPv6", netip.IPv6Unspecified(), manyAddresses[1:]},
		{"one", netip.MustParseAddr(manyAddresses[0]), manyAddresses[:1]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			v, _ := b.service(upstream.Options{}, named(t, "to:").Addr)
			shared, _ := b.service(upstream.Options{}, dnsServer(t).Addr)
			var addrs []netip.AddrPort
			for i := range uint16(ports) {
				addrs = append(addrs, netip.AddrPortFrom(tt.bind, first+i))
			}
			var sockets *UDPSockets
			var err error
			if weir.Do(func() { sockets, err = b.BindUDP(addrs) }); err != nil {
				t.Fatal(err)
			}
			e := b.openOn(sockets, UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			conns := make(map[string]*net.UDPConn)
			for _, called := range tt.called {
				for i := range uint16(ports) {
					to := netip.AddrPortFrom(netip.MustParseAddr(called), first+i)
					conn := call(t, client, to)
					sendUDP(t, conn, to.String())
					expectUDP(t, conn, "to:"+to.String())
					conns[to.String()] = conn
				}
			}
			if n := e.Stats().Opened; n != uint64(len(conns)) {
				t.Errorf("%d flows were opened by %d clients", n, len(conns))
			}
			b.mixed = true
			e.Set(e.settings.UDPOptions, &UDPRoute{Name: "r", Service: shared, Shared: dnsSockets})
			for to, conn := range conns {
				sendUDP(t, conn, dnsQuery(7, to))
				expectUDP(t, conn, dnsAnswer(7, to))
			}
		})
	}
}
