package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/server"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with a configuration",
		Long: `Say everything that is wrong with a configuration, certificates and keys included.
Nothing is bound and no network is touched, so it is safe beside a running weir.

Exit codes: 0 no errors, 1 errors, 2 the command line is wrong.`,
		Args: noArgs,
	}
	loader := addConfigFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the errors as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := loader()
		if err != nil {
			return usageError{err}
		}
		return report(cmd, l, *asJSON)
	}
	return cmd
}

// verdict is what check --json prints.
type verdict struct {
	OK       bool            `json:"ok"`
	Problems config.Problems `json:"problems"`
}

func report(cmd *cobra.Command, l config.Loader, asJSON bool) error {
	cfg, err := l.Load()
	if err == nil {
		err = server.Check(cfg)
	}
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(verdict{OK: err == nil, Problems: append(config.Problems{}, problems...)}); err != nil {
			return err
		}
	} else if err == nil {
		routers, services := len(cfg.TCP.Routers), len(cfg.TCP.Services)
		if cfg.UDP != nil {
			routers, services = routers+len(cfg.UDP.Routers), services+len(cfg.UDP.Services)
		}
		if cfg.HTTP != nil {
			routers, services = routers+len(cfg.HTTP.Routers), services+len(cfg.HTTP.Services)
		}
		fmt.Fprintf(out, "ok: %d entrypoints, %d routers, %d services\n", len(cfg.EntryPoints), routers, services)
	} else {
		for _, p := range problems {
			fmt.Fprintln(cmd.ErrOrStderr(), p)
		}
	}
	if err != nil {
		return reportedError{}
	}
	return nil
}
