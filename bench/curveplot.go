package main

import (
	"fmt"
	"math"
	"slices"
	"time"

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

// series is the points of one balancer in a plot with curves, by rising x.
type series struct {
	index  int // of the balancer
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
		p.curve(a, y, s)
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
		p.Dots = append(p.Dots, dot{X: at[0], Y: at[1], Class: seriesClass(s.index),
			Hint: fmt.Sprintf("%s: %s %s at %s", s.label, figure(point[1]), a.yName, a.xText(point[0]))})
	}
	p.Curves = append(p.Curves, curve{Points: trace(points), Class: seriesClass(s.index), Hint: s.label})
}

// latencyPlot shows the latencies of a scenario by quantile: each step to the
// right leaves a tenth of the exchanges above it. nil if none were taken.
func latencyPlot(o *outcome, entrants []*entrant) *plot {
	var all []series
	deepest := 0.99
	for i, row := range o.Rows {
		if row.Failed != "" {
			continue
		}
		s := series{index: i, label: entrants[i].label()}
		for _, p := range medianCurve(row.Samples) {
			if p.Quantile < 1 {
				s.points = append(s.points, [2]float64{rarity(p.Quantile), p.MS})
				deepest = max(deepest, p.Quantile)
			}
		}
		if len(s.points) > 0 {
			all = append(all, s)
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

// medianCurve is the latencies at those quantiles that every sample has.
func medianCurve(samples []sample) []load.Point {
	if len(samples) == 0 {
		return nil
	}
	var curve []load.Point
	for _, p := range samples[0].Latencies {
		var ms []float64
		for _, s := range samples {
			if i := slices.IndexFunc(s.Latencies, func(q load.Point) bool { return q.Quantile == p.Quantile }); i >= 0 {
				ms = append(ms, s.Latencies[i].MS)
			}
		}
		if len(ms) == len(samples) {
			curve = append(curve, load.Point{Quantile: p.Quantile, MS: median(ms)})
		}
	}
	return curve
}

// seriesPlots shows scenarios that differ in one number: their cost, and the
// latencies, over it, or over the rate where the client sets the pace.
func seriesPlots(points []*outcome, entrants []*entrant) []*plot {
	xName := points[0].XName
	x := func(o *outcome, _ *row) float64 { return o.X }
	if offered(points) {
		xName = points[0].Rate + " asked for"
		x = func(_ *outcome, r *row) float64 {
			return median(of(r.Samples, func(s sample) float64 { return s.Offered }))
		}
	}
	ms := func(d func(sample) time.Duration) func(*row) float64 {
		return func(r *row) float64 {
			return median(of(r.Samples, func(s sample) float64 { return d(s).Seconds() * 1000 }))
		}
	}
	var plots []*plot
	for _, figure := range []struct {
		name string
		of   func(*row) float64
		log  bool
	}{
		{points[0].Cost, func(r *row) float64 { return r.Cost }, false},
		{"p50 ms", ms(func(s sample) time.Duration { return s.P50 }), true},
		{"p99 ms", ms(func(s sample) time.Duration { return s.P99 }), true},
		{"p99.9 ms", ms(func(s sample) time.Duration { return s.P999 }), true},
		{"MiB resident", resident, false},
	} {
		all, lo, hi := overX(points, entrants, x, figure.of)
		if len(all) == 0 {
			continue
		}
		a := axes{
			label: points[0].Series + ": " + figure.name + " over " + xName, xName: xName, yName: figure.name, yLog: figure.log,
			x: fromZero(hi, curveLeft, curveRight), xText: tickText,
		}
		if lo > 0 && hi/lo >= 20 {
			a.x = around(lo, hi, curveLeft, curveRight)
		}
		a.xTicks = a.x.ticks()
		if p := a.draw(all); p != nil {
			plots = append(plots, p)
		}
	}
	return plots
}

// offered reports whether the client sets the pace in every sample.
func offered(points []*outcome) bool {
	for _, o := range points {
		for _, row := range o.Rows {
			for _, s := range row.Samples {
				if s.Offered <= 0 {
					return false
				}
			}
		}
	}
	return true
}

// overX collects one figure of every balancer over x, and the ends of x.
func overX(points []*outcome, entrants []*entrant, x func(*outcome, *row) float64, y func(*row) float64) (all []series, lo, hi float64) {
	for i, e := range entrants {
		s := series{index: i, label: e.label()}
		for _, o := range points {
			if row := o.Rows[i]; row.Failed == "" && len(row.Samples) > 0 {
				s.points = append(s.points, [2]float64{x(o, row), y(row)})
			}
		}
		if len(s.points) == 0 {
			continue
		}
		slices.SortFunc(s.points, func(a, b [2]float64) int { return int(math.Copysign(1, a[0]-b[0])) })
		if first := s.points[0][0]; lo == 0 || first < lo {
			lo = first
		}
		hi = max(hi, s.points[len(s.points)-1][0])
		all = append(all, s)
	}
	return all, lo, hi
}
