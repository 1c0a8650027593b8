package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// addedAt are the quantiles at which it is said what a balancer adds to the latency.
var addedAt = []float64{0.5, 0.99, 0.999}

// leastAdded is the least that can be told from nothing, in microseconds.
const leastAdded = 1

// pacedPatience is after what time a datagram of an open loop counts as lost.
const pacedPatience = 2 * time.Second

// latency measures what a balancer adds to the latency of exchanges that come at a steady rate. The rate is a share of what it
// managed just before in a closed loop; the same rate without a balancer tells what is the client's and the backend's own.
func (r *runner) latency(ctx context.Context, b *bout) (sample, error) {
	work := r.client(b.sc, b.at, b.hello)
	most, err := r.drive(ctx, b, forThird(work, r.duration))
	if err != nil {
		return sample{}, fmt.Errorf("capacity: %w", err)
	}
	capacity := over(float64(most.Exchanges), most.Elapsed.Seconds())
	rate := capacity * b.sc.share
	s, err := r.drive(ctx, b, atRate(work, rate))
	if err != nil {
		return s, fmt.Errorf("at %.0f/s: %w", rate, err)
	}
	alone, err := r.direct(ctx, b, atRate(sentTo(work, b.at.Origins[0]), rate))
	if err != nil {
		return s, fmt.Errorf("at %.0f/s without a balancer: %w", rate, err)
	}
	s.Offered, s.Capacity, s.Direct = rate, capacity, alone.Curve
	s.Cost = max(leastAdded, 1000*added(s, 0.999))
	return s, nil
}

// direct is the load without a balancer.
func (r *runner) direct(ctx context.Context, b *bout, work job) (load.Result, error) {
	c, err := r.startClients(work, b.from)
	if err != nil {
		return load.Result{}, err
	}
	defer c.stop()
	if _, err := c.expect(ctx, load.Measuring); err != nil {
		return load.Result{}, err
	}
	res, err := c.expect(ctx, load.Finished)
	if err == nil && (res.Errors > 0 || res.Exchanges == 0) {
		err = fmt.Errorf("%d exchanges, %d errors, the last: %s", res.Exchanges, res.Errors, res.LastError)
	}
	return res, err
}

// forThird is a job for a third of the time; enough to see what a balancer manages at most.
func forThird(j job, d time.Duration) job {
	switch spec := j.spec.(type) {
	case load.ClientSpec:
		spec.Duration = d / 3
		j.spec = spec
	case load.FlowSpec:
		spec.Duration = d / 3
		j.spec = spec
	}
	return j
}

// atRate makes a job an open loop.
func atRate(j job, rate float64) job {
	switch spec := j.spec.(type) {
	case load.ClientSpec:
		spec.Rate = rate
		j.spec = spec
	case load.FlowSpec:
		// A client that stands still itself must not take for lost what it sent late.
		spec.Rate, spec.Patience = rate, pacedPatience
		spec.InFlight = load.InFlightAt(rate, spec.Patience, spec.Flows)
		j.spec = spec
	}
	return j
}

// sentTo makes a job go to an address.
func sentTo(j job, addr string) job {
	switch spec := j.spec.(type) {
	case load.ClientSpec:
		spec.Addr = addr
		j.spec = spec
	case load.FlowSpec:
		spec.Addr = addr
		j.spec = spec
	}
	return j
}

// added is by how many milliseconds a quantile is longer with a balancer than without.
func added(s sample, quantile float64) float64 {
	return pointAt(s.Latencies, quantile) - pointAt(s.Direct, quantile)
}

// pointAt is the latency at a quantile. Where there were too few exchanges to tell, it is that of the next one.
func pointAt(curve []load.Point, quantile float64) float64 {
	for _, p := range curve {
		if p.Quantile >= quantile {
			return p.MS
		}
	}
	return 0
}

// addition says what a balancer adds, by the medians of its rounds; nothing where that was not measured.
func addition(r *row) string {
	capacity := median(of(r.Samples, func(s sample) float64 { return s.Capacity }))
	if capacity == 0 {
		return ""
	}
	offered := median(of(r.Samples, func(s sample) float64 { return s.Offered }))
	var parts []string
	for _, q := range addedAt {
		ms := median(of(r.Samples, func(s sample) float64 { return added(s, q) }))
		parts = append(parts, fmt.Sprintf("%.3f at p%s", ms, strings.TrimSuffix(fmt.Sprintf("%.1f", 100*q), ".0")))
	}
	return fmt.Sprintf("%s adds %s ms, at %s of at most %s a second", r.Balancer, strings.Join(parts, ", "), thousands(offered), thousands(capacity))
}
