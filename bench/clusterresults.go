package main

import (
	"slices"
	"time"
)

// clusterResults is everything that a run of the cluster's bench found, as
// -json writes it.
type clusterResults struct {
	Date     time.Time     `json:"date"`
	Machine  machine       `json:"machine"`
	Version  string        `json:"version"` // of weir
	Interval time.Duration `json:"intervalNanoseconds"`
	Timeout  time.Duration `json:"timeoutNanoseconds"` // both of probes
	Works    []*workResult `json:"works"`
}

// workResult is the rows of one work.
type workResult struct {
	Name  string        `json:"name"`
	Title string        `json:"title"`
	Aim   time.Duration `json:"aimNanoseconds,omitempty"` // of the 99th percentile
	Rows  []*clusterRow `json:"rows"`
}

// clusterRow is what one crew did. Of its figures those are set that belong
// to the work.
type clusterRow struct {
	Nodes   int      `json:"nodes"`
	Origins int      `json:"backends"`
	Others  float64  `json:"others"` // CPUs that everything else on the machine used
	Failed  string   `json:"failed,omitempty"`
	Odd     []string `json:"odd,omitempty"` // what nodes logged and should not have

	Spans  []span     `json:"spans,omitempty"`
	Quiet  *quietness `json:"idle,omitempty"`
	Mass   *massEvent `json:"mass,omitempty"`
	Missed int        `json:"missed,omitempty"` // clients that noticed that a backend was dead
}

// span is how long it took until the last node knew of a death.
type span struct {
	Of    string        `json:"of"` // the backend or node that died
	Took  time.Duration `json:"nanoseconds"`
	Nodes []nodeSpan    `json:"nodes"`
}

// nodeSpan is how long it took one node.
type nodeSpan struct {
	Node  string        `json:"node"`
	Took  time.Duration `json:"nanoseconds"`
	Cause string        `json:"cause,omitempty"` // in its words
}

// quietness is what a cluster does when nothing happens.
type quietness struct {
	Elapsed time.Duration `json:"elapsedNanoseconds"`
	Due     float64       `json:"due"`    // probes of each backend in a second, by the rules
	Probes  float64       `json:"probes"` // as counted by the backends
	Least   float64       `json:"leastProbes"`
	Most    float64       `json:"mostProbes"` // of one backend
	Packets float64       `json:"packets"`    // of each node in a second, as are the others
	Bytes   float64       `json:"bytes"`
	Streams float64       `json:"streams"`
	CPU     float64       `json:"cpuSeconds"`
	RSS     float64       `json:"rssBytes"` // of each node
}

// massEvent is what the death of many backends at once made of a cluster.
type massEvent struct {
	Deaths  int           `json:"deaths"`
	Elapsed time.Duration `json:"elapsedNanoseconds"` // that the traffic was counted in
	Packets float64       `json:"packets"`            // of each node, as are the others
	Bytes   float64       `json:"bytes"`
	Streams float64       `json:"streams"`
	CPU     float64       `json:"cpuSeconds"`
}

// percentile returns the smallest of some times that so many percent of them
// do not exceed; 0 for none.
func percentile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// took is the times of all spans.
func (r *clusterRow) took() []time.Duration {
	all := make([]time.Duration, len(r.Spans))
	for i, s := range r.Spans {
		all[i] = s.Took
	}
	return all
}

// slowest is the span that took longest; there is one at least.
func (r *clusterRow) slowest() span {
	return slices.MaxFunc(r.Spans, func(a, b span) int { return int(a.Took - b.Took) })
}

// spansOf makes spans of what nodes have logged of deaths that began at one
// moment, in the order of the deaths.
func spansOf(died time.Time, subjects []string, heard []entry) []span {
	of := make(map[string]*span)
	for _, e := range heard {
		s := of[e.about()]
		if s == nil {
			s = &span{Of: e.about()}
			of[s.Of] = s
		}
		one := nodeSpan{Node: e.Node, Took: e.At.Sub(died), Cause: e.Cause}
		s.Nodes = append(s.Nodes, one)
		s.Took = max(s.Took, one.Took)
	}
	var all []span
	for _, subject := range subjects {
		if s := of[subject]; s != nil {
			all = append(all, *s)
		}
	}
	return all
}

// failed reports whether something could not be measured.
func (r *clusterResults) failed() bool {
	return slices.ContainsFunc(r.Works, func(w *workResult) bool {
		return slices.ContainsFunc(w.Rows, func(row *clusterRow) bool { return row.Failed != "" })
	})
}
