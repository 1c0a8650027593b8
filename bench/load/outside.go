package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The load tools of others that are known, by the names of their programs.
const (
	Wrk     = "wrk"     // HTTP/1.1 on lasting connections
	Dnsperf = "dnsperf" // DNS over UDP
	Iperf3  = "iperf3"  // bulk over TCP, towards the client; the backend is iperf3 too
)

// OutsideSpec says what a load tool of others does.
type OutsideSpec struct {
	Tool        string // one of those above
	Program     string // its path
	Addr        string // of the balancer
	Connections int    // of dnsperf, clients with one query under way each
	Warm        time.Duration
	Duration    time.Duration // the tools take whole seconds: this is rounded, to one at least
	Dir         string        // for its files
}

// Outside has a tool of others make the load, so that what weir's own clients
// say can be held against it. It looks at less: at statuses, and at no bytes.
type Outside struct{ spec OutsideSpec }

// NewOutside checks a spec; nothing is opened yet.
func NewOutside(spec OutsideSpec) (*Outside, error) {
	switch spec.Tool {
	case Wrk, Dnsperf, Iperf3:
	default:
		return nil, fmt.Errorf("unknown load tool %q", spec.Tool)
	}
	if spec.Connections <= 0 {
		return nil, fmt.Errorf("%d connections", spec.Connections)
	}
	return &Outside{spec}, nil
}

// Close does nothing: the tool has ended.
func (o *Outside) Close() {}

// Run has the tool make its load twice: to warm up, and to be measured.
// Setting stop ends it.
func (o *Outside) Run(stop *atomic.Bool, measuring func()) (Result, error) {
	if o.spec.Tool == Iperf3 {
		return o.runOnce(stop, measuring)
	}
	if _, err := o.load(stop, o.spec.Warm); err != nil {
		return Result{}, err
	}
	measuring()
	return o.load(stop, o.spec.Duration)
}

// runOnce is Run for iperf3, which knows a warm-up: between two tests its server does not listen for a moment.
func (o *Outside) runOnce(stop *atomic.Bool, measuring func()) (res Result, err error) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		res, err = o.load(stop, o.spec.Duration)
	}()
	select {
	case <-over: // it has failed
	case <-time.After(time.Duration(whole(o.spec.Warm)) * time.Second):
		measuring()
		<-over
	}
	return res, err
}

// whole is a time in seconds, one at least.
func whole(d time.Duration) int { return max(int(d.Round(time.Second)/time.Second), 1) }

func (o *Outside) load(stop *atomic.Bool, d time.Duration) (Result, error) {
	args, err := o.arguments(whole(d))
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := untilStopped(stop)
	defer cancel()
	said, err := exec.CommandContext(ctx, o.spec.Program, args...).CombinedOutput()
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w: %s", o.spec.Tool, err, said)
	}
	read := map[string]func([]byte) (Result, error){Wrk: readWrk, Dnsperf: readDnsperf, Iperf3: readIperf3}[o.spec.Tool]
	res, err := read(said)
	if err != nil {
		return res, fmt.Errorf("%s: %w: %s", o.spec.Tool, err, said)
	}
	return res, nil
}

// untilStopped is a context that ends when stop is set, which it notices within 50 ms.
func untilStopped(stop *atomic.Bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		check := time.NewTicker(50 * time.Millisecond)
		defer check.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-check.C:
				if stop.Load() {
					cancel()
				}
			}
		}
	}()
	return ctx, cancel
}

// wrkReport is a script that has wrk say its figures in full, in microseconds, with latencies at the quantiles
// that are to be filled in.
const wrkReport = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("\ntotals %%d %%d %%d %%d %%d\n", summary.duration, summary.requests, summary.bytes, e.connect + e.read + e.write + e.timeout, e.status))
  for _, q in ipairs({ %s }) do
    io.write(string.format("latency %%.5f %%d\n", q, q == 1 and latency.max or latency:percentile(100 * q)))
  end
end
`

// dnsQuery is the question that dnsperf asks, as long as those of weir's own client.
const dnsQuery = "0000000000000000.bench.test A\n"

// arguments are the tool's for a load of so many seconds. Files that they name are written.
func (o *Outside) arguments(seconds int) ([]string, error) {
	host, port, err := net.SplitHostPort(o.spec.Addr)
	if err != nil {
		return nil, err
	}
	n, time := strconv.Itoa(o.spec.Connections), strconv.Itoa(seconds)
	file := filepath.Join(o.spec.Dir, o.spec.Tool+".in")
	switch o.spec.Tool {
	case Wrk:
		err = os.WriteFile(file, []byte(wrkScript()), 0o644)
		return []string{"--threads", "1", "--connections", n, "--duration", time + "s", "--script", file, "http://" + o.spec.Addr + "/"}, err
	case Dnsperf:
		err = os.WriteFile(file, []byte(dnsQuery), 0o644)
		return []string{"-s", host, "-p", port, "-d", file, "-c", n, "-q", n, "-l", time, "-T", "1"}, err
	}
	return []string{"--client", host, "--port", port, "--reverse", "--parallel", n, "--omit", strconv.Itoa(whole(o.spec.Warm)), "--time", time, "--json"}, nil
}

func wrkScript() string {
	var list []string
	for _, q := range quantiles() {
		list = append(list, strconv.FormatFloat(q, 'g', -1, 64))
	}
	return fmt.Sprintf(wrkReport, strings.Join(list, ", "))
}

// readWrk reads what the script has said.
func readWrk(text []byte) (Result, error) {
	var res Result
	for line := range strings.Lines(string(text)) {
		var us int64
		var bad int
		var quantile float64
		if _, err := fmt.Sscanf(line, "totals %d %d %d %d %d", &us, &res.Exchanges, &res.Bytes, &res.Errors, &bad); err == nil {
			res.Elapsed = time.Duration(us) * time.Microsecond
			res.wrong(bad, "statuses from 400 on")
			continue
		}
		if _, err := fmt.Sscanf(line, "latency %g %d", &quantile, &us); err == nil {
			res.at(quantile, time.Duration(us)*time.Microsecond)
		}
	}
	if res.Elapsed == 0 || len(res.Curve) == 0 {
		return Result{}, errors.New("its figures are missing")
	}
	return res, nil
}

// wrong enters so many answers that are not what the server gives.
func (r *Result) wrong(n int, what string) {
	if n > 0 {
		r.Errors, r.Wrong = r.Errors+n, r.Wrong+n
		r.LastError = fmt.Sprintf("%d %s", n, what)
	}
}

// at enters a latency that somebody else has found at a quantile.
func (r *Result) at(quantile float64, d time.Duration) {
	switch quantile {
	case 0.5:
		r.P50 = d
	case 0.99:
		r.P99 = d
	case 0.999:
		r.P999 = d
	}
	if tells(quantile, r.Exchanges) {
		r.Curve = append(r.Curve, Point{Quantile: quantile, MS: d.Seconds() * 1000})
	}
}

// readDnsperf reads the statistics at the end. There are no percentiles among them.
func readDnsperf(text []byte) (Result, error) {
	number := func(name string) (float64, error) {
		_, rest, _ := strings.Cut(string(text), "\n  "+name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0, fmt.Errorf("%s is missing", name)
		}
		return strconv.ParseFloat(fields[0], 64)
	}
	var said [4]float64
	for i, name := range []string{"Queries sent", "Queries completed", "Queries lost", "Run time (s)"} {
		var err error
		if said[i], err = number(name); err != nil {
			return Result{}, err
		}
	}
	res := Result{
		Elapsed: time.Duration(said[3] * float64(time.Second)), Exchanges: int(said[1]), Bytes: int64(said[1]) * int64(querySize),
		Sent: int(said[0]), Lost: int(said[2]),
	}
	var good int
	_, codes, _ := strings.Cut(string(text), "NOERROR ")
	if _, err := fmt.Sscan(codes, &good); err != nil {
		good = 0 // none was
	}
	res.wrong(res.Exchanges-good, "answers are errors")
	return res, nil
}

// readIperf3 reads how much has come. One exchange is all that one connection has carried.
func readIperf3(text []byte) (Result, error) {
	var said struct {
		Error string
		End   struct {
			Streams  []struct{}
			Received struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return Result{}, err
	}
	if said.Error != "" {
		return Result{}, errors.New(said.Error)
	}
	return Result{
		Elapsed: time.Duration(said.End.Received.Seconds * float64(time.Second)), Exchanges: len(said.End.Streams), Bytes: said.End.Received.Bytes,
	}, nil
}
