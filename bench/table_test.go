package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", path, diff)
	}
}

// samples makes one sample for each cost.
func samples(costs ...float64) []sample {
	var all []sample
	for _, c := range costs {
		all = append(all, sample{
			Cost: c, Rate: 1e6 / c, P50: 700 * time.Microsecond, P99: 12345 * time.Microsecond, P999: 20 * time.Millisecond,
			Busy: 0.97, Load: 0.81, Exchanges: 1000, RSS: int64(c * (1 << 20)),
		})
	}
	return all
}

// exampleResults has a bit of everything: good rows, a missing rival, a
// failed one, errors, and a scenario without latencies.
func exampleResults() *results {
	r := &results{
		Rounds: 3,
		Entrants: []*entrant{
			{Name: "weir", Version: "0.1.0", Own: true},
			{Name: "haproxy", Version: "2.6.12"},
			{Name: "nginx", Version: "1.22.1"},
			{Name: "caddy", Missing: "caddy: not installed"},
		},
		Scenarios: []*outcome{
			{Name: "tcp-keepalive", Title: "round trips", Cost: "us/round trip", Rate: "round trips/s", Goal: &goal{1, anyRival}, Rows: []*row{
				{Balancer: "weir", Samples: samples(8.5, 8.7, 9.1)},
				{Balancer: "haproxy", Samples: samples(9.4, 9.5, 9.4)},
				{Balancer: "nginx", Samples: samples(8.7, 8.6, 9.9)},
				{Balancer: "caddy", Failed: "caddy: not installed"},
			}},
			{Name: "tcp-download", Title: "downloads", Cost: "ms/GB", Rate: "GB/s", Goal: &goal{0.4, "nginx"}, Rows: []*row{
				{Balancer: "weir", Samples: samples(467, 460, 470)},
				{Balancer: "haproxy", Failed: "ended during the measurement (exit status 1)"},
				{Balancer: "nginx", Samples: samples(1052, 1000, 1100)},
				{Balancer: "caddy", Failed: "caddy: not installed"},
			}},
			{Name: "tcp-idle", Title: "memory", Cost: "KiB/connection", Rate: "connections", Goal: &goal{Most: 2}, Rows: []*row{
				{Balancer: "weir", Samples: []sample{{Cost: 0.5, Rate: 8000}}},
				{Balancer: "haproxy", Samples: []sample{{Cost: 3.7, Rate: 8000}}},
				{Balancer: "nginx", Samples: []sample{{Cost: 9.8, Rate: 8000}}},
				{Balancer: "caddy", Failed: "caddy: not installed"},
			}},
		},
	}
	r.Scenarios = append(r.Scenarios,
		&outcome{Name: "udp-roundtrip", Title: "datagrams", Cost: "us/round trip", Rate: "round trips/s", Datagrams: true, Rows: []*row{
			{Balancer: "weir", Samples: samples(4.5, 4.7, 4.6)},
			{Balancer: "haproxy", Out: "it does not balance UDP"},
			{Balancer: "nginx", Samples: samples(5.0, 4.9, 5.1)},
			{Balancer: "caddy", Failed: "caddy: not installed"},
		}},
		&outcome{Name: "udp-trains", Title: "trains", Cost: "us/round trip", Datagrams: true, Goal: &goal{0.80, anyRival},
			Impossible: "start bench: operation not permitted", Rows: []*row{
				{Balancer: "weir"}, {Balancer: "haproxy", Out: "it does not balance UDP"}, {Balancer: "nginx"},
				{Balancer: "caddy", Failed: "caddy: not installed"},
			}},
	)
	middlewares := &outcome{
		Name: "http-middlewares", Title: "middlewares", Cost: "us/request", Rate: "requests/s", Goal: &goal{1.25, itself}, Rows: []*row{
			{Balancer: "weir", Samples: samples(8.8, 9.0, 9.2)},
			{Balancer: "haproxy", Out: noMiddlewares}, {Balancer: "nginx", Out: noMiddlewares},
			{Balancer: "caddy", Failed: "caddy: not installed"},
		},
	}
	for i := range middlewares.Rows[0].Samples {
		middlewares.Rows[0].Samples[i].Bare = 8
	}
	r.Scenarios = append(r.Scenarios, middlewares)
	for i := range 3 {
		lossless, lossy := &r.Scenarios[3].Rows[0].Samples[i], &r.Scenarios[3].Rows[2].Samples[i]
		lossless.Sent = 1000
		lossy.Sent, lossy.Lost, lossy.Late, lossy.Duplicated, lossy.Reordered = 100_000, 7, i%2, i%2, 2*(i%2)
	}
	r.Scenarios[0].Rows[2].Samples[1].Errors = 3
	r.Scenarios[0].Rows[2].Samples[1].LastError = "read: connection reset by peer"
	r.Scenarios[0].Rows[2].Samples[2].Stalled = 2
	for _, row := range r.Scenarios[1].Rows {
		for i := range row.Samples {
			row.Samples[i].Others = 0.75
		}
	}
	for _, o := range r.Scenarios {
		o.conclude(0)
	}
	return r
}

func TestTables(t *testing.T) {
	r := exampleResults()
	var text string
	for _, o := range r.Scenarios {
		text += scenarioTable(o, r.Entrants)
	}
	golden(t, "tables.txt", text+summaryTable(r))
}

func TestTablesOfRivalsAlone(t *testing.T) {
	r := exampleResults()
	r.Entrants = r.Entrants[1:]
	var text string
	for _, o := range r.Scenarios {
		o.Rows = o.Rows[1:]
		for _, row := range o.Rows {
			row.Ratio = nil
		}
		o.conclude(-1)
		text += scenarioTable(o, r.Entrants)
	}
	golden(t, "rivals.txt", text+summaryTable(r))
}

// A goal is a ratio to one rival, to the cheapest, or a cost; it is not met by
// what was not measured.
func TestReached(t *testing.T) {
	tests := []struct {
		name     string
		scenario int
		goal     *goal
		own      int
		figure   float64
		met      bool
	}{
		{name: "none"},
		{name: "best", goal: &goal{1.00, anyRival}, figure: 1.00, met: true},
		{name: "best, missed", goal: &goal{0.99, anyRival}, figure: 1.00},
		{name: "named", goal: &goal{0.95, "haproxy"}, figure: 8.7 / 9.4, met: true},
		{name: "named, failed", scenario: 1, goal: &goal{0.95, "haproxy"}},
		{name: "named, missing", goal: &goal{0.95, "caddy"}},
		{name: "cost", scenario: 2, goal: &goal{Most: 2}, figure: 0.5, met: true},
		{name: "cost, missed", goal: &goal{Most: 2}, figure: 8.7},
		{name: "itself", scenario: 5, goal: &goal{1.25, itself}, figure: 9.0 / 8, met: true},
		{name: "itself, missed", scenario: 5, goal: &goal{1.10, itself}, figure: 9.0 / 8},
		{name: "itself, not compared", goal: &goal{1.25, itself}},
		{name: "rivals alone", goal: &goal{1.00, anyRival}, own: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := exampleResults().Scenarios[tt.scenario]
			o.Goal = tt.goal
			figure, met := o.reached(tt.own)
			if !near(figure, tt.figure) || met != tt.met {
				t.Errorf("%v, met: %v; want %v, %v", figure, met, tt.figure, tt.met)
			}
		})
	}
}

func TestFailedSeesFailuresNotAbsence(t *testing.T) {
	r := exampleResults()
	if !r.failed() {
		t.Error("the failure of haproxy is not seen")
	}
	r.Scenarios[1].Rows[1].Failed = ""
	if r.failed() {
		t.Error("a missing rival counts as a failure")
	}
}

func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	want := exampleResults()
	if err := save(path, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got results
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Scenarios, got.Scenarios); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := save(filepath.Join(path, "below a file"), want); err == nil {
		t.Error("no error for a path that cannot be")
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct {
		name      string
		got, want string
	}{
		{name: "small rate", got: thousands(0.37), want: "0.37"},
		{name: "rounded rate", got: thousands(999999.6), want: "1,000,000"},
		{name: "four digits", got: thousands(1000), want: "1,000"},
		{name: "figure below ten", got: figure(8.714), want: "8.71"},
		{name: "figure below a hundred", got: figure(43.06), want: "43.1"},
		{name: "large figure", got: figure(467.4), want: "467"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("%s, want %s", tt.got, tt.want)
			}
		})
	}
}
