package main

import "golang.org/x/sys/unix"

// nginx is nginx, for TCP with its stream module, as Debian ships them.
func nginx() balancer {
	return balancer{
		name:     "nginx",
		binary:   "nginx",
		version:  []string{"-v"},
		file:     "nginx.conf",
		args:     []string{"-p", "{{.Dir}}", "-e", "stderr", "-c", "{{.Config}}"},
		check:    []string{"-p", "{{.Dir}}", "-e", "stderr", "-t", "-c", "{{.Config}}"},
		lacks:    map[shape]string{passes: noMiddlewares},
		configs:  configsOf("nginx"),
		reloadBy: unix.SIGHUP,
	}
}
