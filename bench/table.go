package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scenarioTable shows one scenario, a line for each balancer.
func scenarioTable(o *outcome, entrants []*entrant) string {
	table := [][]string{{"", o.Cost, "spread", o.Rate, "p50 ms", "p99 ms", "loss", "CPU", "load", "weir is"}}
	var notes []string
	if o.Impossible != "" {
		return fmt.Sprintf("\n%s: %s\n  not possible here: %s\n", o.Name, o.Title, o.Impossible)
	}
	for i, r := range o.Rows {
		e := entrants[i]
		switch {
		case e.Missing != "":
			notes = append(notes, fmt.Sprintf("%s is missing: %s", e.Name, e.Missing))
			continue
		case r.Out != "":
			notes = append(notes, fmt.Sprintf("%s is left out: %s", e.Name, r.Out))
			continue
		case r.Failed != "":
			notes = append(notes, fmt.Sprintf("%s failed: %s", e.Name, r.Failed))
			continue
		}
		table = append(table, []string{
			e.label(), figure(r.Cost), percent(r.Spread), thousands(r.Rate),
			latency(r, func(s sample) time.Duration { return s.P50 }),
			latency(r, func(s sample) time.Duration { return s.P99 }),
			loss(r),
			share(r, func(s sample) float64 { return s.Busy }),
			share(r, func(s sample) float64 { return s.Load }),
			verdict(r),
		})
		if text := addition(r); text != "" {
			notes = append(notes, text)
		}
		for round, s := range r.Samples {
			if t := trouble(s); t != "" {
				notes = append(notes, fmt.Sprintf("%s, round %d%s", e.Name, round+1, t))
			}
		}
	}
	notes = append(notes, callsNotes(o)...)
	if others := disturbance(o); others > quiet {
		notes = append(notes, fmt.Sprintf("the machine was not quiet: other programs used %.1f CPUs; trust only differences well above the spread", others))
	}
	if !o.Datagrams {
		const lossColumn = 6
		for i := range table {
			table[i] = slices.Delete(table[i], lossColumn, lossColumn+1)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", o.Name, o.Title)
	b.WriteString(columns(table))
	for _, n := range notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
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
	header := []string{"", "unit"}
	own := slices.IndexFunc(r.Entrants, func(e *entrant) bool { return e.Own })
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
	table := [][]string{header}
	for _, o := range r.Scenarios {
		table = append(table, summaryLine(o, r.Entrants, own))
	}
	return "\nMedians of " + strconv.Itoa(r.Rounds) + " rounds; less is better, and a ratio below 1 is weir's win\n" + columns(table)
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

// verdict says how weir compares with the rival of a row.
func verdict(r *row) string {
	switch {
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
