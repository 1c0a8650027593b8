package main

import (
	"cmp"
	"slices"
	"time"
)

// measurand is one figure of a balancer that a series is drawn of.
type measurand struct {
	name     string
	of       func(*row) float64
	quantile float64 // of latencies; 0 is none
}

// measurands are the figures that a series is drawn of, in their order.
func measurands(cost string) []measurand {
	all := []measurand{{name: cost, of: func(r *row) float64 { return r.Cost }}}
	for _, l := range []struct {
		name     string
		quantile float64
		of       func(sample) time.Duration
	}{
		{"p50 ms", 0.5, func(s sample) time.Duration { return s.P50 }},
		{"p99 ms", 0.99, func(s sample) time.Duration { return s.P99 }},
		{"p99.9 ms", 0.999, func(s sample) time.Duration { return s.P999 }},
	} {
		all = append(all, measurand{name: l.name, quantile: l.quantile, of: func(r *row) float64 {
			return median(of(r.Samples, func(s sample) float64 { return l.of(s).Seconds() * 1000 }))
		}})
	}
	return append(all,
		measurand{name: "MiB resident", of: resident},
		measurand{name: "errors in all rounds", of: func(r *row) float64 { return float64(errorsOf(r)) }})
}

// seriesPlots shows scenarios that differ in one number: their figures over it,
// or over the rate where the client sets the pace.
func seriesPlots(points []*outcome, entrants []*entrant) []*plot {
	xName, paced := points[0].XName, offered(points)
	x := func(o *outcome, _ *row) float64 { return o.X }
	if paced {
		xName = points[0].Rate + " asked for"
		x = func(_ *outcome, r *row) float64 {
			return median(of(r.Samples, func(s sample) float64 { return s.Offered }))
		}
	}
	var plots []*plot
	for _, m := range measurands(points[0].Cost) {
		var all []series
		for i, e := range entrants {
			all = append(all, series{class: seriesClass(i), label: e.label(), points: along(points, i, x, m.of)})
		}
		if paced && m.quantile > 0 {
			all = append(all, withoutBalancer(points, len(entrants), x, m.quantile))
		}
		a := axes{
			label: points[0].Series + ": " + m.name + " over " + xName, xName: xName, yName: m.name, yLog: m.quantile > 0, xText: tickText,
		}
		a.spanX(all, paced)
		if p := a.draw(all); p != nil {
			plots = append(plots, p)
		}
	}
	return plots
}

// spanX lays the axis below all points, logarithmic where they are far apart.
// Its ticks are round numbers where x is a rate, else what was measured.
func (a *axes) spanX(all []series, round bool) {
	var xs []float64
	for _, s := range all {
		for _, p := range s.points {
			xs = append(xs, p[0])
		}
	}
	if len(xs) == 0 {
		return
	}
	slices.Sort(xs)
	lo, hi := xs[0], xs[len(xs)-1]
	a.x = fromZero(hi, curveLeft, curveRight)
	if lo > 0 && hi/lo >= 20 {
		a.x = around(lo, hi, curveLeft, curveRight)
	}
	a.xTicks = a.x.ticks()
	if !round {
		a.xTicks = slices.Compact(xs)
	}
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

// along collects a figure of one balancer over x.
func along(points []*outcome, balancer int, x func(*outcome, *row) float64, y func(*row) float64) [][2]float64 {
	var all [][2]float64
	for _, o := range points {
		if row := o.Rows[balancer]; row.Failed == "" && len(row.Samples) > 0 {
			all = append(all, [2]float64{x(o, row), y(row)})
		}
	}
	return byX(all)
}

// withoutBalancer is the latencies at the rates of all balancers, taken without
// any.
func withoutBalancer(points []*outcome, balancers int, x func(*outcome, *row) float64, quantile float64) series {
	s := series{class: bareClass, label: "without a balancer"}
	for i := range balancers {
		s.points = append(s.points, along(points, i, x, func(r *row) float64 {
			return median(of(r.Samples, func(s sample) float64 { return pointAt(s.Direct, quantile) }))
		})...)
	}
	s.points = slices.DeleteFunc(s.points, func(p [2]float64) bool { return p[1] == 0 })
	byX(s.points)
	return s
}

// byX sorts points by their first number, in place.
func byX(points [][2]float64) [][2]float64 {
	slices.SortStableFunc(points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	return points
}
