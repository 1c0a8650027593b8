package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is text in cells, with remarks below it.
type table struct {
	Cells [][]string // the first line is the header
	Notes []string
}

// scenarioTable shows one scenario, a line for each balancer.
func scenarioTable(o *outcome, entrants []*entrant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", o.Name, o.Title)
	if o.Impossible != "" {
		fmt.Fprintf(&b, "  not possible here: %s\n", o.Impossible)
		return b.String()
	}
	t := tabulate(o, entrants)
	b.WriteString(columns(t.Cells))
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}

// tabulate puts a scenario that is possible into a table.
func tabulate(o *outcome, entrants []*entrant) table {
	t := table{Cells: [][]string{{
		"", o.Cost, "spread", o.Rate, "p50 ms", "p99 ms", "p99.9 ms", "RSS MiB", "errors", "loss", "CPU", "load", "weir is",
	}}}
	for i, r := range o.Rows {
		e := entrants[i]
		if why := absence(e, r); why != "" {
			t.Notes = append(t.Notes, e.Name+why)
			continue
		}
		t.Cells = append(t.Cells, []string{
			e.label(), figure(r.Cost), percent(r.Spread), thousands(r.Rate),
			latency(r, func(s sample) time.Duration { return s.P50 }),
			latency(r, func(s sample) time.Duration { return s.P99 }),
			latency(r, func(s sample) time.Duration { return s.P999 }),
			figure(resident(r)), strconv.Itoa(errorsOf(r)), loss(r),
			share(r, func(s sample) float64 { return s.Busy }),
			share(r, func(s sample) float64 { return s.Load }),
			verdict(r),
		})
		if text := addition(r); text != "" {
			t.Notes = append(t.Notes, text)
		}
		for round, s := range r.Samples {
			if said := trouble(s); said != "" {
				t.Notes = append(t.Notes, fmt.Sprintf("%s, round %d%s", e.Name, round+1, said))
			}
		}
	}
	t.Notes = append(t.Notes, callsNotes(o)...)
	if others := disturbance(o); others > quiet {
		t.Notes = append(t.Notes, fmt.Sprintf("the machine was not quiet: other programs used %.1f CPUs; trust only differences well above the spread", others))
	}
	if !o.Datagrams {
		const lossColumn = 9
		for i := range t.Cells {
			t.Cells[i] = slices.Delete(t.Cells[i], lossColumn, lossColumn+1)
		}
	}
	return t
}

// absence says why a balancer has no line in a table; "" if it has one.
func absence(e *entrant, r *row) string {
	switch {
	case e.Missing != "":
		return " is missing: " + e.Missing
	case r.Out != "":
		return " is left out: " + r.Out
	case r.Failed != "":
		return " failed: " + r.Failed
	}
	return ""
}

// resident is the median of the memory of a balancer's tree at the end of a round, in MiB.
func resident(r *row) float64 {
	return median(of(r.Samples, func(s sample) float64 { return float64(s.RSS) / (1 << 20) }))
}

// errorsOf is how many connections failed, in all rounds together.
func errorsOf(r *row) int {
	n := 0
	for _, s := range r.Samples {
		n += s.Errors
	}
	return n
}

// quiet is how many CPUs the rest of the machine may use without a remark.
const quiet = 0.2

// disturbance is the median of what the rest of the machine used, in CPUs.
func disturbance(o *outcome) float64 {
	var all []float64
	for _, r := range o.Rows {
		all = append(all, of(r.Samples, func(s sample) float64 { return s.Others })...)
	}
	return median(all)
}

// summaryTable shows all scenarios, a line for each.
func summaryTable(r *results) string {
	return "\n" + summaryTitle(r) + "\n" + columns(summary(r))
}

// summaryTitle says what the summary is of.
func summaryTitle(r *results) string {
	title := "Medians of " + strconv.Itoa(r.Rounds) + " rounds; less is better, and a ratio below 1 is weir's win"
	if r.Unfinished > 0 {
		title += fmt.Sprintf("; interrupted before the last %d scenarios", r.Unfinished)
	}
	return title
}

// summary puts all scenarios into a table.
func summary(r *results) [][]string {
	header := []string{"", "unit"}
	own := r.own()
	for _, e := range r.Entrants {
		header = append(header, e.label())
	}
	if own >= 0 {
		for _, e := range r.Entrants {
			if !e.Own {
				header = append(header, "weir/"+e.Name)
			}
		}
		header = append(header, "weir/best", "weir must")
	}
	cells := [][]string{header}
	for _, o := range r.Scenarios {
		cells = append(cells, summaryLine(o, r.Entrants, own))
	}
	return cells
}

func summaryLine(o *outcome, entrants []*entrant, own int) []string {
	line := []string{o.Name, o.Cost}
	var ratios []string
	toBest := "-"
	for i, r := range o.Rows {
		switch {
		case entrants[i].Missing != "":
			line = append(line, "missing")
		case r.Out != "" || o.Impossible != "":
			line = append(line, "-")
		case r.Failed != "":
			line = append(line, "failed")
		default:
			line = append(line, figure(r.Cost))
		}
		if r.Bare != nil {
			toBest = fmt.Sprintf("%.2f (%s)", r.Bare.Median, itself)
		}
		if entrants[i].Own {
			continue
		}
		text := "-"
		if r.Ratio != nil {
			text = fmt.Sprintf("%.2f", r.Ratio.Median)
			if r.Best {
				toBest = text + " (" + r.Balancer + ")"
			}
		}
		ratios = append(ratios, text)
	}
	if own < 0 {
		return line
	}
	return append(append(line, ratios...), toBest, duty(o, own))
}

// duty says what weir must reach and whether it does; nothing where there is
// no goal.
func duty(o *outcome, own int) string {
	if o.Goal == nil {
		return ""
	}
	text := fmt.Sprintf("%.2f", o.Goal.Most)
	if o.Goal.Of != "" {
		text += " of " + o.Goal.Of
	}
	switch reached, met := o.reached(own); {
	case reached == 0:
		return text
	case met:
		return text + ": met"
	default:
		return text + ": missed"
	}
}

// verdict says how weir compares with the rival of a row, or with itself.
func verdict(r *row) string {
	switch {
	case r.Bare != nil:
		return fmt.Sprintf("%.2f of itself without (%.2f-%.2f)", r.Bare.Median, r.Bare.Low, r.Bare.High)
	case r.Ratio == nil && r.Best:
		return "(best)"
	case r.Ratio == nil:
		return ""
	}
	text := fmt.Sprintf("%.2f of it (%.2f-%.2f)", r.Ratio.Median, r.Ratio.Low, r.Ratio.High)
	if r.Best {
		text += ", the best"
	}
	return text
}

// latency shows the median of a latency in milliseconds, "-" where none was
// taken.
func latency(r *row, of1 func(sample) time.Duration) string {
	ms := median(of(r.Samples, func(s sample) float64 { return of1(s).Seconds() * 1000 }))
	if ms == 0 {
		return "-"
	}
	return figure(ms)
}

// share shows the median of a share of one CPU, "-" where none was taken.
func share(r *row, of1 func(sample) float64) string {
	v := median(of(r.Samples, of1))
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*v)
}

// loss shows the median of the share of datagrams that were lost, however
// small, "-" where none was sent.
func loss(r *row) string {
	if median(of(r.Samples, func(s sample) float64 { return float64(s.Sent) })) == 0 {
		return "-"
	}
	v := median(of(r.Samples, func(s sample) float64 { return over(float64(s.Lost), float64(s.Sent)) }))
	if v > 0 && v < 0.0005 {
		return "<0.1%"
	}
	return percent(v)
}

func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

// figure shows a cost with three significant digits or more.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// thousands shows a rate: large ones whole and in groups of three digits.
func thousands(v float64) string {
	if v < 1000 {
		return figure(v)
	}
	digits := strconv.Itoa(int(v + 0.5))
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// columns aligns cells: the first column and the last to the left, those
// between to the right. All cells are ASCII.
func columns(table [][]string) string {
	widths := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, line := range table {
		var text strings.Builder
		for i, cell := range line {
			width := widths[i]
			if i == 0 || i == len(line)-1 {
				width = -width
			}
			fmt.Fprintf(&text, "  %*s", width, cell)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	return b.String()
}
