package main

import (
	"fmt"
	"math"
)

// Measures of the plots with bars, in pixels.
const (
	barHeight  = 12
	barPitch   = 16 // from one bar of a group to the next
	groupGap   = 12
	ratioWidth = 1100
	nameColumn = 180
	sideColumn = 150 // for figures at the right
	axisHeight = 40
)

// The ratios that the axis reaches to at most. A bar that goes beyond is
// cut; its figure stands beside it.
const (
	leastRatio = 0.25
	mostRatio  = 4.0
)

// ratioPlot shows for each scenario what weir costs over each rival, as bars
// that start at 1: to the left weir needs less. The axis is logarithmic, so
// that half and twice are equally long. nil if there is no ratio.
func ratioPlot(r *results) *plot {
	p := &plot{Width: ratioWidth, Label: "weir's cost over that of each rival, for each scenario"}
	s := ratioScale(r, nameColumn, ratioWidth-sideColumn)
	one := math.Round(s.at(1))
	y := float64(axisHeight)
	for _, o := range r.Scenarios {
		top := y
		for i, row := range o.Rows {
			if row.Ratio == nil {
				continue
			}
			p.ratioBar(s, o, r.Entrants[i].label(), i, row, one, y)
			y += barPitch
		}
		if y == top {
			continue
		}
		p.Texts = append(p.Texts, text{X: nameColumn - 22, Y: (top+y-barPitch)/2 + barHeight/2 + 4, Class: "end name", Text: o.Name})
		p.goalMark(s, o, r.own(), top, y-barPitch+barHeight)
		y += groupGap
	}
	if len(p.Bars) == 0 {
		return nil
	}
	p.Height = y
	for _, tick := range ratioTicks(s) {
		x, class := math.Round(s.at(tick)), "grid"
		if tick == 1 {
			class = "even"
		}
		p.Grid = append(p.Grid, stroke{X1: x, Y1: axisHeight - 8, X2: x, Y2: y - groupGap + 4, Class: class})
		p.Texts = append(p.Texts, text{X: x, Y: axisHeight - 13, Class: "mid tick", Text: tickText(tick)})
	}
	p.Texts = append(p.Texts,
		text{X: one - 16, Y: 12, Class: "end tick", Text: "← weir needs less"},
		text{X: one + 16, Y: 12, Class: "start tick", Text: "weir needs more →"})
	return p
}

// ratioBar draws one bar, its whisker and its figure.
func (p *plot) ratioBar(s scale, o *outcome, rival string, i int, row *row, one, y float64) {
	end := math.Round(s.at(row.Ratio.Median))
	hint := fmt.Sprintf("%s: weir needs %s of what %s needs (%s to %s in single rounds)",
		o.Name, figure(row.Ratio.Median), rival, figure(row.Ratio.Low), figure(row.Ratio.High))
	p.Bars = append(p.Bars, bar{X: min(one, end), Y: y, W: max(1, math.Abs(end-one)), H: barHeight, Class: seriesClass(i), Hint: hint})
	p.Marks = append(p.Marks, whisker(s.at(row.Ratio.Low), s.at(row.Ratio.High), y+barHeight/2)...)
	if row.Ratio.Median < s.lo {
		p.Texts = append(p.Texts, text{X: s.a - 4, Y: y + barHeight - 2, Class: "end tick", Text: "«"})
	}
	if row.Ratio.Median > s.hi {
		p.Texts = append(p.Texts, text{X: s.b + 3, Y: y + barHeight - 2, Class: "start tick", Text: "»"})
	}
	said := figure(row.Ratio.Median)
	if row.Best {
		said += " of the best"
	}
	p.Texts = append(p.Texts, text{X: s.b + 14, Y: y + barHeight - 2, Class: "start figure", Text: said})
}

// goalMark draws what weir must reach, where that is a ratio to the best.
func (p *plot) goalMark(s scale, o *outcome, own int, top, bottom float64) {
	if o.Goal == nil || o.Goal.Of == "" {
		return
	}
	class := "goal missed"
	if _, met := o.reached(own); met {
		class = "goal met"
	}
	x := s.at(o.Goal.Most)
	p.Marks = append(p.Marks, stroke{X1: x, Y1: top - 3, X2: x, Y2: bottom + 3, Class: class})
}

// ratioScale reaches from the lowest to the highest ratio of any round, as far
// as an axis may.
func ratioScale(r *results, a, b float64) scale {
	s := scale{lo: 0.5, hi: 1.5, a: a, b: b, log: true}
	for _, o := range r.Scenarios {
		for _, row := range o.Rows {
			if row.Ratio != nil && row.Ratio.Low > 0 {
				s.lo, s.hi = min(s.lo, row.Ratio.Low*0.95), max(s.hi, row.Ratio.High*1.05)
			}
		}
	}
	s.lo, s.hi = max(s.lo, leastRatio), min(s.hi, mostRatio)
	return s
}

// ratioTicks are those of a scale of ratios that is in sight.
func ratioTicks(s scale) []float64 {
	var all []float64
	for _, tick := range []float64{0.25, 0.33, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4} {
		if tick >= s.lo && tick <= s.hi && (tick == 1 || math.Abs(s.at(tick)-s.at(1)) > 28) {
			all = append(all, tick)
		}
	}
	return all
}
