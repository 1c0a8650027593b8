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

// Await is Eventually for conditions that cost something to look at, such as those of several processes, and can say what is wrong:
// lacks returns what is not yet as it should be, empty when nothing is. It is looked at twenty times a second.
func Await(t testing.TB, d time.Duration, lacks func() string) {
	t.Helper()
	for deadline := time.Now().Add(d); ; time.Sleep(10 * pollInterval) {
		late := time.Now().After(deadline)
		switch wrong := lacks(); {
		case wrong == "":
			return
		case late:
			t.Fatalf("after %v still: %s", d, wrong)
		}
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
