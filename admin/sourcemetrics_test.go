package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofDiscovery returns the series of a scrape that tell of sources.
func ofDiscovery(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "weir_discovery_") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func TestSourceMetrics(t *testing.T) {
	got := ofDiscovery(scrape(t, &fixed{state: busyDiscovery()}))
	golden := filepath.Join("testdata", "discovery_metrics.txt")
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

// TestSourceSuccess holds that an answer of nothing is an answer.
func TestSourceSuccess(t *testing.T) {
	for outcome, want := range map[string]float64{"ok": 1, "empty": 1, "failed": 0, "unasked": 0} {
		t.Run(outcome, func(t *testing.T) {
			state := State{Sources: []Source{{Service: "a", Protocol: "tcp", Source: "dns b", Outcome: outcome}}}
			name := `weir_discovery_last_attempt_success{protocol="tcp",service="a",source="dns b"}`
			if got, there := series(t, scrape(t, &fixed{state: state}))[name]; !there || got != want {
				t.Errorf("%v (there: %v), want %v", got, there, want)
			}
		})
	}
}

// TestSourceMetricsSurviveBadState gives the collector what must never stop a scrape, and an outcome that would open a series
// of its own.
func TestSourceMetricsSurviveBadState(t *testing.T) {
	state := busyDiscovery()
	state.Sources[0].Source, state.Sources[0].Resolver = "file /bad\xff", ""
	state.Sources[2].Attempts = map[string]uint64{"from-net": 7}
	state.Sources[4].Attempts = nil
	state.Sources = append(state.Sources, state.Sources[5])
	got := series(t, scrape(t, &fixed{state: state}))
	want := map[string]float64{
		"weir_discovery_endpoints{protocol=\"tcp\",service=\"orders\",source=\"file /bad\ufffd\"}":                             2,
		`weir_discovery_attempts_total{outcome="ok",protocol="http",service="shop",source="file /etc/weir/shop.json"}`:         0,
		`weir_discovery_attempts_total{outcome="ok",protocol="udp",service="shop",source="dns resolvers.internal"}`:            0,
		`weir_discovery_attempts_total{outcome="failed",protocol="udp",service="shop",source="file /etc/weir/resolvers.json"}`: 1,
	}
	for name, value := range want {
		if v, there := got[name]; !there || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, value)
		}
	}
	for name := range got {
		if strings.Contains(name, `outcome="from`) {
			t.Errorf("%s is there", name)
		}
	}
}
