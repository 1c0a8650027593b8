package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
)

// pageText is the template of the report: one file without a script, that
// asks nothing of the network.
//
//go:embed page.html
var pageText string

// page is what the report shows.
type page struct {
	*results
	Title    string
	When     string
	Host     string
	Machine  string
	Tiles    []tile
	Legend   []legend // all balancers, and
	Rivals   []legend // those that weir is compared with
	Summary  [][]string
	Caption  string // of the summary
	Ratios   *plot
	Sections []section
	Memory   *plot
}

// tile is one figure that says how it went.
type tile struct{ Figure, What string }

// legend is one balancer with its colour.
type legend struct {
	*entrant
	Label, Class string
}

// section is the scenarios of one family or series.
type section struct {
	Name  string
	Plots []*plot // of a series
	Cards []card
}

// Bare reports whether something was also measured without a balancer.
func (s section) Bare() bool {
	return slices.ContainsFunc(s.Plots, func(p *plot) bool {
		return slices.ContainsFunc(p.Curves, func(c curve) bool { return c.Class == bareClass })
	})
}

// card is one scenario.
type card struct {
	*outcome
	Duty, DutyClass string // what weir must reach, and whether it does
	Table           table
	Left, Right     []captioned
}

// captioned is a plot under its name.
type captioned struct {
	Caption string
	*plot
}

// newPage makes a page of results.
func newPage(r *results) *page {
	p := &page{
		results: r, Title: title(r), When: r.Date.Format("2 January 2006, 15:04 MST"), Host: r.Machine.Host, Machine: r.Machine.String(),
		Tiles: tiles(r), Summary: summary(r), Caption: summaryTitle(r), Ratios: ratioPlot(r), Memory: memoryPlot(r),
	}
	for i, e := range r.Entrants {
		one := legend{entrant: e, Label: e.label(), Class: seriesClass(i)}
		p.Legend = append(p.Legend, one)
		if !e.Own || slices.ContainsFunc(r.Scenarios, func(o *outcome) bool { return o.Rows[i].Bare != nil }) {
			p.Rivals = append(p.Rivals, one)
		}
	}
	for _, points := range sectionsOf(r) {
		part := section{Name: points[0].section()}
		for _, o := range points {
			part.Cards = append(part.Cards, newCard(o, r))
		}
		if possible := slices.DeleteFunc(points, func(o *outcome) bool { return o.Impossible != "" }); len(possible) > 0 && possible[0].Series != "" {
			part.Plots = seriesPlots(possible, r.Entrants)
		}
		p.Sections = append(p.Sections, part)
	}
	return p
}

func newCard(o *outcome, r *results) card {
	c := card{outcome: o, Duty: duty(o, r.own())}
	if reached, met := o.reached(r.own()); met {
		c.DutyClass = "met"
	} else if reached > 0 {
		c.DutyClass = "missed"
	}
	if o.Impossible != "" {
		return c
	}
	c.Table = tabulate(o, r.Entrants)
	add := func(to *[]captioned, caption string, p *plot) {
		if p != nil {
			*to = append(*to, captioned{caption, p})
		}
	}
	add(&c.Left, "Cost of a unit", costPlot(o, r.Entrants))
	add(&c.Left, "Memory at the end of a round", residentPlot(o, r.Entrants))
	add(&c.Right, "Latency", latencyPlot(o, r.Entrants))
	if len(c.Right) == 0 && len(c.Left) > 1 {
		c.Left, c.Right = c.Left[:1], c.Left[1:]
	}
	return c
}

// title names who was measured.
func title(r *results) string {
	var rivals []string
	for _, e := range r.Entrants {
		if !e.Own && e.Missing == "" {
			rivals = append(rivals, e.Name)
		}
	}
	own := "What a load balancer costs"
	if r.own() >= 0 {
		own = "What weir costs"
	}
	switch n := len(rivals); {
	case n == 0:
		return own
	case n == 1:
		return own + " beside " + rivals[0]
	default:
		return own + " beside " + join(rivals[:n-1]) + " and " + rivals[n-1]
	}
}

func join(names []string) string {
	all := names[0]
	for _, n := range names[1:] {
		all += ", " + n
	}
	return all
}

// tiles are the figures that say how it went.
func tiles(r *results) []tile {
	var goals, met, compared, cheaper int
	var others []float64
	for _, o := range r.Scenarios {
		if reached, ok := o.reached(r.own()); reached > 0 {
			goals++
			if ok {
				met++
			}
		}
		for _, row := range o.Rows {
			if row.Best && row.Ratio != nil {
				compared++
				if row.Ratio.Median < 1 {
					cheaper++
				}
			}
			others = append(others, of(row.Samples, func(s sample) float64 { return s.Others })...)
		}
	}
	var all []tile
	if compared > 0 {
		all = append(all, tile{fmt.Sprintf("%d of %d", cheaper, compared), "scenarios in which weir needs less than every rival"})
	}
	if goals > 0 {
		all = append(all, tile{fmt.Sprintf("%d of %d", met, goals), "goals that weir reaches"})
	}
	return append(all,
		tile{fmt.Sprintf("%d × %s s", r.Rounds, tickText(r.Seconds)), "measured for each balancer in each scenario"},
		tile{fmt.Sprintf("%.2f", median(others)), "CPUs that other programs used meanwhile"})
}

// sectionsOf groups the scenarios by the parts of a report, in the order of the
// first of each.
func sectionsOf(r *results) [][]*outcome {
	var all [][]*outcome
	for _, o := range r.Scenarios {
		i := slices.IndexFunc(all, func(points []*outcome) bool { return points[0].section() == o.section() })
		if i < 0 {
			all, i = append(all, nil), len(all)
		}
		all[i] = append(all[i], o)
	}
	return all
}

// writeHTML writes the report to a file.
func (r *results) writeHTML(path string) error {
	t, err := template.New("page").Funcs(template.FuncMap{"px": pixels}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newPage(r)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return writeWhole(path, b.Bytes())
}
