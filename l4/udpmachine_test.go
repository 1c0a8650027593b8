package l4

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// field is a server for all rounds of TestUDPAnyBehaviour, with an entrypoint that comes and goes.
type field struct {
	*udpBench
	entry    *UDPEntrypoint
	bound    netip.AddrPort
	limit    *InFlightConn
	services []*UDPService
	backends []*upstream.Backend
}

const fieldMaxFlows = 5

// newField makes one whose entrypoint has flows alone, so that there must be a record for each, or is mixed.
func newField(t testing.TB, mixed bool) *field {
	t.Helper()
	b := newUDPBench(t, Options{MaxFlows: 8})
	b.mixed = mixed
	f := &field{udpBench: b, limit: NewInFlightConn(4)}
	o := upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}, Passive: upstream.PassiveOptions{MaxFailedAttempts: 1 << 15}}
	for i := range 2 {
		o.Responses, o.ProxyProtocol = i, 2*i
		v, pool := b.service(o, dnsServer(t).Addr, weirtest.ServeUDP(t, answersTwice).Addr, refusing(t))
		f.services = append(f.services, v)
		f.backends = append(f.backends, pool.Backends()...)
	}
	f.entry, f.bound = b.open("127.0.0.1:0", f.options(), f.route(0, nil))
	return f
}

// answersTwice is a server that says everything twice.
func answersTwice(_ netip.AddrPort, datagram []byte) [][]byte {
	if len(datagram) > 2 {
		datagram[2] |= 0x80
	}
	return [][]byte{datagram, datagram}
}

func (f *field) options() UDPOptions {
	return UDPOptions{IdleTimeout: 20 * time.Millisecond, MaxFlows: fieldMaxFlows}
}

func (f *field) route(service int, shared *SharedSockets) *UDPRoute {
	return &UDPRoute{Name: "r", Service: f.services[service], Shared: shared, Middlewares: []Middleware{f.limit}}
}

// operate is one thing that an operator, discovery or a health check does. It is drawn beforehand, for it happens while
// clients ask.
func (f *field) operate(t *rapid.T) func() {
	n := rapid.IntRange(0, len(f.backends)-1).Draw(t, "backend")
	service := rapid.IntRange(0, 1).Draw(t, "service")
	pool := f.pools[n/3]
	update := func() { pool.Update(pool.Options(), f.backends[n/3*3:n/3*3+3], time.Now()) }
	o := f.options()
	switch rapid.IntRange(0, 9).Draw(t, "operation") {
	case 0, 1:
		h := rapid.SampledFrom([]upstream.Health{upstream.Up, upstream.Down}).Draw(t, "health")
		return func() { f.backends[n].SetHealth(h, time.Now()); update() }
	case 2, 3:
		on := rapid.Bool().Draw(t, "draining")
		return func() { f.backends[n].SetDraining(on, time.Now()); update() }
	case 4:
		return func() { f.CutBackend(f.backends[n]) }
	case 5:
		if !f.mixed {
			return func() { f.entry.Set(o, f.route(service, nil)) }
		}
		shared := rapid.SampledFrom([]*SharedSockets{dnsSockets, {Protocol: flow.Auto}, {}}).Draw(t, "mode")
		return func() { f.entry.Set(o, f.route(service, shared)) }
	case 6:
		o.MaxFlowsPerSource = rapid.IntRange(0, 3).Draw(t, "per source")
		o.Amplification = rapid.IntRange(0, 2).Draw(t, "amplification")
		return func() { f.entry.Set(o, f.route(service, nil)) }
	case 7:
		return func() { f.entry.Set(o, nil) }
	case 8:
		return func() { f.entry.Close() }
	}
	return func() { f.reopen() }
}

// reopen closes the entrypoint and opens another one at the same place.
func (f *field) reopen() {
	f.t.Helper()
	f.entry.Close()
	f.entry = f.openOn(f.bind(f.bound), f.options(), f.route(0, nil))
}

// ask has a client send queries of its own name, and wants what comes back to be about it.
func (f *field) ask(client int, datagrams int) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(f.bound))
	if err != nil {
		return err
	}
	defer conn.Close()
	name := fmt.Sprintf("client-%d-%s", client, conn.LocalAddr())
	buf := make([]byte, 1024)
	for id := range datagrams {
		_, _ = conn.Write([]byte(dnsQuery(uint16(id), name))) // refused, where nothing listens at the moment
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		if n, err := conn.Read(buf); err == nil && !bytes.Contains(buf[:n], []byte(name)) {
			return fmt.Errorf("client %s got %q", name, buf[:n])
		}
	}
	return nil
}

// TestUDPAnyBehaviour lets clients ask while whatever may happen to a UDP entrypoint happens, and wants that nobody gets what
// is somebody else's, that limits hold, and that the books balance when it is over.
func TestUDPAnyBehaviour(t *testing.T) {
	for name, mixed := range map[string]bool{"flows": false, "flows and shared sockets": true} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, mixed)
			rapid.Check(t, f.round)
		})
	}
}

func (f *field) round(t *rapid.T) {
	var clients sync.WaitGroup
	errs := make(chan error, 16)
	for i := range rapid.IntRange(1, 8).Draw(t, "clients") {
		datagrams := rapid.IntRange(1, 10).Draw(t, "datagrams")
		clients.Go(func() { errs <- f.ask(i, datagrams) })
	}
	var operations []func()
	for range rapid.IntRange(0, 6).Draw(t, "operations") {
		operations = append(operations, f.operate(t))
	}
	for _, operate := range operations {
		operate()
		if n := f.entry.Flows(); n > fieldMaxFlows {
			t.Fatalf("%d flows, more than %d", n, fieldMaxFlows)
		}
	}
	clients.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	f.settle(t)
}

// settle waits until all flows are over by themselves, or by a cut where no time ends them, and begins anew.
func (f *field) settle(t *rapid.T) {
	if f.entry.settings.route != nil && f.entry.settings.route.Shared != nil {
		f.entry.Cut(flow.Removed) // queries that wait do so for longer than a round should take
	}
	deadline := time.Now().Add(patience)
	for open := f.openBooks(); len(open) > 0; open = f.openBooks() {
		if time.Now().After(deadline) {
			t.Fatalf("counted although all is over: %v", open)
		}
		<-time.After(time.Millisecond)
	}
	f.reopen()
}

// openBooks lists what is still counted anywhere.
func (f *field) openBooks() (open []string) {
	note := func(what string, n int64) {
		if n != 0 {
			open = append(open, fmt.Sprint(n, " ", what))
		}
	}
	note("at the server", f.Flows())
	note("panics", f.Panics())
	note("at the middleware", f.limit.limit.Total())
	for _, e := range f.entrypoints {
		note("at an entrypoint", e.Flows())
		note("at an entrypoint by sum", int64(e.Stats().Active))
	}
	for _, v := range f.services {
		note("at a service", int64(v.Stats().Active))
	}
	for _, backend := range f.backends {
		note("at a backend", backend.Active())
	}
	return open
}
