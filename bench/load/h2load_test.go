package load

import (
	"strings"
	"testing"
	"time"
)

// What h2load 1.52 says at the end of a run, and logs of its requests.
const (
	saidByH2load = `starting benchmark...
spawning thread #0: 1 total client(s). 4 total requests
TLS Protocol: TLSv1.3
progress: 25% done

finished in 3.53ms, 1133.14 req/s, 1.12MB/s
requests: 4 total, 4 started, 4 done, 3 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 3 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 20.52KB (21016) total, 115B (115) headers (space savings 93.07%), 20.00KB (20480) data
                     min         max         mean         sd        +/- sd
time for request:      108us     10.14ms       478us       607us    94.22%
`
	loggedByH2load = "1795706056293069\t200\t239\n1795706056293070\t503\t1160\n1795706056293071\t200\t1194\n1795706056293071\t200\t50\n"
)

func TestReadH2load(t *testing.T) {
	res, err := readH2load([]byte(saidByH2load))
	if err != nil {
		t.Fatal(err)
	}
	if res.requests != 4 || res.succeeded != 3 || res.data != 20480 || res.elapsed != 3530*time.Microsecond {
		t.Errorf("%d requests, %d succeeded, %d bytes, %v", res.requests, res.succeeded, res.data, res.elapsed)
	}
	if err := res.addTimes([]byte(loggedByH2load)); err != nil {
		t.Fatal(err)
	}
	if least := res.times.Quantile(0); res.times.Count() != 3 || least.Round(time.Microsecond) != 50*time.Microsecond {
		t.Errorf("%d times, the least is %v", res.times.Count(), least)
	}
	s, err := NewStreams(StreamSpec{Connections: 1, Streams: 2, Answer: 5120})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.result(4, res); got.Wrong != 1 || !strings.Contains(got.LastError, "of 4 requests 3") {
		t.Errorf("an answer of 503 is not wrong: %+v", got)
	}
	res.succeeded, res.data = 3, 3*5120
	if got, _ := s.result(3, res); got.Wrong != 0 || got.Exchanges != 3 || got.Bytes != 3*5120 {
		t.Errorf("right answers: %+v", got)
	}
	res.data--
	if got, _ := s.result(3, res); got.Wrong != 1 {
		t.Errorf("a byte is missing: %+v", got)
	}
}

func TestReadH2loadThatFailed(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":     "",
		"no end":      strings.Split(saidByH2load, "finished")[0],
		"no number":   strings.Replace(saidByH2load, "requests: 4 total", "requests: many total", 1),
		"no requests": strings.Replace(saidByH2load, "3 succeeded,", "", 1),
		"no time":     strings.Replace(saidByH2load, "3.53ms", "soon", 1),
	} {
		if res, err := readH2load([]byte(said)); err == nil {
			t.Errorf("%s: read as %d requests in %v", name, res.requests, res.elapsed)
		}
	}
	for _, log := range []string{"1\t200\n", "1\t200\tlong\n"} {
		if err := new(h2result).addTimes([]byte(log)); err == nil {
			t.Errorf("%q is read", log)
		}
	}
}

// A run that was held up does not say how fast requests are made.
func TestPace(t *testing.T) {
	var p speed
	for _, tt := range []struct {
		name     string
		requests int
		elapsed  time.Duration
		want     int // in two seconds
	}{
		{"the first", 100, 100 * time.Millisecond, 2000},
		{"faster", 4000, time.Second, 8000},
		{"held up", 4000, 20 * time.Second, 8000},
		{"no time at all", 10, 0, 20_000},
	} {
		p.add(h2result{requests: tt.requests, elapsed: tt.elapsed})
		if n := p.in(2 * time.Second); n != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, n, tt.want)
		}
	}
}
