package l4

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// answeredBy has clients ask and returns how many were answered by whom.
func answeredBy(t *testing.T, conns []*net.UDPConn) map[string]int {
	t.Helper()
	who := make(map[string]int)
	for _, conn := range conns {
		sendUDP(t, conn, "")
		who[readUDP(t, conn)]++
	}
	return who
}

// TestUDPBackendDrains: flows of a backend that is taken away go to another one at their next datagrams, those of others stay.
func TestUDPBackendDrains(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one").Addr, named(t, "two").Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conns := dials(t, bound, 8)
	if who := answeredBy(t, conns); who["one"] != 4 || who["two"] != 4 {
		t.Fatalf("answers came from %v", who)
	}
	one, two := pool.Backends()[0], pool.Backends()[1]
	one.SetDraining(true, time.Now())
	pool.Update(upstream.Options{}, []*upstream.Backend{two}, time.Now())
	if who := answeredBy(t, conns); who["two"] != 8 {
		t.Errorf("answers came from %v", who)
	}
	if s := e.Stats(); s.Moved != 4 || s.Opened != 8 || one.Active() != 0 || two.Active() != 8 {
		t.Errorf("%d flows at the old backend, %d at the other, %+v", one.Active(), two.Active(), s)
	}
	if sum := one.Stats().Connections + two.Stats().Connections; sum != 12 {
		t.Errorf("the backends count %d flows in all, want 12", sum)
	}
}

// TestUDPCutBackend: flows end that do not move by themselves, because their clients are silent.
func TestUDPCutBackend(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one").Addr, named(t, "two").Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conns := dials(t, bound, 8)
	answeredBy(t, conns)
	one := pool.Backends()[0]
	one.SetDraining(true, time.Now())
	pool.Update(upstream.Options{}, pool.Backends(), time.Now())
	b.CutBackend(one)
	if s := e.Stats(); s.Ended[flow.Lost] != 4 || s.Active != 4 || one.Active() != 0 {
		t.Errorf("%d flows at the backend, %+v", one.Active(), s)
	}
	if who := answeredBy(t, conns); who["two"] != 8 {
		t.Errorf("answers came from %v", who)
	}
}

// TestUDPEverybodyIsGone: without a backend flows end at their next datagrams, and begin again when there is one.
func TestUDPEverybodyIsGone(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one").Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conn := dialUDP(t, bound)
	answeredBy(t, []*net.UDPConn{conn})
	all := pool.Backends()
	all[0].SetDraining(true, time.Now())
	pool.Update(upstream.Options{}, nil, time.Now())
	sendUDP(t, conn, "lost")
	awaitDrops(t, e, flow.WithoutBackend, 1)
	sendUDP(t, conn, "lost")
	awaitDrops(t, e, flow.WithoutBackend, 2)
	if s := e.Stats(); s.Ended[flow.NoBackend] != 1 || s.Active != 0 {
		t.Errorf("the entrypoint counts %+v", s)
	}
	all[0].SetDraining(false, time.Now())
	pool.Update(upstream.Options{}, all, time.Now())
	if who := answeredBy(t, []*net.UDPConn{conn}); who["one"] != 1 {
		t.Errorf("answers came from %v", who)
	}
}

// TestUDPBackendIsFull: a backend's limit is one of flows, and those that it has go on.
func TestUDPBackendIsFull(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one").Addr)
	backend := pool.Backends()[0]
	backend.SetEndpoint(upstream.Endpoint{Addr: backend.Addr(), Weight: 1, MaxConnections: 2})
	pool.Update(upstream.Options{}, pool.Backends(), time.Now())
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conns := dials(t, bound, 3)
	answeredBy(t, conns[:2])
	sendUDP(t, conns[2], "no room")
	awaitDrops(t, e, flow.WithoutRoom, 1)
	answeredBy(t, conns[:2])
}

// TestUDPChooserIsReplaced: flows that live stay while their backend is good, new ones go where the service leads now.
func TestUDPChooserIsReplaced(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one").Addr)
	_, other := b.service(upstream.Options{}, named(t, "two").Addr)
	_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conns := dials(t, bound, 8)
	answeredBy(t, conns[:4])
	v.SetChooser(other)
	if who := answeredBy(t, conns); who["one"] != 4 || who["two"] != 4 {
		t.Errorf("answers came from %v", who)
	}
	pool.Backends()[0].SetDraining(true, time.Now())
	if who := answeredBy(t, conns); who["two"] != 8 {
		t.Errorf("answers came from %v", who)
	}
	if s := v.Stats(); s.Opened != 8 || s.Active != 8 || s.Moved != 4 {
		t.Errorf("the service counts %+v", s)
	}
}

// TestUDPServiceIsReplaced: a flow that another service gets is counted there.
func TestUDPServiceIsReplaced(t *testing.T) {
	b := newUDPBench(t, Options{})
	one, _ := b.service(upstream.Options{}, named(t, "one").Addr)
	two, _ := b.service(upstream.Options{}, named(t, "two").Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: one})
	conns := dials(t, bound, 4)
	answeredBy(t, conns)
	e.Set(e.settings.UDPOptions, &UDPRoute{Name: "r", Service: two})
	answeredBy(t, conns[:3])
	if s := one.Stats(); s.Opened != 4 || s.Active != 1 || s.Ended[flow.Removed] != 3 {
		t.Errorf("the old service counts %+v", s)
	}
	if s := two.Stats(); s.Opened != 3 || s.Active != 3 || s.In.Datagrams != 3 {
		t.Errorf("the new service counts %+v", s)
	}
}

func TestUDPWeighted(t *testing.T) {
	for _, shared := range []*SharedSockets{nil, dnsSockets} {
		t.Run(fmt.Sprint("shared ", shared != nil), func(t *testing.T) {
			b := newUDPBench(t, Options{})
			much, little := dnsServer(t), dnsServer(t)
			_, a := b.service(upstream.Options{}, much.Addr)
			v, c := b.service(upstream.Options{}, little.Addr)
			v.SetChooser(upstream.NewWeighted([]upstream.Child{{Chooser: a, Weight: 3}, {Chooser: c, Weight: 1}}))
			_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: shared})
			for i, conn := range dials(t, bound, 40) {
				sendUDP(t, conn, dnsQuery(uint16(i), "name"))
				expectUDP(t, conn, dnsAnswer(uint16(i), "name"))
			}
			if much.Received() != 30 || little.Received() != 10 {
				t.Errorf("the pools got %d and %d, want 30 and 10", much.Received(), little.Received())
			}
		})
	}
}

// TestUDPFailover: clients go over to the fallback, and new ones back; those that are there stay.
func TestUDPFailover(t *testing.T) {
	b := newUDPBench(t, Options{})
	_, first := b.service(upstream.Options{}, named(t, "first").Addr)
	v, second := b.service(upstream.Options{}, named(t, "second").Addr)
	v.SetChooser(upstream.Failover{Service: first, Fallback: second})
	_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
	conns := dials(t, bound, 8)
	if who := answeredBy(t, conns[:4]); who["first"] != 4 {
		t.Errorf("answers came from %v", who)
	}
	turn := func(h upstream.Health) {
		first.Backends()[0].SetHealth(h, time.Now())
		first.Update(upstream.Options{}, first.Backends(), time.Now())
	}
	turn(upstream.Down)
	if who := answeredBy(t, conns[:4]); who["second"] != 4 {
		t.Errorf("answers came from %v", who)
	}
	turn(upstream.Up)
	if who := answeredBy(t, conns); who["second"] != 4 || who["first"] != 4 {
		t.Errorf("answers came from %v", who)
	}
}

// TestUDPAllNodesAgree: two servers, as of two nodes, lead each client to the same backend, whichever of them it comes to.
func TestUDPAllNodesAgree(t *testing.T) {
	const clients = 1000
	var addrs []string
	for i := range 5 {
		addrs = append(addrs, named(t, fmt.Sprintf("%d:", i)).Addr)
	}
	for _, strategy := range []upstream.Strategy{upstream.Maglev, upstream.HRW} {
		t.Run(string(strategy), func(t *testing.T) {
			var answers [2]map[string]string
			for node := range answers {
				b := newUDPBench(t, Options{})
				b.unlogged = true
				order := slices.Clone(addrs)
				if node == 1 {
					slices.Reverse(order) // nodes need not hear of backends in the same order
				}
				v, _ := b.service(upstream.Options{Strategy: strategy}, order...)
				_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
				answers[node] = make(map[string]string)
				for client, by := range newCrowd(t, bound).ask(0, clients) {
					answers[node][client.String()] = by
				}
			}
			if len(answers[0]) != clients || !maps.Equal(answers[0], answers[1]) {
				t.Errorf("the servers do not agree about %d clients", clients)
			}
			shares := make(map[string]int)
			for _, by := range answers[0] {
				shares[by]++
			}
			if len(shares) != len(addrs) {
				t.Errorf("not all backends have clients: %v", shares)
			}
		})
	}
}

// TestUDPRecord: what the access log says of a flow.
func TestUDPRecord(t *testing.T) {
	b := newUDPBench(t, Options{})
	v, pool := b.service(upstream.Options{}, named(t, "one:").Addr, named(t, "two:").Addr)
	e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "games", Service: v})
	conn := dialUDP(t, bound)
	sendUDP(t, conn, "a")
	expectUDP(t, conn, "one:a")
	pool.Backends()[0].SetHealth(upstream.Down, time.Now())
	pool.Update(upstream.Options{}, pool.Backends(), time.Now())
	for range 2 {
		sendUDP(t, conn, "bb")
		expectUDP(t, conn, "two:bb")
	}
	e.Cut(flow.Removed)
	line := b.awaitLine(conn.LocalAddr().String())
	for field, want := range map[string]any{
		"Protocol": "udp", "entryPointName": "udp", "RouterName": "games", "ServiceName": "udp",
		"LocalAddr": bound.String(), "ServiceAddr": pool.Backends()[1].Addr().String(),
		"BytesIn": 5.0, "BytesOut": 17.0, "DatagramsIn": 3.0, "DatagramsOut": 3.0, "Moves": 1.0,
		"Reason": "drain", "EndedBy": "weir", "TerminationState": "KD",
	} {
		if line[field] != want {
			t.Errorf("%s is %v, want %v", field, line[field], want)
		}
	}
	start, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line["StartUTC"]))
	if took, _ := line["Duration"].(float64); err != nil || took <= 0 || time.Since(start) < time.Duration(took) {
		t.Errorf("it began at %v and took %v: %v", line["StartUTC"], line["Duration"], err)
	}
}

// TestUDPEndings: each end of a flow has its word in the access log.
func TestUDPEndings(t *testing.T) {
	b := newUDPBench(t, Options{})
	echo := weirtest.EchoUDP(t).Addr
	for _, tt := range []struct {
		name    string
		pool    upstream.Options
		options UDPOptions
		backend string
		end     func(e *UDPEntrypoint, v *UDPService)
		want    map[string]any
	}{
		{"answered", upstream.Options{Responses: 1}, UDPOptions{}, echo, nil,
			map[string]any{"Reason": "done", "EndedBy": "backend", "TerminationState": "--"}},
		{"idle", upstream.Options{}, UDPOptions{IdleTimeout: time.Millisecond}, echo, nil,
			map[string]any{"Reason": "idle-timeout", "EndedBy": "weir", "TerminationState": "--"}},
		{"refused", upstream.Options{}, UDPOptions{}, refusing(t), nil,
			map[string]any{"Reason": "refused", "EndedBy": "backend"}},
		{"stopped", upstream.Options{}, UDPOptions{}, echo, func(e *UDPEntrypoint, _ *UDPService) { e.Cut(flow.Stopped) },
			map[string]any{"Reason": "shutdown", "EndedBy": "weir"}},
		{"without a route", upstream.Options{}, UDPOptions{}, echo, func(e *UDPEntrypoint, _ *UDPService) { e.Set(e.settings.UDPOptions, nil) },
			map[string]any{"Reason": "drain", "EndedBy": "weir"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := b.service(tt.pool, tt.backend)
			e, bound := b.open("127.0.0.1:0", tt.options, &UDPRoute{Name: "r", Service: v})
			conn := dialUDP(t, bound)
			sendUDP(t, conn, "x")
			weirtest.Eventually(t, patience, func() bool { return e.Stats().Opened == 1 }, "no flow begins")
			if tt.end != nil {
				tt.end(e, v)
			}
			line := b.awaitLine(conn.LocalAddr().String())
			for field, want := range tt.want {
				if line[field] != want {
					t.Errorf("%s is %v, want %v", field, line[field], want)
				}
			}
		})
	}
}
