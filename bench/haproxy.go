package main

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
{{end}}{{end}}`},
	}
}

const haproxyNoUDP = "it does not balance UDP"

// haproxyHead is common to all shapes.
const haproxyHead = `# One thread, because it has one CPU. Nothing is logged, as in the others.
# Splicing is left off: it is off unless asked for ("option splice-auto").
# Health checks are off, as in the others.
global
    nbthread 1
    maxconn {{.MaxConn}}
    ssl-default-bind-options prefer-client-ciphers

defaults
    mode {{if .Hosts}}http{{else}}tcp{{end}}
    timeout connect 3s
    timeout client 10m
    timeout server 10m
`

// haproxyHTTP ends the HTTP shapes. By default HAProxy sends the first request
// of a client over a connection of its own; "always" makes it take an idle
// one, as the others do.
const haproxyHTTP = `
backend origin
    http-reuse always
    server origin {{index .Origins 0}}
`
