package main

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadCounts(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000200           2       100         5 read
 50.00    0.000200           2        90           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000400           2       190         5 total
`
	got, err := readCounts(table)
	if diff := cmp.Diff(counts{"read": 100, "write": 90}, got); err != nil || diff != "" {
		t.Errorf("%v; -want +got\n%s", err, diff)
	}
	for _, wrong := range []string{"", "strace: attach: operation not permitted", strings.ReplaceAll(table, "        90 ", "        9x "), "------\n one two\n"} {
		if got, err := readCounts(wrong); err == nil {
			t.Errorf("%q counts %v", wrong, got)
		}
	}
}

// What a balancer calls for each unit is counted: the relay of these tests moves bytes in both directions by splice.
func TestSystemCallsAreCounted(t *testing.T) {
	r := shortRunner(t, io.Discard, played(t, "weir", playRelay), played(t, "feeble", playFall))
	r.rounds, r.counting = 1, true
	got, err := r.scenario(t.Context(), scenarioNamed(t, "tcp-keepalive"))
	if err != nil {
		t.Fatal(err)
	}
	calls := got.Rows[0].Syscalls
	if got.Uncounted != "" || calls["splice"] < 2 {
		t.Errorf("%v; uncounted: %q", calls, got.Uncounted)
	}
	if len(got.Rows[1].Syscalls) != 0 {
		t.Errorf("one that failed was counted: %v", got.Rows[1].Syscalls)
	}
	onlySelfIsLeft(t)
}

// Where there is no strace nothing is counted, and that is said.
func TestWithoutStrace(t *testing.T) {
	r := shortRunner(t, io.Discard, played(t, "weir", playRelay))
	r.rounds, r.counting = 1, true
	got := &outcome{Rows: []*row{{Balancer: "weir"}}}
	sc := scenarioNamed(t, "tcp-keepalive")
	r.strace = "no-such-tracer"
	if err := r.countAll(t.Context(), sc, loopback(), got); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(callsNotes(got), "\n"), "not counted: no-such-tracer: not installed") {
		t.Errorf("notes %q", callsNotes(got))
	}
}

func TestCallsNotes(t *testing.T) {
	o := &outcome{Cost: "us/round trip", Rows: []*row{
		{Balancer: "weir", Syscalls: map[string]float64{"read": 2, "write": 2, "epoll_pwait": 0.25, "a": 0.1, "b": 0.1, "c": 0.05, "d": 0.001}},
		{Balancer: "none"},
	}}
	before := maps.Clone(o.Rows[0].Syscalls)
	want := []string{"system calls per round trip of weir: 4.50 (read 2.00, write 2.00, epoll_pwait 0.25, a 0.10, b 0.10)"}
	if diff := cmp.Diff(want, callsNotes(o)); diff != "" || !maps.Equal(before, o.Rows[0].Syscalls) {
		t.Errorf("-want +got\n%s", diff)
	}
}
