package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestMariaDB has the server speak first: on an entrypoint with nothing but a catch-all at once, and on one where weir has to look for TLS after
// the client has said nothing for the time of sniffing.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	server := weirtest.MariaDB(t, weirtest.MariaDBOptions{Settings: map[string]string{"max_connect_errors": "5"}})
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  plain: { address: "127.0.0.1:0" }
  mixed: { address: "127.0.0.1:0", transport: { sniffTimeout: 500ms } }
tcp:
  routers:
    plain: { entryPoints: [plain, mixed], rule: "HostSNI(%[1]s*%[1]s)", service: shop }
    other: { entryPoints: [mixed], rule: "HostSNI(%[1]sother.db.test%[1]s)", tls: { passthrough: true }, service: other }
  services:
    shop:  { loadBalancer: { servers: [ { address: "%[2]s" } ], healthCheck: { type: mysql, user: weir, interval: 5ms, timeout: 10s } } }
    other: { loadBalancer: { servers: [ { address: "%[3]s" } ] } }
`, "`", server.Addr, weirtest.Refused(t)))
	awaitHealth(t, w, server.Addr, "up")
	query := func(t *testing.T, entrypoint string) {
		t.Helper()
		got := weirtest.Run(t, "mariadb", "--no-defaults", "--protocol=TCP", "-h", "127.0.0.1", "-P", portOf(addressOf(t, w, entrypoint)),
			"-u", "weir", "-N", "-B", "-e", "SELECT 6 * 7")
		if strings.TrimSpace(got) != "42" {
			t.Errorf("answer %q, want 42", got)
		}
	}
	t.Run("nothing but a catch-all", func(t *testing.T) { query(t, "plain") })
	t.Run("beside a router for TLS", func(t *testing.T) {
		start := time.Now()
		query(t, "mixed")
		if d := time.Since(start); d < 500*time.Millisecond {
			t.Errorf("served after %v: the entrypoint did not look for TLS", d)
		}
	})
	t.Run("probed 300 times", func(t *testing.T) {
		weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, server.Addr).Checks >= 300 }, "300 probes")
		if n := backendAt(t, w, server.Addr).CheckFailures; n != 0 {
			t.Errorf("%d probes failed", n)
		}
		for line := range strings.Lines(server.Query("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")) {
			if f := strings.Fields(line); len(f) == 2 && f[1] != "0" {
				t.Errorf("the server counts %s %s, with which it would block a host", f[1], f[0])
			}
		}
		query(t, "plain")
	})
}
