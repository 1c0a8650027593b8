package l4

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// udpBench is a running server for UDP with an access log, and what tests ask of it.
type udpBench struct {
	*Server
	t         testing.TB
	logPath   string
	accessLog *accesslog.Writer

	entrypoints []*UDPEntrypoint
	pools       []*upstream.Pool
	mixed       bool // an entrypoint changed between flows and shared sockets: how many records there must be is not known
	unlogged    bool // so many flows come at once that records may be left out
}

func newUDPBench(t testing.TB, o Options) *udpBench {
	t.Helper()
	b := &udpBench{t: t, logPath: filepath.Join(t.TempDir(), "access.log"), accessLog: accesslog.New(nil)}
	if err := b.accessLog.Configure(accesslog.Options{Format: accesslog.JSON, Path: b.logPath}); err != nil {
		t.Fatal(err)
	}
	o.Loops, o.AccessLog, o.Log = 2, b.accessLog, slog.New(slog.DiscardHandler)
	var err error
	if b.Server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.accessLog.Close(ctx); err != nil {
			t.Error(err)
		}
		b.checkBooks()
	})
	return b
}

// checkBooks holds what must be so when all is over: nothing is counted as open anywhere, and the access log has one line
// for each flow. Queries over shared sockets have none.
func (b *udpBench) checkBooks() {
	b.t.Helper()
	if n := b.Flows(); n != 0 {
		b.t.Errorf("%d flows are still counted after the end", n)
	}
	if n := b.Panics(); n != 0 {
		b.t.Errorf("%d callbacks panicked", n)
	}
	ended := uint64(0)
	for _, e := range b.entrypoints {
		stats := e.Stats()
		if e.Flows() != 0 || stats.Active != 0 {
			b.t.Errorf("entrypoint still has %d flows by budget, %d by sum", e.Flows(), stats.Active)
		}
		if e.settings.route == nil || e.settings.route.Shared == nil {
			for _, n := range stats.Ended {
				ended += n
			}
		}
	}
	for _, pool := range b.pools {
		for _, backend := range pool.Backends() {
			if n := backend.Active(); n != 0 {
				b.t.Errorf("backend %s still has %d flows", backend.Addr(), n)
			}
		}
	}
	b.checkOwn()
	if b.mixed || b.unlogged {
		return
	}
	if n := len(b.lines()); uint64(n) != ended {
		b.t.Errorf("%d flows have ended, %d records were written", ended, n)
	}
}

// checkOwn holds that no address is taken for our own any more.
func (b *udpBench) checkOwn() {
	b.t.Helper()
	if b.own == nil {
		return
	}
	for port := range b.own.ports {
		if p := &b.own.ports[port]; p.wires.Load() != 0 || p.inlets.Load() != 0 || p.ip.Load() != 0 {
			b.t.Errorf("port %d is still taken for our own", port)
		}
	}
	if bound := *b.own.bound.Load(); len(bound) != 0 {
		b.t.Errorf("%v are still taken for our own", bound)
	}
}

func (b *udpBench) lines() (lines []map[string]any) {
	content, _ := os.ReadFile(b.logPath)
	for text := range strings.Lines(string(content)) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil { // the last one may be half written
			lines = append(lines, line)
		}
	}
	return lines
}

// awaitLine waits for the first record of a client and returns it.
func (b *udpBench) awaitLine(client string) (line map[string]any) {
	b.t.Helper()
	weirtest.Eventually(b.t, patience, func() bool {
		for _, line = range b.lines() {
			if line["ClientAddr"] == client {
				return true
			}
		}
		return false
	}, "a record of "+client)
	return line
}

// service returns a UDP service with the servers at addrs.
func (b *udpBench) service(o upstream.Options, addrs ...string) (*UDPService, *upstream.Pool) {
	b.t.Helper()
	var backends []*upstream.Backend
	for _, addr := range addrs {
		backends = append(backends, upstream.NewBackend("udp", upstream.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: 1}))
	}
	pool := upstream.NewPool("udp", func(*upstream.Backend) {})
	pool.Update(o, backends, time.Now())
	b.pools = append(b.pools, pool)
	return b.NewUDPService("udp", pool), pool
}

// open opens an entrypoint at addr, whose port may be 0, and returns it with its bound address.
func (b *udpBench) open(addr string, o UDPOptions, r *UDPRoute) (*UDPEntrypoint, netip.AddrPort) {
	b.t.Helper()
	sockets := b.bind(netip.MustParseAddrPort(addr))
	return b.openOn(sockets, o, r), sockets.Addrs()[0]
}

// bind binds the addresses of an entrypoint.
func (b *udpBench) bind(addrs ...netip.AddrPort) *UDPSockets {
	b.t.Helper()
	sockets, err := b.BindUDP(addrs)
	if err != nil {
		b.t.Fatal(err)
	}
	return sockets
}

// openOn opens an entrypoint on bound sockets.
func (b *udpBench) openOn(sockets *UDPSockets, o UDPOptions, r *UDPRoute) *UDPEntrypoint {
	b.t.Helper()
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Minute
	}
	if o.MaxFlows == 0 {
		o.MaxFlows = 1 << 16
	}
	e, err := b.OpenUDP("udp", sockets, o, r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.entrypoints = append(b.entrypoints, e)
	b.t.Cleanup(func() { e.Cut(flow.Stopped) })
	return e
}

// dialUDP returns a client of addr.
func dialUDP(t testing.TB, addr netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func sendUDP(t testing.TB, conn *net.UDPConn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// readUDP waits for a datagram.
func readUDP(t testing.TB, conn *net.UDPConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatalf("waiting for a datagram: %v", err)
	}
	return string(buf[:n])
}

// expectUDP waits for a datagram and wants it to be text.
func expectUDP(t testing.TB, conn *net.UDPConn, want string) {
	t.Helper()
	if got := readUDP(t, conn); got != want {
		t.Fatalf("got %d bytes %.60q, want %.60q", len(got), got, want)
	}
}

// awaitDrops waits until the entrypoint has dropped n datagrams for a cause.
func awaitDrops(t testing.TB, e *UDPEntrypoint, why flow.Cause, n uint64) {
	t.Helper()
	weirtest.Eventually(t, patience, func() bool { return e.Stats().Dropped[why] >= n }, why.String()+" is counted")
	if got := e.Stats().Dropped[why]; got != n {
		t.Errorf("%d were dropped as %v, want %d", got, why, n)
	}
}

// noAnswer is a server that is silent, hundredfold one that says everything a hundred times.
func noAnswer(netip.AddrPort, []byte) [][]byte { return nil }

func hundredfold(_ netip.AddrPort, datagram []byte) (answers [][]byte) {
	for range 100 {
		answers = append(answers, datagram)
	}
	return answers
}

// refusing is an address where nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	return gone.LocalAddr().String()
}
