package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// soundUDP is a configuration without a fault, to which the tests add theirs.
const soundUDP = `
entryPoints: {dns: {address: ":53/udp"}, games: {address: ":1000-1010/udp"}}
udp:
  services:
    s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
    n: {loadBalancer: {affinity: none, servers: [{address: "10.0.0.1:1"}]}}
`

func TestCheckUDPProblems(t *testing.T) {
	tests := []struct {
		name, document string
		want           []string // without the file's name
	}{
		{"references", soundUDP + `
  routers:
    r: {entryPoints: [dsn, dns, dns], service: x, middlewares: [clam, s@docker]}
    q: {entryPoints: [games]}
  middlewares: {calm: {rateLimit: {average: 1}}}
  serversTransports: {plain: {}}
  unused: {}
`, []string{
			`9:23: udp.routers.r.entryPoints[0]: no "dsn" in entryPoints (did you mean "dns"?)`,
			`9:33: udp.routers.r.entryPoints[2]: "dns" is named twice`,
			`9:48: udp.routers.r.service: no "x" in udp.services (did you mean "n"?)`,
			`9:65: udp.routers.r.middlewares[0]: no "clam" in udp.middlewares (did you mean "calm"?)`,
			`9:71: udp.routers.r.middlewares[1]: "s@docker" names the provider "docker": not supported by weir (everything stands in this configuration)`,
			`10:5: udp.routers.q.service: missing (UDP service the datagrams go to.)`,
			`13:3: udp.unused: unknown key (known here: routers, middlewares, services, serversTransports)`,
		}},
		{"networks do not mix", `
entryPoints: {web: {address: ":80", udp: {}}, dns: {address: ":53/udp"}}
udp:
  routers: {r: {entryPoints: [web], service: s}}
  services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}}
tcp:
  routers: {r: {entryPoints: [dns], service: s, rule: "HostSNI(` + "`*`" + `)"}}
  services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}}
`, []string{
			`2:37: entryPoints.web.udp: only for an address that ends in /udp`,
			`4:31: udp.routers.r.entryPoints[0]: "web" listens on tcp and this router is for udp`,
			`7:31: tcp.routers.r.entryPoints[0]: "dns" listens on udp and this router is for tcp`,
		}},
		{"nowhere to listen", `
entryPoints: {web: {address: ":80"}}
udp:
  routers: {r: {service: s}}
  services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}}
`, []string{`4:13: udp.routers.r.entryPoints: there is no UDP entrypoint to listen on (add one to entryPoints, with an address that ends in /udp)`}},
		{"two routers at one entrypoint", soundUDP + `
  routers:
    a: {entryPoints: [games], service: s}
    b: {entryPoints: [dns, games], service: s}
    c: {entryPoints: [dns], service: n}
`, []string{
			`10:28: udp.routers.b.entryPoints[1]: "games" has a router already, udp.routers.a at x.yaml:9:5 (nothing in a datagram says whose it is: give each router entrypoints of its own)`,
			`11:23: udp.routers.c.entryPoints[0]: "dns" has a router already, udp.routers.b at x.yaml:10:5 (nothing in a datagram says whose it is: give each router entrypoints of its own)`,
		}},
		{"a router at all entrypoints and another one", soundUDP + `
  routers:
    a: {entryPoints: [games], service: s}
    b: {service: s}
`, []string{
			`10:5: udp.routers.b.entryPoints: "games" has a router already, udp.routers.a at x.yaml:9:5 (nothing in a datagram says whose it is: give each router entrypoints of its own)`,
		}},
		{"keys of TCP at an entrypoint of UDP", `
entryPoints:
  a:
    address: ":53/udp"
    asDefault: true
    proxyProtocol: {}
    forwardedHeaders: {insecure: true}
    http: {middlewares: [nope]}
    maxConnections: 5
    transport:
      sniffTimeout: 1s
      idleTimeout: 1m
      respondingTimeouts: {}
      keepAliveMaxRequests: 1
      keepAliveMaxTime: 1s
      lifeCycle: {graceTimeOut: 1s}
`, []string{
			`5:16: entryPoints.a.asDefault: has no meaning for a UDP entrypoint (a UDP router without entryPoints takes all UDP entrypoints)`,
			`6:5: entryPoints.a.proxyProtocol: has no meaning for a UDP entrypoint`,
			`7:5: entryPoints.a.forwardedHeaders: has no meaning for a UDP entrypoint`,
			`8:5: entryPoints.a.http: has no meaning for a UDP entrypoint`,
			`9:21: entryPoints.a.maxConnections: has no meaning for a UDP entrypoint (write udp.maxSessions)`,
			`11:21: entryPoints.a.transport.sniffTimeout: has no meaning for a UDP entrypoint`,
			`12:20: entryPoints.a.transport.idleTimeout: has no meaning for a UDP entrypoint (write udp.timeout)`,
			`13:7: entryPoints.a.transport.respondingTimeouts: has no meaning for a UDP entrypoint`,
			`14:29: entryPoints.a.transport.keepAliveMaxRequests: has no meaning for a UDP entrypoint`,
			`15:25: entryPoints.a.transport.keepAliveMaxTime: has no meaning for a UDP entrypoint`,
		}},
		{"limits", `
entryPoints:
  a: {address: ":1/udp", udp: {timeout: 0s, maxSessions: 0, maxSessionsPerSource: 0, maxAmplification: -1}}
`, []string{
			`3:41: entryPoints.a.udp.timeout: 0s is less than 1ms, the least there may be`,
			`3:58: entryPoints.a.udp.maxSessions: 0 is less than 1, the least there may be`,
			`3:83: entryPoints.a.udp.maxSessionsPerSource: 0 is less than 1, the least there may be`,
			`3:104: entryPoints.a.udp.maxAmplification: -1 is less than 0, the least there may be`,
		}},
		{"clashes", `
entryPoints: {a: {address: ":53"}, b: {address: ":50-60/udp"}, c: {address: "10.0.0.1:53/udp"}, d: {address: ":9901/udp"}}
`, []string{
			`2:77: entryPoints.c.address: 10.0.0.1:53/udp clashes with :50-60/udp of entryPoints.b at x.yaml:2:49`,
		}},
		{"middlewares, used or not", soundUDP + `
  routers: {r: {service: s, middlewares: [a]}}
  middlewares:
    a: {}
    b: {ipAllowList: {}, rateLimit: {burst: 0}}
    c: {maxSessionsPerSource: {}}
    d: {maxSessionsPerSource: {amount: 0}}
    e: {inFlightConn: {amount: 1}}
    f: {ipAllowList: {sourceRange: [10.0.0.0/33]}}
`, []string{
			`10:5: udp.middlewares.a: is empty (write one of ipAllowList, rateLimit, maxSessionsPerSource)`,
			`11:5: udp.middlewares.b: is ipAllowList and rateLimit at the same time (give each a name of its own)`,
			`11:9: udp.middlewares.b.ipAllowList.sourceRange: missing (Addresses or networks that may pass.)`,
			`11:26: udp.middlewares.b.rateLimit.average: missing (New connections, datagrams or requests allowed in each period, on average.)`,
			`11:45: udp.middlewares.b.rateLimit.burst: 0 is less than 1, the least there may be`,
			`12:9: udp.middlewares.c.maxSessionsPerSource.amount: missing (Flows of one client address at one time.)`,
			`13:40: udp.middlewares.d.maxSessionsPerSource.amount: 0 is less than 1, the least there may be`,
			`14:9: udp.middlewares.e.inFlightConn: unknown key (known here: ipAllowList, rateLimit, maxSessionsPerSource)`,
			`15:37: udp.middlewares.f.ipAllowList.sourceRange[0]: "10.0.0.0/33" is not a prefix (write an address or a network such as "10.0.0.0/8")`,
		}},
		{"load balancers", soundUDP + `
    a: {loadBalancer: {servers: [{address: x, tls: true}], hashKey: sni, onUnhealthy: close, retries: 4}}
    b: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], strategy: leasttime, retries: -1, responses: -1}}
    c: {loadBalancer: {}}
    d: {}
    e: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], discovery: {dnsSRV: {name: x, resolver: y}}}}
`, []string{
			`8:44: udp.services.a.loadBalancer.servers[0].address: "x" is not ip:port (write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432")`,
			`8:47: udp.services.a.loadBalancer.servers[0].tls: unknown key (known here: address, weight, priority, maxConnections)`,
			`8:69: udp.services.a.loadBalancer.hashKey: unknown value "sni" (one of sourceIP, sourceIPPort)`,
			`8:74: udp.services.a.loadBalancer.onUnhealthy: unknown key (known here: strategy, hashKey, affinity, protocol, queryTimeout, servers, discovery, healthCheck, passiveHealthCheck, slowStart, panicThreshold, responses, retries, serversTransport)`,
			`8:103: udp.services.a.loadBalancer.retries: 4 is more than 3, the most there may be`,
			`9:70: udp.services.b.loadBalancer.strategy: unknown value "leasttime" (one of wrr, leastconn, p2c, maglev, hrw, random)`,
			`9:90: udp.services.b.loadBalancer.retries: -1 is less than 0, the least there may be`,
			`9:105: udp.services.b.loadBalancer.responses: -1 is less than 0, the least there may be`,
			`10:9: udp.services.c.loadBalancer.servers: the service has no servers (add one, such as { address: "10.0.0.1:5432" }, or write discovery)`,
			`11:5: udp.services.d: is empty (write one of loadBalancer, weighted, failover)`,
			`12:100: udp.services.e.loadBalancer.discovery.dnsSRV.resolver: no "y" in resolvers (resolvers is empty)`,
		}},
		{"affinity", soundUDP + `
    a: {loadBalancer: &l {servers: [{address: "10.0.0.1:1"}], protocol: auto, queryTimeout: 1s}}
    b: {loadBalancer: {<<: *l, affinity: none, protocol: oneWay, responses: 1}}
    c: {loadBalancer: {<<: *l, affinity: nome, responses: 1}}
    d: {loadBalancer: {<<: *l, affinity: none, protocol: quic, queryTimeout: 0s}}
`, []string{
			`8:73: udp.services.a.loadBalancer.protocol: has no meaning with affinity source (only with affinity: none)`,
			`8:93: udp.services.a.loadBalancer.queryTimeout: has no meaning with affinity source (only with affinity: none)`,
			`8:93: udp.services.b.loadBalancer.queryTimeout: has no meaning with protocol oneWay (no answer is waited for; remove the key)`,
			`9:77: udp.services.b.loadBalancer.responses: has no meaning with affinity none (there is no flow that could end; remove the key)`,
			`10:42: udp.services.c.loadBalancer.affinity: unknown value "nome" (did you mean "none"?)`,
			`11:58: udp.services.d.loadBalancer.protocol: unknown value "quic" (one of auto, dns, oneWay)`,
			`11:78: udp.services.d.loadBalancer.queryTimeout: 0s is less than 1ms, the least there may be`,
		}},
		{"how servers are spoken to", soundUDP + `
    a: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: {proxyProtocol: {version: 1}}}}
    b: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: plan}}
    c: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: {proxyProtocol: {version: 3}}}}
    d: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: 5}}
  serversTransports: {plain: {}, old: {proxyProtocol: {version: 1}}, secure: {tls: {}}}
`, []string{
			`8:104: udp.services.a.loadBalancer.serversTransport.proxyProtocol.version: version 1 has no header for datagrams (write 2, or remove the key)`,
			`9:78: udp.services.b.loadBalancer.serversTransport: no "plan" in udp.serversTransports (did you mean "plain"?)`,
			`10:104: udp.services.c.loadBalancer.serversTransport.proxyProtocol.version: 3 is more than 2, the most there may be`,
			`11:78: udp.services.d.loadBalancer.serversTransport: expected a name or a map, found the number 5`,
			`12:65: udp.serversTransports.old.proxyProtocol.version: version 1 has no header for datagrams (write 2, or remove the key)`,
			`12:79: udp.serversTransports.secure.tls: unknown key (known here: proxyProtocol)`,
		}},
		{"circles and services that are not there", soundUDP + `
    a: {weighted: {services: [{name: b}, {name: a}]}}
    b: {failover: {service: c, fallback: nope}}
    c: {weighted: {services: [{name: a}, {name: s@file}, {name: s, weight: -1}]}}
`, []string{
			`8:49: udp.services.a.weighted.services[1].name: leads in a circle: a -> a`,
			`9:42: udp.services.b.failover.fallback: no "nope" in udp.services (there are a, b, c, n, s)`,
			`10:38: udp.services.c.weighted.services[0].name: leads in a circle: a -> b -> c -> a`,
			`10:76: udp.services.c.weighted.services[2].weight: -1 is less than 0, the least there may be`,
		}},
		{"manners that do not go together", soundUDP + `
    dns: {loadBalancer: {affinity: none, protocol: dns, servers: [{address: "10.0.0.1:1"}]}}
    slow: {loadBalancer: {affinity: none, protocol: dns, queryTimeout: 9s, servers: [{address: "10.0.0.1:1"}]}}
    log: {loadBalancer: {affinity: none, protocol: oneWay, servers: [{address: "10.0.0.1:1"}]}}
    odd: {loadBalancer: {affinity: nome, servers: [{address: "10.0.0.1:1"}]}}
    w: {weighted: {services: [{name: s}, {name: odd}, {name: n}]}}
    f: {failover: {service: n, fallback: dns}}
    g: {failover: {service: dns, fallback: slow}}
    h: {failover: {service: log, fallback: f}}
    i: {weighted: {services: [{name: f}, {name: n}]}}
`, []string{
			`11:36: udp.services.odd.loadBalancer.affinity: unknown value "nome" (did you mean "none"?)`,
			`12:62: udp.services.w.weighted.services[2].name: udp.services.n has affinity none, protocol auto, queryTimeout 5s, and udp.services.s beside it affinity source (all datagrams of a service are led in one manner)`,
			`13:42: udp.services.f.failover.fallback: udp.services.dns has affinity none, protocol dns, queryTimeout 5s, and udp.services.n beside it affinity none, protocol auto, queryTimeout 5s (all datagrams of a service are led in one manner)`,
			`14:44: udp.services.g.failover.fallback: udp.services.slow has affinity none, protocol dns, queryTimeout 9s, and udp.services.dns beside it affinity none, protocol dns, queryTimeout 5s (all datagrams of a service are led in one manner)`,
			`15:44: udp.services.h.failover.fallback: udp.services.n has affinity none, protocol auto, queryTimeout 5s, and udp.services.log beside it affinity none, protocol oneWay (all datagrams of a service are led in one manner)`,
		}},
		{"bounds of flows where there are none", `
entryPoints: {dns: {address: ":53/udp", udp: {maxAmplification: 3}}, games: {address: ":1/udp", udp: {maxAmplification: 3}}}
udp:
  routers:
    dns:   {entryPoints: [dns], service: w, middlewares: [calm, few]}
    games: {entryPoints: [games], service: s, middlewares: [few]}
  middlewares: {few: {maxSessionsPerSource: {amount: 1}}, calm: {rateLimit: {average: 1}}}
  services:
    w: {weighted: {services: [{name: n}]}}
    n: {loadBalancer: {affinity: none, servers: [{address: "10.0.0.1:1"}]}}
    s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
`, []string{
			`2:65: entryPoints.dns.udp.maxAmplification: bounds flows, and udp.services.n has affinity none (have the servers limit their responses, or write affinity: source there)`,
			`5:65: udp.routers.dns.middlewares[1]: limits flows, and udp.services.n has affinity none (write a rateLimit, which counts datagrams)`,
		}},
		{"health checks", soundUDP + `
    a: {loadBalancer: &l {servers: [{address: "10.0.0.1:1"}], healthCheck: {}}}
    b: {loadBalancer: {<<: *l, healthCheck: {type: dns}}}
    c: {loadBalancer: {<<: *l, healthCheck: {type: dns, name: "a b", recordType: ANY, send: x}}}
    d: {loadBalancer: {<<: *l, healthCheck: {send: x, name: a, recordType: A, path: /}}}
    e: {loadBalancer: {<<: *l, healthCheck: {type: redis}}}
    f: {loadBalancer: {<<: *l, healthCheck: {type: http, port: 8080, mode: http, followRedirects: true, recordType: A}}}
    g: {loadBalancer: {<<: *l, healthCheck: {type: dns, name: a..b, expect: x}}}
`, []string{
			`8:63: udp.services.a.loadBalancer.healthCheck.send: missing (what to send; UDP has no connection that could be tried instead)`,
			`9:32: udp.services.b.loadBalancer.healthCheck.name: missing (the name to ask for)`,
			`10:63: udp.services.c.loadBalancer.healthCheck.name: "a b" is not a domain name`,
			`10:82: udp.services.c.loadBalancer.healthCheck.recordType: unknown value "ANY" (one of A, AAAA, SOA, NS, SRV, TXT, MX, PTR, CNAME)`,
			`10:93: udp.services.c.loadBalancer.healthCheck.send: has no meaning for type dns (only for type tcp, tls, udp)`,
			`11:61: udp.services.d.loadBalancer.healthCheck.name: has no meaning for type udp (only for type dns)`,
			`11:76: udp.services.d.loadBalancer.healthCheck.recordType: has no meaning for type udp (only for type dns)`,
			`11:85: udp.services.d.loadBalancer.healthCheck.path: has no meaning for type udp (only for type http)`,
			`12:52: udp.services.e.loadBalancer.healthCheck.type: redis does not fit a UDP service (one of udp, dns, tcp, http)`,
			`13:76: udp.services.f.loadBalancer.healthCheck.mode: not supported by weir (write type)`,
			`13:99: udp.services.f.loadBalancer.healthCheck.followRedirects: not supported by weir (a redirect counts as healthy where status is not given)`,
			`13:117: udp.services.f.loadBalancer.healthCheck.recordType: has no meaning for type http (only for type dns)`,
			`14:63: udp.services.g.loadBalancer.healthCheck.name: "a..b" is not a domain name`,
			`14:77: udp.services.g.loadBalancer.healthCheck.expect: has no meaning for type dns (only for type tcp, tls, udp)`,
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

func TestUDPDefaults(t *testing.T) {
	seconds := func(n int) Duration { return Duration(n) * Duration(time.Second) }
	load := func(rest string) *Config {
		return mustParse(t, "x.yaml", `
entryPoints: {dns: {address: ":53/udp"}, games: {address: ":1/udp", udp: {maxSessions: 5}}, web: {address: ":80", asDefault: true}}
udp:
  routers: {r: {service: s}}
  services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], `+rest+`}}}
`)
	}
	t.Run("limits", func(t *testing.T) {
		cfg := load("")
		want := map[string]*UDPSessions{
			"dns":   {Timeout: seconds(60), MaxSessions: 65536, MaxSessionsPerSource: 256},
			"games": {Timeout: seconds(60), MaxSessions: 5, MaxSessionsPerSource: 256},
			"web":   nil,
		}
		for name, limits := range want {
			if diff := cmp.Diff(limits, cfg.EntryPoints[name].UDP); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
	t.Run("a router without entrypoints", func(t *testing.T) {
		if diff := cmp.Diff([]string{"dns", "games"}, load("").UDP.Routers["r"].EntryPoints); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	balancers := []struct {
		name, keys string
		want       UDPLoadBalancer // as far as the keys say how datagrams are led
	}{
		{"nothing said", "", UDPLoadBalancer{Affinity: "source", Retries: 2}},
		{"flows", "affinity: source, responses: 1, retries: 0", UDPLoadBalancer{Affinity: "source", Responses: 1}},
		{"datagrams", "affinity: none", UDPLoadBalancer{Affinity: "none", Protocol: "auto", QueryTimeout: seconds(5), Retries: 2}},
		{"dns", "affinity: none, protocol: dns, queryTimeout: 1s", UDPLoadBalancer{Affinity: "none", Protocol: "dns", QueryTimeout: seconds(1), Retries: 2}},
		{"one way", "affinity: none, protocol: oneWay", UDPLoadBalancer{Affinity: "none", Protocol: "oneWay", Retries: 2}},
	}
	for _, tt := range balancers {
		t.Run(tt.name, func(t *testing.T) {
			l := load(tt.keys).UDP.Services["s"].LoadBalancer
			got := UDPLoadBalancer{Affinity: l.Affinity, Protocol: l.Protocol, QueryTimeout: l.QueryTimeout, Responses: l.Responses, Retries: l.Retries}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	checks := []struct{ name, keys, typ, recordType string }{
		{"udp", "send: x", "udp", ""},
		{"dns", "type: dns, name: example.com.", "dns", "A"},
		{"the root", "type: dns, name: ., recordType: SOA", "dns", "SOA"},
	}
	for _, tt := range checks {
		t.Run("health check "+tt.name, func(t *testing.T) {
			h := load("healthCheck: {" + tt.keys + "}").UDP.Services["s"].LoadBalancer.HealthCheck
			if h.Type != tt.typ || h.RecordType != tt.recordType {
				t.Errorf("type %q and records %q, want %q and %q", h.Type, h.RecordType, tt.typ, tt.recordType)
			}
		})
	}
}

func TestUDPTransport(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
udp:
  serversTransports: {p: {proxyProtocol: {version: 2}}}
  services:
    named:  {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: p@file}}
    inline: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], affinity: none, serversTransport: {proxyProtocol: {}}}}
    none:   {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
`)
	want := map[string]*UDPServersTransport{
		"named":  {ProxyProtocol: &SendProxyProtocol{Version: 2}},
		"inline": {ProxyProtocol: &SendProxyProtocol{Version: 2}},
		"none":   {},
	}
	for name, transport := range want {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(transport, cfg.UDP.Transport(cfg.UDP.Services[name].LoadBalancer)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What has no meaning for UDP is refused, so a dump may not have it.
func TestDumpOfUDPEntryPoint(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `entryPoints: {"a.b": {address: ":53/udp", transport: {lifeCycle: {graceTimeOut: 5s}}}}`)
	dump, err := cfg.Dump()
	if err != nil {
		t.Fatal(err)
	}
	const want = `entryPoints:
  a.b:
    address: :53/udp
    transport:
      lifeCycle:
        graceTimeOut: 5s
    udp:
      timeout: 1m
      maxSessions: 65536
      maxSessionsPerSource: 256
`
	if !strings.Contains(string(dump), want) {
		t.Errorf("the dump is\n%s\nwant in it\n%s", dump, want)
	}
}

func TestIsDomainName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		name, domain string
		want         bool
	}{
		{"plain", "example.com", true},
		{"with its last dot", "example.com.", true},
		{"the root", ".", true},
		{"of a service", "_sip._udp.example.com", true},
		{"the longest label", long, true},
		{"a longer one", long + "a", false},
		{"the longest name", strings.Repeat(long+".", 3) + long[:61], true},
		{"a longer one of short labels", strings.Repeat(long+".", 3) + long[:62], false},
		{"an empty label", "a..b", false},
		{"two dots", "..", false},
		{"nothing", "", false},
		{"a blank", "a b", false},
		{"another alphabet", "bücher.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isDomainName(tt.domain); got != tt.want {
				t.Errorf("isDomainName(%q) = %v", tt.domain, got)
			}
		})
	}
}
