package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// results is everything that a run found, as -json writes it.
type results struct {
	Date       time.Time  `json:"date"`
	Command    string     `json:"command"` // that made the bench do it
	Machine    machine    `json:"machine"`
	Rounds     int        `json:"rounds"`
	Seconds    float64    `json:"seconds"`              // measured in each round
	Unfinished int        `json:"unfinished,omitempty"` // scenarios that an interrupt kept from being measured
	Entrants   []*entrant `json:"balancers"`
	Scenarios  []*outcome `json:"scenarios"`
}

// entrant is a balancer in this run.
type entrant struct {
	Name    string `json:"name"`
	Path    string `json:"-"`
	Version string `json:"version,omitempty"`
	Command string `json:"command,omitempty"` // that starts it
	Missing string `json:"missing,omitempty"` // why it is not measured
	Own     bool   `json:"own,omitempty"`     // it is weir, and the others are its rivals

	balancer balancer
}

// own is the index of weir; -1 if it is not measured.
func (r *results) own() int {
	return slices.IndexFunc(r.Entrants, func(e *entrant) bool { return e.Own })
}

// label is the name with the version.
func (e *entrant) label() string {
	if e.Version == "" {
		return e.Name
	}
	return e.Name + " " + e.Version
}

// outcome is what one scenario gave.
type outcome struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Cost  string `json:"cost"` // unit of the cost; less is better
	Rate  string `json:"rate"` // unit of the throughput
	Goal  *goal  `json:"goal,omitempty"`
	Rows  []*row `json:"rows"` // one for each entrant, in the same order

	// A scenario that differs from others in one number alone is one point of
	// their series; Series is its name, empty for one on its own.
	Series string  `json:"series,omitempty"`
	X      float64 `json:"x,omitempty"`     // the number
	XName  string  `json:"xName,omitempty"` // what it counts, such as backends

	Uncounted string `json:"uncounted,omitempty"` // why no system calls were counted

	Datagrams  bool   `json:"datagrams,omitempty"`  // some may be lost
	Impossible string `json:"impossible,omitempty"` // why it cannot be measured on this machine
}

// row is one balancer in one scenario.
type row struct {
	Balancer string   `json:"balancer"`
	Samples  []sample `json:"samples,omitempty"` // one for each round
	Failed   string   `json:"failed,omitempty"`  // why there are no more; its figures do not count then
	Out      string   `json:"out,omitempty"`     // why it takes no part, which is no failure

	// System calls for each unit, by name.
	Syscalls map[string]float64 `json:"syscalls,omitempty"`

	// The medians of the samples, and what they mean for weir.
	Cost   float64 `json:"cost"`
	Spread float64 `json:"spread"` // of the cost, as a share of it
	Rate   float64 `json:"rate"`
	Ratio  *ratio  `json:"ratio,omitempty"` // weir's cost over this rival's
	Bare   *ratio  `json:"bare,omitempty"`  // weir's cost over its own in the bare shape
	Best   bool    `json:"best,omitempty"`  // the rival with the lowest cost
}

// sample is one round of one balancer.
type sample struct {
	Cost      float64       `json:"cost"`
	Rate      float64       `json:"rate"`
	Bare      float64       `json:"bare,omitempty"` // the cost in the bare shape, where there is one
	CPU       time.Duration `json:"cpuNanoseconds"` // of the balancer's tree
	RSS       int64         `json:"rssBytes"`       // of the balancer's tree at the end
	Elapsed   time.Duration `json:"elapsedNanoseconds"`
	Exchanges int           `json:"exchanges"`
	Bytes     int64         `json:"bytes"`
	P50       time.Duration `json:"p50Nanoseconds"`
	P99       time.Duration `json:"p99Nanoseconds"`
	P999      time.Duration `json:"p999Nanoseconds"`
	Busy      float64       `json:"busy"`   // CPUs that the balancer kept busy
	Load      float64       `json:"load"`   // the same of client and backend
	Others    float64       `json:"others"` // the same of everything else on the machine
	Errors    int           `json:"errors"`
	LastError string        `json:"lastError,omitempty"`
	Stalled   int           `json:"stalled"` // connections without an exchange

	Latencies []load.Point `json:"latencies,omitempty"` // at rising quantiles
	Offered   float64      `json:"offered,omitempty"`   // exchanges asked for in a second, where the client sets the pace

	Unanswered int `json:"unanswered,omitempty"` // of those
	// Of a scenario that says what a balancer adds to latencies: what it managed a second in a closed loop, and the latencies
	// at the same rate without it.
	Capacity float64      `json:"capacity,omitempty"`
	Direct   []load.Point `json:"direct,omitempty"`

	// Datagrams, where there are any.
	Sent       int `json:"sent,omitempty"`
	Lost       int `json:"lost,omitempty"`
	Late       int `json:"late,omitempty"` // not lost, but taken for it at first
	Reordered  int `json:"reordered,omitempty"`
	Duplicated int `json:"duplicated,omitempty"`
}

// of collects one figure of every sample.
func of(samples []sample, figure func(sample) float64) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = figure(s)
	}
	return all
}

// bareCosts are those in the bare shape; of no length where there is none.
func bareCosts(r *row) []float64 {
	all := of(r.Samples, func(s sample) float64 { return s.Bare })
	return slices.DeleteFunc(all, func(cost float64) bool { return cost == 0 })
}

func costs(r *row) []float64 { return of(r.Samples, func(s sample) float64 { return s.Cost }) }

// conclude fills in the medians, and compares the row of own, an index or -1,
// with the others.
func (o *outcome) conclude(own int) {
	ranking := make([][]float64, len(o.Rows))
	for i, r := range o.Rows {
		if r.Failed != "" || len(r.Samples) == 0 {
			continue
		}
		r.Cost, r.Spread = median(costs(r)), spread(costs(r))
		r.Rate = median(of(r.Samples, func(s sample) float64 { return s.Rate }))
		if i != own {
			ranking[i] = costs(r)
		}
	}
	if i := best(ranking); i >= 0 {
		o.Rows[i].Best = true
	}
	if own < 0 || o.Rows[own].Failed != "" || len(o.Rows[own].Samples) == 0 {
		return
	}
	if bare := bareCosts(o.Rows[own]); len(bare) > 0 {
		r := compare(costs(o.Rows[own]), bare)
		o.Rows[own].Bare = &r
	}
	for i, c := range ranking {
		if len(c) > 0 {
			r := compare(costs(o.Rows[own]), c)
			o.Rows[i].Ratio = &r
		}
	}
}

// reached returns the figure of weir that the goal is about, and whether it is
// good enough; 0 where it was not measured.
func (o *outcome) reached(own int) (figure float64, met bool) {
	if o.Goal == nil || own < 0 {
		return 0, false
	}
	switch bare := o.Rows[own].Bare; {
	case o.Goal.Of == "":
		figure = o.Rows[own].Cost
	case o.Goal.Of == itself && bare != nil:
		figure = bare.Median
	}
	for _, r := range o.Rows {
		if r.Ratio != nil && (o.Goal.Of == r.Balancer || o.Goal.Of == anyRival && r.Best) {
			figure = r.Ratio.Median
		}
	}
	return figure, figure > 0 && figure <= o.Goal.Most
}

// section is the part of a report that a scenario belongs to: its series or its
// family.
func (o *outcome) section() string {
	if o.Series != "" {
		return o.Series
	}
	return o.family()
}

// family is the first word of a scenario's name.
func (o *outcome) family() string {
	family, _, _ := strings.Cut(o.Name, "-")
	return family
}

// save writes results to a file, whole or not at all.
func save(path string, results any) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return writeWhole(path, append(text, '\n'))
}

// writeWhole writes a file, whole or not at all.
func writeWhole(path string, text []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
