package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// plot is a drawing. Its unit is the CSS pixel, from the upper left corner.
// Classes are those of page.html, which gives them their colours.
type plot struct {
	Width, Height float64
	Label         string   // what it shows, for who cannot see it
	Grid          []stroke // below everything
	Bars          []bar
	Marks         []stroke // above the bars
	Curves        []curve
	Dots          []dot
	Texts         []text
}

type stroke struct {
	X1, Y1, X2, Y2 float64
	Class          string
}

type bar struct {
	X, Y, W, H float64
	Class      string
	Hint       string // shown where the pointer rests
}

type curve struct {
	Points string // of an SVG polyline
	Class  string
	Hint   string
}

type dot struct {
	X, Y        float64
	Class, Hint string
}

// text stands at its left, middle or right end: the classes start, mid and end.
type text struct {
	X, Y        float64
	Class, Text string
}

// pixels shows a length with a tenth of a pixel at most.
func pixels(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// trace is the points of a polyline.
func trace(points [][2]float64) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pixels(p[0]) + "," + pixels(p[1]))
	}
	return b.String()
}

// scale turns values from lo to hi into places from a to b; a value beyond an
// end is at that end. lo is positive where it is logarithmic.
type scale struct {
	lo, hi, a, b float64
	log          bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	v = min(max(v, lo), hi)
	if s.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(v)
	}
	if hi == lo {
		return s.a
	}
	return s.a + (s.b-s.a)*(v-lo)/(hi-lo)
}

// fromZero is a linear scale from 0 to a round number not below hi.
func fromZero(hi, a, b float64) scale {
	step := roundStep(hi)
	return scale{lo: 0, hi: step * max(1, math.Ceil(hi/step-1e-9)), a: a, b: b}
}

// roundStep is 1, 2 or 5 times a power of ten, so that about four of them make hi.
func roundStep(hi float64) float64 {
	if hi <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(hi/4)))
	for _, m := range []float64{1, 2, 5} {
		if hi/(m*power) <= 5 {
			return m * power
		}
	}
	return 10 * power
}

// around is a logarithmic scale from 1, 2 or 5 times a power of ten to
// another, with all values between them.
func around(lo, hi, a, b float64) scale {
	s := scale{lo: math.Pow(10, math.Floor(math.Log10(lo))), hi: math.Pow(10, math.Ceil(math.Log10(hi))), a: a, b: b, log: true}
	for _, m := range []float64{5, 2} {
		if s.lo*m <= lo*(1+1e-9) {
			s.lo *= m
			break
		}
	}
	for _, m := range []float64{5, 2} {
		if s.hi/m >= hi*(1-1e-9) {
			s.hi /= m
			break
		}
	}
	if s.hi == s.lo {
		s.hi *= 2
	}
	return s
}

// ticks are the values to write at an axis, few enough to be read.
func (s scale) ticks() []float64 {
	var all []float64
	if !s.log {
		step := roundStep(s.hi)
		for i := 0; float64(i)*step <= s.hi*(1+1e-9); i++ {
			all = append(all, float64(i)*step)
		}
		return all
	}
	multiples := []float64{1, 2, 5}
	if s.hi/s.lo > 1e3 {
		multiples = multiples[:1]
	}
	for power := math.Pow(10, math.Floor(math.Log10(s.lo))); power <= s.hi*(1+1e-9); power *= 10 {
		for _, m := range multiples {
			if v := m * power; v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
				all = append(all, v)
			}
		}
	}
	return all
}

// tickText shows a round number: 2,000 or 0.05.
func tickText(v float64) string {
	if v >= 1000 {
		return thousands(v)
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

// whisker marks how far the rounds went, along a line of height y.
func whisker(from, to, y float64) []stroke {
	const half = 3
	return []stroke{
		{X1: from, Y1: y, X2: to, Y2: y, Class: "whisker"},
		{X1: from, Y1: y - half, X2: from, Y2: y + half, Class: "whisker"},
		{X1: to, Y1: y - half, X2: to, Y2: y + half, Class: "whisker"},
	}
}

// seriesClass is the colour of the balancer at an index: weir's is the first,
// and each rival keeps its own in every plot.
func seriesClass(i int) string {
	const colours = 6
	if i >= colours {
		return "cx"
	}
	return fmt.Sprintf("c%d", i)
}
