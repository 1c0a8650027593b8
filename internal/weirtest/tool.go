package weirtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// aptPackage names the Debian package of each program the tests start.
func aptPackage(program string) string {
	packages := map[string]string{
		"postgres": "postgresql", "initdb": "postgresql", "pgbench": "postgresql", "psql": "postgresql-client",
		"mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server", "mariadb": "mariadb-client",
		"redis-server": "redis-server", "redis-cli": "redis-tools", "redis-benchmark": "redis-tools",
		"nginx": "nginx libnginx-mod-stream", "haproxy": "haproxy", "wrk": "wrk", "curl": "curl", "openssl": "openssl",
		"socat": "socat", "nc": "netcat-openbsd", "ip": "iproute2", "nsenter": "util-linux", "env": "coreutils", "strace": "strace", "go": "golang",
		"named": "bind9", "named-compilezone": "bind9-utils", "dig": "bind9-dnsutils", "nsupdate": "bind9-dnsutils", "knotd": "knot",
		"dnsmasq": "dnsmasq-base", "sipp": "sip-tester", "nft": "nftables", "logger": "bsdutils",
		"node": "nodejs", "varnishtest": "varnish", "slowhttptest": "slowhttptest",
		"nghttp": "nghttp2-client", "h2load": "nghttp2-client",
	}
	if name, ok := packages[program]; ok {
		return name
	}
	return program
}

// Tool returns the path of a program, looked for in PATH, the sbin directories, and Debian's versioned PostgreSQL directories.
// The test fails with the package to install when there is none.
func Tool(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	candidates := []string{"/usr/sbin/" + program, "/sbin/" + program, "/usr/local/sbin/" + program}
	versioned, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	slices.Reverse(versioned)
	for _, path := range append(candidates, versioned...) {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	t.Fatalf("%s is not installed: apt-get install --no-install-recommends %s (or run scripts/test-deps.sh)", program, aptPackage(program))
	return ""
}

// runTimeout bounds every program that Run and TryRun start.
const runTimeout = 2 * time.Minute

// Run runs a program to its end, at most two minutes, and returns what it printed on both outputs. The test fails when the program does.
func Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := TryRun(t, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// TryRun is Run for programs that may fail.
func TryRun(t testing.TB, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, Tool(t, program), args...).CombinedOutput()
	return string(out), err
}
