package main

import (
	"github.com/spf13/cobra"

	"github.com/weirlb/weir/server"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Balance, in the foreground",
		Long: `Balance, in the foreground, until SIGTERM or SIGINT.

SIGHUP   reload the configuration; files that change are reloaded by themselves
SIGUSR1  reopen log files
SIGTERM  stop gracefully: /readyz goes red at once, entrypoints close, and open
         connections go on for their entrypoint's graceTimeOut. SIGINT does the same.
         A second one stops at once.

Exit codes: 0 stopped when asked to, 1 failure.`,
		Args: noArgs,
	}
	loader := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := loader()
		if err != nil {
			return err
		}
		return server.Serve(l, server.Options{Log: server.NewLog(cmd.ErrOrStderr()), Build: build()})
	}
	return cmd
}
