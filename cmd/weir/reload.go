package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newReload() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running weir load its configuration again, and say what came of it",
		Args:  noArgs,
	}
	r.addTo(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return r.ask(cmd, func(ctx context.Context, c *admin.Client) error {
			generation, err := c.Reload(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "generation %d is in force\n", generation)
			return nil
		})
	}
	return cmd
}
