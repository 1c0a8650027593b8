package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs a command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		for line := range strings.Lines(text) {
			fmt.Fprintf(stderr, "weir: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return codeOf(err)
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// reportedError ends a command whose output has said what is wrong.
type reportedError struct{}

func (reportedError) Error() string { return "" }

func codeOf(err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, admin.ErrUnreachable):
		return exitUnreachable
	}
	return exitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "weir",
		Short:         "A load balancer for TCP and HTTP",
		Long:          "weir balances TCP by port and TLS server name, and HTTP by what requests ask for, with health checks, and reloads\nwithout losing a connection or a request.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	root.AddCommand(
		newRun(), newCheck(), newDemo(), newDemoBackend(), newVersion(), newConfig(), newRoutes(),
		newStatus(), newEntrypoints(), newRouters(), newServices(), newBackends(), newSources(),
		newMembers(), newOrders(), newDrain(), newUndrain(), newWeight(), newKeys(),
		newReload(), newLogLevel(),
	)
	return root
}

// usage marks an error as one of the command line, and says where help is.
func usage(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}

// noArgs refuses arguments; on a command with verbs below it, it names the verb that is not there.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usage(cmd, fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]))
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(cmd, fmt.Errorf("no command %q for %s%s", args[0], cmd.CommandPath(), hint))
}

// exactArgs wants as many arguments as there are names.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usage(cmd, fmt.Errorf("%s wants %s, got %d arguments", cmd.CommandPath(), strings.Join(names, " and "), len(args)))
	}
}
