package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// seen is what one connection leaves behind: it is passed on by name, sends 6 bytes of payload inside TLS, and ends.
func seen(t *testing.T, format string) (w *weirtest.WeirProcess, log, server, client string) {
	t.Helper()
	ca := weirtest.CA(t)
	echo := weirtest.ServeTLS(t, ca.Server("shop.test"), weirtest.Echo, "first", "second")
	log = filepath.Join(t.TempDir(), "access.log")
	w = weirtest.Weir(t, fmt.Sprintf(`
accessLog: { path: %[1]s, format: %[2]s }
entryPoints: { secure: { address: "127.0.0.1:0", maxConnections: 77 } }
tcp:
  routers:  { shop-router: { rule: "HostSNI(%[3]sshop.test%[3]s)", tls: { passthrough: true }, service: shop } }
  services: { shop: { loadBalancer: { servers: [ { address: %[4]q, weight: 5 } ] } } }
`, log, format, "`", echo.Addr))
	conn := tls.Client(dial(t, addressOf(t, w, "secure")), &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test", NextProtos: []string{"second", "first"}})
	if got := ask(t, conn, "hello"); got != "hello" {
		t.Fatalf("answer %q", got)
	}
	// The server closes first: what it sends to a client that has closed already comes back as a reset.
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []io.Reader{conn, conn.NetConn()} { // of TLS, and of TCP below it
		if rest, err := io.ReadAll(end); err != nil || len(rest) > 0 {
			t.Fatalf("the connection ends with %q, %v", rest, err)
		}
	}
	conn.Close()
	awaitMetric(t, w, `weir_connections_ended_total{reason="done"}`, 1)
	return w, log, echo.Addr, conn.LocalAddr().String()
}

func TestAccessLogJSON(t *testing.T) {
	t.Parallel()
	w, log, server, client := seen(t, "json")
	r := awaitLog(t, log, 1)[0]
	host, port, _ := strings.Cut(client, ":")
	for what, pair := range map[string][2]string{
		"Protocol": {r.Protocol, "tcp"}, "entryPointName": {r.Entrypoint, "secure"},
		"ClientAddr": {r.ClientAddr, client}, "ClientHost": {r.ClientHost, host}, "ClientPort": {r.ClientPort, port}, "PeerAddr": {r.PeerAddr, ""},
		"LocalAddr": {r.LocalAddr, addressOf(t, w, "secure")}, "RouterName": {r.RouterName, "shop-router"},
		"ServiceName": {r.ServiceName, "shop"}, "ServiceAddr": {r.ServiceAddr, server},
		"TLSMode": {r.TLSMode, "passthrough"}, "SNI": {r.SNI, "shop.test"}, "ALPN": {r.ALPN, "second"},
		"EndedBy": {r.EndedBy, "backend"}, "Reason": {r.Reason, "done"}, "TerminationState": {r.TerminationState, "--"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
	if r.RouteDuration <= 0 || r.ConnectDuration <= 0 || r.QueueDuration != 0 || r.Duration < r.RouteDuration+r.ConnectDuration || r.Duration > soon || r.RetryAttempts != 0 {
		t.Errorf("route %v, queue %v, connect %v, in all %v, %d retries", r.RouteDuration, r.QueueDuration, r.ConnectDuration, r.Duration, r.RetryAttempts)
	}
	m := metrics(t, w)
	if in, out := m[`weir_service_received_bytes_total{protocol="tcp",service="shop"}`], m[`weir_service_sent_bytes_total{protocol="tcp",service="shop"}`]; float64(r.BytesIn) != in || float64(r.BytesOut) != out || in == 0 || out == 0 {
		t.Errorf("the log says %d bytes in and %d out, the metrics %v and %v", r.BytesIn, r.BytesOut, in, out)
	}
}

func TestAccessLogCommon(t *testing.T) {
	t.Parallel()
	_, log, server, client := seen(t, "common")
	var line string
	weirtest.Eventually(t, soon, func() bool {
		text, _ := os.ReadFile(log)
		line = string(text)
		return strings.HasSuffix(line, "\n")
	}, "a line in the access log")
	want := regexp.MustCompile(`^` + regexp.QuoteMeta(client) + ` \[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\] secure shop-router shop/` + regexp.QuoteMeta(server) +
		` \d+/0/\d+/\d+ [1-9]\d* [1-9]\d* -- backend done 0 shop\.test second passthrough -\n$`)
	if !want.MatchString(line) {
		t.Errorf("the line is\n%s want\n%s", line, want)
	}
}

// TestMetrics looks at every series that one connection must have moved, and that a second one that is refused must not have.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w, _, server, _ := seen(t, "json")
	refused := tls.Client(dial(t, addressOf(t, w, "secure")), &tls.Config{ServerName: "nobody.test"})
	if err := refused.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that nobody serves: %v", err)
	}
	awaitMetric(t, w, `weir_entrypoint_rejected_total{entrypoint="secure",reason="no_route"}`, 1)
	m := metrics(t, w)
	backend := `{backend="` + server + `",protocol="tcp",service="shop"}`
	for series, want := range map[string]float64{
		"weir_ready":                                                                        1,
		"weir_config_generation":                                                            1,
		"weir_config_last_reload_success":                                                   1,
		"weir_active_connections":                                                           0,
		`weir_loop_active_connections{loop="0"}`:                                            0,
		`weir_config_reloads_total{result="success"}`:                                       0,
		`weir_config_reloads_total{result="failure"}`:                                       0,
		`weir_connections_ended_total{reason="done"}`:                                       1,
		`weir_connections_ended_total{reason="no_route"}`:                                   1,
		`weir_entrypoint_connections_total{entrypoint="secure"}`:                            2,
		`weir_entrypoint_active_connections{entrypoint="secure"}`:                           0,
		`weir_entrypoint_max_connections{entrypoint="secure"}`:                              77,
		`weir_entrypoint_accept_errors_total{entrypoint="secure"}`:                          0,
		`weir_service_connections_total{protocol="tcp",service="shop"}`:                     1,
		`weir_service_active_connections{protocol="tcp",service="shop"}`:                    0,
		`weir_service_connections_ended_total{protocol="tcp",reason="done",service="shop"}`: 1,
		`weir_service_retries_total{protocol="tcp",service="shop"}`:                         0,
		`weir_service_no_backend_total{protocol="tcp",service="shop"}`:                      0,
		`weir_service_backends{protocol="tcp",service="shop"}`:                              1,
		`weir_service_backends_in_use{protocol="tcp",service="shop"}`:                       1,
		"weir_backend_up" + backend:                                                         1,
		"weir_backend_weight" + backend:                                                     5,
		"weir_backend_connections_total" + backend:                                          1,
		"weir_backend_active_connections" + backend:                                         0,
		"weir_backend_connect_failures_total" + backend:                                     0,
	} {
		if got, ok := m[series]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
		}
	}
	for _, pair := range [][2]string{
		{`weir_entrypoint_received_bytes_total{entrypoint="secure"}`, "weir_backend_received_bytes_total" + backend},
		{`weir_entrypoint_sent_bytes_total{entrypoint="secure"}`, "weir_backend_sent_bytes_total" + backend},
	} {
		if m[pair[0]] != m[pair[1]] || m[pair[0]] < 100 {
			t.Errorf("%s is %v, %s is %v", pair[0], m[pair[0]], pair[1], m[pair[1]])
		}
	}
	for _, series := range []string{"weir_start_time_seconds", "weir_max_connections", "weir_backend_connect_duration_seconds" + backend, "process_resident_memory_bytes", "go_goroutines"} {
		if m[series] <= 0 {
			t.Errorf("%s is %v", series, m[series])
		}
	}
	for series := range m {
		if strings.Contains(series, "nobody.test") {
			t.Errorf("a label comes from a client: %s", series)
		}
	}
}
