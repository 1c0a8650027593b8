package load

import (
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// playOutside has a tool make its load on addr for a second, and a second before it.
func playOutside(t *testing.T, tool, addr string, stop *atomic.Bool) (Result, error) {
	t.Helper()
	program, err := exec.LookPath(tool)
	if err != nil {
		t.Fatalf("%v; the tests need the Debian package %s", err, tool)
	}
	o, err := NewOutside(OutsideSpec{Tool: tool, Program: program, Addr: addr, Connections: 2, Duration: time.Second, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	measured := false
	res, err := o.Run(stop, func() { measured = true })
	if err == nil && !measured {
		t.Error("it does not say when it measures")
	}
	return res, err
}

// TestOutside: each tool's figures are found in what it says.
func TestOutside(t *testing.T) {
	for tool, backend := range map[string]func(t *testing.T) string{
		Wrk:     func(t *testing.T) string { return serve(t, Exchange{Answer: 100, HTTP: true}) },
		Dnsperf: func(t *testing.T) string { return echo(t, Datagrams{DNS: true}) },
		Iperf3: func(t *testing.T) string {
			program, err := exec.LookPath(Iperf3)
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewIperf3Server(Iperf3ServerSpec{Program: program})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s.Addrs()[0]
		},
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			res, err := playOutside(t, tool, backend(t), new(atomic.Bool))
			if err != nil {
				t.Fatal(err)
			}
			if res.Exchanges == 0 || res.Bytes == 0 || res.Elapsed < time.Second/2 || res.Errors != 0 || res.Lost != 0 {
				t.Errorf("%+v", res)
			}
			if timed := tool == Wrk; (res.P50 > 0) != timed || (res.P999 > 0) != timed || res.P999 < res.P50 || (len(res.Curve) > 5) != timed {
				t.Errorf("latencies %v, %v, %v, %v", res.P50, res.P99, res.P999, res.Curve)
			}
		})
	}
}

// TestOutsideFails: what a tool says in its own words is passed on, and one that is stopped ends.
func TestOutsideFails(t *testing.T) {
	if _, err := NewOutside(OutsideSpec{Tool: "ab", Connections: 1}); err == nil || !strings.Contains(err.Error(), `"ab"`) {
		t.Errorf("an unknown tool: %v", err)
	}
	if _, err := playOutside(t, Iperf3, "127.0.0.1:1", new(atomic.Bool)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
	var stop atomic.Bool
	stop.Store(true)
	if _, err := playOutside(t, Wrk, serve(t, Exchange{Answer: 100, HTTP: true}), &stop); err == nil {
		t.Error("it was stopped, and came to its end")
	}
}

func TestReadOutside(t *testing.T) {
	for name, read := range map[string]func([]byte) (Result, error){Wrk: readWrk, Dnsperf: readDnsperf, Iperf3: readIperf3} {
		for _, text := range []string{"", "{}", "totals 1 2\n", "\n  Queries sent: x\n", `{"error": "the server is busy"}`} {
			if res, err := read([]byte(text)); err == nil && (name != Iperf3 || res.Exchanges > 0) {
				t.Errorf("%s reads %q as %+v", name, text, res)
			}
		}
	}
	res, err := readWrk([]byte("Running 1s test\n  2 threads\n\ntotals 1000 20000 300 4 2\nlatency 0.50000 7\nlatency 0.99900 8\nlatency 1.00000 9\n"))
	if err != nil || res.Exchanges != 20000 || res.Bytes != 300 || res.Errors != 6 || res.Wrong != 2 || res.Elapsed != time.Millisecond ||
		res.P50 != 7*time.Microsecond || res.P999 != 8*time.Microsecond || len(res.Curve) != 3 {
		t.Errorf("%v, %+v", err, res)
	}
	res, err = readDnsperf([]byte("\n  Queries sent:         9\n  Queries completed:    8 (88.89%)\n  Queries lost:         1 (11.11%)\n\n" +
		"  Response codes:       NOERROR 5 (62.50%), SERVFAIL 3 (37.50%)\n  Run time (s):         1.5\n"))
	if err != nil || res.Exchanges != 8 || res.Sent != 9 || res.Lost != 1 || res.Wrong != 3 || res.Elapsed != 1500*time.Millisecond {
		t.Errorf("%v, %+v", err, res)
	}
}
