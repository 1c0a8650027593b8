package weirtest

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Dnsmasq starts a dnsmasq that answers for the zone and asks nobody about anything. It knows A, AAAA, CNAME, SRV and TXT,
// and has one time to live for all SRV and TXT records: a second, whatever they state.
func Dnsmasq(t testing.TB, z DNSZone) *DNSServer {
	t.Helper()
	who := unprivileged(t, "dnsmasq", "nobody")
	dir := serverDir(t, "dnsmasq", who)
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	var c strings.Builder
	fmt.Fprintf(&c, `
listen-address=127.0.0.1
port=%s
bind-interfaces
no-resolv
no-hosts
no-poll
pid-file=
local=/%s/
local-ttl=1
`, port, strings.TrimSuffix(z.origin(), "."))
	for _, r := range z.records(t, dir) {
		c.WriteString(dnsmasqLine(t, r))
	}
	file := filepath.Join(dir, "dnsmasq.conf")
	writeFile(t, file, 0o644, []byte(c.String()))
	return startDNS(t, addr, z, spec{
		name: "dnsmasq", path: Tool(t, "dnsmasq"), dir: dir, credential: who,
		args: []string{"--keep-in-foreground", "--log-facility=-", "--conf-file=" + file},
	})
}

// dnsmasqLine returns the setting that makes a record, nothing for those that dnsmasq has of its own.
func dnsmasqLine(t testing.TB, r dnsRecord) string {
	t.Helper()
	name, data := strings.TrimSuffix(r.name, "."), strings.TrimSuffix(r.data, ".")
	switch r.kind {
	case "SOA", "NS":
		return ""
	case "A", "AAAA":
		return fmt.Sprintf("host-record=%s,%s,%s\n", name, data, r.ttl)
	case "CNAME":
		return fmt.Sprintf("cname=%s,%s,%s\n", name, data, r.ttl)
	case "TXT":
		return fmt.Sprintf("txt-record=%s,%s\n", name, strings.ReplaceAll(data, `" "`, `","`))
	case "SRV":
		f := strings.Fields(data)
		if len(f) == 4 { // priority, weight, port, target
			return fmt.Sprintf("srv-host=%s,%s,%s,%s,%s\n", name, strings.TrimSuffix(f[3], "."), f[2], f[0], f[1])
		}
	}
	t.Fatalf("dnsmasq has no setting for the record %s %s %s", r.name, r.kind, r.data)
	return ""
}
