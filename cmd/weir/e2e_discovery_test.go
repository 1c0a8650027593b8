package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// srvRecord is an SRV record of name that points at a server on loopback, as in nsupdate and zone files. Each server has a target of
// its own.
func srvRecord(name, addr string) string {
	port := netip.MustParseAddrPort(addr).Port()
	return fmt.Sprintf("%s 1 SRV 0 1 %d h%d.weir.test.", name, port, port)
}

// targets are the address records of servers.
func targets(addrs ...string) string {
	var b strings.Builder
	for _, addr := range addrs {
		fmt.Fprintf(&b, "h%d A 127.0.0.1\n", netip.MustParseAddrPort(addr).Port())
	}
	return b.String()
}

// zoneOf has SRV records of some names, each with its servers.
func zoneOf(services map[string][]string) weirtest.DNSZone {
	z := weirtest.DNSZone{Origin: "weir.test"}
	for name, addrs := range services {
		z.Records += targets(addrs...)
		for _, addr := range addrs {
			z.Records += srvRecord(name+".weir.test.", addr) + "\n"
		}
	}
	return z
}

// TestDiscoveryFollowsUpdates: a server that is put into DNS gets connections, one that is taken out gets none, and when the name
// server dies what is known stays.
func TestDiscoveryFollowsUpdates(t *testing.T) {
	one, two := weirtest.Serve(t, weirtest.WhoWhenAsked("one")), weirtest.Serve(t, weirtest.WhoWhenAsked("two"))
	z := zoneOf(map[string][]string{"_app._tcp": {one.Addr}})
	z.Records += targets(two.Addr)
	ns := weirtest.BIND(t, z)
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints: { app: { address: "127.0.0.1:0" } }
tcp:
  routers: { app: { rule: "HostSNI(%[1]s*%[1]s)", service: app } }
  services: { app: { loadBalancer: { slowStart: 0s, discovery: { dnsSRV: { name: _app._tcp.weir.test, resolver: ours } } } } }
resolvers: { ours: { nameservers: [ %[2]q ], holdObsolete: 0s } }
`, "`", ns.Addr))
	addr := addressOf(t, w, "app")
	who := func() string {
		conn := dial(t, addr)
		defer conn.Close()
		return ask(t, conn, "who")
	}
	if got := who(); got != "one" {
		t.Fatalf("the first connection goes to %q", got)
	}

	began := time.Now()
	weirtest.NSUpdate(t, ns.Addr, "update add "+srvRecord("_app._tcp.weir.test.", two.Addr))
	weirtest.Eventually(t, soon, func() bool { return who() == "two" }, "the new server gets a connection")
	t.Logf("%v from the update to the first connection, with a TTL of 1 s", time.Since(began).Round(time.Millisecond))

	weirtest.NSUpdate(t, ns.Addr, "update delete "+strings.Replace(srvRecord("_app._tcp.weir.test.", one.Addr), " 1 SRV", " SRV", 1))
	weirtest.Eventually(t, soon, func() bool {
		var list []backend
		w.JSON("/api/v1/backends", &list)
		return !slices.ContainsFunc(list, func(b backend) bool { return b.Address == one.Addr && !b.Draining })
	}, "the old server is taken out")
	for range 4 {
		if got := who(); got != "two" {
			t.Errorf("a connection goes to %q, which was taken out", got)
		}
	}

	ns.Kill()
	failed := func() bool { return strings.Contains(w.Log(), "discovery fails") }
	weirtest.Eventually(t, soon, failed, "the failure is told")
	for range 4 {
		if got := who(); got != "two" {
			t.Errorf("without DNS a connection goes to %q", got)
		}
	}
	if out := weir(t, "sources", "--admin", w.Admin); !strings.Contains(out.stdout, "_app._tcp.weir.test") || !strings.Contains(out.stdout, "failed") {
		t.Errorf("weir sources says:\n%s", out.stdout)
	}
	ns.Start()
	weirtest.Eventually(t, soon, func() bool { return strings.Contains(w.Log(), "discovery works again") }, "DNS is back")
}

// TestZoneRewrittenUnderLoad rewrites the zone a hundred times while databases, name servers and web servers are asked through
// weir: no server stops, so nothing may fail.
func TestZoneRewrittenUnderLoad(t *testing.T) {
	var databases, sites, resolvers []string
	for i := range 2 {
		p := weirtest.Postgres(t, weirtest.PostgresOptions{})
		weirtest.Run(t, "pgbench", "-i", "-q", p.DSN(p.Addr, ""))
		databases = append(databases, p.Addr)
		sites = append(sites, serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintf(rw, "site %d", i) }))
		resolvers = append(resolvers, weirtest.Knot(t, weirtest.DNSZone{
			Origin: "weir.test", Records: "www A 192.0.2.1\nwww AAAA 2001:db8::1\nmail A 192.0.2.2\n",
		}).Addr)
	}
	services := map[string][]string{"_db._tcp": databases, "_web._tcp": sites, "_dns._udp": resolvers}
	ns := weirtest.BIND(t, zoneOf(services))
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  db:  { address: "127.0.0.1:0" }
  web: { address: "127.0.0.1:0" }
  dns: { address: "127.0.0.1:0/udp", transport: { lifeCycle: { graceTimeOut: 1m } } }
tcp:
  routers: { db: { entryPoints: [db], rule: "HostSNI(%[1]s*%[1]s)", service: db } }
  services: { db: { loadBalancer: { slowStart: 0s, discovery: { dnsSRV: { name: _db._tcp.weir.test } } } } }
http:
  routers: { web: { entryPoints: [web], rule: "PathPrefix(%[1]s/%[1]s)", service: web } }
  services: { web: { loadBalancer: { slowStart: 0s, discovery: { dnsSRV: { name: _web._tcp.weir.test } } } } }
udp:
  routers: { dns: { service: dns } }
  services: { dns: { loadBalancer: { slowStart: 0s, affinity: none, protocol: dns, discovery: { dnsSRV: { name: _dns._udp.weir.test } } } } }
resolvers: { default: { nameservers: [ %[2]q ], holdObsolete: 0s, minTTL: 100ms } }
`, "`", ns.Addr))
	host, port := udpAddr(t, w, "dns")
	site := startProgram(t, weirtest.Tool(t, "wrk"), "-t1", "-c8", "-d120s", "http://"+addressOf(t, w, "web")+"/")
	bank := startBench(t, addressOf(t, w, "db"), "disable", 4, "-C")
	stop := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			if r := dnsperf(t, host, port, 2); r.lost > 0 {
				t.Errorf("dnsperf: %+v", r)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 100 {
		rewrite(t, ns.Addr, services)
	}
	close(stop)
	asking.Wait()
	bank.end()
	bank.check(t, "pgbench")
	if out := site.interrupt(); strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") || !strings.Contains(out, "Requests/sec") {
		t.Errorf("wrk:\n%s", out)
	}
	if changes := strings.Count(w.Log(), "backends found"); changes < 10 {
		t.Errorf("only %d changes were seen", changes)
	} else {
		t.Logf("%d changes were seen", changes)
	}
}

// rewrite gives each service one or more of its servers, by chance, in one update.
func rewrite(t *testing.T, ns string, services map[string][]string) {
	t.Helper()
	var b strings.Builder
	for name, addrs := range services {
		fmt.Fprintf(&b, "update delete %s.weir.test. SRV\n", name)
		keep := 1 + rand.IntN(len(addrs))
		for _, i := range rand.Perm(len(addrs))[:keep] {
			// Without a time to live, so that weir looks again as soon as minTTL lets it.
			fmt.Fprintf(&b, "update add %s\n", strings.Replace(srvRecord(name+".weir.test.", addrs[i]), " 1 SRV", " 0 SRV", 1))
		}
	}
	weirtest.NSUpdate(t, ns, strings.TrimSuffix(b.String(), "\n"))
}
