package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofUDP returns the lines of a scrape that tell of the things of busyUDP that are UDP.
func ofUDP(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		for _, label := range []string{`protocol="udp"`, `entrypoint="dns"`, "weir_active_flows", "weir_max_flows"} {
			if strings.Contains(line, label) {
				lines.WriteString(line)
				break
			}
		}
	}
	return lines.String()
}

func TestUDPMetrics(t *testing.T) {
	got := ofUDP(scrape(t, &fixed{state: busyUDP()}))
	golden := filepath.Join("testdata", "udp_metrics.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// ofConnections are parts of names of metrics that mean nothing to UDP.
var ofConnections = []string{"connect", "accept", "rejected", "retries_total", "queue", "no_backend_total", "_http_"}

// TestMetricsKeepFlowsApart holds the rule that what says connections does not count flows, nor the other way round.
func TestMetricsKeepFlowsApart(t *testing.T) {
	ofFlows := []string{"_flows", "datagrams", "unreachable"}
	udp, rest := 0, 0
	for name := range series(t, scrape(t, &fixed{state: busyDiscovery()})) {
		if name == "weir_active_flows" || name == "weir_max_flows" {
			continue
		}
		family, labels, _ := strings.Cut(name, "{")
		banned := ofFlows
		rest++
		if strings.Contains(labels, `protocol="udp"`) || strings.Contains(labels, `entrypoint="dns"`) {
			banned = ofConnections
			rest--
			udp++
		}
		for _, part := range banned {
			if strings.Contains(family, part) {
				t.Errorf("%s is not for that protocol", name)
			}
		}
	}
	if udp < 30 || rest < 100 {
		t.Errorf("%d series of UDP and %d others are too few", udp, rest)
	}
}

// TestUDPMetricsSurviveBadState gives the collector what must never stop a scrape.
func TestUDPMetricsSurviveBadState(t *testing.T) {
	state := busyUDP()
	state.Entrypoints[2].Name = "bad\xff"
	state.Entrypoints[2].UDP = &UDPStats{DatagramsIn: 1, Dropped: map[string]uint64{"from\xff-net": 7}}
	state.Services[3].UDP = nil
	state.Backends = append(state.Backends, state.Backends[5])
	got := series(t, scrape(t, &fixed{state: state}))
	want := map[string]float64{
		"weir_entrypoint_datagrams_received_total{entrypoint=\"bad\ufffd\"}":                          1,
		"weir_entrypoint_datagrams_dropped_total{entrypoint=\"bad\ufffd\",reason=\"from\ufffd_net\"}": 7,
		`weir_service_flows_total{protocol="udp",service="shop"}`:                                     900,
		`weir_backend_unreachable_total{backend="10.0.1.53:53",protocol="udp",service="shop"}`:        2,
	}
	for name, value := range want {
		if v, there := got[name]; !there || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, value)
		}
	}
}
