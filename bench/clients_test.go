package main

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/load"
)

// Several clients do together what one was to do.
func TestParts(t *testing.T) {
	for _, tt := range []struct {
		name string
		job  job
		n    int
		want int
	}{
		{name: "connections", job: job{clientTool, load.ClientSpec{Connections: 10, Rate: 900}}, n: 3, want: 3},
		{name: "fewer connections than clients", job: job{clientTool, load.ClientSpec{Connections: 2}}, n: 3, want: 2},
		{name: "flows", job: job{flowsTool, load.FlowSpec{Flows: 1000, Sockets: 600, Rate: 300}}, n: 3, want: 3},
		{name: "flows that are counted", job: job{flowsTool, load.FlowSpec{Flows: 1000, Datagrams: load.Datagrams{OneWay: true}}}, n: 3, want: 1},
		{name: "not said how many", job: job{clientTool, load.ClientSpec{Connections: 2}}, want: 1},
		{name: "something else", job: job{holdTool, nil}, n: 3, want: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := parts(tt.job, tt.n)
			if len(all) != tt.want {
				t.Fatalf("%d parts, want %d", len(all), tt.want)
			}
			places, rate := 0, 0.0
			for _, part := range all {
				switch spec := part.spec.(type) {
				case load.ClientSpec:
					places, rate = places+spec.Connections, rate+spec.Rate
				case load.FlowSpec:
					places, rate = places+spec.Flows, rate+spec.Rate
					if spec.Sockets > spec.Flows {
						t.Errorf("%d sockets for %d flows", spec.Sockets, spec.Flows)
					}
				}
			}
			switch spec := tt.job.spec.(type) {
			case load.ClientSpec:
				if places != spec.Connections || !near(rate, spec.Rate) {
					t.Errorf("%d connections, %v a second", places, rate)
				}
			case load.FlowSpec:
				if places != spec.Flows || !near(rate, spec.Rate) {
					t.Errorf("%d flows, %v a second", places, rate)
				}
			}
		})
	}
}

// A scenario with several clients is measured as one with one is.
func TestSeveralClients(t *testing.T) {
	for _, name := range []string{"http-keepalive", "udp-flows"} {
		t.Run(name, func(t *testing.T) {
			sc := scenarioNamed(t, name)
			role := playRelay
			if sc.flows != nil {
				role = playDatagrams
			}
			r := shortRunner(t, io.Discard, played(t, "weir", role))
			r.clients, r.machine.ClientCPUs = 3, []int{r.machine.LoadCPU}
			got, err := r.scenario(t.Context(), sc)
			if err != nil {
				t.Fatal(err)
			}
			row := got.Rows[0]
			if row.Failed != "" || len(row.Samples) != 2 {
				t.Fatalf("%d samples, %s", len(row.Samples), row.Failed)
			}
			for _, s := range row.Samples {
				if s.Exchanges == 0 || s.Errors != 0 || s.P50 == 0 || len(s.Latencies) == 0 || s.Load <= 0 {
					t.Errorf("%+v", s)
				}
			}
			onlySelfIsLeft(t)
		})
	}
}

func TestSpare(t *testing.T) {
	var cpus unix.CPUSet
	for _, cpu := range []int{1, 4, 5, 9} {
		cpus.Set(cpu)
	}
	if got := spare(&cpus); len(got) != 2 || got[0] != 5 || got[1] != 9 {
		t.Errorf("spare CPUs %v, want 5 and 9", got)
	}
	var one unix.CPUSet
	one.Set(3)
	if got := spare(&one); len(got) != 0 {
		t.Errorf("spare CPUs %v of one", got)
	}
}
