package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

const (
	stopGrace   = 4 * time.Second  // until a program that does not end is killed
	reportGrace = 30 * time.Second // what a tool may be late by
	// patience is after what time a datagram counts as lost; a busy machine
	// lets one wait for long.
	patience = 500 * time.Millisecond
)

// errFailed is returned when something could not be measured, after it has
// been printed.
var errFailed = errors.New("not everything could be measured")

// errInterrupted is returned when the user wants no more.
var errInterrupted = errors.New("interrupted")

// runner measures entrants in scenarios.
type runner struct {
	machine  machine
	entrants []*entrant
	rounds   int
	clients  int           // processes that make the load
	counting bool          // system calls are counted
	strace   string        // the program that counts them
	duration time.Duration // measured in each round
	warm     time.Duration // load before it
	settle   time.Duration // silence before memory is read
	leastCPU time.Duration // that a sample must stand on; it comes in steps of 10 ms
	progress io.Writer
	scratch  string            // directory
	programs map[string]string // paths of the load tools that are installed
	profiles string            // directory for those of weir; empty = none are kept
	step     int               // rounds done, of
	steps    int
}

// measure is the bench.
func measure(ctx context.Context, o options, out, progress io.Writer) error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	if err := prepare(o.json); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	res := &results{Date: time.Now().UTC().Round(time.Second), Command: o.command, Machine: m, Rounds: o.rounds, Seconds: o.duration.Seconds()}
	res.Entrants, err = enter(ctx, o, progress)
	if err != nil {
		return err
	}
	fmt.Fprintln(progress, m)
	r := &runner{
		machine: m, entrants: res.Entrants, rounds: o.rounds, duration: o.duration, clients: o.clients, counting: o.syscalls, strace: "strace", profiles: o.profiles, programs: installed(),
		warm: 500 * time.Millisecond, settle: time.Second, leastCPU: 50 * time.Millisecond,
		progress: progress, scratch: scratch, steps: o.rounds * len(o.scenarios) * present(res.Entrants),
	}
	interrupt := r.all(ctx, o.scenarios, res, out)
	if len(res.Scenarios) == 0 {
		return interrupt
	}
	res.Unfinished = len(o.scenarios) - len(res.Scenarios)
	fmt.Fprint(out, summaryTable(res))
	if o.json != "" {
		if err := res.publish(o.json, progress); err != nil {
			return errors.Join(interrupt, err)
		}
	}
	if interrupt == nil && res.failed() {
		return errFailed
	}
	return interrupt
}

// all runs scenarios and enters what they gave into res. The error is that of
// an interrupt, which takes the scenario under way with it, and no other.
func (r *runner) all(ctx context.Context, scenarios []scenario, res *results, out io.Writer) error {
	for _, sc := range scenarios {
		got, err := r.scenario(ctx, sc)
		if err != nil {
			return err
		}
		res.Scenarios = append(res.Scenarios, got)
		fmt.Fprint(out, scenarioTable(got, res.Entrants))
	}
	return nil
}

// enter finds the programs. A rival that is not there is entered as missing;
// without weir itself there is no point in a run that asks for it.
func enter(ctx context.Context, o options, progress io.Writer) ([]*entrant, error) {
	var all []*entrant
	if o.weir != "" {
		all = append(all, &entrant{Name: "weir", Own: true, balancer: weir(o.weir)})
	}
	for _, b := range o.rivals {
		all = append(all, &entrant{Name: b.name, balancer: b})
	}
	for _, e := range all {
		if e.balancer.module != "" {
			fmt.Fprintf(progress, "building %s\n", e.Name)
		}
		path, err := e.balancer.locate(ctx)
		switch {
		case err == nil:
			e.Path, e.Version, e.Command = path, e.balancer.versionOf(ctx, path), e.balancer.command(path)
		case ctx.Err() != nil:
			return nil, errInterrupted
		case e.Own:
			return nil, fmt.Errorf("%w: build it with `make build`, or give -weir \"\" to measure the rivals alone", err)
		default:
			e.Missing = err.Error()
		}
	}
	if present(all) == 0 {
		return nil, errors.New("none of the balancers is installed")
	}
	return all, nil
}

func present(all []*entrant) int {
	n := 0
	for _, e := range all {
		if e.Missing == "" {
			n++
		}
	}
	return n
}

// failed reports whether a balancer that is there could not be measured.
func (r *results) failed() bool {
	for _, o := range r.Scenarios {
		for i, row := range o.Rows {
			if row.Failed != "" && r.Entrants[i].Missing == "" {
				return true
			}
		}
	}
	return false
}

// scenario runs the rounds of one scenario. Every second round goes through
// the balancers backwards, so that a machine that gets slower or faster
// meanwhile favours nobody. A balancer that fails is left out from then on;
// the error is that of an interrupt.
func (r *runner) scenario(ctx context.Context, sc scenario) (*outcome, error) {
	if sc.idle {
		sc.connections = min(sc.connections, maxConn(r.machine.NoFile))
		sc.title = fmt.Sprintf("%d x %s", sc.connections, sc.title)
	}
	got := &outcome{
		Name: sc.name, Title: sc.title, Cost: sc.unit.cost, Rate: sc.unit.rate, Goal: sc.goal, Datagrams: sc.flows != nil,
		Series: sc.series, X: sc.x, XName: sc.xName,
	}
	on, err := r.ground(ctx, sc)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil {
		got.Impossible = err.Error()
	} else {
		defer on.clear()
	}
	own := -1
	for i, e := range r.entrants {
		if e.Own {
			own = i
		}
		got.Rows = append(got.Rows, &row{Balancer: e.Name, Failed: e.Missing, Out: e.balancer.outOf(sc)})
	}
	for round := range r.rounds {
		for _, i := range order(len(r.entrants), round) {
			row := got.Rows[i]
			if r.entrants[i].Missing != "" {
				continue
			}
			r.step++
			if row.Failed != "" || row.Out != "" || got.Impossible != "" {
				continue
			}
			s, err := r.announce(ctx, sc, on, round, r.entrants[i])
			if ctx.Err() != nil {
				return nil, errInterrupted
			}
			if err != nil {
				row.Failed = err.Error()
				continue
			}
			row.Samples = append(row.Samples, s)
		}
	}
	if err := r.countAll(ctx, sc, on, got); err != nil {
		return nil, err
	}
	got.conclude(own)
	return got, nil
}

// installed are the paths of the load tools of others that are there.
func installed() map[string]string {
	paths := make(map[string]string)
	for _, sc := range scenarios() {
		name, _ := sc.program()
		if path, err := findProgram(name); name != "" && err == nil {
			paths[name] = path
		}
	}
	return paths
}

// ground gives a scenario what it is played on.
func (r *runner) ground(ctx context.Context, sc scenario) (*ground, error) {
	if sc.cabled {
		return cabled(ctx, r.scratch)
	}
	if name, debian := sc.program(); name != "" && r.programs[name] == "" {
		return nil, fmt.Errorf("%s is missing: install the Debian package %s", name, debian)
	}
	return loopback(), nil
}

// order returns the entrants' indices in the order of a round.
func order(n, round int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
		if round%2 == 1 {
			all[i] = n - 1 - i
		}
	}
	return all
}

// announce runs one round and prints how it went.
func (r *runner) announce(ctx context.Context, sc scenario, on *ground, round int, e *entrant) (sample, error) {
	fmt.Fprintf(r.progress, "[%*d/%d] %-18s round %d  %-14s ", len(fmt.Sprint(r.steps)), r.step, r.steps, sc.name, round+1, e.label())
	s, err := r.compared(ctx, sc, on, round, e)
	if ctx.Err() != nil {
		fmt.Fprintln(r.progress, "interrupted")
		return s, ctx.Err()
	}
	if err != nil {
		fmt.Fprintln(r.progress, "failed:", err)
		return s, err
	}
	fmt.Fprintf(r.progress, "%s %s, %s %s%s\n", figure(s.Cost), sc.unit.cost, thousands(s.Rate), sc.unit.rate, trouble(s))
	return s, nil
}

// bout is one round of one balancer, when everything runs but the client.
type bout struct {
	sc      scenario
	e       *entrant
	at      site
	p       *proc.Process // the balancer
	backend *tool
	from    place  // of the clients
	hello   []byte // what requests are made of, where it is not any bytes
}

// compared is a round; of weir where there is a bare shape, it is one in each
// of both, the bare one first in every second round.
func (r *runner) compared(ctx context.Context, sc scenario, on *ground, round int, e *entrant) (sample, error) {
	if sc.bare == "" || !e.Own {
		return r.round(ctx, sc, on, e, r.profiled)
	}
	both := [2]scenario{sc, sc}
	both[1].shape = sc.bare
	var got [2]sample
	for _, i := range order(2, round) {
		var err error
		if got[i], err = r.round(ctx, both[i], on, e, r.profiled); err != nil {
			return got[0], err
		}
	}
	got[0].Bare = got[1].Cost
	return got[0], nil
}

// round starts everything anew, plays, and stops it.
func (r *runner) round(ctx context.Context, sc scenario, on *ground, e *entrant, play func(context.Context, *bout) (sample, error)) (sample, error) {
	dir, err := os.MkdirTemp(r.scratch, e.Name+"-")
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit+3*(r.warm+r.duration+reportGrace))
	defer cancel()
	sc, hello, err := withHello(sc)
	if err != nil {
		return sample{}, err
	}
	backend, err := startTool(r.backend(sc), place{dir: dir, cpu: r.machine.LoadCPU, via: on.server})
	if err != nil {
		return sample{}, err
	}
	defer backend.stop()
	up, err := backend.expect(ctx, load.Listening)
	if err != nil {
		return sample{}, err
	}
	at, err := r.site(dir, on, up.Addrs, sc)
	if err != nil {
		return sample{}, err
	}
	if err := e.balancer.furnish(&at); err != nil {
		return sample{}, err
	}
	if err := e.balancer.write(sc.shape, &at); err != nil {
		return sample{}, err
	}
	args, cpu := e.balancer.args, r.machine.BalancerCPU
	if sc.reload > 0 && e.balancer.reloadable != nil {
		args = e.balancer.reloadable
	}
	if at.Loops > 1 {
		cpu = proc.Anywhere
	}
	p, err := e.balancer.start(ctx, e.Path, args, at, cpu)
	if err != nil {
		return sample{}, err
	}
	defer p.Stop(stopGrace)
	from := place{dir: dir, cpu: r.machine.LoadCPU, via: on.client}
	s, err := play(ctx, &bout{sc: sc, e: e, at: at, p: p, backend: backend, from: from, hello: hello})
	if err != nil {
		return s, e.balancer.explain(err, at)
	}
	return s, nil
}

// play measures what a scenario is about.
func (r *runner) play(ctx context.Context, b *bout) (sample, error) {
	switch {
	case b.sc.idle:
		return r.hold(ctx, b)
	case b.sc.share > 0:
		return r.latency(ctx, b)
	}
	return r.drive(ctx, b, r.client(b.sc, b.at, b.hello))
}

// withHello returns the scenario with the length of its request, and what
// that is made of: a ClientHello where there is a name to ask for.
func withHello(sc scenario) (scenario, []byte, error) {
	if sc.sni == "" {
		return sc, nil, nil
	}
	hello, err := load.Hello(sc.sni)
	sc.exchange.Request = len(hello)
	return sc, hello, err
}

// backend is the job of the backends in a scenario.
func (r *runner) backend(sc scenario) job {
	if sc.outside == load.Iperf3 {
		return job{iperf3Tool, load.Iperf3ServerSpec{Program: r.programs[sc.outside]}}
	}
	if sc.flows == nil {
		return job{serverTool, load.ServerSpec{
			Kinds: []load.Exchange{sc.exchange, sc.exchange}, Everywhere: sc.backends > 0, Flap: sc.flap,
		}}
	}
	at := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if sc.cabled {
		at = netip.IPv4Unspecified()
	}
	return job{echoTool, load.EchoSpec{Datagrams: sc.flows.Datagrams, Addr: at}}
}

// client is the job of the client in a round.
func (r *runner) client(sc scenario, at site, hello []byte) job {
	if sc.outside != "" {
		return job{outsideTool, load.OutsideSpec{
			Tool: sc.outside, Program: r.programs[sc.outside], Addr: at.Listen, Connections: sc.connections,
			Warm: r.warm, Duration: r.duration, Dir: at.Dir,
		}}
	}
	if sc.flows != nil {
		spec := *sc.flows
		spec.Addr, spec.Flows, spec.Hold = at.Listen, sc.connections, sc.idle
		spec.Patience, spec.Warm, spec.Duration = patience, r.warm, r.duration
		if spec.Datagrams.OneWay {
			spec.Counter = at.Origins[0]
		}
		return job{flowsTool, spec}
	}
	spec := load.ClientSpec{
		Addr: at.Listen, Connections: sc.connections, Exchange: sc.exchange, Payload: hello, Targets: sc.targets,
		Warm: r.warm, Duration: r.duration, Hold: sc.idle, Lenient: sc.lenient(),
	}
	if sc.shape == second {
		return job{streamsTool, load.StreamSpec{
			Program: r.programs["h2load"], Addr: at.Listen, Name: at.Hosts[0], Connections: sc.connections, Streams: sc.streams,
			Answer: sc.exchange.Answer, Warm: r.warm, Duration: r.duration, Dir: at.Dir,
		}}
	}
	if sc.shape == secure {
		spec.TLS = &load.TLS{Name: at.Hosts[0], Certificate: at.der, Resume: sc.resume}
	}
	return job{clientTool, spec}
}

// site gives a balancer its place, with what the scenario's shape needs.
func (r *runner) site(dir string, on *ground, origins []string, sc scenario) (site, error) {
	listen, err := freeAddr(sc.network(), on.balancer)
	if err != nil {
		return site{}, err
	}
	admin, err := freeAddr("tcp", "127.0.0.1", listen)
	if err != nil {
		return site{}, err
	}
	at := site{
		Network: sc.network(), Listen: listen, Admin: admin, Names: sniNames,
		Dir: dir, NoFile: r.machine.NoFile, MaxConn: maxConn(r.machine.NoFile),
	}
	for i, origin := range origins {
		_, port, err := net.SplitHostPort(origin)
		if err != nil {
			return site{}, fmt.Errorf("address of the backend: %w", err)
		}
		at.Origins[i] = net.JoinHostPort(on.backend, port)
	}
	return at, at.furnish(sc)
}

// drive measures the CPU time of a balancer under load.
func (r *runner) drive(ctx context.Context, b *bout, work job) (sample, error) {
	c, err := r.startClients(work, b.from)
	if err != nil {
		return sample{}, err
	}
	defer c.stop()
	if _, err := c.expect(ctx, load.Measuring); err != nil {
		return sample{}, alive(b.p, err)
	}
	before, err := read(b.p, c, b.backend.p)
	if err != nil {
		return sample{}, alive(b.p, err)
	}
	end := b.meanwhile(ctx)
	done, err := c.expect(ctx, load.Finished)
	if err := errors.Join(err, end()); err != nil {
		return sample{}, alive(b.p, err)
	}
	after, err := read(b.p, c, b.backend.p)
	if err != nil {
		return sample{}, alive(b.p, err)
	}
	if err := sound(done); err != nil {
		return sample{}, alive(b.p, err)
	}
	s := sampleOf(b.sc.unit, before, after, done)
	if b.sc.share == 0 && s.CPU < r.leastCPU { // latencies do not stand on it
		return s, alive(b.p, fmt.Errorf("it used %v of CPU, too little to tell; measure longer or on a quieter machine", s.CPU))
	}
	return s, alive(b.p, nil)
}

// sound reports a result that says nothing about a balancer, or the worst.
func sound(res load.Result) error {
	if res.Exchanges == 0 {
		return fmt.Errorf("not one exchange; %d errors, the last: %q", res.Errors, res.LastError)
	}
	if res.Wrong > 0 {
		return fmt.Errorf("%d wrong answers, the last: %s", res.Wrong, res.LastError)
	}
	return nil
}

// sampleOf turns what was read before and after into a sample.
func sampleOf(u unit, before, after reading, res load.Result) sample {
	m := measured{
		cpu: after.balancer.CPU - before.balancer.CPU, elapsed: res.Elapsed,
		finished: res.Exchanges, bytes: res.Bytes,
	}
	loadCPU := after.client.CPU - before.client.CPU + after.backend.CPU - before.backend.CPU
	othersCPU := max(0, after.machine-before.machine-m.cpu-loadCPU)
	return sample{
		Cost: u.costOf(m), Rate: u.rateOf(m),
		CPU: m.cpu, RSS: after.balancer.RSS, Elapsed: res.Elapsed,
		Exchanges: res.Exchanges, Bytes: res.Bytes, P50: res.P50, P99: res.P99, P999: res.P999,
		Latencies: res.Curve, Unanswered: res.Unanswered,
		Busy:   over(m.cpu.Seconds(), res.Elapsed.Seconds()),
		Load:   over(loadCPU.Seconds(), res.Elapsed.Seconds()),
		Others: over(othersCPU.Seconds(), res.Elapsed.Seconds()),
		Errors: res.Errors, LastError: res.LastError, Stalled: res.Stalled,
		Sent: res.Sent, Lost: res.Lost, Late: res.Late, Reordered: res.Reordered, Duplicated: res.Duplicated,
	}
}

// hold measures what idle connections add to a balancer's memory.
func (r *runner) hold(ctx context.Context, b *bout) (sample, error) {
	sc, p := b.sc, b.p
	if err := pause(ctx, r.settle); err != nil {
		return sample{}, err
	}
	before, err := proc.Measure(p.PID)
	if err != nil {
		return sample{}, alive(p, err)
	}
	begun := time.Now()
	client, err := startTool(r.client(sc, b.at, b.hello), b.from)
	if err != nil {
		return sample{}, err
	}
	defer client.stop()
	if _, err := client.expect(ctx, load.Holding); err != nil {
		return sample{}, alive(p, err)
	}
	elapsed := time.Since(begun)
	if err := pause(ctx, r.settle); err != nil {
		return sample{}, err
	}
	after, err := proc.Measure(p.PID)
	if err != nil {
		return sample{}, alive(p, err)
	}
	m := measured{rss: after.RSS - before.RSS, held: sc.connections, elapsed: elapsed}
	return sample{
		Cost: sc.unit.costOf(m), Rate: sc.unit.rateOf(m), CPU: after.CPU - before.CPU,
		RSS: after.RSS, Elapsed: elapsed, Exchanges: sc.connections,
	}, alive(p, nil)
}

// reading is what has been used up to one moment.
type reading struct {
	balancer, client, backend proc.Usage
	machine                   time.Duration // CPU time of everything on it
}

// read takes a reading, the balancer first.
func read(balancer *proc.Process, load clients, backend *proc.Process) (reading, error) {
	var now reading
	var errs [4]error
	now.balancer, errs[0] = proc.Measure(balancer.PID)
	now.client, errs[1] = load.usage()
	now.backend, errs[2] = proc.Measure(backend.PID)
	now.machine, errs[3] = proc.Busy()
	return now, errors.Join(errs[:]...)
}

// alive names the balancer's end as the cause of err if it has ended.
func alive(p *proc.Process, err error) error {
	select {
	case <-p.Done():
		return errors.Join(fmt.Errorf("ended during the measurement (%v)", p.Err()), err)
	default:
		return err
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trouble tells what went wrong in a sample that counts nevertheless.
func trouble(s sample) string {
	var b strings.Builder
	if s.Errors > 0 {
		fmt.Fprintf(&b, "; %d errors, the last: %s", s.Errors, s.LastError)
	}
	if s.Stalled > 0 {
		fmt.Fprintf(&b, "; %d connections stalled", s.Stalled)
	}
	if s.Unanswered > 0 {
		fmt.Fprintf(&b, "; %d not answered", s.Unanswered)
	}
	for _, odd := range []struct {
		n    int
		what string
	}{{s.Late, "late"}, {s.Reordered, "out of order"}, {s.Duplicated, "doubled"}} {
		if odd.n > 0 {
			fmt.Fprintf(&b, "; %d %s", odd.n, odd.what)
		}
	}
	return b.String()
}
