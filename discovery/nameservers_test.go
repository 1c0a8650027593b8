package discovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// A realServer is a name server that must be understood.
type realServer struct {
	start   func(testing.TB, weirtest.DNSZone) *weirtest.DNSServer
	updates bool // it changes while it runs
	most    int  // targets in one reply
}

func realServers() map[string]realServer {
	return map[string]realServer{
		"bind":    {weirtest.BIND, true, 300},
		"knot":    {weirtest.Knot, true, 300},
		"nsd":     {weirtest.NSD, false, 300},
		"unbound": {weirtest.Unbound, false, 300},
		// In a reply above 16 KiB dnsmasq compresses names to offsets that no pointer can hold: it cannot be decoded.
		"dnsmasq": {weirtest.Dnsmasq, false, 200},
	}
}

// manyTargets is n records of _many._tcp with an address each, as in a zone file.
func manyTargets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "_many._tcp SRV 0 %d 5432 a-rather-long-name-of-a-server-%03d\n", i+1, i)
		fmt.Fprintf(&b, "a-rather-long-name-of-a-server-%03d A 10.0.%d.%d\n", i, i/250, i%250+1)
	}
	return b.String()
}

// TestRealServers asks each name server the same, over each transport.
func TestRealServers(t *testing.T) {
	const records = `
a A 10.0.0.1
b A 10.0.0.2
b A 10.0.0.3
six AAAA 2001:db8::6
both A 10.0.0.4
both AAAA 2001:db8::4
text TXT "no address"
_db._tcp SRV 10 20 5432 a
_db._tcp SRV 10 40 5432 b
_db._tcp SRV 10 0 5433 both
_db._tcp SRV 20 0 5432 six
`
	for name, server := range realServers() {
		t.Run(name, func(t *testing.T) {
			s := server.start(t, weirtest.DNSZone{Origin: "example.test", Records: records + manyTargets(server.most)})
			for transport, r := range map[string]*Resolver{
				"udp": resolver(t, nil, s.Addr),
				"tcp": resolver(t, func(o *ResolverOptions) { o.Transport = TCP }, s.Addr),
			} {
				t.Run(transport, func(t *testing.T) { askRealServer(t, r, server.most) })
			}
		})
	}
}

func askRealServer(t *testing.T, r *Resolver, most int) {
	start := func(name string) *followed {
		return followSRV(t, r, func(o *SRVOptions) { o.Name = name })
	}
	u := start("_db._tcp.example.test").awaitSet(
		"10 20 a.example.test 10.0.0.1:5432",
		"10 20 b.example.test 10.0.0.2:5432",
		"10 20 b.example.test 10.0.0.3:5432",
		"10 0 both.example.test 10.0.0.4:5433",
		"10 0 both.example.test [2001:db8::4]:5433",
		"20 1 six.example.test [2001:db8::6]:5432",
	)
	if u.Status.Outcome != OK || u.Status.Error != "" || u.Status.TTL > time.Second || u.Status.Held {
		t.Errorf("status %+v", u.Status)
	}
	// On a busy machine some of the addresses come too late for the first set.
	many := start("_many._tcp.example.test").await("many endpoints", func(u Update) bool { return len(u.Endpoints) == most && u.Status.Error == "" })
	if last := many.Endpoints[most-1]; last.Weight != most {
		t.Errorf("the last of %d is %+v, status %+v", most, last, many.Status)
	}
	for _, name := range []string{"nothing.example.test", "text.example.test"} {
		if got, err := r.LookupSRV(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("SRV %s: %v, %v", name, got, err)
		}
		if got, err := r.LookupHost(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("addresses of %s: %v, %v", name, got, err)
		}
	}
	if got, err := r.LookupHost(t.Context(), "both.example.test"); err != nil || len(got) != 2 {
		t.Errorf("addresses of both: %v, %v", got, err)
	}
}

// TestRealServerDies kills each name server and starts it again: the set outlives it.
func TestRealServerDies(t *testing.T) {
	for name, server := range realServers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // nearly all of its time is waiting
			s := server.start(t, weirtest.DNSZone{Origin: "example.test", Records: "a A 10.0.0.1\n_db._tcp SRV 0 1 5432 a"})
			f := followSRV(t, resolver(t, quick, s.Addr), nil)
			set := f.awaitSet("0 1 a.example.test 10.0.0.1:5432")
			s.Kill()
			u := f.await("failures", func(u Update) bool { return u.Status.Counters.Failed >= 2 })
			if lines(u.Endpoints) != lines(set.Endpoints) || !u.Status.Stale {
				t.Errorf("without a server %+v", u)
			}
			s.Start()
			f.await("recovers", func(u Update) bool { return u.Status.Outcome == OK })
		})
	}
}

// TestDynamicUpdates changes records by nsupdate and watches the set follow: weights, tiers, growth, shrinking, and the end of a name.
func TestDynamicUpdates(t *testing.T) {
	for name, server := range realServers() {
		if !server.updates {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // nearly all of its time is waiting
			s := server.start(t, weirtest.DNSZone{Origin: "example.test", Records: "a A 10.0.0.1\nb A 10.0.0.2\n_db._tcp SRV 0 10 5432 a\n_db._tcp SRV 0 10 5432 b"})
			f := followSRV(t, resolver(t, nil, s.Addr), func(o *SRVOptions) { o.HoldEmpty = time.Second })
			f.awaitSet("0 10 a.example.test 10.0.0.1:5432", "0 10 b.example.test 10.0.0.2:5432")

			replaceSRV(t, s, "0 30 5432 a.example.test.", "5 10 5432 b.example.test.")
			changed := time.Now()
			f.awaitSet("0 30 a.example.test 10.0.0.1:5432", "5 10 b.example.test 10.0.0.2:5432")
			t.Logf("a change was seen %v after it was made, TTL 1 s", time.Since(changed).Round(time.Millisecond))

			replaceSRV(t, s, "0 0 5432 a.example.test.", "0 10 5432 b.example.test.")
			f.awaitSet("0 0 a.example.test 10.0.0.1:5432", "0 10 b.example.test 10.0.0.2:5432")

			grow(t, s, 300)
			f.await("302 endpoints", func(u Update) bool { return len(u.Endpoints) == 302 })

			replaceSRV(t, s, "0 1 5432 b.example.test.")
			f.awaitSet("0 1 b.example.test 10.0.0.2:5432")

			weirtest.NSUpdate(t, s.Addr, "update delete b.example.test A\nupdate add b.example.test 1 A 10.0.0.9")
			f.awaitSet("0 1 b.example.test 10.0.0.9:5432")

			weirtest.NSUpdate(t, s.Addr, "update delete "+testName+" SRV")
			f.awaitSet()
			replaceSRV(t, s, "0 1 5432 a.example.test.")
			f.awaitSet("0 1 a.example.test 10.0.0.1:5432")

			replaceSRV(t, s, "0 0 0 .")
			f.awaitSet()
		})
	}
}

// replaceSRV puts records in the place of all others of testName, in one update.
func replaceSRV(t *testing.T, s *weirtest.DNSServer, records ...string) {
	t.Helper()
	commands := "update delete " + testName + " SRV"
	for _, record := range records {
		commands += "\nupdate add " + testName + " 1 SRV " + record
	}
	weirtest.NSUpdate(t, s.Addr, commands)
}

// grow adds n targets.
func grow(t *testing.T, s *weirtest.DNSServer, n int) {
	t.Helper()
	var commands []string
	for i := range n {
		commands = append(commands,
			fmt.Sprintf("update add h%03d.example.test. 1 A 10.1.%d.%d", i, i/250, i%250+1),
			fmt.Sprintf("update add %s 1 SRV 0 1 5432 h%03d.example.test.", testName, i))
	}
	weirtest.NSUpdate(t, s.Addr, strings.Join(commands, "\n"))
}
