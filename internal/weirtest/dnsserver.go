package weirtest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A DNSZone is what a name server is started with. SOA and NS are put in, and all times to live are short: one second, unless a
// record states its own, and one second for names that do not exist.
type DNSZone struct {
	Origin  string // such as "example.test", with or without the final dot
	Records string // further lines as in a zone file, such as "a 5 A 127.0.0.1"
}

// origin returns the zone's name with the final dot.
func (z DNSZone) origin() string { return strings.TrimSuffix(z.Origin, ".") + "." }

// text returns the whole zone as a zone file.
func (z DNSZone) text() string {
	const head = "$ORIGIN %s\n$TTL 1\n@ SOA localhost. root.localhost. 1 3600 600 86400 1\n@ NS localhost.\n"
	return fmt.Sprintf(head, z.origin()) + z.Records + "\n"
}

// write makes the zone a file in dir, for a server that runs as c, and returns its path.
func (z DNSZone) write(t testing.TB, dir string, c *syscall.Credential) string {
	t.Helper()
	file := filepath.Join(dir, "zone")
	writeFile(t, file, 0o644, []byte(z.text()))
	give(t, file, c)
	return file
}

// A dnsRecord is one record of a zone, all names in it with their final dot.
type dnsRecord struct {
	name, ttl, kind, data string
}

// records reads the zone as servers do: names relative to the origin, omitted names and times to live, and records
// over several lines.
func (z DNSZone) records(t testing.TB, dir string) []dnsRecord {
	t.Helper()
	var out []dnsRecord
	plain := Run(t, "named-compilezone", "-q", "-i", "none", "-k", "ignore", "-o", "-", z.origin(), z.write(t, dir, nil))
	for line := range strings.Lines(plain) {
		var r dnsRecord
		for _, field := range []*string{&r.name, &r.ttl, new(string), &r.kind, &r.data} { // the third is the class
			*field, line = cutField(line)
		}
		// What is left of the line is data as well: blanks in it count where it is quoted.
		r.data = strings.TrimSpace(r.data + line)
		if r.data == "" {
			t.Fatalf("zone %s: a record without data in\n%s", z.origin(), plain)
		}
		out = append(out, r)
	}
	return out
}

// cutField returns the first word of a line and the rest with its blanks.
func cutField(line string) (word, rest string) {
	line = strings.TrimLeft(line, " \t")
	end := strings.IndexAny(line, " \t\n")
	if end < 0 {
		end = len(line)
	}
	return line[:end], line[end:]
}

// A DNSServer is a name server that answers for one zone, over UDP and TCP.
type DNSServer struct {
	*Process
	Addr string // 127.0.0.1:port
}

// startDNS starts a name server whose spec lacks what all of them have alike.
func startDNS(t testing.TB, addr string, z DNSZone, s spec) *DNSServer {
	t.Helper()
	s.name += " " + addr
	s.ready = dnsAnswers(t, addr, z.origin())
	return &DNSServer{Process: startProcess(t, s), Addr: addr}
}

// dnsAnswers returns a check that the server at addr answers for the zone over UDP and TCP. Some answer SERVFAIL or REFUSED
// until they have read it; dnsmasq, which has no SOA, says in the end that there is none.
func dnsAnswers(t testing.TB, addr, origin string) func(context.Context) error {
	dig := Tool(t, "dig")
	return func(ctx context.Context) error {
		for _, transport := range []string{"+notcp", "+tcp"} {
			out, err := exec.CommandContext(ctx, dig, digArgs(addr, transport, "SOA", origin)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("dig %s: %w: %s", transport, err, out)
			}
			if text := string(out); !strings.Contains(text, "status: NOERROR") && !strings.Contains(text, "status: NXDOMAIN") {
				return fmt.Errorf("dig %s: %s", transport, text)
			}
		}
		return nil
	}
}

func digArgs(addr string, question ...string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return append([]string{"-r", "@" + host, "-p", port, "+time=2", "+tries=1"}, question...)
}

// Dig asks the server with dig(1) and returns the data of the answer's records, one a line. The question is as on dig's
// command line, flags such as +tcp included; the server must answer, if only that there is nothing.
func (s *DNSServer) Dig(question ...string) string {
	s.t.Helper()
	return Run(s.t, "dig", append(digArgs(s.Addr, question...), "+short")...)
}

// NSUpdate changes records with nsupdate(1) at the name server at addr. The commands are lines such as
// "update add a.example.test 1 A 127.0.0.1"; all of them go in one message, so that they take effect together.
func NSUpdate(t testing.TB, addr, commands string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("address of a name server: %v", err)
	}
	file := filepath.Join(t.TempDir(), "update")
	writeFile(t, file, 0o600, fmt.Appendf(nil, "server %s %s\n%s\nsend\n", host, port, commands))
	Run(t, "nsupdate", "-t", "10", file)
}
