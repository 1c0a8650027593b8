package flow

import (
	"runtime"
	"testing"
	"unsafe"
)

// heap is the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one frees, the second one has swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryComesBack opens and expires 100,000 flows.
func TestMemoryComesBack(t *testing.T) {
	const flows = 100_000
	table := NewTable(Options{Pick: through(poolOf(retries, backendsOf(3)...), 0, nil), Flows: NewBudget(flows)}, start)
	actions := make([]Action, 0, 3*expireBudget)
	before := heap()
	for n := range flows + 1000 {
		actions = table.FromClient(keyOf(n), 100, start, actions[:0])
	}
	if n := table.Len(); n != flows {
		t.Fatalf("%d flows, want %d", n, flows)
	}
	perFlow := (heap() - before) / flows
	t.Logf("%d bytes a flow, %d of them its own", perFlow, unsafe.Sizeof(Flow{}))
	if perFlow > 512 {
		t.Errorf("a flow takes %d bytes", perFlow)
	}
	for now := start.Add(idle); table.Len() > 0; {
		actions = table.Expire(now, actions[:0])
		for _, a := range actions {
			if a.Kind == End {
				table.Free(a.Flow)
			}
		}
	}
	clear(actions[:cap(actions)])
	// The blank flows stay, on purpose.
	if left, blank := heap()-before, int64(maxBlank*unsafe.Sizeof(Flow{})); left > blank+64<<10 {
		t.Errorf("%d bytes are left, of which %d are kept for new flows", left, blank)
	}
	if n := len(table.index.slots); n != minSlots {
		t.Errorf("the index has %d slots left", n)
	}
	runtime.KeepAlive(table)
}

// TestNoAllocation: neither datagrams of flows nor flows that come and go allocate.
func TestNoAllocation(t *testing.T) {
	table := NewTable(Options{Pick: through(poolOf(retries, backendsOf(3)...), 1, nil)}, start)
	actions := make([]Action, 0, 16)
	got := testing.AllocsPerRun(1000, func() {
		actions = table.FromClient(keyOf(1), 100, start, actions[:0])
		f := actions[0].Flow
		actions = table.FromClient(keyOf(1), 100, start, actions[:0])
		actions = table.FromBackend(f, 100, start, actions[:0])
		actions = table.FromBackend(f, 100, start, actions[:0])
		if actions[len(actions)-1].Kind != End {
			t.Fatal("the flow did not end")
		}
		table.Free(f)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
