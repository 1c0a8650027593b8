package discovery

import (
	"testing"

	"go.uber.org/goleak"
)

// A provider that has ended leaves no goroutine behind: no watch, no connection.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
