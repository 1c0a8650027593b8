package l4

import (
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// liveHeap is the bytes of live objects.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what the first one frees, the second one has swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestUDPMemoryComesBack opens 100,000 flows and lets them expire, in waves because each takes one of the host's 28,000
// ports. Nothing is left after each wave but what is kept for new flows.
func TestUDPMemoryComesBack(t *testing.T) {
	waves, size := 10, 10_000
	if raceEnabled {
		waves, size = 3, 2_000
	}
	b := newUDPBench(t, Options{})
	b.unlogged = true
	if err := b.accessLog.Configure(accesslog.Options{Format: accesslog.Off}); err != nil { // its buffers would be counted too
		t.Fatal(err)
	}
	v, pool := b.service(upstream.Options{}, weirtest.EchoUDP(t).Addr)
	o := UDPOptions{IdleTimeout: time.Hour, MaxFlows: size}
	r := &UDPRoute{Name: "r", Service: v}
	e, bound := b.open("127.0.0.1:0", o, r)
	c := newCrowd(t, bound)

	var before, during int64
	var open int
	for wave := range waves + 1 {
		c.ask(wave*size, size)
		if n := e.Flows(); n != int64(size) || b.Flows() != n || pool.Backends()[0].Active() != n {
			t.Fatalf("%d flows at the entrypoint, %d at the server, want %d", n, b.Flows(), size)
		}
		during = liveHeap()
		c.send((wave+1)*size, "one too many")
		awaitDrops(t, e, flow.TooMany, uint64(wave+1))

		e.Set(UDPOptions{IdleTimeout: time.Millisecond, MaxFlows: size}, r)
		weirtest.Eventually(t, patience, func() bool { return e.Flows() == 0 && e.Stats().Active == 0 && b.Flows() == 0 }, "flows stay")
		e.Set(o, r)
		if wave == 0 { // it has brought what is kept
			before, open = liveHeap(), descriptors(t)
		}
	}
	s, want := e.Stats(), uint64((waves+1)*size)
	if s.Opened != want || s.Ended[flow.Idle] != want || s.Dropped[flow.WithoutSocket] != 0 {
		t.Errorf("want %d flows opened and expired: %+v", want, s)
	}
	after := liveHeap()
	t.Logf("%d bytes of heap for each of %d flows, a wire has %d; %d are left of %d flows",
		(during-before)/int64(size), size, unsafe.Sizeof(flowWire{}), after-before, waves*size)
	if each := (during - before) / int64(size); each > 1024 {
		t.Errorf("a flow costs %d bytes of heap", each)
	}
	if left := after - before; left > 1<<20 { // no flow may leave 10 bytes
		t.Errorf("%d bytes of heap are left of flows that are over", left)
	}
	if n := descriptors(t); n != open {
		t.Errorf("%d descriptors are open, %d were", n, open)
	}
	b.each(func(w *worker) {
		if len(w.wires) > wiresKept {
			t.Errorf("a loop keeps %d wires", len(w.wires))
		}
		for _, d := range w.doors {
			if n := d.current.(*flowForwarder).table.Len(); n != 0 {
				t.Errorf("a table has %d flows", n)
			}
		}
	})
}
