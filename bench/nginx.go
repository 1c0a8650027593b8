package main

import "golang.org/x/sys/unix"

// nginx is nginx, for TCP with its stream module, as Debian ships them.
func nginx() balancer {
	return balancer{
		name:    "nginx",
		binary:  "nginx",
		version: []string{"-v"},
		file:    "nginx.conf",
		args:    []string{"-p", "{{.Dir}}", "-e", "stderr", "-c", "{{.Config}}"},
		check:   []string{"-p", "{{.Dir}}", "-e", "stderr", "-t", "-c", "{{.Config}}"},
		lacks:   map[shape]string{passes: noMiddlewares},
		configs: map[shape]string{
			relay: nginxHead + `
stream {
    proxy_connect_timeout 3s;
    server {
        listen {{.Listen}} reuseport backlog=4096;
        proxy_pass {{index .Origins 0}};
    }
}
`,
			proxied: nginxHead + `
stream {
    proxy_connect_timeout 3s;
    server {
        listen {{.Listen}} proxy_protocol reuseport backlog=4096;
        set_real_ip_from 127.0.0.0/8;
        proxy_protocol on;
        proxy_pass {{index .Origins 0}};
    }
}
`,
			pair: nginxHead + `
stream {
    proxy_connect_timeout 3s;
    upstream origin {
        zone origin 64k;
        server {{index .Origins 0}} max_fails=2 fail_timeout=1s;
        server {{index .Origins 1}} max_fails=2 fail_timeout=1s;
    }
    server {
        listen {{.Listen}} reuseport backlog=4096;
        proxy_pass origin;
    }
}
`,
			many: nginxHead + `
stream {
    proxy_connect_timeout 3s;
    upstream origin {
{{- range .Backends}}
        server {{.}};
{{- end}}
    }
    server {
        listen {{.Listen}} reuseport backlog=4096;
        proxy_pass origin;
    }
}
`,
			bySNI: nginxHead + `
stream {
    proxy_connect_timeout 3s;
    upstream one { server {{index .Origins 0}}; }
    upstream two { server {{index .Origins 1}}; }
    map $ssl_preread_server_name $origin {
        {{index .Names 0}} one;
        {{index .Names 1}} two;
    }
    server {
        listen {{.Listen}} reuseport backlog=4096;
        ssl_preread on;
        proxy_pass $origin;
    }
}
`,
			lasting: nginxHead + `
stream {
    server {
        listen {{.Listen}} udp rcvbuf=4m;
        proxy_pass {{index .Origins 0}};
        proxy_timeout 60s;
    }
}
`,
			brief:   nginxUDPOnce,
			queries: nginxUDPOnce,
			oneWay: nginxHead + `
stream {
    server {
        listen {{.Listen}} udp rcvbuf=4m;
        proxy_pass {{index .Origins 0}};
        proxy_timeout 60s;
        proxy_responses 0;
    }
}
`,
			web: nginxHead + nginxHTTP + `
    server {
        listen {{.Listen}} reuseport backlog=4096;
        location / { proxy_pass http://origin; }
    }
}
`,
			secure: nginxHead + nginxHTTP + `
    server {
        listen {{.Listen}} ssl reuseport backlog=4096;
        ssl_certificate {{.Cert}};
        ssl_certificate_key {{.Key}};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { proxy_pass http://origin; }
    }
}
`,
			webPair: nginxHead + nginxHTTP + `
    upstream pair {
        zone pair 64k;
        server {{index .Origins 0}} max_fails=2 fail_timeout=1s;
        server {{index .Origins 1}} max_fails=2 fail_timeout=1s;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen {{.Listen}} reuseport backlog=4096;
        location / { proxy_pass http://pair; }
    }
}
`,
			services: nginxHead + nginxHTTP + `
    server_names_hash_max_size 65536;
    server {
        listen {{.Listen}} reuseport backlog=4096;
        return 404;
    }
{{- range $i, $host := .Hosts}}
    upstream s{{$i}} {
        server {{index $.Backends $i}};
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen {{$.Listen}};
        server_name {{$host}};
        location / { proxy_pass http://s{{$i}}; }
    }
{{- end}}
}
`,
			second: nginxHead + nginxHTTP + `
    server {
        listen {{.Listen}} ssl http2 reuseport backlog=4096;
        ssl_certificate {{.Cert}};
        ssl_certificate_key {{.Key}};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { proxy_pass http://origin; }
    }
}
`,
			routes: nginxHead + nginxHTTP + `
    server_names_hash_max_size 65536;
    server {
        listen {{.Listen}} reuseport backlog=4096;
        return 404;
    }
{{- range .Hosts}}
    server {
        listen {{$.Listen}};
        server_name {{.}};
{{- range $.Paths}}
        location {{.}} { proxy_pass http://origin; }
{{- end}}
    }
{{- end}}
}
`,
		},
		reloadBy: unix.SIGHUP,
	}
}

// nginxHead is common to all shapes.
const nginxHead = `# One worker, because it has one CPU, unless more are asked for. Nothing is logged, as in the others.
# proxy_half_close is left off, its default: nginx then closes both sides at
# the backend's FIN, which spares it a wake-up per connection and cuts off a
# client that still has something to send.
{{if exists "/usr/lib/nginx/modules/ngx_stream_module.so" -}}
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{{end -}}
daemon off;
worker_processes {{.Loops}};
worker_rlimit_nofile {{.NoFile}};
pid nginx.pid;
error_log stderr warn;
events {
    worker_connections {{.NoFile}};
}
`

// nginxUDPOnce ends a session with its first answer. nginx knows no other way
// for DNS.
const nginxUDPOnce = nginxHead + `
stream {
    server {
        listen {{.Listen}} udp rcvbuf=4m;
        proxy_pass {{index .Origins 0}};
        proxy_timeout 60s;
        proxy_responses 1;
    }
}
`

// nginxHTTP begins the HTTP shapes. Connections to the backend are kept only
// when asked for. By default nginx closes every connection after a thousand
// requests, forbids requests of more than 1 MB, takes them in whole before it
// passes them on, and writes to disk what a client does not take fast enough;
// the others do none of it.
//
// The directories are those of the round, so that it needs no rights to
// Debian's.
const nginxHTTP = `
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream origin {
        server {{index .Origins 0}};
        keepalive {{.Lanes}};
        keepalive_requests 1000000000;
    }
`
