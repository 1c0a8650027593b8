package weirtest

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Bubble runs f in virtual time, as synctest.Test does, on one processor. With several, the timers of a bubble may fire on two
// threads at once, which share one context of the race detector: it corrupts its memory and crashes (golang/go#78156). What
// happens at one moment of virtual time is in no order anyway, so nothing is lost.
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
