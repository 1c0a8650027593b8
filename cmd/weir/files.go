package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/config"
)

// usualPlaces is where a configuration is looked for when none is named.
var usualPlaces = []string{"/etc/weir/weir.yaml", "weir.yaml"}

// addConfigFlags adds -c and the flags of the process settings, and returns how to load by them.
func addConfigFlags(cmd *cobra.Command) (loader func() (config.Loader, error)) {
	flags := cmd.Flags()
	paths := flags.StringArrayP("config", "c", nil, "file, or directory of files, to read; may be given again ["+strings.Join(usualPlaces, ", then ./")+"]")
	config.AddFlags(flags)
	return func() (config.Loader, error) {
		found, err := placesOf(*paths, usualPlaces)
		return config.Loader{Paths: found, Flags: flags}, err
	}
}

// placesOf returns the named paths, or the first usual place that exists.
func placesOf(named, usual []string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	for _, path := range usual {
		if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
			return []string{path}, nil
		}
	}
	return nil, fmt.Errorf("no configuration: there is neither %s; name one with -c FILE or -c DIR", strings.Join(usual, " nor "))
}
