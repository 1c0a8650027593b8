package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Show the nodes of the cluster as a running weir sees them",
	}
	return newView(cmd, func(ctx context.Context, c *admin.Client) ([]admin.Member, error) { return c.Members(ctx) })
}
