package l4

import (
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
)

// TestUDPNoWayToTheBackend: when the host has no way to a backend any more, sending fails at once. That is charged to the
// backend as if the network had said so, be it on a flow's socket or on a shared one.
func TestUDPNoWayToTheBackend(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shared *SharedSockets
	}{{name: "flows"}, {"queries", dnsSockets}} {
		t.Run(tt.name, func(t *testing.T) {
			n := weirtest.NewNetwork(t)
			host, far := n.Host(), n.Host()
			var backend *net.UDPConn
			var err error
			far.Do(func() { backend, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(far.Addr, 0))) })
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Close()
			c := startChildBy(t, func(exe string) *exec.Cmd { return host.Command(exe) }, childOrders{
				Backend: netip.MustParseAddrPort("127.0.0.1:1"), UDPBackend: backend.LocalAddr().(*net.UDPAddr).AddrPort(),
				IdleTimeout: time.Minute, Shared: tt.shared,
			})
			conn := call(t, host, netip.MustParseAddrPort(c.report().UDPAddr))
			sendUDP(t, conn, dnsQuery(1, "name")) // opens the socket
			if query := readUDP(t, backend); len(query) != len(dnsQuery(1, "name")) {
				t.Fatalf("the backend got %q", query)
			}
			r := c.report()
			if r.UDPFailures != 0 {
				t.Fatalf("%d failures are charged to a backend that is silent", r.UDPFailures)
			}
			host.SetLink(false)
			weirtest.Eventually(t, patience, func() bool {
				sendUDP(t, conn, dnsQuery(1, "name"))
				r = c.report()
				return r.UDPFailures > 0
			}, "nothing is charged to a backend that there is no way to")
			if tt.shared == nil && r.UDP.Ended[flow.Unreachable] == 0 {
				t.Errorf("the entrypoint counts %+v", r.UDP)
			}
		})
	}
}
