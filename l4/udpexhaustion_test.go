package l4

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
)

// TestUDPDescriptorsExhausted: while the process has no descriptor for the socket of a new flow, flows and connections that
// stand go on, and what is dropped is counted. When flows have expired, new ones are served again.
func TestUDPDescriptorsExhausted(t *testing.T) {
	t.Parallel()
	backend := weirtest.Serve(t, weirtest.Echo)
	udp := netip.MustParseAddrPort(weirtest.EchoUDP(t).Addr)
	c := startChild(t, childOrders{Backend: backend.AddrPort(), NoFile: 48, UDPBackend: udp, IdleTimeout: 2 * time.Second})
	standing := dial(t, c.addr)
	first := c.report()
	bound := netip.MustParseAddrPort(first.UDPAddr)
	living := dialUDP(t, bound)
	check := func() {
		t.Helper()
		send(t, standing, "ping")
		expect(t, standing, "ping")
		echoed(t, living)
	}
	check()

	crowd := newCrowd(t, bound)
	var during childReport
	weirtest.Eventually(t, patience, func() bool {
		for i := range 60 {
			crowd.send(i, "hello")
			echoed(t, living) // or it would expire, and a socket be free
		}
		during = c.report()
		return during.UDP.Dropped[flow.WithoutSocket] > 0
	}, "there is no end of descriptors")
	check()
	if n := during.UDP.Ended[flow.NoSocket]; during.Flows > 48 || n == 0 || n != during.UDP.Dropped[flow.WithoutSocket] {
		t.Errorf("%d flows have a socket, %+v", during.Flows, during.UDP)
	}

	weirtest.Eventually(t, patience, func() bool { echoed(t, living); return c.report().Flows == 1 }, "flows do not expire")
	newCrowd(t, bound).ask(0, 5)
	check()
	last := c.report()
	if got, want := last.UDPService.Dropped[flow.WithoutSocket], last.UDP.Dropped[flow.WithoutSocket]; got != want {
		t.Errorf("the service counts %d datagrams without a socket, the entrypoint %d", got, want)
	}
	if last.UDP.Ended[flow.NoSocket] != last.UDP.Dropped[flow.WithoutSocket] || last.UDP.Dropped[flow.Unsent] != 0 {
		t.Errorf("in the end: %+v", last.UDP)
	}
	t.Logf("%d flows had no socket", last.UDP.Ended[flow.NoSocket])
}
