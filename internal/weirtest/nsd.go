package weirtest

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// NSD starts an NSD that answers for the zone.
func NSD(t testing.TB, z DNSZone) *DNSServer {
	t.Helper()
	who := unprivileged(t, "nsd", "nobody")
	dir := serverDir(t, "nsd", who)
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(dir, "nsd.conf")
	// Without a limit of answers per second: all clients of a test are one address.
	writeFile(t, file, 0o644, fmt.Appendf(nil, `
server:
	ip-address: 127.0.0.1
	port: %[2]s
	do-ip6: no
	username: ""
	chroot: ""
	zonesdir: %[1]q
	database: ""
	pidfile: "%[1]s/pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: %[1]q
	zonelistfile: "%[1]s/zone.list"
	rrl-ratelimit: 0
remote-control:
	control-enable: no
zone:
	name: %[3]q
	zonefile: %[4]q
`, dir, port, z.origin(), z.write(t, dir, who)))
	return startDNS(t, addr, z, spec{
		name: "nsd", path: Tool(t, "nsd"), args: []string{"-d", "-c", file}, dir: dir, credential: who,
	})
}
