package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newRouters() *cobra.Command {
	return newView(&cobra.Command{Use: "routers", Short: "Show the routing rules of a running weir"}, func(ctx context.Context, c *admin.Client) ([]admin.Router, error) {
		return c.Routers(ctx)
	})
}
