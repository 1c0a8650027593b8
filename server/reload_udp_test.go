package server

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// shout starts a server of UDP that puts its name before each datagram.
func shout(t *testing.T, name string) string {
	t.Helper()
	return weirtest.ServeUDP(t, func(_ netip.AddrPort, p []byte) [][]byte { return [][]byte{append([]byte(name+":"), p...)} }).Addr
}

// udpText is a configuration with one entrypoint for UDP. keys go to its load balancer, more to its entrypoint.
func udpText(keys, more string, servers ...string) string {
	var list []string
	for _, s := range servers {
		list = append(list, fmt.Sprintf("{ address: %q }", s))
	}
	return fmt.Sprintf(`entryPoints: { e: { address: "127.0.0.1:0/udp"%s } }
udp:
  routers: { r: { service: s } }
  services: { s: { loadBalancer: { slowStart: 0s, %s servers: [ %s ] } } }
`, more, keys, strings.Join(list, ", "))
}

// datagrams is a client of UDP.
type datagrams struct {
	*net.UDPConn
	t *testing.T
}

func (r *running) datagrams(entrypoint string) datagrams {
	r.t.Helper()
	conn, err := net.Dial("udp", r.addr(entrypoint))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return datagrams{conn.(*net.UDPConn), r.t}
}

// ask sends a datagram and returns the name of the server that answers.
func (d datagrams) ask() string {
	d.t.Helper()
	if _, err := d.Write([]byte("x")); err != nil {
		d.t.Fatal(err)
	}
	_ = d.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	n, err := d.Read(buf)
	if err != nil {
		d.t.Fatalf("waiting for an answer: %v", err)
	}
	name, _, _ := strings.Cut(string(buf[:n]), ":")
	return name
}

func TestReloadMovesFlows(t *testing.T) {
	a, b := shout(t, "a"), shout(t, "b")
	r := start(t, udpText("", "", a))
	c, live := r.datagrams("e"), r.entrypoints["e"].udp
	if got := c.ask(); got != "a" {
		t.Fatalf("answer from %q", got)
	}

	r.mustReload(udpText("", "", a, b))
	if got := c.ask(); got != "a" {
		t.Errorf("a flow moves from a server that stays to %q", got)
	}
	if got := r.datagrams("e").ask(); got != "b" {
		t.Errorf("the next flow goes to %q", got)
	}

	r.mustReload(udpText("", "", b))
	if got := c.ask(); got != "b" {
		t.Errorf("a flow stays with %q, which was removed", got)
	}
	if r.entrypoints["e"].udp != live {
		t.Error("the entrypoint was opened anew")
	}

	r.mustReload(`entryPoints: { e: { address: "127.0.0.1:0/udp" } }`)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return r.entrypoint("e").UDP.Dropped["unrouted"] == 1 }, "what comes after the last router is gone is dropped")
	r.eventually(func() bool { return r.State().Flows.Active == 0 }, "the flows are over")

	r.mustReload(udpText("affinity: none, protocol: oneWay, ", "", a))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return r.backend(a).BytesIn > 0 && r.entrypoint("e").UDP.Dropped["unasked"] == 1 }, "a datagram goes one way")

	r.mustReload(udpText("", "", a))
	if got := c.ask(); got != "a" {
		t.Errorf("answer from %q", got)
	}
}

// TestReloadBetweenNetworks: an entrypoint may become one for TCP and back, on one address.
func TestReloadBetweenNetworks(t *testing.T) {
	addr := weirtest.FreeAddr(t)
	a, b := shout(t, "a"), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	udp := strings.Replace(udpText("", "", a), "127.0.0.1:0/udp", addr+"/udp", 1)
	tcp := strings.Replace(simple(addr, b.Addr), "web", "e", -1)
	r := start(t, udp)
	for range 2 {
		if got := r.datagrams("e").ask(); got != "a" {
			t.Errorf("answer from %q", got)
		}
		r.mustReload(tcp)
		if got := dial(t, addr).say("x"); got != "b" {
			t.Errorf("answer from %q", got)
		}
		r.mustReload(udp)
	}
}

// TestUDPAddressTakenLeavesEverythingAsItWas: flows go on when another entrypoint cannot be bound.
func TestUDPAddressTakenLeavesEverythingAsItWas(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := udpText("", "", shout(t, "a"))
	r := start(t, text)
	c := r.datagrams("e")
	c.ask()
	err = r.tryReload(strings.Replace(text, "entryPoints: {", `entryPoints: { more: { address: "`+taken.LocalAddr().String()+`/udp" },`, 1))
	if err == nil || !strings.Contains(err.Error(), "more") || !strings.Contains(err.Error(), taken.LocalAddr().String()) {
		t.Fatalf("reload: %v, want it to name the entrypoint and the address", err)
	}
	c.ask()
	if s := r.State(); s.Flows.Active != 1 || s.Generation != 1 {
		t.Errorf("%d flows at generation %d, want 1 at 1", s.Flows.Active, s.Generation)
	}
}

// TestStopLetsFlowsGoOn: no new flow is let in, and one that lives goes on until it is idle or its time is up.
func TestStopLetsFlowsGoOn(t *testing.T) {
	r := start(t, udpText("", `, udp: { timeout: 1s }, transport: { lifeCycle: { graceTimeOut: 1h } }`, shout(t, "a")))
	old, late := r.datagrams("e"), r.datagrams("e")
	old.ask()
	r.signals <- syscall.SIGTERM
	r.eventually(func() bool { return len(r.State().NotReady) > 0 }, "readiness goes red")
	if _, err := late.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return r.entrypoint("e").UDP.Dropped["stopping"] == 1 }, "a new flow is refused")
	old.ask()
	select {
	case <-r.done: // when the flow has been idle
	case <-time.After(30 * time.Second):
		t.Error("does not stop when the last flow is over")
	}
}

func TestStopCutsFlowsInTheEnd(t *testing.T) {
	r := start(t, udpText("", `, udp: { timeout: 1h }, transport: { lifeCycle: { graceTimeOut: 100ms } }`, shout(t, "a")))
	r.datagrams("e").ask()
	r.signals <- syscall.SIGTERM
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		t.Error("a flow outlives its grace time")
	}
}

// TestRemovedEntrypointFinishesItsFlows: nothing new comes in, flows go on, and the port is somebody else's at once.
func TestRemovedEntrypointFinishesItsFlows(t *testing.T) {
	a, b := shout(t, "a"), shout(t, "b")
	port := weirtest.FreeAddr(t)
	text := strings.Replace(udpText("", "", a), "127.0.0.1:0/udp", port+"/udp", 1)
	r := start(t, text)
	c := r.datagrams("e")
	c.ask()
	r.mustReload(simple("127.0.0.1:0", "127.0.0.1:1"))
	if got := c.ask(); got != "a" {
		t.Errorf("answer from %q", got)
	}
	r.mustReload(strings.NewReplacer(" e:", " f:", a, b).Replace(text))
	if got := c.ask(); got != "b" {
		t.Errorf("answer from %q, of an entrypoint that is gone", got)
	}
}

// TestBackendDownMovesFlows: a health check takes a server out, and its flows move.
func TestBackendDownMovesFlows(t *testing.T) {
	a, b := shout(t, "a"), shout(t, "b")
	well := weirtest.Serve(t, weirtest.Echo)
	_, port, _ := net.SplitHostPort(well.Addr)
	r := start(t, udpText("healthCheck: { type: tcp, port: "+port+", interval: 50ms, fall: 1, rise: 1 }, panicThreshold: 0, ", "", a, b))
	r.eventually(func() bool { return r.backend(a).Health == "up" && r.backend(b).Health == "up" }, "both are up")
	c := r.datagrams("e")
	c.ask()
	well.Kill()
	r.eventually(func() bool { return r.backend(a).Health == "down" && r.backend(b).Health == "down" }, "both are down")
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return r.entrypoint("e").UDP.Ended["no-backend"] == 1 }, "the flow ends for want of a server")
}
