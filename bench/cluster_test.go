package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/proc"
	"github.com/weirlb/weir/internal/weirtest"
)

// shortPlan has a bit of everything, and weirs that probe often.
func shortPlan() clusterPlan {
	return clusterPlan{
		interval: 600 * time.Millisecond, timeout: 300 * time.Millisecond, aftermath: 100 * time.Millisecond, idle: time.Second,
		refused: []crewSize{{1, 8, 1}, {3, 8, 2}}, silent: []crewSize{{2, 8, 1}}, traffic: []crewSize{{3, 8, 2}},
		watched: []crewSize{{3, 8, 0}}, losses: []crewSize{{3, 2, 1}}, mass: []crewSize{{3, 40, 15}},
	}
}

// Everything works with the real weir, gives a figure, and leaves nothing
// running. How good the figures are is not for a busy machine to say.
func TestCluster(t *testing.T) {
	o := clusterOptions{plan: shortPlan()}
	var res clusterResults
	var out, progress strings.Builder
	if err := measureCluster(t.Context(), o, weirtest.Binary(t), &res, &out, &progress); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", progress.String())
	if res.failed() {
		t.Fatalf("%s\n%s", progress.String(), out.String())
	}
	if len(res.Works) != len(o.plan.works()) {
		t.Errorf("%d works, want %d", len(res.Works), len(o.plan.works()))
	}
	for i, w := range o.plan.works() {
		got := res.Works[i]
		for j, r := range got.Rows {
			if r.Nodes != w.sizes[j].nodes || r.Origins != w.sizes[j].origins || len(r.Spans) > w.sizes[j].times {
				t.Errorf("%s: %d nodes, %d backends, %d deaths, want %+v", w.name, r.Nodes, r.Origins, len(r.Spans), w.sizes[j])
			}
			knowing := r.Nodes
			if w.name == "balancers" {
				knowing-- // the dead know nothing
			}
			for _, s := range r.Spans {
				if s.Took <= 0 || s.Took > deathLimit || len(s.Nodes) != knowing {
					t.Errorf("%s: %v", w.name, s)
				}
			}
		}
	}
	if q := res.Works[4].Rows[0].Quiet; q.Probes == 0 || q.Packets == 0 || q.Bytes == 0 || q.RSS == 0 {
		t.Errorf("idle: %+v", q)
	}
	if m := res.Works[5].Rows[0].Mass; m.Deaths != 15 || m.Packets == 0 || m.Bytes == 0 {
		t.Errorf("mass: %+v", m)
	}
	onlySelfIsLeft(t)
}

// An interrupt stops everything that was started.
func TestClusterInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := clusterOptions{plan: clusterPlan{interval: time.Hour, timeout: time.Second, idle: time.Hour, watched: []crewSize{{2, 2, 0}}}}
	done := make(chan error, 1)
	weir := weirtest.Binary(t)
	go func() { done <- measureCluster(ctx, o, weir, &clusterResults{}, io.Discard, io.Discard) }()
	for running := 0; running < 3; { // this process, and two weirs
		members, err := proc.Members(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		running = len(members)
	}
	cancel()
	if err := <-done; !errors.Is(err, errInterrupted) {
		t.Errorf("error %v", err)
	}
	onlySelfIsLeft(t)
}

// What fails is noted with what the node said, and the rest goes on.
func TestClusterFails(t *testing.T) {
	weir := t.TempDir() + "/weir"
	if err := os.WriteFile(weir, []byte("#!/bin/sh\necho no such luck >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := shortPlan()
	o := clusterOptions{plan: p, works: []string{"refused"}}
	var res clusterResults
	if err := measureCluster(t.Context(), o, weir, &res, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !res.failed() || len(res.Works) != 1 || len(res.Works[0].Rows) != len(p.refused) {
		t.Fatalf("%+v", res.Works)
	}
	for _, r := range res.Works[0].Rows {
		if !strings.Contains(r.Failed, "has ended") || !strings.Contains(r.Failed, "no such luck") {
			t.Errorf("failed %q", r.Failed)
		}
	}
	onlySelfIsLeft(t)
}

func TestParseCluster(t *testing.T) {
	tests := []struct {
		name, args string
		works      int
		err        error
	}{
		{name: "nothing"},
		{name: "everything", args: "-weir x -work traffic,mass -quick -json f", works: 2},
		{name: "unknown work", args: "-work play", err: errUsage},
		{name: "argument", args: "now", err: errUsage},
		{name: "unknown flag", args: "-rounds 3", err: errUsage},
		{name: "help", args: "-help", err: flag.ErrHelp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			o, err := parseCluster(strings.Fields(tt.args), &said)
			if !errors.Is(err, tt.err) || err == nil && len(o.works) != tt.works {
				t.Errorf("works %q, error %v: %s", o.works, err, said.String())
			}
			if err != nil && said.String() == "" {
				t.Error("nothing is explained")
			}
		})
	}
}

// A plan leaves more than half of the backends of a service alive, except
// where that is the point.
func TestPlans(t *testing.T) {
	for name, p := range map[string]clusterPlan{"full": fullPlan(), "quick": quickPlan(), "short": shortPlan()} {
		for _, size := range slices.Concat(p.refused, p.silent, p.traffic) {
			if 2*size.times >= size.origins {
				t.Errorf("%s: %+v", name, size)
			}
		}
	}
}
