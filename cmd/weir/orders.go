package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newOrders() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "orders",
		Short: "Show what operators have ordered by drain and weight, on any node, and not taken back",
	}
	return newView(cmd, func(ctx context.Context, c *admin.Client) ([]admin.StandingOrder, error) { return c.Orders(ctx) })
}
