package main

import (
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// relaySlowly passes on what comes, as relayAll does, but for every piece from a client it computes for so long, and then does
// nothing for so long.
func relaySlowly(listen, origin, burn, rest string) {
	var spans [2]time.Duration
	for i, text := range []string{burn, rest} {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		spans[i] = d
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		panic(err)
	}
	for {
		client, err := l.Accept()
		if err != nil {
			panic(err)
		}
		server, err := net.Dial("tcp", origin)
		if err != nil {
			panic(err)
		}
		go copySlowly(server, client, spans[0], spans[1])
		go copySlowly(client, server, 0, 0)
	}
}

func copySlowly(to, from net.Conn, burn, rest time.Duration) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if burn > 0 {
			compute(burn)
		}
		if rest > 0 {
			time.Sleep(rest) // this is what is measured
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// compute uses up CPU time, not time on the clock.
func compute(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			panic(err)
		}
		return time.Duration(now.Nano())
	}
	for begun := used(); used() < begun+d; {
	}
}

// slowed is an entrant that is as fast as an other one but for what it computes and how long it rests for each exchange.
func slowed(t *testing.T, name string, burn, rest time.Duration) *entrant {
	t.Helper()
	e := played(t, name, playSlow)
	e.balancer.args = []string{playSlow, "{{.Listen}}", "{{index .Origins 0}}", burn.String(), rest.String()}
	return e
}

// The bench finds what is there to be found: a balancer that computes three times as much for each exchange costs more, and one
// that rests answers later. The bounds are half of that, because the machine has other work; that cannot take so much away.
func TestASlowedBalancerShows(t *testing.T) {
	const enough = 1.5
	measure := func(t *testing.T, d time.Duration, entrants ...*entrant) []*row {
		t.Helper()
		r := shortRunner(t, t.Output(), entrants...)
		r.duration = d
		got, err := r.scenario(t.Context(), scenarioNamed(t, "tcp-keepalive"))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range got.Rows {
			if row.Failed != "" {
				t.Fatalf("%s: %s", row.Balancer, row.Failed)
			}
		}
		return got.Rows
	}
	sound := slowed(t, "sound", 0, 0)
	t.Run("CPU", func(t *testing.T) {
		cost := measure(t, time.Second, sound)[0].Cost // in microseconds
		if cost <= 0 {
			t.Fatalf("a round trip costs %v us", cost)
		}
		slow := slowed(t, "slow", time.Duration(2*cost*float64(time.Microsecond)), 0)
		slow.Own = true
		rows := measure(t, time.Second, slow, sound)
		if r := rows[1].Ratio; r == nil || r.Median < enough {
			t.Errorf("%.1f us beside %.1f: a balancer that computes for %.1f us more is no dearer: %+v", rows[0].Cost, rows[1].Cost, 2*cost, r)
		}
	})
	t.Run("latency", func(t *testing.T) {
		const rest = 200 * time.Millisecond
		rows := measure(t, 2*time.Second, slowed(t, "slow", 0, rest), sound)
		for i, s := range rows[0].Samples {
			other := rows[1].Samples[i]
			if s.P50 < rest || s.P50.Seconds() < enough*other.P50.Seconds() || s.P99 < rest {
				t.Errorf("round %d: p50 %v and p99 %v, beside %v and %v without a rest of %v", i+1, s.P50, s.P99, other.P50, other.P99, rest)
			}
		}
	})
	t.Run("latency that it adds", func(t *testing.T) {
		const rest = 50 * time.Millisecond
		r := shortRunner(t, t.Output(), slowed(t, "slow", 0, rest))
		r.duration = 900 * time.Millisecond
		got, err := r.scenario(t.Context(), scenarioNamed(t, "tcp-latency-30"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Rows[0].Samples {
			if pointAt(s.Latencies, 0.5) < 50 || s.Capacity > 4/rest.Seconds() || s.Offered >= s.Capacity {
				t.Errorf("p50 %v ms, %v a second of at most %v", pointAt(s.Latencies, 0.5), s.Offered, s.Capacity)
			}
		}
		if got.X != 30 || got.Series != "tcp-latency" {
			t.Errorf("point %v of %q", got.X, got.Series)
		}
	})
}
