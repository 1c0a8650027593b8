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
		configs: map[shape]string{
			web: caddyHead + `
http://:{{port .Listen}} {
	bind {{host .Listen}}
	reverse_proxy {{index .Origins 0}}
}
`,
			secure: caddyHead + caddyTLS,
			second: caddyHead + caddyTLS,
			webPair: caddyHead + `
http://:{{port .Listen}} {
	bind {{host .Listen}}
	reverse_proxy {{index .Origins 0}} {{index .Origins 1}} {
		health_uri /
		health_interval 500ms
		health_fails 2
		health_passes 2
		lb_try_duration 2s
		lb_retries 1
	}
}
`,
			services: caddyHead + `
{{- range $i, $host := .Hosts}}
http://{{$host}}:{{port $.Listen}} {
	bind {{host $.Listen}}
	reverse_proxy {{index $.Backends $i}}
}
{{- end}}
`,
			// A site for each host, with one matcher of all its paths: each
			// reverse_proxy has connections to the backend of its own.
			routes: caddyHead + `
{{- range .Hosts}}
http://{{.}}:{{port $.Listen}} {
	bind {{host $.Listen}}
	@paths path{{range $.Paths}} {{.}}*{{end}}
	handle @paths {
		reverse_proxy {{index $.Origins 0}}
	}
	handle {
		respond 404
	}
}
{{- end}}
`,
		},
	}
	b.lacks = others(b.configs, "TCP and UDP would take a module that is not Caddy's own")
	b.lacks[passes] = noMiddlewares
	if built {
		b.module, b.binary = "tools/caddy", "bin/caddy"
	}
	return b
}

// caddyHead is common to all shapes.
const caddyHead = `# No HTTP/3, which no client speaks. Nothing is logged below a warning, and
# nothing kept on disk; certificates are given, not asked for.
{
	admin {{.Admin}}
	auto_https off
	persist_config off
	log {
		level WARN
	}
	servers {
		protocols h1 h2
	}
}
`

// caddyTLS are the shapes behind TLS; the client says which HTTP it wants.
const caddyTLS = `
https://:{{port .Listen}} {
	bind {{host .Listen}}
	tls {{.Cert}} {{.Key}}
	reverse_proxy {{index .Origins 0}}
}
`

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
