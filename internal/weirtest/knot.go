package weirtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Knot starts a Knot DNS that answers for the zone. Every loopback client may change it (NSUpdate), and changes survive
// a restart.
func Knot(t testing.TB, z DNSZone) *DNSServer {
	t.Helper()
	who := unprivileged(t, "knot", "nobody")
	dir := serverDir(t, "knot", who)
	addr := FreeAddr(t)
	file := filepath.Join(dir, "knot.conf")
	writeFile(t, file, 0o644, fmt.Appendf(nil, `
server:
    rundir: %[1]q
    listen: %[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: %[3]q
database:
    storage: %[1]q
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
log:
  - target: stderr
    any: info
acl:
  - id: loopback
    address: 127.0.0.0/8
    action: update
zone:
  - domain: %[4]q
    storage: %[1]q
    file: %[5]q
    acl: loopback
`, dir, strings.Replace(addr, ":", "@", 1), filepath.Join(dir, "control"), z.origin(), z.write(t, dir, who)))
	return startDNS(t, addr, z, spec{
		name: "knotd", path: Tool(t, "knotd"), args: []string{"-c", file}, dir: dir, credential: who,
	})
}
