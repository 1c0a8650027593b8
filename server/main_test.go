package server

import (
	"testing"

	"go.uber.org/goleak"
)

// A server that has stopped leaves no goroutine behind: no loop, no probe, no watch.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
