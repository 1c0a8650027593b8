package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// StreamSpec says what a client of HTTP/2 over TLS does. It is h2load of
// nghttp2, which has to be installed.
type StreamSpec struct {
	Program     string // path of h2load
	Addr        string // of the balancer
	Name        string // that the requests are for
	Connections int
	Streams     int           // requests under way on each connection
	Answer      int           // bytes of each body
	Warm        time.Duration // load before the measurement
	Duration    time.Duration // that the measurement is meant to take
	Dir         string        // for h2load's log
}

// Streams is a closed loop over the streams of HTTP/2 connections.
type Streams struct{ spec StreamSpec }

// NewStreams checks a spec; nothing is opened yet.
func NewStreams(spec StreamSpec) (*Streams, error) {
	if spec.Connections <= 0 || spec.Streams <= 0 || spec.Answer <= 0 {
		return nil, fmt.Errorf("%d connections with %d streams and answers of %d bytes", spec.Connections, spec.Streams, spec.Answer)
	}
	return &Streams{spec: spec}, nil
}

// Close does nothing: h2load has ended.
func (s *Streams) Close() {}

// Run has h2load make as many requests as the warm-up says will take about
// the time wanted. A number of requests, other than a time, lets every status
// and the bytes of all bodies be checked. Setting stop ends it.
func (s *Streams) Run(stop *atomic.Bool, measuring func()) (Result, error) {
	speed, err := s.warm(stop)
	if err != nil {
		return Result{}, err
	}
	n := max(speed.in(s.spec.Duration), s.least())
	measuring()
	said, err := s.load(stop, n)
	if err != nil {
		return Result{}, err
	}
	return s.result(n, said)
}

// least is the smallest number of requests: each stream has two.
func (s *Streams) least() int { return 2 * s.spec.Connections * s.spec.Streams }

// warm has h2load make ever more requests until that takes the time of the
// warm-up, and finds out how fast they are made. It takes three runs at least:
// one that the machine has no time for says nothing.
func (s *Streams) warm(stop *atomic.Bool) (speed, error) {
	var p speed
	n := s.least()
	for run := 0; ; run++ {
		said, err := s.load(stop, n)
		if err != nil {
			return p, err
		}
		p.add(said)
		if run >= 2 && said.elapsed >= s.spec.Warm {
			return p, nil
		}
		n = max(p.in(s.spec.Warm), s.least())
		if said.elapsed < s.spec.Warm {
			n = max(n, 2*said.requests)
		}
	}
}

// speed is how many requests are made in a second, where it was most.
type speed float64

func (p *speed) add(run h2result) {
	*p = max(*p, speed(float64(run.requests)/max(run.elapsed.Seconds(), 1e-3)))
}

// in is how many requests take about a time.
func (p speed) in(time time.Duration) int { return int(float64(p) * time.Seconds()) }

// load has h2load make n requests.
func (s *Streams) load(stop *atomic.Bool, n int) (h2result, error) {
	ctx, cancel := untilStopped(stop)
	defer cancel()
	log := filepath.Join(s.spec.Dir, "h2load.tsv")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return h2result{}, err
	}
	said, err := exec.CommandContext(ctx, s.spec.Program, s.arguments(n, log)...).CombinedOutput()
	if err != nil {
		return h2result{}, fmt.Errorf("h2load: %w: %s", err, said)
	}
	res, err := readH2load(said)
	if err != nil {
		return res, err
	}
	times, err := os.ReadFile(log)
	if err != nil {
		return res, fmt.Errorf("log of h2load: %w", err)
	}
	return res, res.addTimes(times)
}

// arguments are h2load's. It offers nothing but HTTP/2, with windows that no
// answer fills.
func (s *Streams) arguments(n int, log string) []string {
	_, port, _ := net.SplitHostPort(s.spec.Addr)
	return []string{
		"--threads=1", "--requests=" + strconv.Itoa(n), "--clients=" + strconv.Itoa(s.spec.Connections),
		"--max-concurrent-streams=" + strconv.Itoa(s.spec.Streams), "--npn-list=h2", "--log-file=" + log,
		"--connect-to=" + s.spec.Addr, "https://" + net.JoinHostPort(s.spec.Name, port) + "/",
	}
}

// result is that of a run of n requests. Whatever is not as it should be
// counts as wrong.
func (s *Streams) result(n int, said h2result) (Result, error) {
	res := Result{Elapsed: said.elapsed, Exchanges: said.succeeded, Bytes: int64(said.data)}
	res.timed(&said.times)
	if want := n * s.spec.Answer; said.succeeded != n || said.times.Count() != n || said.data != want {
		err := fmt.Errorf("%w: of %d requests %d were answered with 200 and %d succeeded, with %d bytes instead of %d",
			errWrong, n, said.times.Count(), said.succeeded, said.data, want)
		res.fault(err)
	}
	return res, nil
}

// h2result is what h2load says at its end.
type h2result struct {
	requests, succeeded int
	data                int // bytes of bodies
	elapsed             time.Duration
	times               Histogram // of the requests answered with 200
}

// readH2load reads the lines that begin with a word of their own: "finished
// in", "requests:" and "traffic:".
func readH2load(text []byte) (h2result, error) {
	var res h2result
	for line := range bytes.Lines(text) {
		word, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		var err error
		switch string(word) {
		case "finished":
			took, _, _ := bytes.Cut(bytes.TrimPrefix(rest, []byte("in ")), []byte(","))
			res.elapsed, err = time.ParseDuration(string(took))
		case "requests:":
			if res.requests, err = before(rest, "total"); err == nil {
				res.succeeded, err = before(rest, "succeeded")
			}
		case "traffic:":
			res.data, err = before(rest, "data")
		}
		if err != nil {
			return res, fmt.Errorf("h2load says %q: %w", line, err)
		}
	}
	if res.requests == 0 || res.elapsed == 0 {
		return res, fmt.Errorf("h2load has not come to its end: %s", text)
	}
	return res, nil
}

// before returns the number in front of a word in a list like
// "10 total, 9.0KB (9216) data".
func before(list []byte, word string) (int, error) {
	for item := range bytes.SplitSeq(list, []byte(",")) {
		if fields := bytes.Fields(item); len(fields) > 1 && string(fields[len(fields)-1]) == word {
			return strconv.Atoi(string(bytes.Trim(fields[len(fields)-2], "()")))
		}
	}
	return 0, fmt.Errorf("no number of %s", word)
}

// addTimes reads h2load's log, a line a request: when it began, its status and
// how long it took, in microseconds.
func (r *h2result) addTimes(log []byte) error {
	for line := range bytes.Lines(log) {
		fields := bytes.Fields(line)
		if len(fields) < 3 {
			return fmt.Errorf("h2load logs %q", line)
		}
		if string(fields[1]) != "200" {
			continue
		}
		us, err := strconv.ParseInt(string(fields[2]), 10, 64)
		if err != nil {
			return fmt.Errorf("h2load logs %q: %w", line, err)
		}
		r.times.Add(time.Duration(us) * time.Microsecond)
	}
	return nil
}
