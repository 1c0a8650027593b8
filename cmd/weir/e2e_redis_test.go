package main_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// commandsOf returns how often a Redis has done a command, as it counts itself.
func commandsOf(t *testing.T, r *weirtest.RedisServer, command string, flags ...string) string {
	t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", portOf(r.Addr)}, flags...)
	info := weirtest.Run(t, "redis-cli", append(args, "INFO", "commandstats")...)
	m := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(info)
	if m == nil {
		return "0"
	}
	return m[1]
}

// TestRedis sends TLS by name to a Redis that speaks it, and ends it for one that does not, on one entrypoint.
func TestRedis(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	secure := weirtest.Redis(t, weirtest.RedisOptions{TLS: ca.Server("cache.test")})
	plain := weirtest.Redis(t, weirtest.RedisOptions{})
	own := ca.Server("ended.cache.test")
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  secure: { address: "127.0.0.1:0" }
tcp:
  routers:
    cache: { rule: "HostSNI(%[1]scache.test%[1]s)", tls: { passthrough: true }, service: cache }
    ended: { rule: "HostSNI(%[1]s*.cache.test%[1]s)", tls: {}, service: ended }
  services:
    cache: { loadBalancer: { servers: [ { address: "%[2]s" } ], healthCheck: { type: tls } } }
    ended: { loadBalancer: { servers: [ { address: "%[3]s" } ], healthCheck: { type: redis } } }
tls:
  certificates: [ { certFile: %[4]s, keyFile: %[5]s } ]
`, "`", secure.Addr, plain.Addr, own.CertFile, own.KeyFile))
	awaitHealth(t, w, secure.Addr, "up")
	awaitHealth(t, w, plain.Addr, "up")
	const requests = "3000"
	client := func(sni string) []string {
		return []string{"--tls", "--sni", sni, "--cacert", ca.File, "-h", "127.0.0.1", "-p", portOf(addressOf(t, w, "secure"))}
	}
	for _, tt := range []struct {
		name, sni string
		server    *weirtest.RedisServer
		flags     []string // to ask the server itself
	}{
		{"passed through", "cache.test", secure, []string{"--tls", "--insecure"}},
		{"ended", "ended.cache.test", plain, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := weirtest.TryRun(t, "redis-benchmark", append(client(tt.sni), "-n", requests, "-c", "20", "-t", "set,get", "-q", "-e")...)
			if err != nil || strings.Count(out, "requests per second") != 2 {
				t.Fatalf("redis-benchmark: %v\n%s", err, out)
			}
			for _, command := range []string{"set", "get"} {
				if got := commandsOf(t, tt.server, command, tt.flags...); got != requests {
					t.Errorf("the server did %s %s, want %s", got, command, requests)
				}
			}
		})
	}
	t.Run("nobody's name", func(t *testing.T) {
		// Not redis-benchmark, which tries again for ever.
		if out, err := weirtest.TryRun(t, "redis-cli", append(client("cache.example"), "PING")...); err == nil || !strings.Contains(out, "unrecognized name") {
			t.Errorf("%q, %v; want an error with unrecognized name", out, err)
		}
		if n := metrics(t, w)[`weir_entrypoint_rejected_total{entrypoint="secure",reason="no_route"}`]; n == 0 {
			t.Error("the refusal is not counted")
		}
	})
}
