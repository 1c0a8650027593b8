package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newEntrypoints() *cobra.Command {
	return newView(&cobra.Command{Use: "entrypoints", Short: "Show where a running weir listens"}, func(ctx context.Context, c *admin.Client) ([]admin.Entrypoint, error) {
		return c.Entrypoints(ctx)
	})
}
