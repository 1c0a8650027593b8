package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// tool is a running load tool.
type tool struct {
	name   string
	p      *proc.Process
	input  *os.File // closing it ends the tool
	events chan load.Event
	log    string
}

// job is what a load tool is to do.
type job struct {
	name string // which tool
	spec any
}

// place is where a tool runs.
type place struct {
	dir string // for its log
	log string // name of that; empty is the tool's
	cpu int
	via []string // command that starts it there; empty is here
	own bool     // in a network namespace of its own, which takes privileges
}

// startTool runs this program under one of its hidden names.
func startTool(j job, at place) (*tool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the load tools: %w", err)
	}
	text, err := json.Marshal(j.spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.name, err)
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.name, err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return nil, fmt.Errorf("%s: %w", j.name, err)
	}
	if at.log == "" {
		at.log = j.name + ".log"
	}
	t := &tool{name: j.name, input: inW, events: make(chan load.Event, 4), log: filepath.Join(at.dir, at.log)}
	line := slices.Concat(at.via, []string{self, j.name, string(text)})
	t.p, err = proc.Start(proc.Command{
		Path: line[0], Args: line[1:], CPU: at.cpu, Log: t.log, Input: inR, Output: outW, OwnNetwork: at.own,
	})
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, err
	}
	go t.listen(outR)
	return t, nil
}

// listen passes the tool's reports on until it ends.
func (t *tool) listen(out *os.File) {
	defer out.Close()
	defer close(t.events)
	reports := json.NewDecoder(out)
	for {
		var ev load.Event
		if reports.Decode(&ev) != nil {
			return
		}
		t.events <- ev
	}
}

// expect waits for the next report, which must be of a kind.
func (t *tool) expect(ctx context.Context, kind string) (load.Event, error) {
	select {
	case ev, ok := <-t.events:
		switch {
		case !ok:
			return ev, fmt.Errorf("%s ended: %s", t.name, proc.Tail(t.log, 500))
		case ev.Kind == load.Failed:
			return ev, fmt.Errorf("%s: %s", t.name, ev.Error)
		case ev.Kind != kind:
			return ev, fmt.Errorf("%s says %s instead of %s", t.name, ev.Kind, kind)
		}
		return ev, nil
	case <-ctx.Done():
		return load.Event{}, fmt.Errorf("%s is not %s: %w", t.name, kind, ctx.Err())
	}
}

// stop ends the tool.
func (t *tool) stop() {
	t.input.Close()
	t.p.Stop(stopGrace)
}
