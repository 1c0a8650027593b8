package weirtest

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Unbound starts an Unbound, a resolver, that answers for the zone from local data and asks nobody about anything.
func Unbound(t testing.TB, z DNSZone) *DNSServer {
	t.Helper()
	who := unprivileged(t, "unbound", "nobody")
	dir := serverDir(t, "unbound", who)
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	var c strings.Builder
	fmt.Fprintf(&c, `
server:
	interface: 127.0.0.1
	port: %[2]s
	do-ip6: no
	do-daemonize: no
	use-syslog: no
	logfile: ""
	username: ""
	chroot: ""
	directory: %[1]q
	pidfile: ""
	module-config: "iterator"
	local-zone: "." refuse
	local-zone: %[3]q static
`, dir, port, z.origin())
	for _, r := range z.records(t, dir) {
		fmt.Fprintf(&c, "\tlocal-data: '%s %s IN %s %s'\n", r.name, r.ttl, r.kind, r.data)
	}
	fmt.Fprintf(&c, "remote-control:\n\tcontrol-enable: no\n")
	file := filepath.Join(dir, "unbound.conf")
	writeFile(t, file, 0o644, []byte(c.String()))
	return startDNS(t, addr, z, spec{
		name: "unbound", path: Tool(t, "unbound"), args: []string{"-d", "-c", file}, dir: dir, credential: who,
	})
}
