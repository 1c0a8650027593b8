package main

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// running starts a balancer for a shape before two backends, as a scenario does that changes something.
func running(t *testing.T, b balancer, sh shape, backends []*origin) (*site, *proc.Process) {
	t.Helper()
	path, err := b.find()
	if err != nil {
		t.Fatalf("%v; the tests need the Debian package", err)
	}
	at := example(t, sh)
	if at.Admin, err = freeAddr("tcp", "127.0.0.1", at.Listen); err != nil {
		t.Fatal(err)
	}
	for i := range at.Origins {
		at.Origins[i] = backends[i].addr
	}
	if err := b.write(sh, &at); err != nil {
		t.Fatal(err)
	}
	args := b.args
	if b.reloadable != nil {
		args = b.reloadable
	}
	p, err := b.start(t.Context(), path, args, at, proc.Anywhere)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(stopGrace) })
	return &at, p
}

// A reload that a scenario asks for takes place, in every balancer: new connections go to the other backend after it, and back
// after the next.
func TestReloadsTakePlace(t *testing.T) {
	for _, b := range append(rivalBalancers(), weir(builtWeir(t))) {
		t.Run(b.name, func(t *testing.T) {
			backends, err := newOrigins(2)
			if err != nil {
				t.Fatal(err)
			}
			defer closeOrigins(backends)
			at, p := running(t, b, relay, backends)
			for i := range 5 {
				want := backends[i%2].addr
				awaitAnswerer(t, at.Listen, want, func() { unix.Kill(p.PID, b.reloadBy) })
				if err := b.reload(relay, at, p); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// awaitAnswerer returns when it is a certain backend that answers. It asks for the reload again every second: HAProxy misses
// one that comes before it expects any, as a scenario's do not.
func awaitAnswerer(t *testing.T, addr, want string, again func()) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case <-tick.C:
			again()
		default:
		}
		got, err := ask(t.Context(), addr)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s answers (%v), want %s", got, err, want)
		}
	}
}

// In the scenarios that change something every balancer goes on working, with its own health checks and reloads.
func TestBalancersOutliveChanges(t *testing.T) {
	program := builtWeir(t)
	for _, name := range []string{"tcp-reload", "http-reload", "tcp-flap", "http-flap"} {
		t.Run(name, func(t *testing.T) {
			var all []*entrant
			for _, b := range append(rivalBalancers(), weir(program)) {
				path, err := b.find()
				if err != nil {
					t.Fatalf("%v; the tests need the Debian package", err)
				}
				all = append(all, &entrant{Name: b.name, Path: path, balancer: b})
			}
			r := shortRunner(t, t.Output(), all...)
			r.rounds, r.duration, r.machine.NoFile = 1, 2*time.Second, 4000
			sc := scenarioNamed(t, name)
			sc.reload, sc.flap = min(sc.reload, 1)*200*time.Millisecond, min(sc.flap, 1)*200*time.Millisecond
			got, err := r.scenario(t.Context(), sc)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range got.Rows {
				if row.Failed != "" || len(row.Samples) != 1 || row.Samples[0].Exchanges == 0 {
					t.Errorf("%s: %d samples, %s", row.Balancer, len(row.Samples), row.Failed)
				}
			}
			onlySelfIsLeft(t)
		})
	}
}

// The latency that a balancer adds is the difference of two curves, at the quantile or the next that is known.
func TestAdded(t *testing.T) {
	s := sample{
		Capacity: 1000, Offered: 700,
		Latencies: []load.Point{{Quantile: 0.5, MS: 3}, {Quantile: 0.99, MS: 10}, {Quantile: 1, MS: 50}},
		Direct:    []load.Point{{Quantile: 0.5, MS: 1}, {Quantile: 0.99, MS: 4}, {Quantile: 0.999, MS: 20}, {Quantile: 1, MS: 25}},
	}
	for q, want := range map[float64]float64{0.5: 2, 0.99: 6, 0.999: 30} {
		if got := added(s, q); !near(got, want) {
			t.Errorf("added at %v: %v ms, want %v", q, got, want)
		}
	}
	r := &row{Balancer: "weir", Samples: []sample{s}}
	if got, want := addition(r), "weir adds 2.000 at p50, 6.000 at p99, 30.000 at p99.9 ms, at 700 of at most 1,000 a second"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := addition(&row{Samples: []sample{{}}}); got != "" {
		t.Errorf("%q of a scenario that does not ask", got)
	}
}
