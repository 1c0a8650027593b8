package weirtest

import (
	"testing"
	"time"
)

// pollInterval is how often a condition is looked at again while it is awaited.
const pollInterval = 5 * time.Millisecond

// Eventually fails the test unless cond becomes true within d.
// It is for conditions of other processes and of the kernel, where there is no event to wait for; inside one process use a channel.
func Eventually(t testing.TB, d time.Duration, cond func() bool, msg string) {
	t.Helper()
	if !poll(d, cond) {
		t.Fatalf("after %v still not: %s", d, msg)
	}
}

// poll reports whether cond became true within d. It looks at least twice: at once and at the end.
func poll(d time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(d)
	for !cond() {
		if time.Now().After(deadline) {
			return cond()
		}
		time.Sleep(pollInterval)
	}
	return true
}
