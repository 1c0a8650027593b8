package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClusterMetrics(t *testing.T) {
	var got strings.Builder
	for line := range strings.Lines(scrape(t, &fixed{state: busyCluster()})) {
		if strings.Contains(line, "weir_cluster_") {
			got.WriteString(line)
		}
	}
	golden := filepath.Join("testdata", "cluster_metrics.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestNoClusterHasNoMetrics(t *testing.T) {
	if got := scrape(t, &fixed{state: busyDiscovery()}); strings.Contains(got, "weir_cluster_") {
		t.Errorf("a weir on its own has metrics of a cluster:\n%s", got)
	}
}

// TestClusterMetricsSurviveBadState gives the collector what must never stop a scrape: a state of a later release, a name that is not
// text, and nothing at all.
func TestClusterMetricsSurviveBadState(t *testing.T) {
	state := busyCluster()
	state.Cluster.Members[1].Name, state.Cluster.Members[5].State = "lb\xff", "asleep"
	got := series(t, scrape(t, &fixed{state: state}))
	for name, want := range map[string]float64{
		"weir_cluster_propagation_delay_seconds{member=\"lb\ufffd\"}": 0.00425,
		`weir_cluster_members{state="left"}`:                          0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, want)
		}
	}
	if got := series(t, scrape(t, &fixed{state: State{Cluster: &Cluster{}}})); got[`weir_cluster_members{state="alive"}`] != 0 {
		t.Error("an empty cluster has members")
	}
}
