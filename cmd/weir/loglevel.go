package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

var logLevels = []string{"debug", "info", "warn", "error"}

func newLogLevel() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:       "log-level debug|info|warn|error",
		Short:     "Set the level of a running weir's log until log.level changes",
		Args:      exactArgs("a level"),
		ValidArgs: logLevels,
	}
	r.addTo(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(logLevels, args[0]) {
			return usage(cmd, fmt.Errorf("level %q is none of %s", args[0], strings.Join(logLevels, ", ")))
		}
		return r.ask(cmd, func(ctx context.Context, c *admin.Client) error {
			return c.SetLogLevel(ctx, args[0])
		})
	}
	return cmd
}
