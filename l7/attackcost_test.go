package l7

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// attack measures what one costs weir: the processor time of its loops, on whose threads nothing else runs, and memory, in
// which the attacker's own share is, because both are one process.
type attack struct {
	b      *bed
	cpu    time.Duration
	before runtime.MemStats
}

func (b *bed) attack() *attack {
	b.t.Helper()
	b.server.each(func(*worker) { runtime.LockOSThread() }) // the time of their threads is measured
	a := &attack{b: b, cpu: b.processorTime()}
	runtime.GC()
	runtime.ReadMemStats(&a.before)
	return a
}

// processorTime is that which the loops have had.
func (b *bed) processorTime() (all time.Duration) {
	b.server.each(func(*worker) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
			b.t.Error(err)
		}
		all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	})
	return all
}

// over prints what the attack has cost until now, and how the connection has ended, and returns by how many bytes the
// heap has grown.
func (a *attack) over(w *wire, end string) (grown int64) {
	a.b.t.Helper()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	grown = int64(now.HeapInuse) - int64(a.before.HeapInuse)
	a.b.t.Logf("cost: %v of the loop, %+d KiB of heap, %d KiB allocated and dropped; the connection %s",
		(a.b.processorTime() - a.cpu).Round(10*time.Microsecond), grown>>10, (now.TotalAlloc-a.before.TotalAlloc)>>10, w.fate(end))
	return grown
}

// fate says what has become of the connection: how it has ended, where it was told so, or else as its owner knows.
func (w *wire) fate(otherwise string) string {
	if w.gone == nil {
		return otherwise
	}
	return fmt.Sprintf("ended by GOAWAY %v %q", w.gone.ErrCode, w.debug)
}
