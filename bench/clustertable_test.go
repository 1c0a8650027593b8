package main

import (
	"strings"
	"testing"
	"time"
)

// spansTaking makes spans of so many milliseconds.
func spansTaking(ms ...int) []span {
	var all []span
	for _, n := range ms {
		took := time.Duration(n) * time.Millisecond
		all = append(all, span{Of: "127.32.0.1:20000", Took: took, Nodes: []nodeSpan{
			{Node: "lb-1", Took: took / 2}, {Node: "lb-2", Took: took, Cause: "its probes fail"},
		}})
	}
	return all
}

func TestWorkTables(t *testing.T) {
	aim := 1500 * time.Millisecond
	all := []*workResult{
		{Name: "refused", Title: "backends", Aim: aim, Rows: []*clusterRow{
			{Nodes: 1, Origins: 64, Spans: spansTaking(2000, 3000, 4000)},
			{Nodes: 3, Origins: 64, Spans: spansTaking(400, 1200, 500), Others: 0.3},
			{Nodes: 5, Origins: 64, Spans: spansTaking(400, 1600, 500)},
		}},
		{Name: "traffic", Title: "clients", Aim: aim, Rows: []*clusterRow{
			{Nodes: 2, Origins: 64, Failed: "lb-1 has ended (exit status 2)"},
			{Nodes: 3, Origins: 64, Spans: spansTaking(50, 40), Missed: 1, Odd: []string{"a: 1", "a: 2", "a: 3", "a: 4", "a: 5"}},
		}},
		{Name: "idle", Title: "nothing", Rows: []*clusterRow{
			{Nodes: 1, Origins: 100, Quiet: &quietness{Due: 0.5, Probes: 0.5, Least: 0.45, Most: 0.55, CPU: 0.007, RSS: 23e6}},
			{Nodes: 3, Origins: 100, Quiet: &quietness{Due: 1.5, Probes: 1.51, Least: 1.4, Most: 1.6, Packets: 12.6, Bytes: 1793, CPU: 0.019, RSS: 26e6}},
			{Nodes: 10, Origins: 100, Quiet: &quietness{Due: 1.5, Probes: 5, Least: 5, Most: 5}},
		}},
		{Name: "mass", Title: "many", Rows: []*clusterRow{
			{Nodes: 3, Origins: 500, Spans: spansTaking(300, 700), Mass: &massEvent{
				Deaths: 2, Elapsed: 3700 * time.Millisecond, Packets: 316, Bytes: 165019, Streams: 0.3, CPU: 0.69,
			}},
		}},
		{Name: "balancers", Title: "nothing could be done", Rows: []*clusterRow{{Nodes: 3, Failed: "no ports"}}},
	}
	var b strings.Builder
	for _, w := range all {
		b.WriteString(workTable(w))
	}
	golden(t, "cluster.txt", b.String())
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, tt := range []struct {
		name           string
		all            []time.Duration
		p50, p99, p100 time.Duration
	}{
		{name: "none"},
		{"one", []time.Duration{7}, 7, 7, 7},
		{"two", []time.Duration{9, 7}, 7, 9, 9},
		{"hundred", hundred, 50, 99, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := [3]time.Duration{percentile(tt.all, 50), percentile(tt.all, 99), percentile(tt.all, 100)}
			if got != [3]time.Duration{tt.p50, tt.p99, tt.p100} {
				t.Errorf("%v, want %v, %v, %v", got, tt.p50, tt.p99, tt.p100)
			}
		})
	}
}

func TestSpansOf(t *testing.T) {
	died := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(node, backend string, ms int) entry {
		return entry{Node: node, Backend: backend, At: died.Add(time.Duration(ms) * time.Millisecond)}
	}
	got := spansOf(died, []string{"a", "b", "c"}, []entry{at("lb-1", "b", 20), at("lb-1", "a", 50), at("lb-2", "b", 10), at("lb-2", "a", 60)})
	if len(got) != 2 || got[0].Of != "a" || got[0].Took != 60*time.Millisecond || got[1].Took != 20*time.Millisecond || len(got[1].Nodes) != 2 {
		t.Errorf("%v", got)
	}
}
