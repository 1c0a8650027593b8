package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/proc"
)

// reload gives a running balancer another configuration, in which the two backends, which are equal, have changed places.
func (b balancer) reload(sh shape, at *site, p *proc.Process) error {
	at.Origins[0], at.Origins[1] = at.Origins[1], at.Origins[0]
	if err := b.write(sh, at); err != nil {
		return err
	}
	if err := unix.Kill(p.PID, b.reloadBy); err != nil {
		return fmt.Errorf("reload %s: %w", b.name, err)
	}
	return nil
}

// meanwhile begins what a scenario does to a balancer while it is measured. The function that it returns ends that, and says
// whether it failed.
func (b *bout) meanwhile(ctx context.Context) (end func() error) {
	if b.sc.reload == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		again := time.NewTicker(b.sc.reload)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				failed <- nil
				return
			case <-again.C:
				if err := b.e.balancer.reload(b.sc.shape, &b.at, b.p); err != nil {
					failed <- err
					return
				}
			}
		}
	}()
	return func() error {
		cancel()
		return <-failed
	}
}
