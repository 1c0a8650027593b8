package l4

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// strait is an entrypoint with clients and a backend that allocate nothing: what is allocated while datagrams pass is the
// server's.
type strait struct {
	*udpBench
	entry   *UDPEntrypoint
	clients []*net.UDPConn
}

// straitOf is a way that datagrams take in the tests and benchmarks below.
type straitOf struct {
	name        string
	pool        upstream.Options
	shared      *SharedSockets
	options     UDPOptions
	middlewares func() []Middleware
	flows       bool // each datagram is a flow
}

// straits are all of them.
func straits() []straitOf {
	limited := func() []Middleware {
		all := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		return []Middleware{NewIPAllowList(all), NewInFlightConn(1000), NewRateLimit(1_000_000, 1_000_000, time.Second, time.Now())}
	}
	return []straitOf{
		{name: "flows"},
		{name: "flows with limits", options: UDPOptions{MaxFlowsPerSource: 1000, Amplification: 10}, middlewares: limited},
		{name: "flows with PROXY headers", pool: upstream.Options{ProxyProtocol: 2}},
		{name: "flow for each datagram", pool: upstream.Options{Responses: 1}, middlewares: limited, flows: true},
		{name: "queries", shared: dnsSockets, flows: true},
		{
			name: "queries, told apart, with PROXY headers", pool: upstream.Options{ProxyProtocol: 2},
			shared: &SharedSockets{Protocol: flow.Auto}, flows: true,
		},
	}
}

func newStrait(t testing.TB, of straitOf, clients int) *strait {
	t.Helper()
	b := newUDPBench(t, Options{})
	b.unlogged = true
	v, _ := b.service(of.pool, resolver(t))
	r := &UDPRoute{Name: "r", Service: v, Shared: of.shared}
	if of.middlewares != nil {
		r.Middlewares = of.middlewares()
	}
	e, bound := b.open("127.0.0.1:0", of.options, r)
	s := &strait{udpBench: b, entry: e}
	for range clients {
		s.clients = append(s.clients, dialUDP(t, bound))
	}
	return s
}

// resolver is a server that answers each query, with or without a PROXY header before it, and returns its address.
func resolver(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		const header = 28 // of PROXY, version 2, IPv4
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			query := buf[:n]
			if bytes.HasPrefix(query, []byte("\r\n\r\n")) {
				query = query[header:]
			}
			query[2] |= 0x80
			_, _ = conn.WriteToUDPAddrPort(query, from)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return conn.LocalAddr().String()
}

// pass makes n round trips from each client, with up to window datagrams of 64 bytes in flight.
func (s *strait) pass(n, window int) {
	var passing sync.WaitGroup
	query := []byte(dnsQuery(7, strings.Repeat("n", 64-len(dnsQuery(7, "")))))
	for _, conn := range s.clients {
		passing.Go(func() {
			buf := make([]byte, 512)
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			for sent, got := 0, 0; got < n; {
				for ; sent < n && sent-got < window; sent++ {
					if _, err := conn.Write(query); err != nil {
						s.t.Error(err)
						return
					}
				}
				if _, err := conn.Read(buf); err != nil {
					s.t.Errorf("after %d round trips: %v", got, err)
					return
				}
				got++
			}
		})
	}
	passing.Wait()
}

// TestUDPAllocatesNothing: once the pools are warm, neither a datagram nor a flow takes anything from the heap.
func TestUDPAllocatesNothing(t *testing.T) {
	for _, tt := range straits() {
		t.Run(tt.name, func(t *testing.T) {
			s := newStrait(t, tt, 4)
			const count = 200
			run := func() (allocated float64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				s.pass(count, 1) // with more at once, a flow would have several
				runtime.ReadMemStats(&after)
				return float64(after.Mallocs-before.Mallocs) / float64(count*len(s.clients))
			}
			run()
			opened := s.entry.Stats().Opened
			each := run()
			t.Logf("%.3f allocations for a round trip", each)
			if !raceEnabled && each > 0.2 { // the runtime and the log's writer have a few of their own
				t.Errorf("%.3f allocations for a round trip", each)
			}
			stats, want := s.entry.Stats(), uint64(0)
			if tt.flows {
				want = count * uint64(len(s.clients))
			}
			if got := stats.Opened - opened; got != want || stats.Out.Datagrams != 2*count*uint64(len(s.clients)) {
				t.Errorf("%d flows began, want %d; %+v", got, want, stats)
			}
		})
	}
}

// loopTime is the CPU time that the loops have used, whose goroutines must be locked to their threads.
func (b *udpBench) loopTime() (total time.Duration) {
	b.each(func(*worker) {
		const thisThread = 1 // RUSAGE_THREAD of getrusage(2)
		var used syscall.Rusage
		if err := syscall.Getrusage(thisThread, &used); err != nil {
			b.t.Error(err)
		}
		total += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	})
	return total
}

// BenchmarkUDPRoundTrip is a query of 64 bytes and its answer on loopback, its client and its backend included. What the
// loops need for it, the kernel's part included, is loop-ns.
func BenchmarkUDPRoundTrip(b *testing.B) {
	for _, tt := range straits() {
		b.Run(tt.name, func(b *testing.B) {
			const clients, window = 32, 8
			s := newStrait(b, tt, clients)
			s.each(func(*worker) { runtime.LockOSThread() }) // the time of their threads is measured
			s.pass(100, window)
			b.ReportAllocs()
			b.ResetTimer()
			before := s.loopTime()
			s.pass((b.N+clients-1)/clients, window)
			b.ReportMetric(float64(s.loopTime()-before)/float64(b.N), "loop-ns/op")
		})
	}
}
