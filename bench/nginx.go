package main

// nginx is nginx with its stream module, as Debian ships them.
func nginx() balancer {
	return balancer{
		name:    "nginx",
		binary:  "nginx",
		version: []string{"-v"},
		file:    "nginx.conf",
		args:    []string{"-p", "{{.Dir}}", "-e", "stderr", "-c", "{{.Config}}"},
		check:   []string{"-p", "{{.Dir}}", "-e", "stderr", "-t", "-c", "{{.Config}}"},
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
		},
	}
}

// nginxHead is common to all shapes.
const nginxHead = `# One worker, because it has one CPU. Nothing is logged, as in the others.
# proxy_half_close is left off, its default: nginx then closes both sides at
# the backend's FIN, which spares it a wake-up per connection and cuts off a
# client that still has something to send.
{{if exists "/usr/lib/nginx/modules/ngx_stream_module.so" -}}
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{{end -}}
daemon off;
worker_processes 1;
worker_rlimit_nofile {{.NoFile}};
pid nginx.pid;
error_log stderr warn;
events {
    worker_connections {{.NoFile}};
}
`
