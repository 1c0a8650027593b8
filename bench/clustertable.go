package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// workTable shows one work, a line for each size of cluster.
func workTable(w *workResult) string {
	var table [][]string
	var notes []string
	for _, r := range w.Rows {
		head, line := clusterLine(w, r)
		if r.Failed != "" {
			notes = append(notes, fmt.Sprintf("%s failed: %s", crewLabel(r), r.Failed))
		} else {
			if len(table) == 0 {
				table = [][]string{head}
			}
			table = append(table, line)
		}
		notes = append(notes, rowNotes(w, r)...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", w.Name, w.Title)
	if len(table) > 0 {
		b.WriteString(columns(table))
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}

// clusterLine is a row of the table, and what stands above it.
func clusterLine(w *workResult, r *clusterRow) (head, line []string) {
	head, line = []string{"", "backends"}, []string{crewLabel(r), fmt.Sprint(r.Origins)}
	add := func(title, cell string) { head, line = append(head, title), append(line, cell) }
	switch {
	case r.Quiet != nil:
		q := r.Quiet
		add("probes/s", fmt.Sprintf("%.2f", q.Probes))
		add("least", fmt.Sprintf("%.2f", q.Least))
		add("most", fmt.Sprintf("%.2f", q.Most))
		add("packets/s", fmt.Sprintf("%.1f", q.Packets))
		add("bytes/s", thousands(q.Bytes))
		add("CPU ms/s", figure(1000*q.CPU))
		add("MB", fmt.Sprintf("%.0f", q.RSS/1e6))
	case len(r.Spans) > 0:
		add("deaths", fmt.Sprint(len(r.Spans)))
		for _, percent := range []int{50, 99, 100} {
			title := fmt.Sprintf("p%d ms", percent)
			if percent == 100 {
				title = "max ms"
			}
			add(title, milliseconds(percentile(r.took(), percent)))
		}
		if r.Mass != nil {
			add("packets", thousands(r.Mass.Packets))
			add("bytes", thousands(r.Mass.Bytes))
			add("streams", fmt.Sprintf("%.1f", r.Mass.Streams))
			add("CPU ms", thousands(1000*r.Mass.CPU))
			add("in s", figure(r.Mass.Elapsed.Seconds()))
		}
	}
	add("others", fmt.Sprintf("%.1f", r.Others))
	if w.alone() != nil {
		add("p50, p99 of alone", aloneRatio(w, r))
	}
	add("must", clusterDuty(w, r))
	return head, line
}

func crewLabel(r *clusterRow) string {
	if r.Nodes == 1 {
		return "1 alone"
	}
	return fmt.Sprintf("%d nodes", r.Nodes)
}

// alone is the row of a balancer on its own that others are compared with;
// nil if there is none, or the work has no times.
func (w *workResult) alone() *clusterRow {
	for _, r := range w.Rows {
		if r.Nodes == 1 && r.Failed == "" && len(r.Spans) > 0 {
			return r
		}
	}
	return nil
}

func aloneRatio(w *workResult, r *clusterRow) string {
	if r.Nodes == 1 {
		return ""
	}
	ratio := func(percent int) float64 {
		return over(percentile(r.took(), percent).Seconds(), percentile(w.alone().took(), percent).Seconds())
	}
	return fmt.Sprintf("%.2f, %.2f", ratio(50), ratio(99))
}

// probeTolerance is by what share the rate of probes may differ from what is
// due: a few of them fall on the other side of a moment at which is counted.
const probeTolerance = 0.05

// clusterDuty says what must be reached and whether it is; nothing where
// there is no aim. One balancer alone is there to be compared with.
func clusterDuty(w *workResult, r *clusterRow) string {
	var text string
	var met bool
	switch {
	case r.Nodes == 1:
		return ""
	case r.Quiet != nil:
		text = fmt.Sprintf("%.2f probes/s", r.Quiet.Due)
		met = math.Abs(r.Quiet.Probes-r.Quiet.Due) <= probeTolerance*r.Quiet.Due
	case w.Aim > 0:
		text = fmt.Sprintf("p99 <= %s ms", milliseconds(w.Aim))
		met = percentile(r.took(), 99) <= w.Aim
	default:
		return ""
	}
	if met {
		return text + ": met"
	}
	return text + ": missed"
}

// rowNotes tell what a reader of a row should know.
func rowNotes(w *workResult, r *clusterRow) []string {
	const shown = 3
	var notes []string
	note := func(format string, a ...any) {
		notes = append(notes, crewLabel(r)+": "+fmt.Sprintf(format, a...))
	}
	if r.Missed > 0 {
		note("%d of %d clients were not served by another backend", r.Missed, len(r.Spans))
	}
	if w.Aim > 0 && len(r.Spans) > 0 && r.slowest().Took > w.Aim && r.Nodes > 1 {
		note("the slowest: %s", r.slowest())
	}
	for i, line := range r.Odd {
		if i == shown {
			note("and %d more", len(r.Odd)-shown)
			break
		}
		note("this should not be: %s", line)
	}
	return notes
}

// String says when each node knew, and why.
func (s span) String() string {
	var parts []string
	for _, n := range s.Nodes {
		part := fmt.Sprintf("%s after %s ms", n.Node, milliseconds(n.Took))
		if n.Cause != "" {
			part += " (" + n.Cause + ")"
		}
		parts = append(parts, part)
	}
	return s.Of + ", " + strings.Join(parts, ", ")
}

func milliseconds(d time.Duration) string {
	ms := d.Seconds() * 1000
	if ms >= 100 {
		return thousands(ms)
	}
	return figure(ms)
}
