package admin

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scrape returns weir's own metrics as /metrics shows them.
func scrape(t *testing.T, weir Weir) string {
	t.Helper()
	rec := call(t, New(Options{Weir: weir}), "GET", "/metrics", "")
	if rec.Code != 200 {
		t.Fatalf("/metrics: %d %s", rec.Code, rec.Body)
	}
	var own strings.Builder
	for line := range strings.Lines(rec.Body.String()) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(name, "weir_") {
			own.WriteString(line)
		}
	}
	return own.String()
}

func TestMetrics(t *testing.T) {
	weir := &fixed{state: busy()}
	got := scrape(t, weir)
	if n := weir.asked.Load(); n != 1 {
		t.Errorf("one scrape took %d snapshots", n)
	}
	golden := filepath.Join("testdata", "metrics.txt")
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

func TestRuntimeMetricsAreThere(t *testing.T) {
	rec := call(t, New(Options{Weir: &fixed{state: busy()}}), "GET", "/metrics", "")
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_cpu_seconds_total"} {
		if !strings.Contains(rec.Body.String(), "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// TestMetricsSurviveBadState gives the collector what must never stop a scrape: doubles, and names that are not text.
func TestMetricsSurviveBadState(t *testing.T) {
	state := busy()
	state.Backends = append(state.Backends, state.Backends[0])
	state.Entrypoints[0].Name = "bad\xff"
	state.Reloads.Last = LastReload{}
	got := scrape(t, &fixed{state: state})
	for _, want := range []string{
		"weir_entrypoint_connections_total{entrypoint=\"bad\ufffd\"} 100\n",
		"weir_config_last_reload_timestamp_seconds 0\n",
		`weir_backend_up{backend="10.0.0.2:5432",protocol="tcp",service="orders"} 0` + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// names returns the names of all metrics that the collector can show.
func names() []string {
	descs := make(chan *prometheus.Desc, 1000)
	newCollector(&fixed{}).Describe(descs)
	close(descs)
	var all []string
	for d := range descs {
		all = append(all, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	return all
}

func TestMetricNames(t *testing.T) {
	seen := map[string]bool{}
	shape := regexp.MustCompile(`^weir(_[a-z][a-z0-9]*)+$`)
	for _, name := range names() {
		if !shape.MatchString(name) {
			t.Errorf("%s is not a metric name of weir's", name)
		}
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for line := range strings.Lines(scrape(t, &fixed{state: busyCluster()})) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[1] == "TYPE" && strings.HasSuffix(fields[2], "_total") != (fields[3] == "counter") {
			t.Errorf("%s is a %s: counters, and only they, end in _total", fields[2], fields[3])
		}
	}
}

// TestManualListsTheMetrics compares the manual's table with the code, both ways.
func TestManualListsTheMetrics(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(weir_[a-z0-9_]+)").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for _, name := range names() {
		if !documented[name] {
			t.Errorf("docs/operations.md does not list %s", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/operations.md lists %s, which does not exist", name)
	}
}
