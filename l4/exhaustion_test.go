package l4

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/weirlb/weir/internal/weirtest"
)

// affordable is how many connections, at most want, this process can hold both ends of.
func affordable(t testing.TB, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return min(want, (int(limit.Cur)-500)/2)
}

// TestIdleConnectionsAreCheap measures what a relayed connection that rests costs the process, and that it is given back.
func TestIdleConnectionsAreCheap(t *testing.T) {
	for what, size := range map[string]uintptr{"session": unsafe.Sizeof(session{}), "leg": unsafe.Sizeof(leg{})} {
		if size > 512 {
			t.Errorf("a %s has %d bytes, more than the 512 that fit its size class", what, size)
		}
	}
	count, bound := affordable(t, 8000), int64(2<<10)
	if raceEnabled {
		count, bound = affordable(t, 1000), 16<<10
	}
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	c := startChild(t, childOrders{Backend: backend.Addr().(*net.TCPAddr).AddrPort(), SniffTimeout: patience})

	var open []net.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	relay := func() {
		client, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		server, err := backend.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, client, server)
		for _, way := range [...][2]net.Conn{{client, server}, {server, client}} {
			send(t, way[0], "ping")
			expect(t, way[1], "ping")
		}
	}
	for range 100 {
		relay() // so that what the process needs once is there
	}
	before := c.report()
	for range count {
		relay()
	}
	after := c.report()
	if got := after.Active - before.Active; got != int64(count) {
		t.Fatalf("%d connections are open, not %d", got, count)
	}
	each := (after.RSS - before.RSS) / int64(count)
	t.Logf("%d idle relayed connections: %d bytes of RSS each, a session has %d, its leg %d", count, each, unsafe.Sizeof(session{}), unsafe.Sizeof(leg{}))
	if each > bound {
		t.Errorf("an idle relayed connection costs %d bytes, more than %d", each, bound)
	}

	for _, conn := range open {
		weirtest.Reset(conn)
	}
	open = nil
	weirtest.Eventually(t, patience, func() bool { return c.report().Active == 0 }, "connections stay")
	if kept := c.report().Heap - before.Heap; kept > 4<<20 {
		t.Errorf("%d bytes of heap are still in use after all connections have gone", kept)
	}
}

// TestSilentCrowdHoldsNoBuffers: connections that send nothing cost their object only, end by their deadline, and their
// memory comes back.
func TestSilentCrowdHoldsNoBuffers(t *testing.T) {
	count, bound := affordable(t, 4000), int64(2<<10)
	c := startChild(t, childOrders{Backend: weirtest.Serve(t, weirtest.Echo).AddrPort(), TLS: true, SniffTimeout: 2 * time.Second})
	before := c.report()
	for range count {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer weirtest.Reset(conn)
	}
	var during childReport
	weirtest.Eventually(t, patience, func() bool { during = c.report(); return during.Opened == int64(count) }, "not all are accepted")
	if during.Active == int64(count) { // a machine so slow that some are over already has nothing to measure
		if each := (during.Heap - before.Heap) / int64(count); each > bound {
			t.Errorf("a silent connection holds %d bytes of heap, more than %d", each, bound)
		}
	}
	weirtest.Eventually(t, patience, func() bool { return c.report().TimedOut == int64(count) }, "silent connections stay")
	after := c.report()
	if kept := after.Heap - before.Heap; kept > 4<<20 {
		t.Errorf("%d bytes of heap are still in use after %d silent connections", kept, count)
	}
	if after.Active != 0 || after.ActiveByStat != 0 {
		t.Errorf("counted as open after the end: %+v", after)
	}
}

// TestDescriptorsExhausted: while the process has no descriptor left, connections that stand go on; afterwards new ones
// are served again, and the counters tell what happened. The crowd is silent, so that each of it holds one descriptor: with
// two for each, the last one would be either a client's or a backend's, and only the former makes accepting rest.
func TestDescriptorsExhausted(t *testing.T) {
	t.Parallel()
	backend := weirtest.Serve(t, weirtest.Echo)
	c := startChild(t, childOrders{Backend: backend.AddrPort(), NoFile: 48, TLS: true, Plain: true, SniffTimeout: time.Minute})
	standing := dial(t, c.addr)
	check := func(conn net.Conn) {
		t.Helper()
		send(t, conn, "ping")
		expect(t, conn, "ping")
	}
	check(standing)

	var crowd []net.Conn
	for range 60 {
		conn, err := net.DialTimeout("tcp", c.addr, patience)
		if err != nil {
			if errors.Is(err, syscall.ECONNRESET) {
				continue // accepted and given up before connect(2) has returned
			}
			t.Fatal(err)
		}
		crowd = append(crowd, conn)
	}
	weirtest.Eventually(t, patience, func() bool { return c.report().Pauses > 0 }, "accepting never rests, although there are more connections than descriptors")
	check(standing)

	for _, conn := range crowd {
		weirtest.Reset(conn)
	}
	weirtest.Eventually(t, patience, func() bool { // one may still be given up for want of a second descriptor
		conn, err := net.DialTimeout("tcp", c.addr, patience)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "late")
		_, err = io.ReadFull(conn, make([]byte, 4))
		return err == nil
	}, "no new connection is served after descriptors came free")
	check(standing)
	standing.Close()
	var last childReport
	weirtest.Eventually(t, patience, func() bool { last = c.report(); return last.Active == 0 && last.ActiveByStat == 0 }, "connections are still counted")
	t.Logf("%d pauses, %d connections given up for want of a descriptor", last.Pauses, last.Internal)
}
