package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

// usualAdmin is where weir's admin endpoint listens unless told otherwise.
const usualAdmin = "127.0.0.1:9901"

// askTimeout bounds a question to a running weir; a reload may take a while to read its files.
const askTimeout = 30 * time.Second

var outputFormats = []string{"table", "json"}

// remote is what the verbs have in common that talk to a running weir.
type remote struct {
	address string
	output  string
}

// addTo adds the flags. Commands that print nothing to choose from pass no output.
func (r *remote) addTo(cmd *cobra.Command, output bool) {
	cmd.Flags().StringVar(&r.address, "admin", usualAdmin, "admin address of the running weir: ip:port or unix:/path")
	r.output = "table"
	if !output {
		return
	}
	cmd.Flags().StringVarP(&r.output, "output", "o", "table", strings.Join(outputFormats, " or "))
	// The only error is a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
}

// ask calls question with a client for the address, and its time bounded.
func (r *remote) ask(cmd *cobra.Command, question func(context.Context, *admin.Client) error) error {
	if !slices.Contains(outputFormats, r.output) {
		return usage(cmd, fmt.Errorf("output %q is neither %s", r.output, strings.Join(outputFormats, " nor ")))
	}
	client, err := admin.NewClient(r.address)
	if err != nil {
		return usage(cmd, err)
	}
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, askTimeout)
	defer cancel()
	return question(ctx, client)
}

// newView makes cmd a verb that shows one view of a running weir.
func newView[T any](cmd *cobra.Command, fetch func(context.Context, *admin.Client) (T, error)) *cobra.Command {
	var r remote
	cmd.Args = noArgs
	r.addTo(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return r.ask(cmd, func(ctx context.Context, c *admin.Client) error {
			v, err := fetch(ctx, c)
			if err != nil {
				return err
			}
			return admin.Render(cmd.OutOrStdout(), r.output, v, time.Now())
		})
	}
	return cmd
}

// newServiceView makes cmd a verb that shows what belongs to the services of a running weir, with flags that choose among them.
func newServiceView[T any](cmd *cobra.Command, fetch func(_ context.Context, c *admin.Client, service, protocol string) (T, error)) *cobra.Command {
	var service, protocol string
	cmd = newView(cmd, func(ctx context.Context, c *admin.Client) (T, error) { return fetch(ctx, c, service, protocol) })
	cmd.Flags().StringVar(&service, "service", "", "only those of this service")
	cmd.Flags().StringVar(&protocol, "protocol", "", "only those of this protocol: tcp, udp or http")
	return cmd
}
