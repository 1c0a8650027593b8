package admin

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// series reads a scrape in the text format into values by series, such as weir_ready or weir_x_total{code="2xx"}.
func series(t *testing.T, text string) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			t.Fatalf("no value in %q", line)
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := got[line[:at]]; twice {
			t.Errorf("%s is there twice", line[:at])
		}
		got[line[:at]] = v
	}
	return got
}

func TestHTTPMetrics(t *testing.T) {
	text := scrape(t, &fixed{state: busyHTTP()})
	var http strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "_http_") || strings.Contains(line, "_http2_") || strings.Contains(line, "weir_upstream_") {
			http.WriteString(line)
		}
	}
	golden := filepath.Join("testdata", "http_metrics.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(http.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), http.String()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestHTTPMetricsAddUp reads a scrape as a Prometheus would.
func TestHTTPMetricsAddUp(t *testing.T) {
	got := series(t, scrape(t, &fixed{state: busyHTTP()}))
	const web = `entrypoint="web"`
	const backend = `backend="10.0.0.5:8080"`
	want := map[string]float64{
		`weir_entrypoint_http_requests_total{code="2xx",` + web + `}`:                                      200,
		`weir_entrypoint_http_requests_total{code="4xx",` + web + `}`:                                      0,
		`weir_entrypoint_http_requests_total{code="aborted",` + web + `}`:                                  1,
		`weir_entrypoint_http_request_duration_seconds_bucket{` + web + `,le="0.001"}`:                     200,
		`weir_entrypoint_http_request_duration_seconds_bucket{` + web + `,le="0.01"}`:                      204,
		`weir_entrypoint_http_request_duration_seconds_bucket{` + web + `,le="0.1"}`:                       204,
		`weir_entrypoint_http_request_duration_seconds_bucket{` + web + `,le="+Inf"}`:                      205,
		`weir_entrypoint_http_request_duration_seconds_count{` + web + `}`:                                 205,
		`weir_entrypoint_http_request_duration_seconds_sum{` + web + `}`:                                   2.5,
		`weir_entrypoint_http_request_bytes_total{` + web + `}`:                                            4096,
		`weir_entrypoint_http_response_bytes_total{` + web + `}`:                                           5 << 20,
		`weir_entrypoint_http2_connections_total{` + web + `}`:                                             6,
		`weir_entrypoint_http2_active_streams{` + web + `}`:                                                17,
		`weir_entrypoint_http2_streams_reset_total{` + web + `,reason="cancelled"}`:                        9,
		`weir_entrypoint_http2_goaways_total{` + web + `,reason="h2_flood"}`:                               1,
		`weir_router_http_requests_total{code="5xx",protocol="http",router="orders"}`:                      4,
		`weir_service_http_requests_total{code="2xx",protocol="http",service="shop"}`:                      190,
		`weir_service_grpc_calls_total{service="shop",status="OK"}`:                                        70,
		`weir_service_grpc_calls_total{service="shop",status="UNAVAILABLE"}`:                               0,
		`weir_service_grpc_calls_total{service="shop",status="none"}`:                                      2,
		`weir_backend_http_requests_total{` + backend + `,code="2xx",protocol="http",service="shop"}`:      0,
		`weir_backend_http_request_duration_seconds_count{` + backend + `,protocol="http",service="shop"}`: 0,
		`weir_upstream_idle_connections{protocol="http",service="shop"}`:                                   5,
	}
	for name, value := range want {
		if v, there := got[name]; !there || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, value)
		}
	}
}

// TestNoHTTPNoHTTPMetrics keeps what serves no HTTP from having series that are 0 for ever.
func TestNoHTTPNoHTTPMetrics(t *testing.T) {
	for name := range series(t, scrape(t, &fixed{state: busy()})) {
		if strings.Contains(name, "_http_") || strings.Contains(name, "_http2_") || strings.Contains(name, "_grpc_") || strings.HasPrefix(name, "weir_upstream_") {
			t.Errorf("%s, but nothing serves HTTP", name)
		}
	}
	for name := range series(t, scrape(t, &fixed{state: busyHTTP()})) {
		if strings.Contains(name, "_http_") && (strings.Contains(name, `"postgres"`) || strings.Contains(name, `"tcp"`)) {
			t.Errorf("%s, but that serves no HTTP", name)
		}
	}
}

// TestHTTPMetricsSurviveBadState gives the collector what must never stop a scrape.
func TestHTTPMetricsSurviveBadState(t *testing.T) {
	state := busyHTTP()
	state.Entrypoints[1].Name = "bad\xff"
	state.Entrypoints[1].HTTP = &HTTPStats{
		Requests: map[string]uint64{"2xx": 1, "from\xffa client": 7},
		Duration: Histogram{Bounds: []float64{1, 2, 3}, Counts: []uint64{5}, Sum: math.NaN()},
	}
	state.Routers[1].HTTP = &HTTPStats{Duration: Histogram{Counts: []uint64{1, 2, 3}}}
	state.Services = append(state.Services, state.Services[2])
	got := series(t, scrape(t, &fixed{state: state}))
	want := map[string]float64{
		"weir_entrypoint_http_requests_total{code=\"2xx\",entrypoint=\"bad\ufffd\"}":                  1,
		"weir_entrypoint_http_request_duration_seconds_bucket{entrypoint=\"bad\ufffd\",le=\"3\"}":     5,
		"weir_entrypoint_http_request_duration_seconds_count{entrypoint=\"bad\ufffd\"}":               5,
		`weir_router_http_request_duration_seconds_count{protocol="http",router="orders"}`:            6,
		`weir_router_http_request_duration_seconds_bucket{protocol="http",router="orders",le="+Inf"}`: 6,
		`weir_backend_up{backend="10.0.0.2:5432",protocol="tcp",service="orders"}`:                    0,
	}
	for name, value := range want {
		if v, there := got[name]; !there || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, value)
		}
	}
	for name := range got {
		if strings.Contains(name, "a client") {
			t.Errorf("a class that is none became a label: %s", name)
		}
	}
}
