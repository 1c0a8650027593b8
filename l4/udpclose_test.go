package l4

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// TestUDPClose: flows that live go on, new ones do not begin, until the entrypoint is cut.
func TestUDPClose(t *testing.T) {
	b := newTrial(t, Options{}, UDPOptions{})
	live := dials(t, b.bound, 8) // on both loops
	echoed(t, live...)
	b.entry.Close()
	b.entry.Close()
	echoed(t, live...)
	late := dials(t, b.bound, 8)
	for _, conn := range late {
		sendUDP(t, conn, "late")
	}
	awaitDrops(t, b.entry, flow.Stopping, 8)
	b.entry.Set(UDPOptions{}, nil) // has no effect any more
	echoed(t, live...)

	b.entry.Cut(flow.Removed)
	b.entry.Cut(flow.Removed)
	weirtest.Eventually(t, patience, func() bool { return b.entry.Flows() == 0 && b.Flows() == 0 }, "flows outlive the cut")
	if s := b.entry.Stats(); s.Ended[flow.Removed] != 8 || s.Opened != 8 {
		t.Errorf("the entrypoint counts %+v", s)
	}
	if _, err := live[0].Write([]byte("x")); err == nil {
		_ = live[0].SetReadDeadline(time.Now().Add(patience))
		if _, err = live[0].Read(make([]byte, 8)); err == nil || err.(net.Error).Timeout() {
			t.Errorf("the port is still bound: %v", err)
		}
	}
	if line := b.awaitLine(live[0].LocalAddr().String()); line["Reason"] != "drain" {
		t.Errorf("the record says %v", line)
	}
}

// TestUDPCloseShared: queries that wait get their answers.
func TestUDPCloseShared(t *testing.T) {
	b := newUDPBench(t, Options{})
	ask, answer := make(chan struct{}, 1), make(chan struct{})
	server := weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte {
		ask <- struct{}{}
		<-answer
		query[2] |= 0x80
		return [][]byte{query}
	})
	v, _ := b.service(upstream.Options{}, server.Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: dnsSockets})
	conn := dialUDP(t, bound)
	sendUDP(t, conn, dnsQuery(1, "name"))
	<-ask
	e.Close()
	sendUDP(t, conn, dnsQuery(2, "late"))
	awaitDrops(t, e, flow.Stopping, 1)
	close(answer)
	expectUDP(t, conn, dnsAnswer(1, "name"))
	e.Cut(flow.Removed)
	if s := e.Stats(); s.Active != 0 || s.Ended[flow.Done] != 1 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

// TestUDPCutEndsWhatWaits: also the queries that have no answer yet.
func TestUDPCutEndsWhatWaits(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, dnsServer(t).Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: dnsSockets})
	for i := range uint16(4) {
		sendUDP(t, dialUDP(t, bound), dnsQuery(i, "silent"))
	}
	weirtest.Eventually(t, patience, func() bool { return e.Flows() == 4 }, "the queries do not come")
	b.CutBackend(pool.Backends()[0])
	if s := e.Stats(); s.Ended[flow.Lost] != 4 || e.Flows() != 0 || b.Flows() != 0 {
		t.Errorf("the entrypoint counts %+v after the backend was cut", s)
	}
	sendUDP(t, dialUDP(t, bound), dnsQuery(9, "silent"))
	weirtest.Eventually(t, patience, func() bool { return e.Flows() == 1 }, "the query does not come")
	e.Cut(flow.Stopped)
	if s := e.Stats(); s.Ended[flow.Stopped] != 1 || s.Active != 0 {
		t.Errorf("the entrypoint counts %+v", s)
	}
}

// TestUDPPortTakenOver: an entrypoint that is opened on the port of one that is closed has it alone. From then on every
// datagram is answered, also those of clients whose flows were the old one's.
func TestUDPPortTakenOver(t *testing.T) {
	b := newUDPBench(t, Options{})
	one, _ := b.service(upstream.Options{}, named(t, "one:").Addr)
	two, _ := b.service(upstream.Options{}, named(t, "two:").Addr)
	old, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: one})
	conns := dials(t, bound, 16)
	ask := func(want string) {
		t.Helper()
		for _, conn := range conns {
			sendUDP(t, conn, "x")
			expectUDP(t, conn, want)
		}
	}
	ask("one:x")
	old.Close()
	ask("one:x")
	next := b.openOn(b.bind(bound), UDPOptions{}, &UDPRoute{Name: "r", Service: two})
	ask("two:x")
	if s := old.Stats(); s.Ended[flow.Removed] != 16 || s.Active != 0 {
		t.Errorf("the old entrypoint counts %+v", s)
	}
	if s := next.Stats(); s.Opened != 16 {
		t.Errorf("the new entrypoint counts %+v", s)
	}
}

// TestUDPAddressChanges: the new entrypoint is open before the old one is closed, which is cut then because they share ports.
func TestUDPAddressChanges(t *testing.T) {
	b := newUDPBench(t, Options{})
	one, _ := b.service(upstream.Options{}, named(t, "one:").Addr)
	two, _ := b.service(upstream.Options{}, named(t, "two:").Addr)
	old, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: one})
	conns := dials(t, bound, 8)
	all := netip.AddrPortFrom(netip.IPv4Unspecified(), bound.Port())
	b.openOn(b.bind(all), UDPOptions{}, &UDPRoute{Name: "r", Service: two})
	for _, conn := range conns {
		sendUDP(t, conn, "x")
		expectUDP(t, conn, "one:x")
	}
	old.Close()
	for _, conn := range conns {
		sendUDP(t, conn, "x")
		expectUDP(t, conn, "two:x")
	}
	weirtest.Eventually(t, patience, func() bool { return old.Flows() == 0 }, "the old entrypoint keeps flows")
	if !b.own.has(bound) {
		t.Error("the port is not known for our own any more")
	}
}

// TestUDPManyAreCut: a cut takes more than one turn of the loop, and is finished by the end of the server too.
func TestUDPManyAreCut(t *testing.T) {
	const flows = 2000
	for _, tt := range []struct {
		name string
		why  flow.Reason
		cut  func(b *trial)
	}{
		{"entrypoint", flow.Removed, func(b *trial) { b.entry.Cut(flow.Removed) }},
		{"route", flow.Removed, func(b *trial) { b.entry.Set(b.entry.settings.UDPOptions, nil) }},
		{"mode", flow.Removed, func(b *trial) {
			b.mixed = true
			b.entry.Set(b.entry.settings.UDPOptions, &UDPRoute{Name: "r", Service: b.service, Shared: dnsSockets})
		}},
		{"backend", flow.Lost, func(b *trial) { b.CutBackend(b.pools[0].Backends()[0]) }},
		{"server", flow.Stopped, func(b *trial) { b.Close() }},
		{"server after the entrypoint", flow.Removed, func(b *trial) { b.entry.Cut(flow.Removed); b.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTrial(t, Options{}, UDPOptions{})
			b.unlogged = true
			newCrowd(t, b.bound).ask(0, flows)
			tt.cut(b)
			weirtest.Eventually(t, patience, func() bool { return b.Flows() == 0 && b.entry.Stats().Active == 0 }, "flows stay")
			if s := b.entry.Stats(); s.Ended[tt.why] != flows {
				t.Errorf("the entrypoint counts %+v", s)
			}
		})
	}
}

// TestUDPModeChangesUnderTraffic: between flows, shared sockets and no route at all, every answer is the client's own, and
// in the end all get answers.
func TestUDPModeChangesUnderTraffic(t *testing.T) {
	b := newUDPBench(t, Options{})
	b.mixed = true
	v, _ := b.service(upstream.Options{}, dnsServer(t).Addr, dnsServer(t).Addr)
	o := UDPOptions{IdleTimeout: time.Minute, MaxFlows: 1000}
	modes := []*UDPRoute{
		{Name: "r", Service: v}, {Name: "r", Service: v, Shared: dnsSockets}, nil,
		{Name: "r", Service: v, Shared: &SharedSockets{Protocol: flow.Auto}}, {Name: "r", Service: v, Shared: &SharedSockets{}},
	}
	e, bound := b.open("127.0.0.1:0", o, modes[0])

	var asking sync.WaitGroup
	var answered, strange atomic.Int64
	over := make(chan struct{})
	conns := dials(t, bound, 4)
	for i, conn := range conns {
		name := "client-" + string(rune('a'+i))
		asking.Go(func() {
			buf := make([]byte, 512)
			for id := uint16(0); ; id++ {
				select {
				case <-over:
					return
				default:
				}
				_, _ = conn.Write([]byte(dnsQuery(id, name)))
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				n, err := conn.Read(buf)
				if err != nil {
					continue
				}
				if string(buf[2:n]) != dnsAnswer(0, name)[2:] { // it may be the answer to an earlier one
					strange.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	for round := range 25 {
		mode := modes[(round+1)%len(modes)]
		e.Set(o, mode)
		if mode == nil || mode.Shared != nil && mode.Shared.Protocol == flow.OneWay {
			continue
		}
		before := answered.Load()
		weirtest.Eventually(t, patience, func() bool { return answered.Load() > before+10 }, "nobody gets answers")
	}
	close(over)
	asking.Wait()
	if n := strange.Load(); n > 0 {
		t.Errorf("%d answers were somebody else's", n)
	}
}
