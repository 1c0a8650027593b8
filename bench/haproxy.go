package main

import "golang.org/x/sys/unix"

// haproxy is HAProxy as Debian ships it.
func haproxy() balancer {
	return balancer{
		name:    "haproxy",
		binary:  "haproxy",
		version: []string{"-v"},
		file:    "haproxy.cfg",
		args:    []string{"-db", "-f", "{{.Config}}"},
		check:   []string{"-c", "-f", "{{.Config}}"},
		lacks: map[shape]string{
			lasting: haproxyNoUDP, brief: haproxyNoUDP, queries: haproxyNoUDP, oneWay: haproxyNoUDP,
			passes: noMiddlewares,
		},
		configs: map[shape]string{
			relay: haproxyHead + `
frontend bench
    bind {{.Listen}}
    default_backend origin

backend origin
    server origin {{index .Origins 0}}
`,
			proxied: haproxyHead + `
frontend bench
    bind {{.Listen}} accept-proxy
    default_backend origin

backend origin
    server origin {{index .Origins 0}} send-proxy-v2
`,
			pair: haproxyHead + `
frontend bench
    bind {{.Listen}}
    default_backend origin
` + haproxyPair,
			webPair: haproxyHead + `
frontend bench
    bind {{.Listen}}
    default_backend origin
` + haproxyPair + `    http-reuse always
`,
			many: haproxyHead + `
frontend bench
    bind {{.Listen}}
    default_backend origin

backend origin
{{- range $i, $addr := .Backends}}
    server s{{$i}} {{$addr}}
{{- end}}
`,
			services: haproxyHead + `
frontend bench
    bind {{.Listen}}
    use_backend %[req.hdr(host),map_str({{.Dir}}/services.map)]
{{range $i, $addr := .Backends}}
backend s{{$i}}
    http-reuse always
    server origin {{$addr}}
{{end}}`,
			bySNI: haproxyHead + `
frontend bench
    bind {{.Listen}}
    tcp-request inspect-delay 5s
    tcp-request content accept if { req.ssl_hello_type 1 }
    use_backend one if { req.ssl_sni -i {{index .Names 0}} }
    use_backend two if { req.ssl_sni -i {{index .Names 1}} }

backend one
    server one {{index .Origins 0}}

backend two
    server two {{index .Origins 1}}
`,
			web: haproxyHead + `
frontend bench
    bind {{.Listen}}
    default_backend origin
` + haproxyHTTP,
			secure: haproxyHead + `
frontend bench
    bind {{.Listen}} ssl crt {{.Bundle}} alpn http/1.1
    default_backend origin
` + haproxyHTTP,
			second: haproxyHead + `
frontend bench
    bind {{.Listen}} ssl crt {{.Bundle}} alpn h2
    default_backend origin
` + haproxyHTTP,
			// The map is searched for the longest prefix. It tells capitals
			// in host names from small letters, which spares HAProxy work
			// that the others do.
			routes: haproxyHead + `
frontend bench
    bind {{.Listen}}
    use_backend %[base,map_beg({{.Dir}}/routes.map)]
` + haproxyHTTP,
		},
		extras: map[string]string{"routes.map": `{{range $host := .Hosts}}{{range $.Paths}}{{$host}}{{.}} origin
{{end}}{{end}}`, "services.map": `{{range $i, $host := .Hosts}}{{$host}} s{{$i}}
{{end}}`},
		// The master starts another worker at SIGUSR2, and the old one ends with
		// its connections.
		reloadBy:   unix.SIGUSR2,
		reloadable: []string{"-W", "-db", "-f", "{{.Config}}"},
	}
}

const haproxyNoUDP = "it does not balance UDP"

// haproxyHead is common to all shapes.
const haproxyHead = `# One thread, because it has one CPU, unless more are asked for. Nothing is logged, as in the others.
# Splicing is left off: it is off unless asked for ("option splice-auto").
# Health checks are off, as in the others.
global
    nbthread {{.Loops}}
    maxconn {{.MaxConn}}
    ssl-default-bind-options prefer-client-ciphers

defaults
    mode {{if .Hosts}}http{{else}}tcp{{end}}
    timeout connect 3s
    timeout client 10m
    timeout server 10m
`

// haproxyPair ends the shapes with two backends. A connection that a backend
// refuses goes to the other one.
const haproxyPair = `
backend origin
    option redispatch 1
    default-server check inter 500ms fall 2 rise 2
    server one {{index .Origins 0}}
    server two {{index .Origins 1}}
`

// haproxyHTTP ends the HTTP shapes. By default HAProxy sends the first request
// of a client over a connection of its own; "always" makes it take an idle
// one, as the others do.
const haproxyHTTP = `
backend origin
    http-reuse always
    server origin {{index .Origins 0}}
`
