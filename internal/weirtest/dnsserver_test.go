package weirtest

import (
	"slices"
	"strings"
	"testing"
	"time"
)

type nameServer struct {
	start   func(testing.TB, DNSZone) *DNSServer
	updates bool // it takes NSUpdate
}

func nameServers() map[string]nameServer {
	return map[string]nameServer{
		"bind":    {BIND, true},
		"knot":    {Knot, true},
		"nsd":     {NSD, false},
		"unbound": {Unbound, false},
		"dnsmasq": {Dnsmasq, false},
	}
}

func TestNameServers(t *testing.T) {
	zone := DNSZone{Origin: "example.test", Records: `
a 7 A 127.0.0.1
  7 A 127.0.0.2
six AAAA ::1
alias CNAME a
text TXT "two words" "and more"
_db._tcp SRV 10 20 5432 a
         SRV 10 30 5433 other.test.
`}
	questions := []struct {
		name, kind, want string
	}{
		{"a.example.test", "A", "127.0.0.1 127.0.0.2"},
		{"six.example.test", "AAAA", "::1"},
		{"alias.example.test", "CNAME", "a.example.test."},
		{"text.example.test", "TXT", `"two words" "and more"`},
		{"_db._tcp.example.test", "SRV", "10 20 5432 a.example.test. 10 30 5433 other.test."},
		{"nothing.example.test", "A", ""},
	}
	for name, server := range nameServers() {
		t.Run(name, func(t *testing.T) {
			s := server.start(t, zone)
			for _, q := range questions {
				for _, transport := range []string{"+notcp", "+tcp"} {
					if got := sorted(s.Dig(transport, q.kind, q.name)); got != q.want {
						t.Errorf("%s %s %s is %q, want %q", transport, q.kind, q.name, got, q.want)
					}
				}
			}
			if out := Run(t, "dig", digArgs(s.Addr, "A", "nothing.example.test")...); !strings.Contains(out, "status: NXDOMAIN") {
				t.Errorf("answer for a name that does not exist:\n%s", out)
			}
			s.Kill()
			if out, err := TryRun(t, "dig", digArgs(s.Addr, "A", "a.example.test")...); err == nil {
				t.Errorf("a killed server answers: %s", out)
			}
			s.Start()
			if got := sorted(s.Dig("A", "a.example.test")); got != "127.0.0.1 127.0.0.2" {
				t.Errorf("after a restart the answer is %q", got)
			}
			s.Stop()
			if code := s.ExitCode(time.Second); code != 0 {
				t.Errorf("exit code %d after a polite stop", code)
			}
		})
	}
}

// sorted returns the lines of a text in order, in one line.
func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

func TestNSUpdate(t *testing.T) {
	for name, server := range nameServers() {
		if !server.updates {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := server.start(t, DNSZone{Origin: "example.test.", Records: "a A 127.0.0.1"})
			NSUpdate(t, s.Addr, `
update delete a.example.test A
update add a.example.test 1 A 127.0.0.2
update add b.example.test 1 A 127.0.0.3`)
			for range 2 {
				if a, b := s.Dig("A", "a.example.test"), s.Dig("A", "b.example.test"); a != "127.0.0.2\n" || b != "127.0.0.3\n" {
					t.Errorf("after the update a is %q and b is %q", a, b)
				}
				s.Kill()
				s.Start()
			}
		})
	}
}
