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

// comparison is one ratio of weir's cost.
type comparison struct {
	ratio
	index int    // of the balancer that it is compared with, maybe weir itself
	whom  string // its name in a sentence
	note  string // what is said beside the figure
}

// comparisons are those of a scenario.
func comparisons(o *outcome, entrants []*entrant) []comparison {
	var all []comparison
	for i, row := range o.Rows {
		switch {
		case row.Bare != nil:
			all = append(all, comparison{ratio: *row.Bare, index: i, whom: "it does without them", note: " of itself without"})
		case row.Ratio != nil && row.Best:
			all = append(all, comparison{ratio: *row.Ratio, index: i, whom: entrants[i].label() + " does", note: " of the best"})
		case row.Ratio != nil:
			all = append(all, comparison{ratio: *row.Ratio, index: i, whom: entrants[i].label() + " does"})
		}
	}
	return all
}

// ratioPlot shows for each scenario what weir costs over each rival, as bars
// that start at 1: to the left weir needs less. The axis is logarithmic, so
// that half and twice are equally long. nil if there is no ratio.
func ratioPlot(r *results) *plot {
	p := &plot{Width: ratioWidth, Label: "weir's cost over that of each rival, for each scenario"}
	s := ratioScale(r, nameColumn, ratioWidth-sideColumn)
	y := float64(axisHeight)
	for _, o := range r.Scenarios {
		all := comparisons(o, r.Entrants)
		if len(all) == 0 {
			continue
		}
		top := y
		for _, c := range all {
			p.ratioBar(s, o.Name, c, y)
			y += barPitch
		}
		p.Texts = append(p.Texts, text{X: nameColumn - 22, Y: (top+y-barPitch)/2 + barHeight/2 + 4, Class: "end name", Text: o.Name})
		p.goalMark(s, o, r.own(), top, y-barPitch+barHeight)
		y += groupGap
	}
	if len(p.Bars) == 0 {
		return nil
	}
	p.Height = y
	p.ratioAxis(s, y-groupGap+4)
	return p
}

// ratioAxis draws the lines down to bottom, with their figures above.
func (p *plot) ratioAxis(s scale, bottom float64) {
	for _, tick := range ratioTicks(s) {
		x, class := math.Round(s.at(tick)), "grid"
		if tick == 1 {
			class = "even"
		}
		p.Grid = append(p.Grid, stroke{X1: x, Y1: axisHeight - 8, X2: x, Y2: bottom, Class: class})
		p.Texts = append(p.Texts, text{X: x, Y: axisHeight - 13, Class: "mid tick", Text: tickText(tick)})
	}
	one := math.Round(s.at(1))
	p.Texts = append(p.Texts,
		text{X: one - 16, Y: 12, Class: "end tick", Text: "← weir needs less"},
		text{X: one + 16, Y: 12, Class: "start tick", Text: "weir needs more →"})
}

// ratioBar draws one bar, its whisker and its figure.
func (p *plot) ratioBar(s scale, scenario string, c comparison, y float64) {
	one, end := math.Round(s.at(1)), math.Round(s.at(c.Median))
	hint := fmt.Sprintf("%s: weir needs %s of what %s (%s to %s in single rounds)", scenario, figure(c.Median), c.whom, figure(c.Low), figure(c.High))
	p.Bars = append(p.Bars, bar{X: min(one, end), Y: y, W: max(1, math.Abs(end-one)), H: barHeight, Class: seriesClass(c.index), Hint: hint})
	p.Marks = append(p.Marks, whisker(s.at(c.Low), s.at(c.High), y+barHeight/2)...)
	base := y + barHeight - 2
	if c.Median < s.lo {
		p.Texts = append(p.Texts, text{X: s.a - 4, Y: base, Class: "end tick", Text: "«"})
	}
	if c.Median > s.hi {
		p.Texts = append(p.Texts, text{X: s.b + 3, Y: base, Class: "start tick", Text: "»"})
	}
	p.Texts = append(p.Texts, text{X: s.b + 14, Y: base, Class: "start figure", Text: figure(c.Median) + c.note})
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
		for _, c := range comparisons(o, r.Entrants) {
			if c.Low > 0 {
				s.lo, s.hi = min(s.lo, c.Low*0.95), max(s.hi, c.High*1.05)
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
