package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// counts is how often a balancer has called the system, by name of the call.
type counts map[string]int

// countable reports whether the system calls of a scenario say something: its units are all alike, none of them is kept, and the
// client says when it begins and ends; the tools of others do not.
func (sc scenario) countable() bool {
	return !sc.idle && sc.share == 0 && !sc.lenient() && sc.series == "" && sc.streams == 0 && sc.outside == ""
}

// countAll counts the system calls of every balancer in a scenario, each in a short round of its own, because being
// counted costs far more than what is counted. One that cannot be counted is said; the error is that of an interrupt.
func (r *runner) countAll(ctx context.Context, sc scenario, on *ground, got *outcome) error {
	if !r.counting || !sc.countable() || got.Impossible != "" {
		return nil
	}
	strace, err := findProgram(r.strace)
	if err != nil {
		got.Uncounted = err.Error()
		return nil
	}
	for i, row := range got.Rows {
		if row.Failed != "" || row.Out != "" {
			continue
		}
		_, err := r.round(ctx, sc, on, r.entrants[i], func(ctx context.Context, b *bout) (sample, error) {
			var err error
			row.Syscalls, err = r.count(ctx, b, strace)
			return sample{}, err
		})
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			got.Uncounted = fmt.Sprintf("%s: %v", row.Balancer, err)
		}
	}
	return nil
}

// count counts the system calls for each unit. strace holds on to every process of the balancer before the client begins, and
// lets go after it has ended, so that what it counts belongs to what the client did. The few calls of a balancer that
// has nothing to do are in it.
func (r *runner) count(ctx context.Context, b *bout, strace string) (map[string]float64, error) {
	report, log := filepath.Join(b.at.Dir, "calls"), filepath.Join(b.at.Dir, "strace.log")
	members, err := proc.Members(b.p.PID)
	if err != nil {
		return nil, err
	}
	args := []string{"-c", "-f", "-o", report}
	for _, pid := range members {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	tracer, err := proc.Start(proc.Command{Path: strace, Args: args, Dir: b.at.Dir, CPU: b.from.cpu, Log: log})
	if err != nil {
		return nil, err
	}
	defer tracer.Stop(stopGrace)
	if err := attached(ctx, tracer, log, len(members)); err != nil {
		return nil, err
	}
	done, err := r.direct(ctx, b, unwarmed(r.client(b.sc, b.at, b.hello)))
	if err != nil {
		return nil, alive(b.p, err)
	}
	if err := unix.Kill(tracer.PID, unix.SIGINT); err != nil {
		return nil, fmt.Errorf("stop strace: %w", err)
	}
	select {
	case <-tracer.Done():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("report of strace: %w", err)
	}
	called, err := readCounts(string(text))
	if err != nil {
		return nil, err
	}
	units := over(float64(done.Exchanges), 1)
	if b.sc.unit.bulk {
		units = float64(done.Bytes) / gigabyte
	}
	perUnit := make(map[string]float64)
	for name, n := range called {
		perUnit[name] = over(float64(n), units)
	}
	return perUnit, alive(b.p, nil)
}

// unwarmed is a job that measures from its beginning.
func unwarmed(j job) job {
	switch spec := j.spec.(type) {
	case load.ClientSpec:
		spec.Warm = 0
		j.spec = spec
	case load.FlowSpec:
		spec.Warm = 0
		j.spec = spec
	}
	return j
}

// attached waits until strace holds on to n processes, which it says.
func attached(ctx context.Context, tracer *proc.Process, log string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		said, err := os.ReadFile(log)
		if err != nil {
			return fmt.Errorf("log of strace: %w", err)
		}
		if strings.Count(string(said), " attached") >= n {
			return nil
		}
		select {
		case <-tracer.Done():
			return fmt.Errorf("strace: %s", strings.TrimSpace(proc.Tail(log, 500)))
		case <-ctx.Done():
			return fmt.Errorf("strace does not attach: %w", ctx.Err())
		case <-again.C:
		}
	}
}

// readCounts reads the table that strace -c writes: below a head and a rule a line for each call, whose last column is its name
// and whose fourth says how often it was called, and below another rule the total.
func readCounts(table string) (counts, error) {
	all := make(counts)
	rules := 0
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case strings.HasPrefix(fields[0], "---"):
			rules++
		case rules == 1:
			if len(fields) < 5 {
				return nil, fmt.Errorf("report of strace: %q", line)
			}
			n, err := strconv.Atoi(fields[3])
			if err != nil {
				return nil, fmt.Errorf("report of strace: %q: %w", line, err)
			}
			all[fields[len(fields)-1]] = n
		}
	}
	if len(all) == 0 {
		return nil, errors.New("report of strace: no calls")
	}
	return all, nil
}

// shownCalls is how many of the calls of a balancer are named.
const shownCalls = 5

// callsNotes says how often each balancer calls the system for a unit, the most frequent calls by name.
func callsNotes(o *outcome) []string {
	var notes []string
	_, unit, _ := strings.Cut(o.Cost, "/")
	for _, r := range o.Rows {
		if len(r.Syscalls) == 0 {
			continue
		}
		sum := 0.0
		names := slices.SortedFunc(maps.Keys(r.Syscalls), func(a, b string) int {
			if r.Syscalls[a] != r.Syscalls[b] {
				if r.Syscalls[a] > r.Syscalls[b] {
					return -1
				}
				return 1
			}
			return strings.Compare(a, b)
		})
		var parts []string
		for i, name := range names {
			sum += r.Syscalls[name]
			if i < shownCalls && r.Syscalls[name] >= 0.005 {
				parts = append(parts, fmt.Sprintf("%s %s", name, thousands(r.Syscalls[name])))
			}
		}
		notes = append(notes, fmt.Sprintf("system calls per %s of %s: %s (%s)", unit, r.Balancer, thousands(sum), strings.Join(parts, ", ")))
	}
	if o.Uncounted != "" {
		notes = append(notes, "system calls were not counted: "+o.Uncounted)
	}
	return notes
}
