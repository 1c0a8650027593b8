package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCheckDiscoveryProblems(t *testing.T) {
	tests := []struct {
		name, document string
		want           []string // without the file's name
	}{
		{"choices", `
tcp:
  services:
    a: {loadBalancer: {discovery: {}}}
    b: {loadBalancer: {discovery: [{}, {dnsSRV: {name: x}, dns: {name: x, port: 1}}]}}
    c: {loadBalancer: {discovery: {dnsSRV: {name: x}, http: {url: "http://x"}}}}
    d: {loadBalancer: {discovery: []}}
    e: {loadBalancer: {discovery: [5, {consul: {}}]}}
    f: {loadBalancer: {discovery: {dsnSRV: {name: x}}}}
    g: {loadBalancer: {discovery: x}}
    h: {loadBalancer: {discovery: }}
udp: {services: {a: {loadBalancer: {discovery: {}}}}}
http: {services: {a: {loadBalancer: {discovery: [{}]}}}}
`, []string{
			`4:24: tcp.services.a.loadBalancer.discovery: is empty (write one of dnsSRV, dns, file, http)`,
			`5:36: tcp.services.b.loadBalancer.discovery[0]: is empty (write one of dnsSRV, dns, file, http)`,
			`5:40: tcp.services.b.loadBalancer.discovery[1]: is dnsSRV and dns at the same time (write a list with an entry for each)`,
			`6:24: tcp.services.c.loadBalancer.discovery: is dnsSRV and http at the same time (write a list with an entry for each)`,
			`7:9: tcp.services.d.loadBalancer.servers: the service has no servers (add one, such as { address: "10.0.0.1:5432" }, or write discovery)`,
			`8:36: tcp.services.e.loadBalancer.discovery[0]: expected a map, found the number 5`,
			`8:40: tcp.services.e.loadBalancer.discovery[1].consul: unknown key (known here: dnsSRV, dns, file, http)`,
			`9:36: tcp.services.f.loadBalancer.discovery.dsnSRV: unknown key (did you mean "dnsSRV"?)`,
			`10:35: tcp.services.g.loadBalancer.discovery: expected a map or a list of maps, found the text "x"`,
			`11:35: tcp.services.h.loadBalancer.discovery: expected a map or a list of maps, found nothing (remove the key, or give it a value)`,
			`12:37: udp.services.a.loadBalancer.discovery: is empty (write one of dnsSRV, dns, file, http)`,
			`13:50: http.services.a.loadBalancer.discovery[0]: is empty (write one of dnsSRV, dns, file, http)`,
		}},
		{"lookups", `
resolvers: {corp: {}}
tcp:
  services:
    a: {loadBalancer: {discovery: {dnsSRV: {name: 10.0.0.1, resolver: crop, family: ipv4, allowLoopback: 1}}}}
    b: {loadBalancer: {discovery: {dns: {name: "::1", port: 0, resolver: corp@docker, weight: -1, priority: 65536}}}}
    c: {loadBalancer: {discovery: [{dnsSRV: {}}, {dns: {}}, {dns: {name: a..b, port: 65536}}, {dns: {name: "db:5432", port: 5432}}, {dnsSRV: {name: .}}]}}
udp:
  services:
    a: {loadBalancer: {discovery: {dnsSRV: {name: "a b"}}}}
http:
  services:
    a: {loadBalancer: {discovery: {dns: {name: bücher.example, port: 80, resolver: x}}}}
`, []string{
			`5:51: tcp.services.a.loadBalancer.discovery.dnsSRV.name: "10.0.0.1" is an address and not a name (list it in servers)`,
			`5:71: tcp.services.a.loadBalancer.discovery.dnsSRV.resolver: no "crop" in resolvers (did you mean "corp"?)`,
			`5:85: tcp.services.a.loadBalancer.discovery.dnsSRV.family: unknown value "ipv4" (one of both, v4, v6)`,
			`5:106: tcp.services.a.loadBalancer.discovery.dnsSRV.allowLoopback: expected true or false, found the number 1`,
			`6:48: tcp.services.b.loadBalancer.discovery.dns.name: "::1" is an address and not a name (list it in servers)`,
			`6:61: tcp.services.b.loadBalancer.discovery.dns.port: 0 is less than 1, the least there may be`,
			`6:74: tcp.services.b.loadBalancer.discovery.dns.resolver: "corp@docker" names the provider "docker": not supported by weir (everything stands in this configuration)`,
			`6:95: tcp.services.b.loadBalancer.discovery.dns.weight: -1 is less than 0, the least there may be`,
			`6:109: tcp.services.b.loadBalancer.discovery.dns.priority: 65536 is more than 65535, the most there may be`,
			`7:37: tcp.services.c.loadBalancer.discovery[0].dnsSRV.name: missing (The name that has the SRV records, in full.)`,
			`7:51: tcp.services.c.loadBalancer.discovery[1].dns.name: missing (The name that has the addresses, in full.)`,
			`7:51: tcp.services.c.loadBalancer.discovery[1].dns.port: missing (Port of the servers.)`,
			`7:74: tcp.services.c.loadBalancer.discovery[2].dns.name: "a..b" is not a name that DNS has (letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all)`,
			`7:86: tcp.services.c.loadBalancer.discovery[2].dns.port: 65536 is more than 65535, the most there may be`,
			`7:108: tcp.services.c.loadBalancer.discovery[3].dns.name: "db:5432" is not a name that DNS has (letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all)`,
			`7:149: tcp.services.c.loadBalancer.discovery[4].dnsSRV.name: "." is not a name that DNS has (letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all)`,
			`10:51: udp.services.a.loadBalancer.discovery.dnsSRV.name: "a b" is not a name that DNS has (letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all)`,
			`13:48: http.services.a.loadBalancer.discovery.dns.name: "bücher.example" is not a name that DNS has (letters, digits, - and _ in labels of 1 to 63 bytes with dots between, 253 bytes in all)`,
			`13:84: http.services.a.loadBalancer.discovery.dns.resolver: no "x" in resolvers (there are corp)`,
		}},
		{"lists", `
tcp:
  services:
    a: {loadBalancer: {discovery: {file: {path: ""}}}}
    b: {loadBalancer: {discovery: {file: {path: "a\0b"}}}}
    c:
      loadBalancer:
        discovery:
          - http: {url: "ftp://me:secret@x/y", interval: 500ms, timeout: 0s, headers: {"a b": c, d: "e\nf", host: x}}
          - http: {url: "http://me:secret@x:y"}
          - http: {url: "https://me:secret@x"}
          - http: {url: "http://x/#y", tls: {}}
          - http: {url: "http://x:0/"}
          - http: {url: "http://x:70000/"}
          - http: {url: "http://x", tls: {insecureSkipVerify: true}}
          - http: {url: "https://x", tls: {rootCAs: ["-----BEGIN", ""], serverName: "a b"}}
          - http: {url: "http:///x"}
          - http: {}
`, []string{
			`4:49: tcp.services.a.loadBalancer.discovery.file.path: must not be empty (The file, read again when it changes; it may come later.)`,
			`5:49: tcp.services.b.loadBalancer.discovery.file.path: the path of a file has no zero byte`,
			`9:25: tcp.services.c.loadBalancer.discovery[0].http.url: "ftp://me:xxxxx@x/y" is not an http or https URL (write it like "https://inventory.internal/servers.json")`,
			`9:58: tcp.services.c.loadBalancer.discovery[0].http.interval: 500ms is less than 1s, the least there may be`,
			`9:74: tcp.services.c.loadBalancer.discovery[0].http.timeout: 0s is less than 1ms, the least there may be`,
			`9:95: tcp.services.c.loadBalancer.discovery[0].http.headers.a b: "a b" is not a header name`,
			`9:101: tcp.services.c.loadBalancer.discovery[0].http.headers.d: "e\nf" has a control character`,
			`9:115: tcp.services.c.loadBalancer.discovery[0].http.headers.host: is the host of the URL, and no other (put it into the URL)`,
			`10:25: tcp.services.c.loadBalancer.discovery[1].http.url: what stands here is not a URL (write it like "https://inventory.internal/servers.json")`,
			`11:25: tcp.services.c.loadBalancer.discovery[2].http.url: a user in the URL would show wherever the URL does (write headers: { Authorization: "Basic ..." })`,
			`12:25: tcp.services.c.loadBalancer.discovery[3].http.url: a fragment in the URL would not be sent (remove the # and what follows it)`,
			`13:25: tcp.services.c.loadBalancer.discovery[4].http.url: port 0, to which nobody can connect (write it like "https://inventory.internal/servers.json")`,
			`14:25: tcp.services.c.loadBalancer.discovery[5].http.url: "70000" is not a port: write a number from 0 to 65535 (write it like "https://inventory.internal/servers.json")`,
			`15:37: tcp.services.c.loadBalancer.discovery[6].http.tls: has no meaning for an http URL (write https:// or remove the key)`,
			`16:54: tcp.services.c.loadBalancer.discovery[7].http.tls.rootCAs[0]: PEM text in place of a file: not supported by weir (write it to a file and name that)`,
			`16:68: tcp.services.c.loadBalancer.discovery[7].http.tls.rootCAs[1]: must not be empty`,
			`16:85: tcp.services.c.loadBalancer.discovery[7].http.tls.serverName: "a b" is not a host name`,
			`17:25: tcp.services.c.loadBalancer.discovery[8].http.url: "http:///x" is not an http or https URL (write it like "https://inventory.internal/servers.json")`,
			`18:13: tcp.services.c.loadBalancer.discovery[9].http.url: missing (http:// or https:// URL of the list.)`,
		}},
		{"one source twice", `
tcp:
  services:
    a: {loadBalancer: {discovery: [{dnsSRV: {name: a}}, {dnsSRV: {name: A, resolver: default}}, {dnsSRV: {name: a, family: v4}}]}}
    b: {loadBalancer: {discovery: [{dns: {name: a, port: 1}}, {dns: {name: a, port: 2}}, {dns: {name: A, port: 2}}]}}
    c: {loadBalancer: {discovery: [{file: {path: a}}, {file: {path: ./a}}, {file: {path: b}}]}}
    d: {loadBalancer: {discovery: [{http: {url: "http://a"}}, {http: {url: "http://a", headers: {x: y}}}, {http: {url: "http://a", headers: {x: y}}}]}}
    e: {loadBalancer: {discovery: {dnsSRV: {name: a}}}}
`, []string{
			`4:57: tcp.services.a.loadBalancer.discovery[1]: is discovery[0] already`,
			`5:90: tcp.services.b.loadBalancer.discovery[2]: is discovery[1] already`,
			`6:55: tcp.services.c.loadBalancer.discovery[1]: is discovery[0] already`,
			`7:107: tcp.services.d.loadBalancer.discovery[2]: is discovery[1] already`,
		}},
		{"schemes", `
http:
  services:
    a: {loadBalancer: {scheme: https, servers: [{url: "https://10.0.0.1"}, {url: "http://10.0.0.2"}]}}
    b: {loadBalancer: {scheme: https, servers: [{url: "unix:///run/a"}], discovery: {dnsSRV: {name: a}}}}
    c: {loadBalancer: {servers: [{url: "https://10.0.0.1"}, {url: "http://10.0.0.2"}, {url: "unix:///run/a"}]}}
    d: {loadBalancer: {scheme: h2c, servers: [{url: "https://10.0.0.1"}, {url: "h2c://10.0.0.2"}], serversTransport: {proxyProtocol: {}}}}
    e: {loadBalancer: {servers: [{url: "unix:///run/a"}, {url: "unix:///run/a"}]}}
tcp: {services: {s: {loadBalancer: {scheme: http, servers: [{address: "10.0.0.1:1"}]}}}}
`, []string{
			`4:32: http.services.a.loadBalancer.scheme: servers[1] is spoken to in http (make two services and join them with weighted)`,
			`5:32: http.services.b.loadBalancer.scheme: servers[0] is spoken to in http (make two services and join them with weighted)`,
			`6:67: http.services.c.loadBalancer.servers[1].url: http and https servers in one service are not supported by weir (make two services and join them with weighted)`,
			`6:93: http.services.c.loadBalancer.servers[2].url: http and https servers in one service are not supported by weir (make two services and join them with weighted)`,
			`7:32: http.services.d.loadBalancer.scheme: servers[0] is spoken to in https (make two services and join them with weighted)`,
			`7:100: http.services.d.loadBalancer.serversTransport: proxyProtocol names one client for a connection, and over h2c many clients share one (remove proxyProtocol: servers read X-Forwarded-For; or write http instead of h2c)`,
			`8:64: http.services.e.loadBalancer.servers[1].url: unix:/run/a is servers[0] already`,
			`9:37: tcp.services.s.loadBalancer.scheme: unknown key (known here: strategy, hashKey, servers, discovery, healthCheck, passiveHealthCheck, onUnhealthy, slowStart, panicThreshold, connect, queue, serversTransport)`,
		}},
		{"resolvers", `
resolvers:
  a: {nameservers: [dns.internal, "10.0.0.2:0", "10.0.0.2:x", "[::1]", "", 10.0.0.3, "[::ffff:10.0.0.3]:53"]}
  b: {transport: tls, serverName: "a b", nameservers: ["10.0.0.1:853", 10.0.0.1]}
  c: {serverName: dns.internal, transport: tcp}
  d: {transport: quic, serverName: dns.internal}
  e: {timeout: 1ms, attempts: 0, search: 1, minTTL: -1s}
  f: {attempts: 11, minTTL: 2m}
  g: {minTTL: 2m, maxTTL: x, nameserver: ["10.0.0.1"]}
  h: {minTTL: 0s, nameservers: [10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, 10.0.0.7, 10.0.0.8, 10.0.0.9]}
`, []string{
			`3:21: resolvers.a.nameservers[0]: "dns.internal" is neither ip:port nor ip (write it like "10.0.0.2:53" or "10.0.0.2")`,
			`3:35: resolvers.a.nameservers[1]: 10.0.0.2:0 has port 0, where nobody answers (write it like "10.0.0.2:53" or "10.0.0.2")`,
			`3:49: resolvers.a.nameservers[2]: "10.0.0.2:x" is neither ip:port nor ip (write it like "10.0.0.2:53" or "10.0.0.2")`,
			`3:63: resolvers.a.nameservers[3]: "[::1]" is neither ip:port nor ip (write it like "10.0.0.2:53" or "10.0.0.2")`,
			`3:72: resolvers.a.nameservers[4]: must not be empty`,
			`3:86: resolvers.a.nameservers[6]: [::ffff:10.0.0.3]:53 is nameservers[5] already`,
			`4:35: resolvers.b.serverName: "a b" is not a host name`,
			`4:72: resolvers.b.nameservers[1]: 10.0.0.1 is nameservers[0] already`,
			`5:19: resolvers.c.serverName: has no meaning for transport tcp (only for transport tls)`,
			`6:18: resolvers.d.transport: unknown value "quic" (one of udp, tcp, tls)`,
			`7:16: resolvers.e.timeout: 1ms is less than 10ms, the least there may be`,
			`7:31: resolvers.e.attempts: 0 is less than 1, the least there may be`,
			`7:42: resolvers.e.search: expected true or false, found the number 1`,
			`7:53: resolvers.e.minTTL: the duration -1s is negative`,
			`8:17: resolvers.f.attempts: 11 is more than 10, the most there may be`,
			`8:29: resolvers.f.minTTL: 2m is more than maxTTL 1m`,
			`9:27: resolvers.g.maxTTL: "x" is not a duration (write it like "1m30s" or "500ms")`,
			`9:30: resolvers.g.nameserver: unknown key (did you mean "nameservers"?)`,
			`10:15: resolvers.h.minTTL: 0s is less than 1ms, the least there may be`,
			`10:113: resolvers.h.nameservers[8]: more than 8 DNS servers`,
		}},
		{"zones", `
tcp:
  services:
    a: {loadBalancer: {servers: [{address: "[::%/run/x]:80"}, {address: "[fe80::1%eth0]:80"}, {address: "[fe80::1%0]:80"}, {address: "[fe80::1%02]:80"}]}}
    b: {loadBalancer: {servers: [{address: "[fe80::1%/run/x]:80"}, {address: "[2001:db8::1%2]:80"}, {address: "[fe80::1%4294967296]:80"}]}}
    c: {loadBalancer: {servers: [{address: "[::ffff:10.0.0.1%/run/x]:80"}]}}
udp:
  services:
    a: {loadBalancer: {servers: [{address: "[::%/run/x]:80"}]}}
http:
  services:
    a: {loadBalancer: {servers: [{url: "http://[::%25/run/x]:80"}, {url: "http://[fe80::1%25%2Frun%2Fx]"}, {url: "http://[fe80::1%25eth0]"}]}}
`, []string{
			`4:44: tcp.services.a.loadBalancer.servers[0].address: "::%/run/x" has a zone, which only a link-local address has (remove the % and what follows it)`,
			`4:73: tcp.services.a.loadBalancer.servers[1].address: the zone "eth0" is not the number of an interface (write its number, which ip link shows)`,
			`4:105: tcp.services.a.loadBalancer.servers[2].address: the zone "0" is not the number of an interface (write its number, which ip link shows)`,
			`4:134: tcp.services.a.loadBalancer.servers[3].address: the zone "02" is not the number of an interface (write its number, which ip link shows)`,
			`5:44: tcp.services.b.loadBalancer.servers[0].address: the zone "/run/x" is not the number of an interface (write its number, which ip link shows)`,
			`5:78: tcp.services.b.loadBalancer.servers[1].address: "2001:db8::1%2" has a zone, which only a link-local address has (remove the % and what follows it)`,
			`5:111: tcp.services.b.loadBalancer.servers[2].address: the zone "4294967296" is not the number of an interface (write its number, which ip link shows)`,
			`6:44: tcp.services.c.loadBalancer.servers[0].address: "::ffff:10.0.0.1%/run/x" has a zone, which only a link-local address has (remove the % and what follows it)`,
			`9:44: udp.services.a.loadBalancer.servers[0].address: "::%/run/x" has a zone, which only a link-local address has (remove the % and what follows it)`,
			`12:40: http.services.a.loadBalancer.servers[0].url: "http://[::%25/run/x]:80" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`12:74: http.services.a.loadBalancer.servers[1].url: "http://[fe80::1%25%2Frun%2Fx]" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`12:114: http.services.a.loadBalancer.servers[2].url: the zone "eth0" is not the number of an interface (write its number, which ip link shows)`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.document))
			var got []string
			for _, p := range problemsOf(t, err) {
				got = append(got, strings.TrimPrefix(p.Error(), "x.yaml:"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	srv := &DNSSRV{Name: "a", Family: "both"}
	tests := []struct {
		name, written string
		want          Discovery
	}{
		{"nothing", "", nil},
		{"an empty list", "discovery: []", nil},
		{"one", "discovery: {dnsSRV: {name: a}}", Discovery{{DNSSRV: srv}}},
		{"a list of one", "discovery: [{dnsSRV: {name: a}}]", Discovery{{DNSSRV: srv}}},
		{"defaults", `discovery: [{dnsSRV: {name: a}}, {dns: {name: b., port: 1}}, {file: {path: c}}, {http: {url: "http://d"}}]`, Discovery{
			{DNSSRV: srv},
			{DNS: &DNSHost{Name: "b.", Port: 1, Family: "both", Weight: 1}},
			{File: &FileSource{Path: "c"}},
			{HTTP: &HTTPSource{URL: "http://d", Interval: Duration(30 * time.Second), Timeout: Duration(5 * time.Second)}},
		}},
		{"a resolver's name is plain", "discovery: {dns: {name: b, port: 1, resolver: corp@file, family: v6, weight: 0}}", Discovery{
			{DNS: &DNSHost{Name: "b", Port: 1, Resolver: "corp", Family: "v6"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, "x.yaml", fmt.Sprintf(`
resolvers: {corp: {}}
tcp: {services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], %[1]s}}}}
udp: {services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], %[1]s}}}}
http: {services: {s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], %[1]s}}}}
`, tt.written))
			got := map[string]Discovery{
				"tcp":  cfg.TCP.Services["s"].LoadBalancer.Discovery,
				"udp":  cfg.UDP.Services["s"].LoadBalancer.Discovery,
				"http": cfg.HTTP.Services["s"].LoadBalancer.Discovery,
			}
			for network, d := range got {
				if diff := cmp.Diff(tt.want, d); diff != "" {
					t.Errorf("%s (-want +got):\n%s", network, diff)
				}
			}
		})
	}
}

// Whoever finds a source at fault later names its place, in a list or not.
func TestPositionOfSource(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
tcp:
  services:
    one: {loadBalancer: {discovery: {dnsSRV: {name: a}}}}
    two: {loadBalancer: {discovery: [{dnsSRV: {name: a}}, {dns: {name: a, port: 1}}]}}
`)
	tests := []struct {
		name, path string
		line, col  int
	}{
		{"an only one", "tcp.services.one.loadBalancer.discovery[0].dnsSRV", 4, 26},
		{"the second", "tcp.services.two.loadBalancer.discovery[1].dns.port", 5, 81},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, line, col := cfg.Position(tt.path); line != tt.line || col != tt.col {
				t.Errorf("Position(%q) = %d:%d, want %d:%d", tt.path, line, col, tt.line, tt.col)
			}
		})
	}
}

func TestScheme(t *testing.T) {
	tests := []struct{ name, keys, want string }{
		{"nothing listed", "", "http"},
		{"listed", `servers: [{url: "https://10.0.0.1"}]`, "https"},
		{"a socket", `servers: [{url: "unix:///run/a"}]`, "http"},
		{"written", "scheme: https", "https"},
		{"written and listed", `scheme: https, servers: [{url: "https://10.0.0.1"}]`, "https"},
		{"h2c", `servers: [{url: "h2c://10.0.0.1"}]`, "h2c"},
		{"h2c and a socket", `scheme: h2c, servers: [{url: "unix:///run/a"}]`, "h2c"},
		{"written and a socket", `scheme: http, servers: [{url: "unix:///run/a"}]`, "http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, "x.yaml", "http: {services: {s: {loadBalancer: {discovery: {dnsSRV: {name: a}}, "+tt.keys+"}}}}")
			if got := cfg.HTTP.Services["s"].LoadBalancer.Scheme; got != tt.want {
				t.Errorf("scheme %q, want %q", got, tt.want)
			}
		})
	}
}

func TestResolver(t *testing.T) {
	usual := func(change func(*Resolver)) *Resolver {
		r := &Resolver{
			Transport: "udp", Timeout: Duration(2 * time.Second), Attempts: 3,
			MinTTL: Duration(time.Second), MaxTTL: Duration(time.Minute), HoldObsolete: Duration(30 * time.Second),
		}
		if change != nil {
			change(r)
		}
		return r
	}
	const none, some = "log: {}", "resolvers: {corp: {attempts: 1}}"
	const own = "resolvers: {corp: {attempts: 1}, default: {transport: tcp}}"
	tests := []struct {
		name, document, asked string
		want                  *Resolver
	}{
		{"of the system", none, "", usual(nil)},
		{"default of the system", some, "default", usual(nil)},
		{"named", some, "corp", usual(func(r *Resolver) { r.Attempts = 1 })},
		{"no name among named ones", some, "", usual(nil)},
		{"own default", own, "", usual(func(r *Resolver) { r.Transport = "tcp" })},
		{"own default by name", own, "default", usual(func(r *Resolver) { r.Transport = "tcp" })},
		{"named beside an own default", own, "corp", usual(func(r *Resolver) { r.Attempts = 1 })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, mustParse(t, "x.yaml", tt.document).Resolver(tt.asked)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNameserver(t *testing.T) {
	tests := []struct{ name, written, transport, want string }{
		{"with a port", "10.0.0.1:5353", "udp", "10.0.0.1:5353"},
		{"IPv6 with a port", "[::1]:53", "tcp", "[::1]:53"},
		{"without", "10.0.0.1", "tcp", "10.0.0.1:53"},
		{"IPv6 without", "2001:db8::1", "udp", "[2001:db8::1]:53"},
		{"mapped", "::ffff:10.0.0.2", "udp", "10.0.0.2:53"},
		{"tls without", "10.0.0.1", "tls", "10.0.0.1:853"},
		{"tls with a port", "10.0.0.1:53", "tls", "10.0.0.1:53"},
		{"with a zone", "fe80::1%eth0", "udp", "[fe80::1%eth0]:53"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, wrong := parseNameserver(tt.written, tt.transport)
			if wrong != nil || got != netip.MustParseAddrPort(tt.want) {
				t.Errorf("parseNameserver(%q) = %s, %v, want %s", tt.written, got, wrong, tt.want)
			}
		})
	}
}

func TestIsHostName(t *testing.T) {
	tests := []struct {
		name, host string
		want       bool
	}{
		{"plain", "Example-1.com", true},
		{"with its last dot", "example.com.", true},
		{"of a service", "_sip._udp.example.com", true},
		{"one label", "db", true},
		{"the longest label", strings.Repeat("a", 63) + ".b", true},
		{"a longer one", strings.Repeat("a", 64) + ".b", false},
		{"the longest name", strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 61) + ".", true},
		{"a longer name", strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 62), false},
		{"the root", ".", false},
		{"nothing", "", false},
		{"an empty label", "a..b", false},
		{"a port", "a:1", false},
		{"an escape", `a\046b`, false},
		{"a wildcard", "*.example.com", false},
		{"another alphabet", "bücher.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isHostName(tt.host); got != tt.want {
				t.Errorf("isHostName(%q) = %v", tt.host, got)
			}
		})
	}
}

// A list of servers may come later than the configuration; the authorities of
// the server it is fetched from may not.
func TestFilesOfSources(t *testing.T) {
	dir := t.TempDir()
	list := dir + "/servers.json"
	const form = `
tcp: {services: {a: {loadBalancer: {discovery: [{file: {path: %[1]q}}, {http: {url: "https://x", tls: {rootCAs: ["tcp.pem"]}}}]}}}}
udp: {services: {a: {loadBalancer: {discovery: {http: {url: "https://x", tls: {rootCAs: ["udp.pem", "udp2.pem"]}}}}}}}
http: {services: {a: {loadBalancer: {discovery: {http: {url: "https://x", tls: {rootCAs: ["http.pem"]}}}}}}}
`
	file := write(t, dir, "weir.yaml", fmt.Sprintf(form, list))
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []NamedFile{
		{"tcp.services.a.loadBalancer.discovery[1].http.tls.rootCAs[0]", "tcp.pem"},
		{"udp.services.a.loadBalancer.discovery.http.tls.rootCAs[0]", "udp.pem"},
		{"udp.services.a.loadBalancer.discovery.http.tls.rootCAs[1]", "udp2.pem"},
		{"http.services.a.loadBalancer.discovery.http.tls.rootCAs[0]", "http.pem"},
	}
	if diff := cmp.Diff(want, cfg.NamedFiles()); diff != "" {
		t.Errorf("named files (-want +got):\n%s", diff)
	}
	if slices.Contains(cfg.Files(), list) {
		t.Error("the list of servers is one of the files of the configuration")
	}
	problems := problemsOf(t, cfg.CheckFiles())
	if len(problems) != len(want) {
		t.Errorf("%d problems, want one for each authority:\n%v", len(problems), problems)
	}
}

// An @ separates a name from where it comes from, so only a reference has one.
func TestNamesHaveNoAt(t *testing.T) {
	sections := []string{
		"entryPoints", "resolvers", "tls.options",
		"tcp.routers", "tcp.middlewares", "tcp.services", "tcp.serversTransports",
		"udp.routers", "udp.middlewares", "udp.services", "udp.serversTransports",
		"http.routers", "http.middlewares", "http.services", "http.serversTransports",
	}
	for _, section := range sections {
		t.Run(section, func(t *testing.T) {
			document, at := documentWith(t, section, map[string]any{"a@file": map[string]any{}})
			_, err := Parse("x.json", document)
			want := at + `: the name "a@file" has an @ (what follows an @ says where a name comes from; leave it out)`
			if err == nil || !strings.HasPrefix(err.Error(), "x.json:1:") || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s\ngives\n%v\nwant a line with %q", document, err, want)
			}
		})
	}
}
