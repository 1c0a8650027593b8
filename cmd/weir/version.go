package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/server"
)

// version is set by the linker for releases: -X main.version=v1.2.3.
var version = ""

// build says what this binary was made from.
func build() server.Build {
	b := server.Build{Version: version, Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	b.Commit += modified
	return b
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which weir this is", Args: noArgs}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := build()
		if !*asJSON {
			fmt.Fprintf(cmd.OutOrStdout(), "weir %s, commit %s, %s %s/%s\n", b.Version, b.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(admin.Version{Version: b.Version, Commit: b.Commit, GoVersion: runtime.Version()})
	}
	return cmd
}
