package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// soundHTTP is a configuration without a fault, to which the tests add theirs.
const soundHTTP = `
entryPoints: {web: {address: ":80"}}
http:
  services:
    s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}
`

func TestCheckHTTPProblems(t *testing.T) {
	tests := []struct {
		name, document string
		want           []string // without the file's name
	}{
		{"servers", `
http:
  services:
    a: {loadBalancer: {servers: [{url: "ftp://a"}, {url: "10.0.0.1:80"}, {url: "http://app:80"}, {url: "h2c://"}, {url: "unix://app.sock"}, {}]}}
    b: {loadBalancer: {servers: [{url: "http://10.0.0.1/base"}, {url: "http://10.0.0.2/?q"}, {url: "https://me:secret@10.0.0.3"}, {url: "http://10.0.0.4:0"}]}}
    c: {loadBalancer: {servers: [{url: "http://10.0.0.1"}, {url: "http://[::ffff:10.0.0.1]:80/"}, {url: "http://[10.0.0.5]"}, {url: "http://10.0.0.6/../x", preservePath: true}]}}
    d: {loadBalancer: {}}
    e: {loadBalancer: {servers: [{url: "http://me:secret@10.0.0.1:80:80"}, {url: "http://"}, {url: "http://[fe80::zz]"}]}}
`, []string{
			`4:40: http.services.a.loadBalancer.servers[0].url: "ftp://a" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`4:58: http.services.a.loadBalancer.servers[1].url: "10.0.0.1:80" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`4:80: http.services.a.loadBalancer.servers[2].url: "app" is a host name, and weir does not look those up here (write the address itself, or discovery: { dns: { name: app, port: ... } })`,
			`4:104: http.services.a.loadBalancer.servers[3].url: "h2c:" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`4:121: http.services.a.loadBalancer.servers[4].url: not the URL of a Unix socket (write it like "unix:///run/app.sock")`,
			`4:141: http.services.a.loadBalancer.servers[5].url: missing (http://, https://, or h2c:// for HTTP/2 without TLS, then ip:port of the server; without a port, 80 or 443. Or unix:// and the path of a socket.)`,
			`5:40: http.services.b.loadBalancer.servers[0].url: the path "/base" would not be used (write preservePath: true to put it before the path of every request, or remove it)`,
			`5:71: http.services.b.loadBalancer.servers[1].url: a query or fragment in the URL would not be sent (remove what follows the path)`,
			`5:100: http.services.b.loadBalancer.servers[2].url: a user in the URL would not be sent (remove what stands before the @)`,
			`5:137: http.services.b.loadBalancer.servers[3].url: port 0, to which nobody can connect (write it like "http://10.0.0.9:8080")`,
			`6:66: http.services.c.loadBalancer.servers[1].url: 10.0.0.1:80 is servers[0] already`,
			`6:105: http.services.c.loadBalancer.servers[2].url: "http://[10.0.0.5]" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`6:133: http.services.c.loadBalancer.servers[3].url: the path "/../x" has . or .. in it (write the path that is meant)`,
			`7:9: http.services.d.loadBalancer.servers: the service has no servers (add one, such as { url: "http://10.0.0.9:8080" }, or write discovery)`,
			`8:40: http.services.e.loadBalancer.servers[0].url: what stands here is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`8:82: http.services.e.loadBalancer.servers[1].url: "http:" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
			`8:100: http.services.e.loadBalancer.servers[2].url: "http://[fe80::zz]" is not the URL of a server (write it like "http://10.0.0.9:8080")`,
		}},
		{"references and circles", soundHTTP + `
    m: {mirroring: {service: s, mirrors: [{name: f}, {name: nope}]}}
    f: {failover: {service: h, fallback: x}}
    h: {highestRandomWeight: {services: [{name: m}, {name: "s@docker"}]}}
    t: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], serversTransport: mutal}}
  serversTransports: {mutual: {}}
  middlewares: {strip: {stripPrefix: {prefixes: [/a]}}}
  routers:
    r: {rule: "Path(` + "`/`" + `)", service: x, middlewares: [stripe], tls: {options: odl, passthrough: true}, entryPoints: [wbe]}
`, []string{
			`7:50: http.services.m.mirroring.mirrors[0].name: leads in a circle: f -> h -> m -> f`,
			`7:61: http.services.m.mirroring.mirrors[1].name: no "nope" in http.services (there are f, h, m, s, t)`,
			`8:42: http.services.f.failover.fallback: no "x" in http.services (did you mean "f"?)`,
			`9:60: http.services.h.highestRandomWeight.services[1].name: "s@docker" names the provider "docker": not supported by weir (everything stands in this configuration)`,
			`10:79: http.services.t.loadBalancer.serversTransport: no "mutal" in http.serversTransports (did you mean "mutual"?)`,
			`14:37: http.routers.r.service: no "x" in http.services (did you mean "f"?)`,
			`14:54: http.routers.r.middlewares[0]: no "stripe" in http.middlewares (did you mean "strip"?)`,
			`14:78: http.routers.r.tls.options: no "odl" in tls.options (tls.options is empty)`,
			`14:83: http.routers.r.tls.passthrough: not supported by weir (passthrough belongs to a router in tcp.routers)`,
			`14:117: http.routers.r.entryPoints[0]: no "wbe" in entryPoints (did you mean "web"?)`,
		}},
		{"choices", soundHTTP + `
    none: {}
    both: {failover: {service: s, fallback: s}, mirroring: {service: s}}
  middlewares: {m: {}, n: {addPrefix: {prefix: /a}, stripPrefix: {prefixes: [/a]}}}
`, []string{
			`7:5: http.services.none: is empty (write one of loadBalancer, weighted, highestRandomWeight, failover, mirroring)`,
			`8:5: http.services.both: is failover and mirroring at the same time (give each a name of its own)`,
			`9:17: http.middlewares.m: is empty (write one of ` + strings.Join(keysIn[HTTPMiddleware](), ", ") + `)`,
			`9:24: http.middlewares.n: is addPrefix and stripPrefix at the same time (give each a name of its own)`,
		}},
		{"middlewares", `
http:
  middlewares:
    a: {addPrefix: {prefix: "a b"}}
    b: {stripPrefix: {prefixes: [api, "/a?", ""], forceSlash: false}}
    c: {redirectScheme: {scheme: ftp, port: "80a"}}
    d: {redirectScheme: {scheme: https, port: "70000"}}
    e: {ipAllowList: {rejectStatusCode: 600}}
    f: {rateLimit: {burst: 0}}
`, []string{
			`4:29: http.middlewares.a.addPrefix.prefix: "/a b" is not a path: it has no blanks, ? or # (write others than letters percent-encoded)`,
			`5:34: http.middlewares.b.stripPrefix.prefixes[0]: no path starts with "api" (write "/api")`,
			`5:39: http.middlewares.b.stripPrefix.prefixes[1]: "/a?" is not a path: it has no blanks, ? or # (write others than letters percent-encoded)`,
			`5:46: http.middlewares.b.stripPrefix.prefixes[2]: must not be empty`,
			`5:63: http.middlewares.b.stripPrefix.forceSlash: false is not supported by weir (a path is never empty)`,
			`6:34: http.middlewares.c.redirectScheme.scheme: unknown value "ftp" (one of http, https)`,
			`6:45: http.middlewares.c.redirectScheme.port: expected a whole number, found the text "80a"`,
			`7:47: http.middlewares.d.redirectScheme.port: 70000 is more than 65535, the most there may be`,
			`8:9: http.middlewares.e.ipAllowList.sourceRange: missing (Addresses or networks that may pass.)`,
			`8:41: http.middlewares.e.ipAllowList.rejectStatusCode: 600 is more than 599, the most there may be`,
			`9:9: http.middlewares.f.rateLimit.average: missing (Requests allowed in each period, on average.)`,
			`9:28: http.middlewares.f.rateLimit.burst: 0 is less than 1, the least there may be`,
		}},
		{"health checks", `
http:
  services:
    a: {loadBalancer: &l {servers: [{url: "http://10.0.0.1"}], healthCheck: {mode: http, type: http}}}
    b: {loadBalancer: {<<: *l, healthCheck: {mode: grcp, path: x}}}
    c: {loadBalancer: {<<: *l, healthCheck: {mode: grpc, path: /x, followRedirects: true}}}
    d: {loadBalancer: {<<: *l, healthCheck: {type: redis}}}
    e: {loadBalancer: {<<: *l, healthCheck: {send: x, status: 600}}}
`, []string{
			`4:84: http.services.a.loadBalancer.healthCheck.mode: stands beside type and means the same (keep one of them)`,
			`5:52: http.services.b.loadBalancer.healthCheck.mode: unknown value "grcp" (did you mean "grpc"?)`,
			`6:64: http.services.c.loadBalancer.healthCheck.path: has no meaning for type grpc (only for type http)`,
			`6:85: http.services.c.loadBalancer.healthCheck.followRedirects: has no meaning for type grpc (only for type http)`,
			`7:52: http.services.d.loadBalancer.healthCheck.type: redis does not fit a HTTP service (one of http, grpc, tcp, tls)`,
			`8:52: http.services.e.loadBalancer.healthCheck.send: has no meaning for type http (only for type tcp, tls, udp)`,
			`8:63: http.services.e.loadBalancer.healthCheck.status: 600 is more than 599, the most there may be`,
		}},
		{"values of services", soundHTTP + `
    a: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], strategy: sni, hashKey: sni, sticky: {cookie: {name: "a b", path: x, domain: "a;b", sameSite: some, maxAge: -1}}}}
    b: {failover: {service: s, fallback: s, errors: {status: [99, "504-500", "5xx", 404, true], maxRequestBodyBytes: 1048577}}}
    c: {mirroring: {service: s, maxBodySize: -2, mirrors: [{name: s, percent: 101}]}}
    d: {weighted: {services: [{name: s}], sticky: {cookie: {name: "="}}}}
    e: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], sticky: {}, responseForwarding: {flushInterval: -9000h}}}
    f: {failover: {service: s, fallback: s, errors: {}}}
`, []string{
			`7:71: http.services.a.loadBalancer.strategy: unknown value "sni" (one of wrr, leastconn, p2c, hrw, maglev, leasttime, random)`,
			`7:85: http.services.a.loadBalancer.hashKey: unknown value "sni" (one of sourceIP, sourceIPPort)`,
			`7:114: http.services.a.loadBalancer.sticky.cookie.name: "a b" is not the name of a cookie`,
			`7:127: http.services.a.loadBalancer.sticky.cookie.path: "x" is not the path of a cookie (it starts with /)`,
			`7:138: http.services.a.loadBalancer.sticky.cookie.domain: "a;b" is not a domain`,
			`7:155: http.services.a.loadBalancer.sticky.cookie.sameSite: unknown value "some" (one of none, lax, strict)`,
			`7:169: http.services.a.loadBalancer.sticky.cookie.maxAge: -1 is less than 0, the least there may be`,
			`8:63: http.services.b.failover.errors.status[0]: "99" is neither a status from 100 to 599 nor a range of them (write it like "404" or "500-504")`,
			`8:67: http.services.b.failover.errors.status[1]: "504-500" is neither a status from 100 to 599 nor a range of them (write it like "404" or "500-504")`,
			`8:78: http.services.b.failover.errors.status[2]: "5xx" is neither a status from 100 to 599 nor a range of them (write it like "404" or "500-504")`,
			`8:90: http.services.b.failover.errors.status[4]: expected a status or a range of them, found true`,
			`8:118: http.services.b.failover.errors.maxRequestBodyBytes: 1048577 is more than 1048576, the most there may be`,
			`9:46: http.services.c.mirroring.maxBodySize: -2 is less than -1, the least there may be`,
			`9:79: http.services.c.mirroring.mirrors[0].percent: 101 is more than 100, the most there may be`,
			`10:67: http.services.d.weighted.sticky.cookie.name: "=" is not the name of a cookie`,
			`11:61: http.services.e.loadBalancer.sticky.cookie: missing (The cookie.)`,
			`11:109: http.services.e.loadBalancer.responseForwarding.flushInterval: -9000h0m0s is less than -8784h0m0s, the least there may be`,
			`12:45: http.services.f.failover.errors.status: missing (Status codes and ranges of them, such as "500-504" and "404".)`,
		}},
		{"transports", `
http:
  serversTransports:
    a: {serverName: "a b", rootCAs: ["-----BEGIN CERTIFICATE-----"], certificates: [{certFile: c}], peerCertURI: x}
    b: {minVersion: VersionTLS13, maxVersion: VersionTLS12, cipherSuites: [TLS_AES_128_GCM_SHA25], maxIdleConnsPerHost: -2}
    c: {maxVersion: VersionTLS11, forwardingTimeouts: {pingTimeout: 1s, dialTimeout: x}, proxyProtocol: {version: 3}}
  services:
    s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], serversTransport: {rootCAs: ["-----BEGIN"], peerCertSANs: []}}}
`, []string{
			`4:21: http.serversTransports.a.serverName: "a b" is not a host name`,
			`4:38: http.serversTransports.a.rootCAs[0]: PEM text in place of a file: not supported by weir (write it to a file and name that)`,
			`4:85: http.serversTransports.a.certificates[0].keyFile: missing (PEM file with the private key.)`,
			`4:101: http.serversTransports.a.peerCertURI: not supported by weir (write serverName)`,
			`5:47: http.serversTransports.b.maxVersion: VersionTLS12 is lower than minVersion VersionTLS13`,
			`5:76: http.serversTransports.b.cipherSuites[0]: unknown cipher suite "TLS_AES_128_GCM_SHA25" (did you mean "TLS_AES_128_GCM_SHA256"?)`,
			`5:121: http.serversTransports.b.maxIdleConnsPerHost: -2 is less than -1, the least there may be`,
			`6:21: http.serversTransports.c.maxVersion: VersionTLS11 is lower than minVersion VersionTLS12`,
			`6:86: http.serversTransports.c.forwardingTimeouts.dialTimeout: "x" is not a duration (write it like "1m30s" or "500ms")`,
			`6:115: http.serversTransports.c.proxyProtocol.version: 3 is more than 2, the most there may be`,
			`8:90: http.services.s.loadBalancer.serversTransport.rootCAs[0]: PEM text in place of a file: not supported by weir (write it to a file and name that)`,
			`8:105: http.services.s.loadBalancer.serversTransport.peerCertSANs: not supported by weir (write serverName)`,
		}},
		{"entrypoints", `
entryPoints:
  a: {address: ":80", http: {redirections: {entryPoint: {to: scure}}, middlewares: [m], tls: {options: x, certResolver: le}}}
  b: {address: ":81", http: {redirections: {entryPoint: {to: ":0"}}, maxHeaderBytes: 1023, underscoreHeadersStrategy: drop}}
  c: {address: ":82", http: {redirections: {entryPoint: {to: d, scheme: http}}, sanitizePath: false}}
  d: {address: ":83", http: {redirections: {entryPoint: {to: c, scheme: http}}, encodedCharacters: {allowEncodedNullCharacter: true}}}
  e: {address: ":84", http: {redirections: {entryPoint: {to: ports}}, maxHeaderBytes: 1048577}, forwardedHeaders: {connection: [x], trustedIPs: [y]}}
  f: {address: ":85", http: {redirections: {}}, transport: {respondingTimeouts: {readTimeout: -1s}, keepAliveMaxRequests: -1}}
  ports: {address: ":1000-1010"}
`, []string{
			`3:62: entryPoints.a.http.redirections.entryPoint.to: no "scure" in entryPoints (there are a, b, c, d, e, f, ports)`,
			`3:85: entryPoints.a.http.middlewares[0]: no "m" in http.middlewares (http.middlewares is empty)`,
			`3:104: entryPoints.a.http.tls.options: no "x" in tls.options (tls.options is empty)`,
			`3:107: entryPoints.a.http.tls.certResolver: not supported by weir (list certificates in tls.certificates)`,
			`4:62: entryPoints.b.http.redirections.entryPoint.to: ":0" is not a port (write it like ":443")`,
			`4:86: entryPoints.b.http.maxHeaderBytes: 1023 is less than 1024, the least there may be`,
			`4:119: entryPoints.b.http.underscoreHeadersStrategy: unknown value "drop" (did you mean "droplookalikes"?)`,
			`5:95: entryPoints.c.http.sanitizePath: false is not supported by weir (routers and servers must see one path, or a rule could be walked around)`,
			`6:62: entryPoints.d.http.redirections.entryPoint.to: leads in a circle: c -> d -> c`,
			`6:128: entryPoints.d.http.encodedCharacters.allowEncodedNullCharacter: true is not supported by weir (no path has one that means well)`,
			`7:62: entryPoints.e.http.redirections.entryPoint.to: "ports" listens on :1000-1010, which is not one port to send clients to (write the port, like ":443")`,
			`7:87: entryPoints.e.http.maxHeaderBytes: 1048577 is more than 1048576, the most there may be`,
			`7:116: entryPoints.e.forwardedHeaders.connection: not supported by weir (a header that Connection names goes no further than weir)`,
			`7:146: entryPoints.e.forwardedHeaders.trustedIPs[0]: "y" is not an address (write an address or a network such as "10.0.0.0/8")`,
			`8:30: entryPoints.f.http.redirections.entryPoint: missing (To another entrypoint.)`,
			`8:95: entryPoints.f.transport.respondingTimeouts.readTimeout: the duration -1s is negative`,
			`8:123: entryPoints.f.transport.keepAliveMaxRequests: -1 is less than 0, the least there may be`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.document))
			var got []string
			for _, p := range problemsOf(t, err) {
				got = append(got, p.Error()[len("x.yaml:"):])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHTTPDefaults(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
entryPoints: {web: {address: ":80", http: {redirections: {entryPoint: {to: ":443"}}}}}
http:
  middlewares:
    allow:    {ipAllowList: {sourceRange: [10.0.0.0/8]}}
    strip:    {stripPrefix: {prefixes: [/a]}}
    add:      {addPrefix: {prefix: a/b}}
    redirect: {redirectScheme: {scheme: https}}
  services:
    s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}], healthCheck: {}, sticky: {cookie: {}}}}
    m: {mirroring: {service: s}}
    f: {failover: {service: s, fallback: s, errors: {status: [500]}}}
    u: {failover: {service: s, fallback: s, errors: {status: ["500-599"], maxRequestBodyBytes: -1}}}
  serversTransports: {t: {}}
`)
	follow := true
	entry := &EntryPoint{
		Address: ":80",
		Transport: Transport{
			SniffTimeout: Duration(10 * time.Second), IdleTimeout: Duration(10 * time.Minute),
			RespondingTimeouts: RespondingTimeouts{ReadTimeout: Duration(time.Minute), IdleTimeout: Duration(3 * time.Minute)},
			LifeCycle:          LifeCycle{GraceTimeOut: Duration(30 * time.Second)},
		},
		HTTP2: EntryPointHTTP2{MaxConcurrentStreams: 250},
		HTTP: EntryPointHTTP{
			Redirections: &Redirections{&EntryPointRedirection{
				To: ":443", Scheme: "https", Permanent: true, Priority: 2147483646,
			}},
			MaxHeaderBytes: 32768, UnderscoreHeaders: "droplookalikes", SanitizePath: true,
			EncodedCharacters: EncodedCharacters{
				AllowEncodedSlash: true, AllowEncodedBackSlash: true, AllowEncodedSemicolon: true,
				AllowEncodedPercent: true, AllowEncodedQuestionMark: true, AllowEncodedHash: true,
			},
		},
	}
	balancer := &HTTPLoadBalancer{
		Strategy: "wrr", HashKey: "sourceIP", PassHostHeader: true,
		Servers: []HTTPServer{{URL: "http://10.0.0.1", Weight: 1}},
		Scheme:  "http",
		Sticky:  &Sticky{&Cookie{Path: "/"}},
		HealthCheck: &HealthCheck{
			Type: "http", Path: "/", Method: "GET", FollowRedirects: &follow,
			Interval: Duration(2 * time.Second), Timeout: Duration(time.Second), Fall: 3, Rise: 2, Jitter: 10,
			FastInterval: Duration(500 * time.Millisecond), Unhealthy: Duration(2 * time.Second),
		},
		PassiveHealthCheck: PassiveHealthCheck{
			MaxFailedAttempts: 5, FailureWindow: Duration(10 * time.Second),
			EjectionTime: Duration(10 * time.Second), MaxEjectionPercent: 50,
		},
		SlowStart: Duration(10 * time.Second), PanicThreshold: 50,
		Connect: Connect{Timeout: Duration(3 * time.Second), Retries: 2},
		Queue:   Queue{Limit: 1024, Timeout: Duration(time.Second)},
	}
	tests := []struct {
		name      string
		want, got any
	}{
		{"entrypoint", entry, cfg.EntryPoints["web"]},
		{"load balancer", balancer, cfg.HTTP.Services["s"].LoadBalancer},
		{"mirroring", &Mirroring{Service: "s", MirrorBody: true, MaxBodySize: 65536}, cfg.HTTP.Services["m"].Mirroring},
		{"errors", &FailoverErrors{Status: []StatusRange{{500, 500}}, MaxRequestBodyBytes: 65536}, cfg.HTTP.Services["f"].Failover.Errors},
		{"errors without a limit", &FailoverErrors{Status: []StatusRange{{500, 599}}, MaxRequestBodyBytes: 1048576},
			cfg.HTTP.Services["u"].Failover.Errors},
		{"transport", &HTTPServersTransport{
			MinVersion: "VersionTLS12", MaxIdleConnsPerHost: 200, ForwardingTimeouts: ForwardingTimeouts{
				IdleConnTimeout: Duration(90 * time.Second), ReadIdleTimeout: Duration(6 * time.Minute), PingTimeout: Duration(15 * time.Second),
			},
		}, cfg.HTTP.ServersTransports["t"]},
		{"allow list", 403, cfg.HTTP.Middlewares["allow"].IPAllowList.RejectStatusCode},
		{"strip", true, cfg.HTTP.Middlewares["strip"].StripPrefix.ForceSlash},
		{"add", "/a/b", cfg.HTTP.Middlewares["add"].AddPrefix.Prefix},
		{"redirect", &RedirectScheme{Scheme: "https"}, cfg.HTTP.Middlewares["redirect"].RedirectScheme},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHTTPServerAddrPort(t *testing.T) {
	tests := []struct {
		name         string
		server       HTTPServer
		scheme, addr string
		base         string
	}{
		{"http", HTTPServer{URL: "http://10.0.0.1"}, "http", "10.0.0.1:80", ""},
		{"https", HTTPServer{URL: "HTTPS://10.0.0.1/"}, "https", "10.0.0.1:443", ""},
		{"port", HTTPServer{URL: "https://[2001:db8::1]:8443"}, "https", "[2001:db8::1]:8443", ""},
		{"mapped", HTTPServer{URL: "http://[::ffff:10.0.0.1]:81"}, "http", "10.0.0.1:81", ""},
		{"path", HTTPServer{URL: "http://10.0.0.1/a%2Fb/c/", PreservePath: true}, "http", "10.0.0.1:80", "/a%2Fb/c"},
		{"root", HTTPServer{URL: "http://10.0.0.1/", PreservePath: true}, "http", "10.0.0.1:80", ""},
		{"path that is not kept", HTTPServer{URL: "http://10.0.0.1/a"}, "http", "10.0.0.1:80", ""},
		{"socket", HTTPServer{URL: "unix:///run/app.sock"}, "unix", "invalid AddrPort", ""},
		{"not parsed", HTTPServer{URL: "http://app", PreservePath: true}, "", "invalid AddrPort", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scheme, addr := tt.server.AddrPort()
			if base := tt.server.BasePath(); scheme != tt.scheme || addr.String() != tt.addr || base != tt.base {
				t.Errorf("%q %s %q, want %q %s %q", scheme, addr, base, tt.scheme, tt.addr, tt.base)
			}
		})
	}
}

func TestHTTPTransport(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
http:
  serversTransports: {p: {serverName: named, forwardingTimeouts: {dialTimeout: 9s}}}
  services:
    named:   {loadBalancer: &l {servers: [{url: "http://10.0.0.1"}], serversTransport: p@file}}
    written: {loadBalancer: {<<: *l, connect: {timeout: 3s}}}
    retries: {loadBalancer: {<<: *l, connect: {retries: 0}}}
    inline:  {loadBalancer: {<<: *l, serversTransport: {serverName: inline, forwardingTimeouts: {dialTimeout: 500ms}}}}
    silent:  {loadBalancer: {<<: *l, serversTransport: {serverName: silent}}}
    none:    {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}
`)
	tests := []struct{ name, serverName, connect string }{
		{"named", "named", "9s"},
		{"written", "named", "3s"},
		{"retries", "named", "9s"},
		{"inline", "inline", "500ms"},
		{"silent", "silent", "3s"},
		{"none", "", "3s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := cfg.HTTP.Services[tt.name].LoadBalancer
			transport := cfg.HTTP.Transport(l)
			if transport.ServerName != tt.serverName || l.Connect.Timeout.String() != tt.connect {
				t.Errorf("server name %q, connect %s, want %q, %s", transport.ServerName, l.Connect.Timeout, tt.serverName, tt.connect)
			}
			if transport.MaxIdleConnsPerHost != 200 || transport.ForwardingTimeouts.IdleConnTimeout.String() != "1m30s" {
				t.Errorf("without its defaults: %+v", transport)
			}
		})
	}
}

func TestEntryPointsAddToRouters(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
entryPoints:
  web:    {address: ":80", http: {redirections: {entryPoint: {to: secure@file}}}}
  alt:    {address: ":81", http: {redirections: {entryPoint: {to: ":8443"}}}}
  secure: {address: ":443", http: {tls: {options: new}, middlewares: [a@file, b]}}
http:
  routers:
    plain: {rule: "Path(`+"`/`"+`)", service: s, middlewares: [c]}
    tls:   {rule: "Path(`+"`/t`"+`)", service: s, tls: {}}
  middlewares: {a: &m {addPrefix: {prefix: /a}}, b: *m, c: *m}
  services: {s: {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}}
tls: {options: {new: {}}}
`)
	tests := []struct {
		name, router, entryPoint string
		tls                      *HTTPRouterTLS
		middlewares              []string
	}{
		{"nothing added", "plain", "web", nil, []string{"c"}},
		{"both added", "plain", "secure", &HTTPRouterTLS{Options: "new"}, []string{"a", "b", "c"}},
		{"own TLS", "tls", "secure", &HTTPRouterTLS{}, []string{"a", "b"}},
		{"own TLS elsewhere", "tls", "web", &HTTPRouterTLS{}, nil},
		{"no such entrypoint", "plain", "nope", nil, []string{"c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := cfg.HTTP.Routers[tt.router]
			if diff := cmp.Diff(tt.tls, cfg.RouterTLS(r, tt.entryPoint)); diff != "" {
				t.Errorf("TLS (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.middlewares, cfg.RouterMiddlewares(r, tt.entryPoint), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("middlewares (-want +got):\n%s", diff)
			}
		})
	}
	for name, want := range map[string]uint16{"web": 443, "alt": 8443} {
		if got := cfg.RedirectPort(cfg.EntryPoints[name].HTTP.Redirections.EntryPoint); got != want {
			t.Errorf("%s redirects to port %d, want %d", name, got, want)
		}
	}
}

func TestStatusRange(t *testing.T) {
	tests := []struct {
		name, written string
		want          StatusRange // zero where it must be refused
	}{
		{"one", "404", StatusRange{404, 404}},
		{"range", "500-504", StatusRange{500, 504}},
		{"bounds", "100-599", StatusRange{100, 599}},
		{"low", "099", StatusRange{}},
		{"high", "600", StatusRange{}},
		{"long", "0404", StatusRange{}},
		{"signed", "+40", StatusRange{}},
		{"backwards", "504-500", StatusRange{}},
		{"three", "500-501-502", StatusRange{}},
		{"open", "500-", StatusRange{}},
		{"blank", "500 - 504", StatusRange{}},
		{"empty", "", StatusRange{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStatusRange(tt.written)
			if got != tt.want || (err == nil) != (tt.want != StatusRange{}) {
				t.Fatalf("%v, %v, want %v", got, err, tt.want)
			}
			if err == nil && got.String() != tt.written {
				t.Errorf("written %q, shown %q", tt.written, got)
			}
		})
	}
	r := StatusRange{500, 504}
	for status, want := range map[int]bool{499: false, 500: true, 504: true, 505: false} {
		if r.Contains(status) != want {
			t.Errorf("%s contains %d: %t", r, status, !want)
		}
	}
}
