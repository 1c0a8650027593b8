package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
)

func newWeight() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weight SERVICE [BACKEND] WEIGHT|default",
		Short: "Give a backend, or all of a service, another weight",
		Long: `Give a backend, or all of a service, another weight than the configured one, or the configured one again. A weight for a backend
wins over one for its service. With weight 0 it gets nothing new.

` + aboutOrders,
		Args: someArgs(2, 3, "a service, perhaps a backend, and a weight or default"),
	}
	return newOrder(cmd, func(cmd *cobra.Command, args []string) (admin.Order, string, error) {
		last := len(args) - 1
		o, what := target(args[:last])
		if args[last] == "default" {
			o.ResetWeight = true
			return o, "weight of " + what + " is the configured one", nil
		}
		weight, err := strconv.Atoi(args[last])
		if err != nil || weight < 0 {
			return o, "", usage(cmd, fmt.Errorf("weight %q is neither a number from 0 nor default", args[last]))
		}
		o.Weight = &weight
		return o, fmt.Sprintf("weight of %s is %d", what, weight), nil
	})
}
