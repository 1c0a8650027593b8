package server

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/weirlb/weir/config"
)

// Serve loads a configuration and balances by it until SIGTERM or SIGINT, as weir run does: SIGHUP and files that change
// reload, SIGUSR1 reopens log files. Of the options, Config, Load, Watch and Signals are set here. It is for programs, of which it
// takes the signals.
func Serve(from config.Loader, o Options) error {
	// Before anything else: whoever starts weir may signal it as soon as it is there.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	cfg, err := from.Load()
	if err != nil {
		return err
	}
	o.Config, o.Load, o.Watch, o.Signals = cfg, from.Load, true, signals
	if err := New(o).Run(context.Background()); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}
