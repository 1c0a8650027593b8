package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newSources() *cobra.Command {
	cmd := &cobra.Command{Use: "sources", Short: "Show by which sources a running weir finds backends"}
	return newServiceView(cmd, func(ctx context.Context, c *admin.Client, service, protocol string) ([]admin.Source, error) {
		return c.Sources(ctx, service, protocol)
	})
}
