package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newBackends() *cobra.Command {
	var service, protocol string
	cmd := newView(&cobra.Command{Use: "backends", Short: "Show the backends of a running weir"}, func(ctx context.Context, c *admin.Client) ([]admin.Backend, error) {
		return c.Backends(ctx, service, protocol)
	})
	cmd.Flags().StringVar(&service, "service", "", "only those of this service")
	cmd.Flags().StringVar(&protocol, "protocol", "", "only those of this protocol: tcp, udp or http")
	return cmd
}
