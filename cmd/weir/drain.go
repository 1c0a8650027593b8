package main

import (
	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newDrain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain SERVICE [BACKEND]",
		Short: "Give a backend, or all of a service, no new connections",
		Long: `Give a backend, or all of a service, no new connections, requests or flows. Those that it has go on.

` + aboutOrders,
		Args: someArgs(1, 2, "a service and perhaps a backend"),
	}
	return newOrder(cmd, drainOrder(true, "drained "))
}

func newUndrain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "undrain SERVICE [BACKEND]",
		Short: "Take a drain back",
		Long: `Take a drain back, of a backend or of a service as a whole: each is an order of its own, and a backend stays drained as long as
one of both stands.

` + aboutOrders,
		Args: someArgs(1, 2, "a service and perhaps a backend"),
	}
	return newOrder(cmd, drainOrder(false, "undrained "))
}

func drainOrder(on bool, done string) func(*cobra.Command, []string) (admin.Order, string, error) {
	return func(_ *cobra.Command, args []string) (admin.Order, string, error) {
		o, what := target(args)
		o.Drain = &on
		return o, done + what, nil
	}
}
