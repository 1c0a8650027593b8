package l4

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

func TestAddressesOfAnEntrypoint(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	first := weirtest.FreePorts(t, 2)
	sockets, err := b.Bind([]netip.AddrPort{
		netip.AddrPortFrom(netip.Addr{}, uint16(first)), netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(first+1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := b.Open("ep", sockets, EntrypointOptions{SniffTimeout: patience}, mustTable(t, b.catchAll(v)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b.entrypoints = append(b.entrypoints, e)
	for _, tt := range []struct {
		name, host string
		port       int
		served     bool
	}{
		{"no address means IPv4", "127.0.0.1", first, true},
		{"and IPv6", "::1", first, true},
		{"[::] means IPv6", "::1", first + 1, true},
		{"and nothing else", "127.0.0.1", first + 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(tt.host, strconv.Itoa(tt.port)), patience)
			if (err == nil) != tt.served {
				t.Fatalf("connecting: %v", err)
			}
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			send(t, conn, "ping")
			expect(t, conn, "ping")
			finish(t, conn)
			if got := b.wantReason(accesslog.Done)["LocalAddr"]; got != conn.RemoteAddr().String() {
				t.Errorf("the record has the called address %v, want %v", got, conn.RemoteAddr())
			}
		})
	}
}

// TestCalledAddressOfAServedConnection: a handler closes the client before the record is written.
func TestCalledAddressOfAServedConnection(t *testing.T) {
	b := newBench(t, 0)
	table, err := NewTable(nil, &upper{peeked: make(chan string, 1), remote: make(chan netip.AddrPort, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := b.Bind([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")})
	if err != nil {
		t.Fatal(err)
	}
	e, err := b.Open("ep", sockets, EntrypointOptions{SniffTimeout: patience}, table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b.entrypoints = append(b.entrypoints, e)
	conn := dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), sockets.Addrs()[0].Port()).String())
	send(t, conn, "get / http/1.1\r\n")
	expect(t, conn, "GET / HTTP/1.1\r\n")
	finish(t, conn)
	if got := b.wantReason(accesslog.Done)["LocalAddr"]; got != conn.RemoteAddr().String() {
		t.Errorf("the record has the called address %v, want %v", got, conn.RemoteAddr())
	}
}

// TestOpenThatFailsLeavesNothing: the sockets are the entrypoint's even when it does not come to be.
func TestOpenThatFailsLeavesNothing(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Refused(t))
	sockets, err := b.Bind([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := b.Open("ep", sockets, EntrypointOptions{}, mustTable(t, b.catchAll(v))); err == nil {
		t.Fatal("an entrypoint opens on loops that have ended")
	}
	for _, addr := range sockets.Addrs() {
		if conn, err := net.DialTimeout("tcp", addr.String(), patience); err == nil {
			conn.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

// TestTimersOfARecord: connecting counts all tries, waiting all waits, and a phase that was not reached has none.
func TestTimersOfARecord(t *testing.T) {
	const timeout = unhurried
	b := newBench(t, 0)
	o := upstream.Options{
		Strategy: upstream.LeastConn,
		Connect:  upstream.ConnectOptions{Timeout: timeout, Retries: 1},
		Queue:    upstream.QueueOptions{Limit: 1, Timeout: patience},
	}
	v, pool := b.service(o,
		upstream.Endpoint{Addr: netip.MustParseAddrPort(weirtest.Unanswered(t)), Weight: upstream.MaxWeight, MaxConnections: 1},
		upstream.Endpoint{Addr: weirtest.Serve(t, weirtest.Echo).AddrPort(), Weight: 1, MaxConnections: 1})
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	backends := pool.Backends()

	holder := dial(t, addr) // meets the black hole first, for its weight
	send(t, holder, "ping")
	expect(t, holder, "ping")
	waiter := dial(t, addr)
	weirtest.Eventually(t, patience, func() bool { return pool.Stats().Waiting == 1 }, "nobody waits after the black hole")
	if backends[1].Active() != 1 {
		t.Fatal("the good backend is not in use")
	}
	finish(t, holder)
	line := b.wantReason(accesslog.Done)
	if took := time.Duration(line["ConnectDuration"].(float64)); took < timeout || line["RetryAttempts"] != 1.0 || line["QueueDuration"] != 0.0 {
		t.Errorf("connecting took %v by the record, with a try of %v in it: %v", took, timeout, line)
	}
	send(t, waiter, "pong")
	expect(t, waiter, "pong")
	finish(t, waiter)
	line = b.wantReason(accesslog.Done)
	if took := time.Duration(line["QueueDuration"].(float64)); took <= 0 || line["RetryAttempts"] != 1.0 {
		t.Errorf("waiting took %v by the record: %v", took, line)
	}
	if last := backends[1].Stats().LastConnect; last >= timeout {
		t.Errorf("the good backend is charged %v for connecting", last)
	}

	// A handshake that is not over has no routing time.
	s := stages[securing](t)
	s.awaitPhase(securing, 1)
	s.CloseAll(accesslog.Shutdown)
	if line := s.wantReason(accesslog.Shutdown); line["RouteDuration"] != -1.0 || line["ConnectDuration"] != -1.0 || line["RouterName"] != "tls-one.test" {
		t.Errorf("the record says %v", line)
	}
	_, _ = io.Copy(io.Discard, s.conn)
}

// TestBindRefusesWhatAnotherHolds: two programs that allow sharing would both bind, and share the connections out.
func TestBindRefusesWhatAnotherHolds(t *testing.T) {
	first, second := newBench(t, 0), newBench(t, 0)
	held, err := first.Bind([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	addr := held.Addrs()[0]
	everywhere := netip.AddrPortFrom(netip.Addr{}, addr.Port())
	for _, wanted := range []netip.AddrPort{addr, everywhere} {
		if got, err := second.Bind([]netip.AddrPort{wanted}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("another server binds %s with %v, want address already in use", wanted, err)
			if err == nil {
				got.Close()
			}
		}
	}

	// The same server may: an entrypoint that moves is opened before it is closed.
	again, err := first.Bind([]netip.AddrPort{addr})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	held.Close()
	after, err := second.Bind([]netip.AddrPort{everywhere})
	if err != nil {
		t.Fatalf("what was given back is still held: %v", err)
	}
	after.Close()
}
