package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sound is a configuration without a fault, to which the tests add theirs.
const sound = `
entryPoints: {web: {address: ":80"}, games: {address: "10.0.0.1:1000-1010"}}
tcp:
  services:
    s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
`

func TestCheckProblems(t *testing.T) {
	tests := []struct {
		name, document string
		want           []string // without the file's name
	}{
		{"port clashes", `
entryPoints:
  a: {address: ":80"}
  b: {address: "127.0.0.1:80"}
  c: {address: "[::]:75-80"}
  d: {address: ":9901"}
  e: {address: ":0"}
  f: {address: ":0"}
  g: {address: "0.0.0.0:90"}
  h: {address: "[::]:90"}
`, []string{
			`4:16: entryPoints.b.address: 127.0.0.1:80 clashes with :80 of entryPoints.a at x.yaml:3:16`,
			`5:16: entryPoints.c.address: [::]:75-80 clashes with :80 of entryPoints.a at x.yaml:3:16`,
			`6:16: entryPoints.d.address: :9901 clashes with the admin endpoint at 127.0.0.1:9901`,
		}},
		{"addresses", `
admin: {address: "localhost:1"}
entryPoints: {a: {address: "80"}, b: {address: "db:80"}, c: {address: ":80/sctp"}, d: {address: ":9-8"}, e: {address: ":70000"}, f: {}}
`, []string{
			`2:18: admin.address: "localhost" is not an IP address: write the address to listen on, or nothing for all`,
			`3:28: entryPoints.a.address: "80" has no port: write ip:port, or :port for all addresses`,
			`3:48: entryPoints.b.address: "db" is not an IP address: write the address to listen on, or nothing for all`,
			`3:71: entryPoints.c.address: unknown network "sctp": write /tcp, /udp or nothing`,
			`3:97: entryPoints.d.address: 9-8 is not a range of ports`,
			`3:119: entryPoints.e.address: "70000" is not a port: write a number from 0 to 65535`,
			`3:130: entryPoints.f.address: missing ([ip]:port or [ip]:first-last, then nothing, /tcp or /udp. Without an ip: all IPv4 and IPv6 addresses.)`,
		}},
		{"PROXY protocol that trusts nobody", `
entryPoints: {a: {address: ":80", proxyProtocol: {require: true}}}
`, []string{
			`2:35: entryPoints.a.proxyProtocol: trusts nobody, so no header would ever be read (name the proxies in trustedIPs)`,
		}},
		{"networks", `
entryPoints: {a: {address: ":80", proxyProtocol: {trustedIPs: [10.0.0.0/33, "::1", host]}}}
`, []string{
			`2:64: entryPoints.a.proxyProtocol.trustedIPs[0]: "10.0.0.0/33" is not a prefix (write an address or a network such as "10.0.0.0/8")`,
			`2:84: entryPoints.a.proxyProtocol.trustedIPs[2]: "host" is not an address (write an address or a network such as "10.0.0.0/8")`,
		}},
		{"durations", `
entryPoints:
  a: {address: ":80", transport: {sniffTimeout: 0s, idleTimeout: 5 parsecs, lifeCycle: {graceTimeOut: -3s, requestAcceptGraceTimeout: 9000h}}}
  b: {address: ":81", transport: {sniffTimeout: true, idleTimeout: 999999999999, lifeCycle: {graceTimeOut: 1.5}}}
`, []string{
			`3:49: entryPoints.a.transport.sniffTimeout: 0s is less than 1ms, the least there may be`,
			`3:66: entryPoints.a.transport.idleTimeout: "5 parsecs" is not a duration (write it like "1m30s" or "500ms")`,
			`3:103: entryPoints.a.transport.lifeCycle.graceTimeOut: the duration -3s is negative`,
			`3:135: entryPoints.a.transport.lifeCycle.requestAcceptGraceTimeout: the duration 9000h0m0s is longer than a year`,
			`4:49: entryPoints.b.transport.sniffTimeout: expected a duration, found true`,
			`4:68: entryPoints.b.transport.idleTimeout: 999999999999 seconds is out of range (write it like "1m30s" or "500ms")`,
			`4:108: entryPoints.b.transport.lifeCycle.graceTimeOut: expected a duration, found the number 1.5`,
		}},
		{"references", `
entryPoints: {web: {address: ":80"}}
tcp:
  routers:
    r: {entryPoints: [wbe, web, web], rule: "HostSNI(` + "`*`" + `)", service: mian, middlewares: [clam, x@docker], tls: {options: odl}}
    q: {rule: "HostSNI(` + "`*`" + `)", service: api@internal}
  middlewares: {calm: {inFlightConn: {amount: 1}}}
  services: {main: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: nope}}}
tls: {options: {old: {}}}
`, []string{
			`5:23: tcp.routers.r.entryPoints[0]: no "wbe" in entryPoints (did you mean "web"?)`,
			`5:33: tcp.routers.r.entryPoints[2]: "web" is named twice`,
			`5:70: tcp.routers.r.service: no "mian" in tcp.services (did you mean "main"?)`,
			`5:90: tcp.routers.r.middlewares[0]: no "clam" in tcp.middlewares (did you mean "calm"?)`,
			`5:96: tcp.routers.r.middlewares[1]: "x@docker" names the provider "docker": not supported by weir (everything stands in this configuration)`,
			`5:122: tcp.routers.r.tls.options: no "odl" in tls.options (did you mean "old"?)`,
			`6:40: tcp.routers.q.service: "api@internal" names the provider "internal": not supported by weir (everything stands in this configuration)`,
			`8:90: tcp.services.main.loadBalancer.serversTransport: no "nope" in tcp.serversTransports (tcp.serversTransports is empty)`,
		}},
		{"nowhere to listen", `
tcp:
  routers: {r: {rule: "HostSNI(` + "`*`" + `)", service: s}}
  services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}}
`, []string{`3:13: tcp.routers.r.entryPoints: there is no TCP entrypoint to listen on (add one to entryPoints)`}},
		{"a broken section hides what refers to it", `
entryPoints: [web]
tcp:
  routers: {r: {entryPoints: [web], rule: "HostSNI(` + "`*`" + `)", service: s, middlewares: [m]}}
  middlewares: 5
  services: all
`, []string{
			`2:14: entryPoints: expected a map, found a list`,
			`5:16: tcp.middlewares: expected a map, found the number 5`,
			`6:13: tcp.services: expected a map, found the text "all"`,
		}},
		{"circles", `
tcp:
  services:
    a: {weighted: {services: [{name: b}, {name: a}]}}
    b: {failover: {service: c, fallback: d}}
    c: {weighted: {services: [{name: a}]}}
    d: {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
`, []string{
			`4:49: tcp.services.a.weighted.services[1].name: leads in a circle: a -> a`,
			`6:38: tcp.services.c.weighted.services[0].name: leads in a circle: a -> b -> c -> a`,
		}},
		{"choices", sound + `
    none: {}
    both: {failover: {service: s, fallback: s}, weighted: {services: [{name: s}]}}
    slip: {loadBalancr: {}}
  middlewares: {m: {}}
`, []string{
			`7:5: tcp.services.none: is empty (write one of loadBalancer, weighted, failover)`,
			`8:5: tcp.services.both: is weighted and failover at the same time (give each a name of its own)`,
			`9:12: tcp.services.slip.loadBalancr: unknown key (did you mean "loadBalancer"?)`,
			`10:17: tcp.middlewares.m: is empty (write one of ipAllowList, inFlightConn, rateLimit)`,
		}},
		{"missing", sound + `
    w: {weighted: {services: []}}
    f: {failover: {service: s}}
  middlewares: {a: {ipAllowList: {}}, b: {inFlightConn: {amount: 0}}, c: {rateLimit: {}}}
  routers: {r: {rule: ""}}
`, []string{
			`7:30: tcp.services.w.weighted.services: must not be empty (The services and their weights.)`,
			`8:9: tcp.services.f.failover.fallback: missing (The service used otherwise.)`,
			`9:21: tcp.middlewares.a.ipAllowList.sourceRange: missing (Addresses or networks that may pass.)`,
			`9:66: tcp.middlewares.b.inFlightConn.amount: 0 is less than 1, the least there may be`,
			`9:75: tcp.middlewares.c.rateLimit.average: missing (New connections, datagrams or requests allowed in each period, on average.)`,
			`10:13: tcp.routers.r.service: missing (TCP service the connection goes to.)`,
			"10:23: tcp.routers.r.rule: must not be empty (Matchers HostSNI, HostSNIRegexp, ClientIP and ALPN, joined by && || ! ( ).)",
		}},
		{"servers", `
tcp:
  services:
    a: {loadBalancer: {servers: [{address: "db.internal:5432"}, {address: "10.0.0.1"}, {address: "10.0.0.1:0"}, {address: "10.0.0.1:1", weight: -1}, {address: "[::ffff:10.0.0.1]:1"}, {}]}}
    b: {loadBalancer: {servers: []}}
    c: {loadBalancer: {}}
`, []string{
			`4:44: tcp.services.a.loadBalancer.servers[0].address: "db.internal" is a host name, and weir does not look those up here (write the address itself, or discovery: { dns: { name: db.internal, port: ... } })`,
			`4:75: tcp.services.a.loadBalancer.servers[1].address: "10.0.0.1" is not ip:port (write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432")`,
			`4:98: tcp.services.a.loadBalancer.servers[2].address: 10.0.0.1:0 has port 0, to which nobody can connect (write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432")`,
			`4:145: tcp.services.a.loadBalancer.servers[3].weight: -1 is less than 0, the least there may be`,
			`4:160: tcp.services.a.loadBalancer.servers[4].address: [::ffff:10.0.0.1]:1 is servers[3] already`,
			`4:184: tcp.services.a.loadBalancer.servers[5].address: missing (ip:port of the server.)`,
			`5:24: tcp.services.b.loadBalancer.servers: the service has no servers (add one, such as { address: "10.0.0.1:5432" }, or write discovery)`,
			`6:9: tcp.services.c.loadBalancer.servers: the service has no servers (add one, such as { address: "10.0.0.1:5432" }, or write discovery)`,
		}},
		{"rules", sound + `
  routers:
    a: {service: s, rule: "HostSNI(` + "`db.example.com`" + `)"}
    b: {service: s, rule: "ClientIP(` + "`10.0.0.0/8`" + `) && ALPN(` + "`h2`" + `)"}
    c: {service: s, rule: "HostSNI(` + "`*`" + `"}
    d: {service: s, tls: {}, rule: "Host(` + "`a`" + `) || ClientIP(` + "`a`" + `)"}
    e: {service: s, tls: {}, rule: "HostSNI(` + "`a`" + `) && HostSNI(` + "`b`" + `)"}
    f: {service: s, tls: 1, rule: "HostSNI(` + "`a`" + `)", ruleSyntax: v2}
`, []string{
			"8:27: tcp.routers.a.rule: HostSNI(`db.example.com`) matches TLS connections only, and the router takes none, at character 1 of the rule (add tls: {} to end TLS here, or tls: { passthrough: true })",
			"9:27: tcp.routers.b.rule: ALPN(`h2`) matches TLS connections only, and the router takes none, at character 27 of the rule (add tls: {} to end TLS here, or tls: { passthrough: true })",
			"10:27: tcp.routers.c.rule: RULE",
			"11:36: tcp.routers.d.rule: RULE",
			"11:36: tcp.routers.d.rule: RULE",
			"12:36: tcp.routers.e.rule: RULE",
			`13:26: tcp.routers.f.tls: expected a map, found the number 1`,
			`13:63: tcp.routers.f.ruleSyntax: unknown value "v2" (did you mean "v3"?)`,
		}},
		{"health checks", `
tcp:
  services:
    a: {loadBalancer: &l {servers: [{address: "10.0.0.1:1"}], healthCheck: {type: dns, name: a}}}
    b: {loadBalancer: {<<: *l, healthCheck: {type: redis, path: /x, send: PING}}}
    c: {loadBalancer: {<<: *l, healthCheck: {type: http, path: x, method: "G T", hostname: "a b", headers: {"a b": c, d: "e\nf"}, status: 99}}}
    d: {loadBalancer: {<<: *l, healthCheck: {user: weir, jitter: 101, fall: 0, mode: http, followRedirects: true}}}
    e: {loadBalancer: {<<: *l, healthCheck: {type: grpc}}}
`, []string{
			`4:83: tcp.services.a.loadBalancer.healthCheck.type: dns does not fit a TCP service (one of tcp, tls, http, postgres, mysql, redis, grpc)`,
			`5:65: tcp.services.b.loadBalancer.healthCheck.path: has no meaning for type redis (only for type http)`,
			`5:75: tcp.services.b.loadBalancer.healthCheck.send: has no meaning for type redis (only for type tcp, tls, udp)`,
			`6:64: tcp.services.c.loadBalancer.healthCheck.path: "x" is not the path of a request: it starts with / and has no blanks`,
			`6:75: tcp.services.c.loadBalancer.healthCheck.method: "G T" is not a method`,
			`6:92: tcp.services.c.loadBalancer.healthCheck.hostname: "a b" is not a host name`,
			`6:116: tcp.services.c.loadBalancer.healthCheck.headers.a b: "a b" is not a header name`,
			`6:122: tcp.services.c.loadBalancer.healthCheck.headers.d: "e\nf" has a control character`,
			`6:139: tcp.services.c.loadBalancer.healthCheck.status: 99 is less than 100, the least there may be`,
			`7:52: tcp.services.d.loadBalancer.healthCheck.user: has no meaning for type tcp (only for type postgres, mysql)`,
			`7:66: tcp.services.d.loadBalancer.healthCheck.jitter: 101 is more than 100, the most there may be`,
			`7:77: tcp.services.d.loadBalancer.healthCheck.fall: 0 is less than 1, the least there may be`,
			`7:86: tcp.services.d.loadBalancer.healthCheck.mode: not supported by weir (write type)`,
			`7:109: tcp.services.d.loadBalancer.healthCheck.followRedirects: not supported by weir (a redirect counts as healthy where status is not given)`,
			`8:52: tcp.services.e.loadBalancer.healthCheck.type: grpc is not served by this version of weir`,
		}},
		{"Traefik's keys", sound + `
  routers:
    x: {service: s, rule: "HostSNI(` + "`a`" + `)", tls: {certResolver: le, domains: [{main: a}]}}
  middlewares: {m: {plugin: {}}}
http: {middlewares: {x: {ipWhiteList: {}}}}
providers: {docker: {}}
`, []string{
			`8:49: tcp.routers.x.tls.certResolver: not supported by weir (list certificates in tls.certificates)`,
			`8:67: tcp.routers.x.tls.domains: not supported by weir (list certificates in tls.certificates; the rule says which names are routed)`,
			`9:21: tcp.middlewares.m.plugin: not supported by weir`,
			`10:26: http.middlewares.x.ipWhiteList: not supported by weir (write ipAllowList)`,
			`11:1: providers: not supported by weir (routing stands in the same file, or name a directory of files)`,
		}},
		{"TLS to servers", `
tcp:
  serversTransports: {t: {tls: {}, dialTimeout: 3s}}
  services:
    a: {loadBalancer: {servers: [{address: "10.0.0.1:1", tls: true}], serversTransport: {tls: {}, proxyProtocol: {version: 3}}}}
    b: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: 5}}
`, []string{
			`3:27: tcp.serversTransports.t.tls: not served by this version of weir (weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them)`,
			`3:36: tcp.serversTransports.t.dialTimeout: not supported by weir (write loadBalancer.connect.timeout)`,
			`5:58: tcp.services.a.loadBalancer.servers[0].tls: not served by this version of weir (weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them)`,
			`5:90: tcp.services.a.loadBalancer.serversTransport.tls: not served by this version of weir (weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them)`,
			`5:124: tcp.services.a.loadBalancer.serversTransport.proxyProtocol.version: 3 is more than 2, the most there may be`,
			`6:78: tcp.services.b.loadBalancer.serversTransport: expected a name or a map, found the number 5`,
		}},
		{"TLS", `
tls:
  certificates: [{certFile: "-----BEGIN CERTIFICATE-----", keyFile: k, stores: [other]}, {}]
  stores: {other: {}, default: {defaultCertificate: {certFile: "-----BEGIN CERTIFICATE-----"}, defaultGeneratedCert: {}}}
  options:
    a: {minVersion: VersionTLS13, maxVersion: VersionTLS12, cipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHAA], curvePreferences: [P256], alpnProtocols: [""]}
    b: {clientAuth: {clientAuthType: RequireAndVerifyClientCert}}
    c: {minVersion: TLS12, disableSessionTickets: 1}
`, []string{
			`3:29: tls.certificates[0].certFile: PEM text in place of a file: not supported by weir (write it to a file and name that)`,
			`3:81: tls.certificates[0].stores[0]: no store "other" (only default exists)`,
			`3:90: tls.certificates[1].certFile: missing (PEM file with the certificate and its chain.)`,
			`3:90: tls.certificates[1].keyFile: missing (PEM file with the private key.)`,
			`4:12: tls.stores.other: no store "other" (only default exists)`,
			`4:33: tls.stores.default.defaultCertificate.keyFile: missing (PEM file with the private key.)`,
			`4:64: tls.stores.default.defaultCertificate.certFile: PEM text in place of a file: not supported by weir (write it to a file and name that)`,
			`4:96: tls.stores.default.defaultGeneratedCert: not supported by weir (write defaultCertificate)`,
			`6:47: tls.options.a.maxVersion: VersionTLS12 is lower than minVersion VersionTLS13`,
			`6:76: tls.options.a.cipherSuites[0]: unknown cipher suite "TLS_RSA_WITH_AES_128_CBC_SHAA" (did you mean "TLS_RSA_WITH_AES_128_CBC_SHA"?)`,
			`6:127: tls.options.a.curvePreferences[0]: unknown curve "P256" (did you mean "CurveP256"?)`,
			`6:150: tls.options.a.alpnProtocols[0]: must not be empty`,
			`7:9: tls.options.b.clientAuth.caFiles: missing (RequireAndVerifyClientCert needs to know whose certificates to believe)`,
			`8:21: tls.options.c.minVersion: unknown value "TLS12" (did you mean "VersionTLS12"?)`,
			`8:51: tls.options.c.disableSessionTickets: expected true or false, found the number 1`,
		}},
		{"names", `
entryPoints: {"": {address: ":1"}, "a\nb": {address: ":2"}, ` + strings.Repeat("n", 256) + `: {address: ":3"}}
`, []string{
			`2:15: entryPoints: a name must not be empty`,
			`2:36: entryPoints: the name "a\nb" has a control character`,
			`2:61: entryPoints: the name "` + strings.Repeat("n", 80) + `..." is longer than 255 bytes`,
		}},
		{"sections that lean on others", `
entryPoints: {web: {address: ":80"}}
http:
  routers: {r: {rule: "Path(` + "`x`" + `)", service: nope}}
  services: {s: {loadBalancer: {servers: [{url: "ftp://a"}], healthCheck: {send: x}}}}
cluster: {name: a, bind: "10.0.0.1:7946", join: [pe er]}
`, []string{
			`4:23: http.routers.r.rule: RULE`,
			`4:45: http.routers.r.service: no "nope" in http.services (there are s)`,
			`5:49: http.services.s.loadBalancer.servers[0].url: "ftp://a" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`5:82: http.services.s.loadBalancer.healthCheck.send: has no meaning for type http (only for type tcp, tls, udp)`,
			`6:1: cluster.keyFile: missing (off loopback the talk between nodes is encrypted)`,
			`6:50: cluster.join[0]: "pe er" is neither an address nor the name of a host (write an ip or host, with or without a port, like "10.0.0.12:7946", or srv+NAME)`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.document))
			var got []string
			for _, p := range problemsOf(t, err) {
				line := strings.TrimPrefix(p.Error(), "x.yaml:")
				// What is wrong with a rule is the rule package's to word.
				if i := strings.Index(line, ".rule: "); i >= 0 && slices.ContainsFunc(tt.want, func(w string) bool {
					return w == line[:i]+".rule: RULE"
				}) {
					line = line[:i] + ".rule: RULE"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultEntryPoints(t *testing.T) {
	const rest = "\ntcp:\n  routers: {r: {rule: 'HostSNI(`*`)', service: s}}\n  services: {s: {loadBalancer: {servers: [{address: \"10.0.0.1:1\"}]}}}\n"
	tests := []struct {
		name, entryPoints string
		want              []string
	}{
		{"all", `entryPoints: {b: {address: ":2"}, a: {address: ":1"}}`, []string{"a", "b"}},
		{"the marked", `entryPoints: {c: {address: ":3", asDefault: true}, b: {address: ":2"}, a: {address: ":1", asDefault: true}}`, []string{"a", "c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, "x.yaml", tt.entryPoints+rest)
			if diff := cmp.Diff(tt.want, cfg.TCP.Routers["r"].EntryPoints); diff != "" {
				t.Errorf("entrypoints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettledDefaults(t *testing.T) {
	tests := []struct {
		name, check         string
		interval, fast, ill string
		typ, path           string
	}{
		{"nothing said", "{}", "2s", "500ms", "2s", "tcp", ""},
		{"short interval", "{interval: 100ms}", "100ms", "100ms", "100ms", "tcp", ""},
		{"all said", "{type: http, path: /p, interval: 10, fastInterval: 3s, unhealthyInterval: 1m}", "10s", "3s", "1m", "http", "/p"},
		{"http", "{type: http}", "2s", "500ms", "2s", "http", "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, "x.yaml", `tcp: {services: {s: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], healthCheck: `+tt.check+`}}}}`)
			h := cfg.TCP.Services["s"].LoadBalancer.HealthCheck
			got := []string{h.Interval.String(), h.FastInterval.String(), h.Unhealthy.String(), h.Type, h.Path}
			if diff := cmp.Diff([]string{tt.interval, tt.fast, tt.ill, tt.typ, tt.path}, got); diff != "" {
				t.Errorf("interval, fast, unhealthy, type, path (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplicitZeroBeatsDefault(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
tcp:
  services:
    s:
      loadBalancer:
        servers: [{address: "10.0.0.1:1", weight: 0}, {address: "10.0.0.2:1"}]
        connect: {retries: 0}
        panicThreshold: 0
        slowStart: 0s
`)
	l := cfg.TCP.Services["s"].LoadBalancer
	got := []any{l.Servers[0].Weight, l.Servers[1].Weight, l.Connect.Retries, l.Connect.Timeout.String(), l.PanicThreshold, l.SlowStart.String(), l.Queue.Limit, l.Queue.Timeout.String()}
	want := []any{0, 1, 0, "3s", 0, "0s", 1024, "1s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTransport(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
tcp:
  serversTransports: {p: {proxyProtocol: {version: 1}}}
  services:
    named:  {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: p@file}}
    inline: {loadBalancer: {servers: [{address: "10.0.0.1:1"}], serversTransport: {proxyProtocol: {}}}}
    none:   {loadBalancer: {servers: [{address: "10.0.0.1:1"}]}}
`)
	want := map[string]*TCPServersTransport{
		"named":  {ProxyProtocol: &SendProxyProtocol{Version: 1}},
		"inline": {ProxyProtocol: &SendProxyProtocol{Version: 2}},
		"none":   {},
	}
	for name, transport := range want {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(transport, cfg.TCP.Transport(cfg.TCP.Services[name].LoadBalancer)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	_, err := Parse("x.yaml", []byte("log: {"+func() string {
		var b strings.Builder
		for i := range 1000 {
			b.WriteString("k" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ": 1, ")
		}
		return b.String()
	}()+"}"))
	if n := len(problemsOf(t, err)); n != maxProblems {
		t.Errorf("%d problems, want %d", n, maxProblems)
	}
}
