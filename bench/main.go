package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// The load tools are this same program under names that no user types.
const (
	serverTool  = "load-server"
	clientTool  = "load-client"
	streamsTool = "load-streams"
	outsideTool = "load-outside"
	iperf3Tool  = "load-iperf3"
	echoTool    = "load-echo"
	flowsTool   = "load-flows"
	holdTool    = "hold-namespace"
)

// errUsage is returned for a wrong command line, after it has been explained.
var errUsage = errors.New("usage")

// options is the command line.
type options struct {
	scenarios []scenario
	rounds    int
	duration  time.Duration
	weir      string
	rivals    []balancer
	json      string // where results go; empty is nowhere
	clients   int
	syscalls  bool
	profiles  string // directory; empty = none
	list      bool
	command   string // as it was typed, or could have been
}

func main() {
	err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out, errOut io.Writer) error {
	if len(args) == 2 {
		switch args[0] {
		case serverTool:
			return load.ServerTool(args[1], in, out)
		case clientTool:
			return load.ClientTool(args[1], in, out)
		case streamsTool:
			return load.StreamsTool(args[1], in, out)
		case outsideTool:
			return load.OutsideTool(args[1], in, out)
		case iperf3Tool:
			return load.Iperf3ServerTool(args[1], in, out)
		case echoTool:
			return load.EchoTool(args[1], in, out)
		case flowsTool:
			return load.FlowsTool(args[1], in, out)
		case holdTool:
			_, err := io.Copy(io.Discard, in)
			return err
		}
	}
	// A second interrupt ends the bench at once; the programs that it has
	// started get SIGTERM from the kernel then.
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)
	err := runBench(ctx, args, out, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func runBench(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) > 0 && args[0] == clusterVerb {
		o, err := parseCluster(args[1:], errOut)
		if err != nil {
			return err
		}
		return benchCluster(ctx, o, out, errOut)
	}
	if len(args) > 0 && args[0] == reportVerb {
		return report(args[1:], out, errOut)
	}
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range o.scenarios {
			fmt.Fprintf(out, "%-18s %s\n", s.name, s.title)
		}
		return nil
	}
	return measure(ctx, o, out, errOut)
}

func parse(args []string, errOut io.Writer) (options, error) {
	o := options{command: commandLine(args)}
	var names, rivals string
	var described []string
	var quick bool
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&names, "scenario", "all", "scenarios, series or families (tcp, udp, http, https, http2) to run, separated by commas; -list shows them")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of each scenario and balancer, 1 to 100")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "time measured in each round, 100ms to 10m")
	flags.BoolVar(&quick, "quick", false, "run a few scenarios of each family, for a second a round, where nothing else is asked for")
	flags.StringVar(&o.weir, "weir", "bin/weir", "the weir to measure; empty measures the rivals alone")
	flags.StringVar(&rivals, "rivals", usualRivals(), "balancers to compare with, separated by commas: haproxy, nginx, caddy; "+caddyVariable+"=1 builds caddy")
	flags.Func("rival", "a file that describes one more balancer to compare with; may be repeated", func(path string) error {
		described = append(described, path)
		return nil
	})
	flags.StringVar(&o.json, "json", usualResults, "file to write every sample to, with the report beside it as .html; empty writes neither")
	flags.IntVar(&o.clients, "clients", 1, "processes that make the load side by side, 1 to 64; for machines with CPUs to spare")
	flags.BoolVar(&o.syscalls, "syscalls", true, "count the system calls of each unit by strace, in a short round of its own")
	flags.StringVar(&o.profiles, "profiles", "", "directory for a profile of weir in each scenario; weir must be built with -tags profiling")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and stop")
	if err := readFlags(flags, args); err != nil {
		return o, err
	}
	wrong := func(format string, a ...any) (options, error) { return o, misused(flags, format, a...) }
	if quick {
		hasten(flags, &names, &o)
	}
	if o.rounds < 1 || o.rounds > 100 {
		return wrong("-rounds %d: give 1 to 100", o.rounds)
	}
	if o.duration < 100*time.Millisecond || o.duration > 10*time.Minute {
		return wrong("-duration %v: give 100ms to 10m", o.duration)
	}
	if o.clients < 1 || o.clients > maxClients {
		return wrong("-clients %d: give 1 to %d", o.clients, maxClients)
	}
	var err error
	if o.rivals, err = chooseRivals(split(rivals), described); err != nil {
		return wrong("%v", err)
	}
	if o.weir == "" && len(o.rivals) == 0 {
		return wrong("nothing to measure: neither -weir nor -rivals")
	}
	var unknown string
	if o.scenarios, unknown = chooseScenarios(scenarios(), names); unknown != "" {
		return wrong("unknown scenario %q; -list shows them", unknown)
	}
	return o, nil
}

// usualRivals are the rivals where none are named.
func usualRivals() string {
	if os.Getenv(caddyVariable) == "1" {
		return "haproxy,nginx,caddy"
	}
	return "haproxy,nginx"
}

// chooseRivals finds the balancers to compare with, by their names and then by
// the files that describe them.
func chooseRivals(names, described []string) ([]balancer, error) {
	var chosen []balancer
	for _, name := range names {
		b, ok := findBalancer(append(rivalBalancers(), caddy(os.Getenv(caddyVariable) == "1")), name)
		if !ok {
			return nil, fmt.Errorf("unknown rival %q; -rival takes a file that describes it", name)
		}
		chosen = append(chosen, b)
	}
	for _, path := range described {
		b, err := readRival(path)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, b)
	}
	seen := map[string]bool{"weir": true}
	for _, b := range chosen {
		if seen[b.name] {
			return nil, fmt.Errorf("two balancers called %s: give one of them another name, or leave it out of -rivals", b.name)
		}
		seen[b.name] = true
	}
	return chosen, nil
}

// commandLine is what to type for a run like this one.
func commandLine(args []string) string {
	line := "go run ./bench"
	if os.Getenv(caddyVariable) == "1" {
		line = caddyVariable + "=1 " + line
	}
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " '\"$*?\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}

// chooseScenarios picks from all by names, series or families separated by commas, in
// the order of all. A name that fits none is returned.
func chooseScenarios(all []scenario, names string) (chosen []scenario, unknown string) {
	wanted := split(names)
	for _, name := range wanted {
		known := func(s scenario) bool { return s.called(name) }
		if name != "all" && !slices.ContainsFunc(all, known) {
			return nil, name
		}
	}
	for _, s := range all {
		if slices.Contains(wanted, "all") || slices.ContainsFunc(wanted, s.called) {
			chosen = append(chosen, s)
		}
	}
	return chosen, ""
}

// split cuts a list at its commas and leaves out what is empty.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// readFlags reads a command line of flags alone. The error is flag.ErrHelp, or errUsage after it has been explained.
func readFlags(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		return misused(flags, "unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// misused explains what is wrong with a command line.
func misused(flags *flag.FlagSet, format string, a ...any) error {
	fmt.Fprintf(flags.Output(), "bench: "+format+"\n", a...)
	return errUsage
}
