package weirtest

import (
	"context"
	"errors"
	"testing"
)

// Start starts a program that serves until it is stopped, in a directory of its own, and returns when ready says that it does.
func Start(t testing.TB, program string, args []string, ready func() bool) *Process {
	t.Helper()
	return startProcess(t, spec{
		name: program, path: Tool(t, program), args: args, dir: t.TempDir(),
		ready: func(context.Context) error {
			if !ready() {
				return errors.New("it does not serve yet")
			}
			return nil
		},
	})
}
