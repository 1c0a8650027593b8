package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newBackends() *cobra.Command {
	cmd := &cobra.Command{Use: "backends", Short: "Show the backends of a running weir"}
	return newServiceView(cmd, func(ctx context.Context, c *admin.Client, service, protocol string) ([]admin.Backend, error) {
		return c.Backends(ctx, service, protocol)
	})
}
