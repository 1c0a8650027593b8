package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// clients are the processes that make the load of a round, side by side. One is enough where client and backend share a CPU.
type clients []*tool

// maxClients bounds how many processes make the load.
const maxClients = 64

// startClients starts a job in as many processes as the runner has for it.
func (r *runner) startClients(j job, from place) (clients, error) {
	var all clients
	for i, part := range parts(j, r.clients) {
		at := from
		if r.clients > 1 && len(r.machine.ClientCPUs) > 0 {
			at.cpu = r.machine.ClientCPUs[i%len(r.machine.ClientCPUs)]
		}
		at.log = fmt.Sprintf("%s-%d.log", j.name, i)
		t, err := startTool(part, at)
		if err != nil {
			all.stop()
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// parts divides a job among n processes, or among fewer where it has too little for all. What counts datagrams by the numbers of
// their flows is not divided.
func parts(j job, n int) []job {
	var all []job
	switch spec := j.spec.(type) {
	case load.ClientSpec:
		n = max(1, min(n, spec.Connections))
		for i := range n {
			part := spec
			part.Connections, part.Rate = portion(spec.Connections, i, n), spec.Rate/float64(n)
			all = append(all, job{j.name, part})
		}
	case load.FlowSpec:
		if n = max(1, min(n, spec.Flows)); spec.Datagrams.OneWay {
			n = 1
		}
		for i := range n {
			part := spec
			part.Flows, part.Rate = portion(spec.Flows, i, n), spec.Rate/float64(n)
			part.Sockets = min(spec.Sockets, part.Flows)
			all = append(all, job{j.name, part})
		}
	default:
		all = []job{j}
	}
	return all
}

// portion is the i-th of n parts of a number, which differ by at most one.
func portion(total, i, n int) int { return (i+1)*total/n - i*total/n }

// expect waits for the next report of each, and returns their results as one.
func (c clients) expect(ctx context.Context, kind string) (load.Result, error) {
	var all []load.Result
	for _, t := range c {
		ev, err := t.expect(ctx, kind)
		if err != nil {
			return load.Result{}, err
		}
		if ev.Result != nil {
			all = append(all, *ev.Result)
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return load.Merged(all), nil
}

// usage is what all of them have used.
func (c clients) usage() (proc.Usage, error) {
	var sum proc.Usage
	var errs []error
	for _, t := range c {
		u, err := proc.Measure(t.p.PID)
		errs = append(errs, err)
		sum.CPU += u.CPU
		sum.RSS += u.RSS
		sum.Processes += u.Processes
	}
	return sum, errors.Join(errs...)
}

func (c clients) stop() {
	for _, t := range slices.Backward(c) {
		t.stop()
	}
}
