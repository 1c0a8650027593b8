package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newServices() *cobra.Command {
	return newView(&cobra.Command{Use: "services", Short: "Show the services of a running weir"}, func(ctx context.Context, c *admin.Client) ([]admin.Service, error) {
		return c.Services(ctx)
	})
}
