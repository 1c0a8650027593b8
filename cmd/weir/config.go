package main

import (
	"github.com/spf13/cobra"

	"github.com/weirlb/weir/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the language of the configuration, or what a configuration says",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newConfigSchema(), newConfigDump())
	return cmd
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

func newConfigDump() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print the effective configuration: files, defaults, environment and flags together",
		Args:  noArgs,
	}
	loader := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := loader()
		if err != nil {
			return usageError{err}
		}
		cfg, err := l.Load()
		if err != nil {
			return err
		}
		text, err := cfg.Dump()
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
