package main

import "golang.org/x/sys/unix"

// haproxy is HAProxy as Debian ships it.
func haproxy() balancer {
	return balancer{
		name:    "haproxy",
		binary:  "haproxy",
		version: []string{"-v"},
		file:    "haproxy.cfg",
		args:    []string{"-db", "-f", "{{.Config}}"},
		check:   []string{"-c", "-f", "{{.Config}}"},
		lacks: map[shape]string{
			lasting: haproxyNoUDP, brief: haproxyNoUDP, queries: haproxyNoUDP, oneWay: haproxyNoUDP,
			passes: noMiddlewares,
		},
		configs: configsOf("haproxy"),
		extras:  extrasOf("haproxy"),
		// The master starts another worker at SIGUSR2, and the old one ends with
		// its connections.
		reloadBy:   unix.SIGUSR2,
		reloadable: []string{"-W", "-db", "-f", "{{.Config}}"},
	}
}

const haproxyNoUDP = "it does not balance UDP"
