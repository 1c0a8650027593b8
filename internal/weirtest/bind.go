package weirtest

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// BIND starts a BIND that answers for the zone. Every loopback client may change it (NSUpdate), and changes survive
// a restart.
func BIND(t testing.TB, z DNSZone) *DNSServer {
	t.Helper()
	who := unprivileged(t, "bind", "nobody")
	dir := serverDir(t, "bind", who)
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(dir, "named.conf")
	writeFile(t, file, 0o644, fmt.Appendf(nil, `
options {
	directory %[1]q;
	managed-keys-directory %[1]q;
	pid-file none;
	lock-file none;
	session-keyfile none;
	listen-on port %[2]s { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	notify no;
	max-records-per-type 0; # as many as a test likes; BIND's own limit is 100
};
controls { };
zone %[3]q {
	type primary;
	file %[4]q;
	allow-update { 127.0.0.0/8; };
};
`, dir, port, z.origin(), z.write(t, dir, who)))
	return startDNS(t, addr, z, spec{
		name: "named", path: Tool(t, "named"), args: []string{"-g", "-n", "1", "-c", file}, dir: dir, credential: who,
	})
}
