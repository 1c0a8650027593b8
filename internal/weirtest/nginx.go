package weirtest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NginxOptions is the configuration of an nginx: what stands inside its http and stream blocks, and where it listens then.
type NginxOptions struct {
	HTTP   string
	Stream string
	Listen []string // TCP addresses that must accept before the server counts as ready
}

// Nginx starts an nginx with one worker. Its log, errors and notices, is the process's log.
func Nginx(t testing.TB, o NginxOptions) *Process {
	t.Helper()
	dir := serverDir(t, "nginx", nil)
	var c strings.Builder
	if o.Stream != "" {
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		fmt.Fprintf(&c, "load_module %s;\n", module)
	}
	fmt.Fprintf(&c, "daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr notice;\nevents { worker_connections 8192; }\n", dir)
	if o.HTTP != "" {
		fmt.Fprintf(&c, "http {\naccess_log off;\n")
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&c, "%s_temp_path %s/%s;\n", kind, dir, kind)
		}
		fmt.Fprintf(&c, "%s\n}\n", o.HTTP)
	}
	if o.Stream != "" {
		fmt.Fprintf(&c, "stream {\n%s\n}\n", o.Stream)
	}
	file := filepath.Join(dir, "nginx.conf")
	writeFile(t, file, 0o644, []byte(c.String()))
	return startProcess(t, spec{
		name: "nginx", path: Tool(t, "nginx"), args: []string{"-c", file, "-p", dir, "-e", "stderr"}, dir: dir,
		ready: accepting(o.Listen),
	})
}

// accepting returns a check that every address takes a connection.
func accepting(addrs []string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, addr := range addrs {
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			conn.Close()
		}
		return nil
	}
}
