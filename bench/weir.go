package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// weir is the weir at path.
func weir(path string) balancer {
	return balancer{
		name:    "weir",
		binary:  path,
		version: []string{"version"},
		file:    "weir.yaml",
		args:    []string{"run", "-c", "{{.Config}}"},
		check:   []string{"check", "-c", "{{.Config}}"},
		ready:   "http://{{.Admin}}/readyz",
		configs: map[shape]string{
			relay: weirHead + `
tcp:
  routers:
    all: { entryPoints: [bench], rule: "HostSNI(` + "`*`" + `)", service: origin }
  services:
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ] } }
`,
			proxied: weirHead + `
tcp:
  routers:
    all: { entryPoints: [bench], rule: "HostSNI(` + "`*`" + `)", service: origin }
  services:
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ], serversTransport: { proxyProtocol: { version: 2 } } } }
`,
			pair: weirHead + `
tcp:
  routers:
    all: { entryPoints: [bench], rule: "HostSNI(` + "`*`" + `)", service: origin }
  services:
    origin:
      loadBalancer:
        servers: [ { address: "{{index .Origins 0}}" }, { address: "{{index .Origins 1}}" } ]
` + weirPair,
			webPair: weirHead + `
http:
  routers:
    all: { entryPoints: [bench], rule: "PathPrefix(` + "`/`" + `)", service: origin }
  services:
    origin:
      loadBalancer:
        servers: [ { url: "http://{{index .Origins 0}}" }, { url: "http://{{index .Origins 1}}" } ]
` + weirPair,
			many: weirHead + `
tcp:
  routers:
    all: { entryPoints: [bench], rule: "HostSNI(` + "`*`" + `)", service: origin }
  services:
    origin:
      loadBalancer:
        servers:
{{- range .Backends}}
          - { address: "{{.}}" }
{{- end}}
`,
			services: weirHead + `
http:
  routers:
{{- range $i, $host := .Hosts}}
    r{{$i}}: { entryPoints: [bench], rule: "Host(` + "`{{$host}}`" + `)", service: s{{$i}} }
{{- end}}
  services:
{{- range $i, $addr := .Backends}}
    s{{$i}}: { loadBalancer: { servers: [ { url: "http://{{$addr}}" } ] } }
{{- end}}
`,
			bySNI: weirHead + `
tcp:
  routers:
    one: { entryPoints: [bench], rule: "HostSNI(` + "`{{index .Names 0}}`" + `)", tls: { passthrough: true }, service: one }
    two: { entryPoints: [bench], rule: "HostSNI(` + "`{{index .Names 1}}`" + `)", tls: { passthrough: true }, service: two }
  services:
    one: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ] } }
    two: { loadBalancer: { servers: [ { address: "{{index .Origins 1}}" } ] } }
`,
			web: weirHead + `
http:
  routers:
    all: { entryPoints: [bench], rule: "PathPrefix(` + "`/`" + `)", service: origin }
` + weirHTTP,
			secure: weirHead + `
tls:
  certificates: [ { certFile: "{{.Cert}}", keyFile: "{{.Key}}" } ]
http:
  routers:
    all: { entryPoints: [bench], rule: "PathPrefix(` + "`/`" + `)", tls: {}, service: origin }
` + weirHTTP,
			routes: weirHead + `
http:
  routers:
{{- range $h, $host := .Hosts}}{{range $p, $path := $.Paths}}
    r{{$h}}-{{$p}}: { entryPoints: [bench], rule: "Host(` + "`{{$host}}`" + `) && PathPrefix(` + "`{{$path}}`" + `)", service: origin }
{{- end}}{{end}}
` + weirHTTP,
			second: weirHead + `
tls:
  certificates: [ { certFile: "{{.Cert}}", keyFile: "{{.Key}}" } ]
http:
  routers:
    all: { entryPoints: [bench], rule: "PathPrefix(` + "`/`" + `)", tls: {}, service: origin }
` + weirHTTP,
			passes: weirHead + `
http:
  routers:
    all: { entryPoints: [bench], rule: "PathPrefix(` + "`/`" + `)", service: origin, middlewares: [ ` + strings.Join(chainNames(), ", ") + ` ] }
  middlewares:
` + chainText() + weirHTTP,
			lasting: weirUDP + `
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ] } }
`,
			brief: weirUDP + `
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ], responses: 1 } }
`,
			queries: weirUDP + `
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ], affinity: none, protocol: dns } }
`,
			oneWay: weirUDP + `
    origin: { loadBalancer: { servers: [ { address: "{{index .Origins 0}}" } ], affinity: none, protocol: oneWay } }
`,
		},
		reloadBy: unix.SIGHUP,
	}
}

// weirPair ends the shapes with two backends. A connection that a backend
// refuses goes to the other one by default. That a backend which comes back
// gets its share at once is what the others do.
const weirPair = `        healthCheck: { type: tcp, interval: 500ms, fall: 2, rise: 2 }
        slowStart: 0s
`

// weirHead is common to all shapes.
const weirHead = `# One loop, because it has one CPU, unless more are asked for. Limits, deadlines and passive health are
# left at their defaults; the access log and health checks are off by default.
log: { level: warn }
admin: { address: "{{.Admin}}" }
engine: { loops: {{.Loops}} }
entryPoints:
  bench: { address: "{{.Listen}}{{if eq .Network "udp"}}/udp", udp: { timeout: 60s, maxSessions: 65536, maxSessionsPerSource: 65536 }{{else}}"{{end}}{{if .Proxied}}, proxyProtocol: { trustedIPs: ["127.0.0.0/8"] }{{end}} }
`

// weirUDP begins the UDP shapes. The number of flows from one address is
// bounded far lower by default, and many clients here have the same.
const weirUDP = weirHead + `
udp:
  routers:
    all: { entryPoints: [bench], service: origin }
  services:`

// weirHTTP ends the HTTP shapes.
const weirHTTP = `  services:
    origin: { loadBalancer: { servers: [ { url: "http://{{index .Origins 0}}" } ] } }
`

// chain are the middlewares of the shape passes, in the order that requests
// go through them: those that guard a service, and such that change every
// request and every response. None answers, and none has a body to change:
// what is measured is what it costs to have them.
func chain() [10]struct{ name, does string } {
	return [10]struct{ name, does string }{
		{"only", `ipAllowList: { sourceRange: [ 127.0.0.0/8 ] }`},
		{"calm", `rateLimit: { average: 1000000000, burst: 1000000000 }`},
		{"few", `inFlightReq: { amount: 100000 }`},
		{"pages", `errors: { status: [ "500-599" ], service: origin }`},
		{"breaker", `circuitBreaker: { expression: "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(99.0) > 100000" }`},
		{"again", `retry: { attempts: 3 }`},
		{"mark", `headers: { customRequestHeaders: { X-Bench: "yes" }, customResponseHeaders: { X-Bench: "yes" }, frameDeny: true }`},
		{"deeper", `addPrefix: { prefix: /deeper }`},
		{"strip", `stripPrefix: { prefixes: [ /deeper ] }`},
		{"smaller", `compress: {}`},
	}
}

func chainNames() []string {
	var names []string
	for _, m := range chain() {
		names = append(names, m.name)
	}
	return names
}

// chainText is the middlewares as configuration, a line for each.
func chainText() string {
	var b strings.Builder
	for _, m := range chain() {
		fmt.Fprintf(&b, "    %s: { %s }\n", m.name, m.does)
	}
	return b.String()
}

// noMiddlewares is why rivals have no part in the shape passes.
const noMiddlewares = "weir's middlewares are compared with weir without them"
