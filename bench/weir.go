package main

import "golang.org/x/sys/unix"

// weir is the weir at path.
func weir(path string) balancer {
	return balancer{
		name:     "weir",
		binary:   path,
		version:  []string{"version"},
		file:     "weir.yaml",
		args:     []string{"run", "-c", "{{.Config}}"},
		check:    []string{"check", "-c", "{{.Config}}"},
		ready:    "http://{{.Admin}}/readyz",
		configs:  configsOf("weir"),
		reloadBy: unix.SIGHUP,
	}
}

// noMiddlewares is why rivals have no part in the shape passes.
const noMiddlewares = "weir's middlewares are compared with weir without them"
