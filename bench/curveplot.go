package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/weirlb/weir/bench/load"
)

// Measures of the plots with curves, in pixels.
const (
	cardWidth   = 520
	curveHeight = 250
	curveLeft   = 56
	curveRight  = cardWidth - 32
	curveTop    = 22
	curveBottom = curveHeight - 40
)

// series is the points of one balancer, or of none, in a plot with curves, by
// rising x.
type series struct {
	class  string // its colour
	label  string
	points [][2]float64
}

// axes says what a plot with curves shows.
type axes struct {
	label        string
	xName, yName string
	x            scale
	xTicks       []float64
	xText        func(float64) string
	yLog         bool
}

// draw makes a plot of curves. nil if there is not one point above 0.
func (a axes) draw(all []series) *plot {
	var ys []float64
	for _, s := range all {
		for _, p := range s.points {
			if p[1] > 0 {
				ys = append(ys, p[1])
			}
		}
	}
	if len(ys) == 0 {
		return nil
	}
	y := fromZero(slices.Max(ys), curveBottom, curveTop)
	if a.yLog {
		y = around(slices.Min(ys), slices.Max(ys), curveBottom, curveTop)
	}
	p := &plot{Width: cardWidth, Height: curveHeight, Label: a.label}
	for _, tick := range y.ticks() {
		at := math.Round(y.at(tick))
		p.Grid = append(p.Grid, stroke{X1: curveLeft, Y1: at, X2: curveRight, Y2: at, Class: "grid"})
		p.Texts = append(p.Texts, text{X: curveLeft - 8, Y: at + 4, Class: "end tick", Text: tickText(tick)})
	}
	for _, tick := range a.xTicks {
		at := math.Round(a.x.at(tick))
		p.Grid = append(p.Grid, stroke{X1: at, Y1: curveTop, X2: at, Y2: curveBottom, Class: "grid"})
		p.Texts = append(p.Texts, text{X: at, Y: curveBottom + 16, Class: "mid tick", Text: a.xText(tick)})
	}
	p.Texts = append(p.Texts,
		text{X: curveLeft, Y: 12, Class: "start tick", Text: a.yName},
		text{X: curveRight, Y: curveHeight - 6, Class: "end tick", Text: a.xName})
	for _, s := range all {
		if len(s.points) > 0 {
			p.curve(a, y, s)
		}
	}
	return p
}

// curve draws one balancer.
func (p *plot) curve(a axes, y scale, s series) {
	var points [][2]float64
	for _, point := range s.points {
		if a.yLog && point[1] <= 0 {
			continue
		}
		at := [2]float64{a.x.at(point[0]), y.at(point[1])}
		points = append(points, at)
		p.Dots = append(p.Dots, dot{X: at[0], Y: at[1], Class: s.class,
			Hint: fmt.Sprintf("%s: %s %s at %s", s.label, figure(point[1]), a.yName, a.xText(point[0]))})
	}
	p.Curves = append(p.Curves, curve{Points: trace(points), Class: s.class, Hint: s.label})
}

// bareClass is the class of what was measured without a balancer.
const bareClass = "bare"

// latencyPlot shows the latencies of a scenario by quantile: each step to the
// right leaves a tenth of the exchanges above it. Where they were also taken
// without the balancer, at the same rate, those are below it. nil if none were
// taken.
func latencyPlot(o *outcome, entrants []*entrant) *plot {
	var all []series
	deepest := 0.99
	add := func(class, label string, curve []load.Point) {
		s := series{class: class, label: label}
		for _, p := range curve {
			if p.Quantile < 1 {
				s.points = append(s.points, [2]float64{rarity(p.Quantile), p.MS})
				deepest = max(deepest, p.Quantile)
			}
		}
		if len(s.points) > 0 {
			all = append(all, s)
		}
	}
	for i, row := range o.Rows {
		if row.Failed == "" {
			label := entrants[i].label()
			add(bareClass, "the same rate without "+label, medianCurve(row.Samples, func(s sample) []load.Point { return s.Direct }))
			add(seriesClass(i), label, medianCurve(row.Samples, func(s sample) []load.Point { return s.Latencies }))
		}
	}
	a := axes{
		label: o.Name + ": latency by quantile", yName: "ms", xName: "share of exchanges that took no longer", yLog: true,
		x:     scale{lo: rarity(0.5), hi: rarity(deepest), a: curveLeft, b: curveRight, log: true},
		xText: func(v float64) string { return share100(1 - 1/v) },
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} {
		if q <= deepest {
			a.xTicks = append(a.xTicks, rarity(q))
		}
	}
	return a.draw(all)
}

// rarity is one in how many exchanges took longer than a quantile.
func rarity(q float64) float64 { return math.Round(1 / (1 - q)) }

// share100 shows a quantile in percent, with as many nines as it has.
func share100(q float64) string { return tickText(100*q) + "%" }

// medianCurve is a curve of the samples, at those quantiles that all of them have.
func medianCurve(samples []sample, curve func(sample) []load.Point) []load.Point {
	if len(samples) == 0 {
		return nil
	}
	var all []load.Point
	for _, p := range curve(samples[0]) {
		var ms []float64
		for _, s := range samples {
			points := curve(s)
			if i := slices.IndexFunc(points, func(q load.Point) bool { return q.Quantile == p.Quantile }); i >= 0 {
				ms = append(ms, points[i].MS)
			}
		}
		if len(ms) == len(samples) {
			all = append(all, load.Point{Quantile: p.Quantile, MS: median(ms)})
		}
	}
	return all
}
