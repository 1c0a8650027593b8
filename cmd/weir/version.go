package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/server"
)

// version and commit are set by the linker, as in -X main.version=v1.2.3. What is not set comes from the build information
// that the go command leaves in the binary.
var version, commit string

// build says what this binary was made from.
func build() server.Build {
	b := server.Build{Version: version, Commit: commit}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		b.Commit = cmp.Or(b.Commit, revision(info.Settings))
	}
	b.Version, b.Commit = cmp.Or(b.Version, "unknown"), cmp.Or(b.Commit, "unknown")
	return b
}

// revision is the commit a binary was built from, empty if that is not known.
func revision(settings []debug.BuildSetting) string {
	hash, modified := "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			hash = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if hash == "" {
		return ""
	}
	return hash + modified
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
