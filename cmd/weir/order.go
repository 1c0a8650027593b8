package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

const aboutOrders = `Without BACKEND, an address as weir backends shows it, all backends of the service are meant, also those to come.
The order reaches all nodes of the cluster and stands until it is taken back, also after restarts. A weir that is in no cluster
forgets it when it stops.`

// newOrder makes cmd a verb that orders something of a backend or of a service. read returns the order that the arguments ask
// for, and what is said when it is given.
func newOrder(cmd *cobra.Command, read func(cmd *cobra.Command, args []string) (o admin.Order, done string, err error)) *cobra.Command {
	var r remote
	var protocol string
	r.addTo(cmd, true)
	cmd.Flags().StringVar(&protocol, "protocol", "", "protocol of the service, if several have one of this name: tcp, udp or http")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, done, err := read(cmd, args)
		if err != nil {
			return err
		}
		o.Protocol, o.By = protocol, operator()
		return r.ask(cmd, func(ctx context.Context, c *admin.Client) error {
			got, err := c.Order(ctx, o)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return admin.Render(cmd.OutOrStdout(), r.output, got, time.Now())
			}
			fmt.Fprint(cmd.OutOrStdout(), became(done, got))
			return nil
		})
	}
	return cmd
}

// became says in lines what became of an order.
func became(done string, got *admin.Ordered) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (acked %d/%d)\n", done, len(got.Acked), len(got.Acked)+len(got.Missing))
	switch missing := strings.Join(got.Missing, ", "); len(got.Missing) {
	case 0:
	case 1:
		fmt.Fprintf(&b, "%s has not confirmed it yet: it gets it as soon as it can be reached\n", missing)
	default:
		fmt.Fprintf(&b, "%s have not confirmed it yet: they get it as soon as they can be reached\n", missing)
	}
	if got.Backends == 0 {
		b.WriteString("no backend that this node has now is concerned\n")
	}
	return b.String()
}

// target reads SERVICE and [BACKEND] into an order, and says what it is about.
func target(args []string) (o admin.Order, what string) {
	if len(args) == 1 {
		return admin.Order{Service: args[0]}, "all backends of " + args[0]
	}
	return admin.Order{Service: args[0], Backend: args[1]}, args[1] + " of " + args[0]
}

// operator returns the name of who is at the keyboard, as the system knows it; empty if it does not.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	if len(name) > admin.MaxBy || strings.ContainsFunc(name, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}

// someArgs wants from least to most arguments, and says which.
func someArgs(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return usage(cmd, fmt.Errorf("%s wants %s, got %d arguments", cmd.CommandPath(), names, len(args)))
	}
}
