package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newStatus() *cobra.Command {
	return newView(&cobra.Command{Use: "status", Short: "Show how a running weir does"}, func(ctx context.Context, c *admin.Client) (*admin.Status, error) {
		return c.Status(ctx)
	})
}
