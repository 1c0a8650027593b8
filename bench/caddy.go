package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// caddyVariable is the environment variable that, set to 1, has Caddy built
// and measured.
const caddyVariable = "BENCH_CADDY"

// caddy is Caddy. Built, it is the version that the module in tools/caddy
// names; otherwise whatever is installed.
func caddy(built bool) balancer {
	b := balancer{
		name:    "caddy",
		binary:  "caddy",
		version: []string{"version"},
		file:    "Caddyfile",
		args:    []string{"run", "--adapter", "caddyfile", "--config", "{{.Config}}"},
		check:   []string{"validate", "--adapter", "caddyfile", "--config", "{{.Config}}"},
		ready:   "http://{{.Admin}}/config/",
		configs: configsOf("caddy"),
	}
	b.lacks = others(b.configs, "TCP and UDP would take a module that is not Caddy's own")
	b.lacks[passes] = noMiddlewares
	if built {
		b.module, b.binary = "tools/caddy", "bin/caddy"
	}
	return b
}

// build makes the program of a balancer that comes as a Go module.
func (b balancer) build(ctx context.Context) error {
	out, err := filepath.Abs(b.binary)
	if err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", b.module, "-trimpath", "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s from %s: %w: %s", b.name, b.module, err, strings.TrimSpace(string(said)))
	}
	return nil
}
