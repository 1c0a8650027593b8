// Command caddy is Caddy with its standard modules, in a module of its own, for the bench to measure (BENCH_CADDY=1): what it needs is not
// what weir needs. Caddy tells its version only where it is a dependency.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
