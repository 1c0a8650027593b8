package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/weirlb/weir/bench/proc"
)

// clusterVerb is the first argument that asks for the bench of a cluster
// instead of the one beside other balancers, which have no such thing.
const clusterVerb = "cluster"

// clusterOptions is the command line after that.
type clusterOptions struct {
	weir  string
	works []string // names; empty is all
	plan  clusterPlan
	json  string
}

func parseCluster(args []string, errOut io.Writer) (clusterOptions, error) {
	var o clusterOptions
	var works string
	var quick bool
	flags := flag.NewFlagSet("bench "+clusterVerb, flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.weir, "weir", "bin/weir", "the weir to measure")
	flags.StringVar(&works, "work", "", "what to measure, separated by commas: refused, silent, traffic, balancers, idle, mass; empty is all of it")
	flags.BoolVar(&quick, "quick", false, "measure less, within a minute")
	flags.StringVar(&o.json, "json", "", "file to write every sample to")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	wrong := func(format string, a ...any) (clusterOptions, error) {
		fmt.Fprintf(errOut, "bench: "+format+"\n", a...)
		return o, errUsage
	}
	if flags.NArg() > 0 {
		return wrong("unexpected argument %q", flags.Arg(0))
	}
	o.plan, o.works = fullPlan(), split(works)
	if quick {
		o.plan = quickPlan()
	}
	for _, name := range o.works {
		if !slices.ContainsFunc(o.plan.works(), func(w clusterWork) bool { return w.name == name }) {
			return wrong("unknown work %q", name)
		}
	}
	return o, nil
}

// benchCluster measures weirs that are a cluster.
func benchCluster(ctx context.Context, o clusterOptions, out, progress io.Writer) error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	m.BalancerCPU, m.LoadCPU = proc.Anywhere, proc.Anywhere
	b := weir(o.weir)
	path, err := b.find()
	if err != nil {
		return fmt.Errorf("%w: build it with `make build`", err)
	}
	res := &clusterResults{
		Date: time.Now().UTC(), Machine: m, Version: b.versionOf(ctx, path), Interval: o.plan.interval, Timeout: o.plan.timeout,
	}
	fmt.Fprintf(progress, "%s\nweir %s; probes every %v, given up after %v\n", m.kind(), res.Version, res.Interval, res.Timeout)
	if err := measureCluster(ctx, o, path, res, out, progress); err != nil {
		return err
	}
	if o.json != "" {
		if err := save(o.json, res); err != nil {
			return err
		}
	}
	if res.failed() {
		return errFailed
	}
	return nil
}

// measureCluster does the works that are asked for. What fails is noted, and
// the next begun; the error is that of an interrupt.
func measureCluster(ctx context.Context, o clusterOptions, weir string, res *clusterResults, out, progress io.Writer) error {
	scratch, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for _, w := range o.plan.works() {
		if len(o.works) > 0 && !slices.Contains(o.works, w.name) || len(w.sizes) == 0 {
			continue
		}
		got := &workResult{Name: w.name, Title: w.title, Aim: w.aim}
		res.Works = append(res.Works, got)
		for _, size := range w.sizes {
			fmt.Fprintf(progress, "%-9s  %2d nodes, %4d backends: ", w.name, size.nodes, size.origins)
			begun := time.Now()
			row, err := w.run(ctx, weir, scratch, o.plan, size)
			if ctx.Err() != nil {
				fmt.Fprintln(progress, "interrupted")
				return errInterrupted
			}
			if err != nil {
				row.Failed = err.Error()
			}
			got.Rows = append(got.Rows, row)
			fmt.Fprintf(progress, "%s, done in %.1f s\n", gist(row), time.Since(begun).Seconds())
		}
		fmt.Fprint(out, workTable(got))
	}
	return nil
}

// gist is a row in a few words.
func gist(r *clusterRow) string {
	switch {
	case r.Failed != "":
		return "failed: " + r.Failed
	case r.Quiet != nil:
		return fmt.Sprintf("%.2f probes/s of each backend", r.Quiet.Probes)
	default:
		return fmt.Sprintf("p50 %s ms, p99 %s ms", milliseconds(percentile(r.took(), 50)), milliseconds(percentile(r.took(), 99)))
	}
}
