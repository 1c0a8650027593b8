package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// newDemoBackend is a backend of the demonstration as a process of its own, so that it can be killed.
func newDemoBackend() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-backend NAME [ADDRESS]",
		Short:  "Run a backend of the demonstration, which answers each line with its name before it",
		Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage(cmd, fmt.Errorf("a name and perhaps an address are expected, not %q", args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			b := newDemoBackends()
			defer b.close()
			if len(args) == 2 {
				b.addr = args[1]
			}
			addr, err := b.echo(args[0])
			if err != nil {
				return fmt.Errorf("demo-backend: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), addr)
			<-ctx.Done()
			return nil
		},
	}
}

// process runs an echo backend as a process of its own and returns its address and its process ID.
func (b *demoBackends) process(name string) (addr string, pid int, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", 0, err
	}
	cmd := exec.Command(program, "demo-backend", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	child := &demoProcess{cmd: cmd, ended: make(chan struct{})}
	line, err := bufio.NewReader(out).ReadString('\n')
	go child.wait()
	if err != nil {
		_ = child.Close()
		return "", 0, fmt.Errorf("backend %s does not start: %w", name, err)
	}
	if !b.keep(child) {
		return "", 0, io.ErrClosedPipe
	}
	return strings.TrimSpace(line), cmd.Process.Pid, nil
}

// demoProcess is a backend that is a process of its own.
type demoProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// wait sees the process end, so that the system forgets it.
func (p *demoProcess) wait() {
	_ = p.cmd.Wait() // whoever tries the demo kills it
	close(p.ended)
}

// Close ends the process, if it has not ended yet.
func (p *demoProcess) Close() error {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	return nil
}
