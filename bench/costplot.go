package main

import (
	"fmt"
	"math"
	"slices"
)

// barGroup is some bars below each other under one name, one for each
// balancer that has a figure.
type barGroup struct {
	name   string
	values [][]float64 // of each balancer, one for each round; none is no bar
}

// barPlot shows groups of bars from 0, with a whisker from the lowest to the
// highest round and the median beside it. nil if there is nothing to show.
func barPlot(label, unit string, width, names float64, entrants []*entrant, groups []barGroup) *plot {
	most := 0.0
	for _, g := range groups {
		for _, v := range g.values {
			if len(v) > 0 {
				most = max(most, slices.Max(v))
			}
		}
	}
	if most <= 0 {
		return nil
	}
	p := &plot{Width: width, Label: label}
	s := fromZero(most, names, width-60)
	y := float64(axisHeight)
	for _, g := range groups {
		top := y
		for i, v := range g.values {
			if len(v) == 0 {
				continue
			}
			name := ""
			if g.name == "" {
				name = entrants[i].Name
			}
			p.valueBar(s, entrants[i].label(), name, unit, i, v, y)
			y += barPitch
		}
		if y == top {
			continue
		}
		if g.name != "" {
			p.Texts = append(p.Texts, text{X: names - 10, Y: (top+y-barPitch)/2 + barHeight/2 + 4, Class: "end name", Text: g.name})
		}
		y += groupGap
	}
	p.Height = y
	for _, tick := range s.ticks() {
		x := math.Round(s.at(tick))
		p.Grid = append(p.Grid, stroke{X1: x, Y1: axisHeight - 8, X2: x, Y2: y - groupGap + 4, Class: "grid"})
		p.Texts = append(p.Texts, text{X: x, Y: axisHeight - 13, Class: "mid tick", Text: tickText(tick)})
	}
	p.Texts = append(p.Texts, text{X: names, Y: 12, Class: "start tick", Text: unit})
	return p
}

// valueBar draws the bar of one balancer.
func (p *plot) valueBar(s scale, label, name, unit string, i int, v []float64, y float64) {
	from, to := math.Round(s.at(0)), math.Round(s.at(median(v)))
	low, high := slices.Min(v), slices.Max(v)
	hint := fmt.Sprintf("%s: %s %s (%s to %s)", label, figure(median(v)), unit, figure(low), figure(high))
	p.Bars = append(p.Bars, bar{X: from, Y: y, W: max(1, to-from), H: barHeight, Class: seriesClass(i), Hint: hint})
	end := float64(to)
	if len(v) > 1 {
		p.Marks = append(p.Marks, whisker(s.at(low), s.at(high), y+barHeight/2)...)
		end = max(end, s.at(high))
	}
	p.Texts = append(p.Texts, text{X: end + 8, Y: y + barHeight - 2, Class: "start figure", Text: figure(median(v))})
	if name != "" {
		p.Texts = append(p.Texts, text{X: s.a - 10, Y: y + barHeight - 2, Class: "end name", Text: name})
	}
}

// costPlot shows what a unit of a scenario costs.
func costPlot(o *outcome, entrants []*entrant) *plot {
	g := barGroup{values: make([][]float64, len(o.Rows))}
	for i, row := range o.Rows {
		if row.Failed == "" {
			g.values[i] = costs(row)
		}
	}
	return barPlot(o.Name+": what a unit costs", o.Cost, cardWidth, 90, entrants, []barGroup{g})
}

// residentPlot shows the memory of each balancer at the end of a scenario's rounds.
func residentPlot(o *outcome, entrants []*entrant) *plot {
	return barPlot(o.Name+": resident memory", "MiB", cardWidth, 90, entrants, []barGroup{{values: residents(o)}})
}

// memoryPlot shows the resident memory at the end of the rounds.
func memoryPlot(r *results) *plot {
	var groups []barGroup
	for _, o := range r.Scenarios {
		groups = append(groups, barGroup{name: o.Name, values: residents(o)})
	}
	return barPlot("resident memory of each balancer at the end of a round", "MiB", ratioWidth, nameColumn, r.Entrants, groups)
}

// residents is the memory of each balancer at the end of the rounds, in MiB.
func residents(o *outcome) [][]float64 {
	all := make([][]float64, len(o.Rows))
	for i, row := range o.Rows {
		if row.Failed == "" {
			all[i] = of(row.Samples, func(s sample) float64 { return float64(s.RSS) / (1 << 20) })
		}
	}
	return all
}
