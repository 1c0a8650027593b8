package main

import (
	"flag"
	"strings"
	"time"
)

// quickScenarios are those of -quick: the few of each family that say most.
func quickScenarios() []string {
	return []string{
		"tcp-keepalive", "tcp-connect", "tcp-download", "tcp-idle",
		"udp-roundtrip", "udp-dns",
		"http-keepalive", "http-connect", "http-1000-routers", "http-middlewares",
		"https-keepalive", "https-handshake",
		"http2-streams",
	}
}

// hasten sets what the command line leaves open so that a run takes a few
// minutes, the shortest of which something can be told.
func hasten(flags *flag.FlagSet, names *string, o *options) {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["scenario"] {
		*names = strings.Join(quickScenarios(), ",")
	}
	if !given["duration"] {
		o.duration = time.Second
	}
	if !given["syscalls"] {
		o.syscalls = false
	}
}
