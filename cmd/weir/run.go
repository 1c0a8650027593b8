package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
		// Before anything else: whoever starts weir may signal it as soon as it is there.
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
		defer signal.Stop(signals)
		cfg, err := l.Load()
		if err != nil {
			return err
		}
		s := server.New(server.Options{
			Config: cfg, Load: l.Load, Watch: true, Signals: signals,
			Log: server.NewLog(cmd.ErrOrStderr()), Build: build(),
		})
		if err := s.Run(context.Background()); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		return nil
	}
	return cmd
}
