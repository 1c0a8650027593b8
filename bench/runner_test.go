package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// The test binary is the load tools, as the bench is, and a balancer: one
// that relays, and takes TLS off where it is given a certificate, one that
// falls over when it has work, one that is slow, or one that has no backend to send it to; for
// UDP one that relays.
const (
	playRelay     = "play-relay"
	playFall      = "play-fall"
	playBusy      = "play-busy"
	playStreams   = "play-streams"
	playDatagrams = "play-datagrams"
	playSlow      = "play-slow"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case serverTool, clientTool, streamsTool, outsideTool, iperf3Tool, echoTool, flowsTool, holdTool:
			if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		case playDatagrams:
			relayDatagrams(os.Args[2], os.Args[3])
			return
		case playRelay:
			relayAll(os.Args[2], os.Args[3], os.Args[4:])
			return
		case playSlow:
			relaySlowly(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
			return
		case playStreams:
			proxyStreams(os.Args[2], os.Args[3], os.Args[4:])
			return
		case playFall:
			fallOver(os.Args[2])
			return
		case playBusy:
			refuseAll(os.Args[2])
			return
		}
	}
	os.Exit(m.Run())
}

// relayAll passes on what comes; pair names a certificate and its
// key, or is two empty strings.
func relayAll(listen, origin string, pair []string) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		panic(err)
	}
	secured := pair[0] != ""
	if secured {
		c, err := tls.LoadX509KeyPair(pair[0], pair[1])
		if err != nil {
			panic(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{c}})
	}
	for {
		client, err := l.Accept()
		if err != nil {
			panic(err)
		}
		server, err := net.Dial("tcp", origin)
		if err != nil {
			client.Close() // a backend may be away
			continue
		}
		pass := func(to, from net.Conn) {
			io.Copy(to, from)
			to.(interface{ CloseWrite() error }).CloseWrite()
		}
		go pass(server, client)
		go func() {
			pass(client, server)
			if secured {
				client.Close() // CloseWrite of TLS is no more than an alert
			}
		}()
	}
}

// proxyStreams speaks HTTP/2 to clients, and passes on what they ask.
func proxyStreams(listen, origin string, pair []string) {
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: origin})
	to.Transport = &http.Transport{MaxIdleConnsPerHost: 1000}
	panic(http.ListenAndServeTLS(listen, pair[0], pair[1], to))
}

// relayDatagrams passes on what comes, with a socket for every client.
func relayDatagrams(listen, origin string) {
	c, err := net.ListenPacket("udp", listen)
	if err != nil {
		panic(err)
	}
	servers := make(map[string]net.Conn)
	b := make([]byte, 2048)
	for {
		n, client, err := c.ReadFrom(b)
		if err != nil {
			panic(err)
		}
		server := servers[client.String()]
		if server == nil {
			if server, err = net.Dial("udp", origin); err != nil {
				panic(err)
			}
			servers[client.String()] = server
			go func() {
				b := make([]byte, 2048)
				for {
					n, err := server.Read(b)
					if err != nil {
						panic(err)
					}
					c.WriteTo(b[:n], client)
				}
			}()
		}
		server.Write(b[:n])
	}
}

// refuseAll answers every request with 503.
func refuseAll(listen string) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})))
}

// fallOver ends at the first byte from a client.
func fallOver(listen string) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		if n, _ := c.Read(make([]byte, 1)); n > 0 {
			fmt.Fprintln(os.Stderr, "an assertion that does not hold")
			os.Exit(3)
		}
	}
}

// played is an entrant that the test binary plays.
func played(t *testing.T, name, role string) *entrant {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	configs := make(map[shape]string)
	for _, sh := range shapes() {
		configs[sh] = "# nothing to say\n"
	}
	return &entrant{Name: name, Path: self, balancer: balancer{
		name: name, file: "empty.conf", configs: configs, reloadBy: unix.SIGURG, // which Go programs take no notice of
		args: []string{role, "{{.Listen}}", "{{index .Origins 0}}", "{{.Cert}}", "{{.Key}}"},
	}}
}

// shortRunner measures for no longer than it takes to see that it works.
func shortRunner(t *testing.T, progress io.Writer, entrants ...*entrant) *runner {
	t.Helper()
	programs := installed()
	for _, sc := range scenarios() {
		if name, debian := sc.program(); name != "" && programs[name] == "" {
			t.Fatalf("no %s; the tests need the Debian package %s", name, debian)
		}
	}
	return &runner{
		programs: programs,
		machine:  machine{BalancerCPU: proc.Anywhere, LoadCPU: proc.Anywhere, NoFile: 600},
		entrants: entrants, rounds: 2, duration: 200 * time.Millisecond, warm: 10 * time.Millisecond,
		settle: time.Millisecond, strace: "strace", progress: progress, scratch: t.TempDir(), steps: 2 * len(entrants),
	}
}

// onlySelfIsLeft fails if a program that was started is still there.
func onlySelfIsLeft(t *testing.T) {
	t.Helper()
	left, err := proc.Members(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, []int{os.Getpid()}) {
		t.Errorf("processes %v, want none but this one, %d", left, os.Getpid())
	}
}

func scenarioNamed(t *testing.T, name string) scenario {
	t.Helper()
	i := slices.IndexFunc(scenarios(), func(sc scenario) bool { return sc.name == name })
	if i < 0 {
		t.Fatalf("no scenario %s", name)
	}
	sc := scenarios()[i]
	sc.connections, sc.streams = min(sc.connections, 4), min(sc.streams, 10)
	sc.targets.Hosts, sc.backends = min(sc.targets.Hosts, 3), min(sc.backends, 3)
	sc.flap, sc.reload = min(sc.flap, 50*time.Millisecond), min(sc.reload, 50*time.Millisecond)
	if sc.flows != nil {
		spec := *sc.flows
		spec.Window = min(spec.Window, 2)
		spec.Sockets, spec.Renew = min(spec.Sockets, 2), min(spec.Renew, 10)*100
		sc.flows = &spec
	}
	// Bulk is cut to what a busy machine moves in the time of a round, so that some of it is finished then.
	sc.exchange.Request, sc.exchange.Answer = min(sc.exchange.Request, 1<<20), min(sc.exchange.Answer, 1<<20)
	return sc
}

// distinct are the scenarios without those that scenarioNamed makes the same: points of a series at which nothing happens.
func distinct() []scenario {
	var all []scenario
	for _, sc := range scenarios() {
		alike := func(other scenario) bool { return sc.series != "" && sc.series == other.series && !sc.lenient() }
		if !slices.ContainsFunc(all, alike) {
			all = append(all, sc)
		}
	}
	return all
}

// Every scenario works from end to end: with a balancer in between, each
// sample says how much was done, and nothing is left running.
func TestScenarios(t *testing.T) {
	for _, sc := range distinct() {
		t.Run(sc.name, func(t *testing.T) {
			var progress strings.Builder
			role := playRelay
			if sc.flows != nil {
				role = playDatagrams
			}
			if sc.streams > 0 {
				role = playStreams
			}
			own := played(t, "weir", role)
			own.Own = true
			r := shortRunner(t, &progress, own, played(t, "rival", role))
			timed := sc.shape != oneWay && sc.outside != load.Dnsperf && sc.outside != load.Iperf3
			if sc.shape == secure || sc.flows != nil {
				r.duration *= 3 // a handshake takes its time on a busy machine, and so does a datagram that was lost on one
			}
			if sc.cabled {
				r.duration *= 3 // a train that loses one datagram stands still until that is given up
			}
			got, err := r.scenario(t.Context(), scenarioNamed(t, sc.name))
			if err != nil {
				t.Fatal(err)
			}
			if got.Impossible != "" {
				noPrivileges(t, sc, errors.New(got.Impossible))
				return
			}
			for _, row := range got.Rows {
				if row.Failed != "" || len(row.Samples) != 2 {
					t.Fatalf("%s: %d samples, %s", row.Balancer, len(row.Samples), row.Failed)
				}
				for _, s := range row.Samples {
					if s.Exchanges == 0 || s.Errors != 0 && sc.flap == 0 || s.Rate <= 0 || s.RSS <= 0 {
						t.Errorf("%s: %+v", row.Balancer, s)
					}
					if bare := sc.bare != "" && row.Balancer == "weir"; (s.Bare > 0) != bare || (row.Bare != nil) != bare {
						t.Errorf("%s: %+v, compared with itself: %+v", row.Balancer, s, row.Bare)
					}
					if len(s.Latencies) == 0 != (s.P50 == 0) || s.P999 < s.P99 {
						t.Errorf("%s: latencies %+v", row.Balancer, s)
					}
					if !sc.idle && (s.Bytes == 0 || s.P50 == 0 == timed || s.Load < 0) {
						t.Errorf("%s: %+v", row.Balancer, s)
					}
				}
			}
			if got.Rows[1].Ratio == nil || !got.Rows[1].Best || got.Rows[0].Best {
				t.Errorf("not compared: %+v, %+v", got.Rows[0], got.Rows[1])
			}
			for _, want := range []string{"[1/4]", "[4/4]", "round 2", "rival", got.Cost} {
				if !strings.Contains(progress.String(), want) {
					t.Errorf("the progress does not show %q:\n%s", want, progress.String())
				}
			}
			onlySelfIsLeft(t)
		})
	}
}

// A load tool that is not installed is said, with the package that it is in, and nothing is started.
func TestLoadToolIsMissing(t *testing.T) {
	r := shortRunner(t, io.Discard, played(t, "weir", playRelay))
	r.programs = nil
	for name, debian := range map[string]string{"http2-few": "nghttp2-client", "http-keepalive-wrk": "wrk"} {
		got, err := r.scenario(t.Context(), scenarioNamed(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(got.Impossible, "is missing: install the Debian package "+debian) {
			t.Errorf("%s: %q", name, got.Impossible)
		}
	}
}

// noPrivileges fails unless a scenario cannot be played for want of
// privileges, which some need.
func noPrivileges(t *testing.T, sc scenario, err error) {
	t.Helper()
	if !sc.cabled || !strings.Contains(err.Error(), "operation not permitted") {
		t.Errorf("%s is not possible: %v", sc.name, err)
	}
}

// The load, the configurations and the real nginx work together.
func TestNginxBalancesUDP(t *testing.T) {
	rival := &entrant{Name: "nginx", balancer: nginx()}
	path, err := rival.balancer.find()
	if err != nil {
		t.Fatalf("%v; the tests need the Debian package", err)
	}
	rival.Path = path
	out := &entrant{Name: "haproxy", balancer: haproxy()}
	for _, sc := range udpScenarios() {
		t.Run(sc.name, func(t *testing.T) {
			r := shortRunner(t, io.Discard, rival, out)
			r.rounds = 1
			got, err := r.scenario(t.Context(), scenarioNamed(t, sc.name))
			if err != nil {
				t.Fatal(err)
			}
			if got.Impossible != "" {
				noPrivileges(t, sc, errors.New(got.Impossible))
				return
			}
			row := got.Rows[0]
			if row.Failed != "" || len(row.Samples) != 1 || !row.Best {
				t.Fatalf("%d samples, failed %q", len(row.Samples), row.Failed)
			}
			for _, s := range row.Samples {
				if s.Exchanges == 0 || s.Errors != 0 || s.Duplicated != 0 {
					t.Errorf("%+v", s)
				}
			}
			if row := got.Rows[1]; row.Out == "" || row.Failed != "" || len(row.Samples) != 0 {
				t.Errorf("haproxy: %+v", row)
			}
			if (&results{Entrants: []*entrant{rival, out}, Scenarios: []*outcome{got}}).failed() {
				t.Error("what is left out counts as a failure")
			}
			onlySelfIsLeft(t)
		})
	}
}

// A balancer that dies is named with the end of its log, is not tried again,
// and does not keep the others from being measured.
func TestAFailingBalancerIsLeftOut(t *testing.T) {
	gone := played(t, "gone", playRelay)
	gone.Missing = "gone: not installed"
	r := shortRunner(t, io.Discard, played(t, "feeble", playFall), gone, played(t, "sound", playRelay))
	got, err := r.scenario(t.Context(), scenarioNamed(t, "tcp-keepalive"))
	if err != nil {
		t.Fatal(err)
	}
	feeble, sound := got.Rows[0], got.Rows[2]
	if len(feeble.Samples) != 0 || !strings.Contains(feeble.Failed, "an assertion that does not hold") ||
		!strings.Contains(feeble.Failed, "exit status 3") {
		t.Errorf("%d samples, %s", len(feeble.Samples), feeble.Failed)
	}
	if got.Rows[1].Failed != gone.Missing {
		t.Errorf("the missing one: %q", got.Rows[1].Failed)
	}
	if len(sound.Samples) != 2 || !sound.Best {
		t.Errorf("the sound one: %d samples, %s", len(sound.Samples), sound.Failed)
	}
	onlySelfIsLeft(t)
}

// An interrupt in the middle of a round stops everything that was started.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := shortRunner(t, io.Discard, played(t, "weir", playRelay))
	r.duration = time.Hour
	done := make(chan error, 1)
	go func() {
		_, err := r.scenario(ctx, scenarioNamed(t, "tcp-keepalive"))
		done <- err
	}()
	// This process, the backend, the balancer and the client.
	for running := 0; running < 4; {
		members, err := proc.Members(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		running = len(members)
	}
	cancel()
	if err := <-done; err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
	onlySelfIsLeft(t)
}

// idling is a scenario that takes two seconds whatever the machine does.
func idling(t *testing.T, name string) scenario {
	t.Helper()
	sc := scenarioNamed(t, "tcp-idle")
	sc.name = name
	return sc
}

// The bench measures what it is asked for, and leaves samples and report.
func TestMeasure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "results.json")
	b := played(t, "sound", playRelay).balancer
	b.binary, _ = os.Executable()
	gone := balancer{name: "gone", binary: "no-such-balancer"}
	o := options{
		scenarios: []scenario{idling(t, "first")}, rounds: 1, duration: time.Second, rivals: []balancer{b, gone}, json: path, command: "as asked",
	}
	var out, progress strings.Builder
	if err := measure(t.Context(), o, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first: 4 x memory", "gone is missing: no-such-balancer: not installed", "Medians of 1 rounds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(progress.String(), "report:  "+beside(path)) {
		t.Errorf("it does not say where the report is:\n%s", progress.String())
	}
	got, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Command != "as asked" || got.Unfinished != 0 || len(got.Scenarios) != 1 || len(got.Scenarios[0].Rows[0].Samples) != 1 {
		t.Errorf("results: %+v", got)
	}
	if _, err := os.Stat(beside(path)); err != nil {
		t.Error(err)
	}
	onlySelfIsLeft(t)
}

// What was measured before an interrupt is not lost.
func TestInterruptLeavesResults(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "results.json")
	b := played(t, "sound", playRelay).balancer
	b.binary, _ = os.Executable()
	o := options{scenarios: []scenario{idling(t, "first"), idling(t, "second")}, rounds: 1, duration: time.Second, rivals: []balancer{b}, json: path}
	afterFirst := writerFunc(func(text []byte) {
		if strings.Contains(string(text), "first: ") {
			cancel()
		}
	})
	if err := measure(ctx, o, afterFirst, io.Discard); !errors.Is(err, errInterrupted) {
		t.Errorf("error %v", err)
	}
	got, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Scenarios) != 1 || got.Scenarios[0].Name != "first" || got.Unfinished != 1 {
		t.Errorf("%d scenarios, %d unfinished", len(got.Scenarios), got.Unfinished)
	}
	if !strings.Contains(summaryTitle(got), "interrupted before the last 1 scenarios") {
		t.Errorf("the summary says %q", summaryTitle(got))
	}
	onlySelfIsLeft(t)
}

// A directory that cannot be is noticed before anything is measured.
func TestMeasureHasAPlaceForResults(t *testing.T) {
	o := options{scenarios: []scenario{idling(t, "first")}, rounds: 1, weir: "/bin/true", json: "/proc/none/results.json"}
	var out strings.Builder
	if err := measure(t.Context(), o, &out, io.Discard); err == nil || !strings.Contains(err.Error(), "/proc/none") || out.Len() > 0 {
		t.Errorf("error %v, printed %q", err, out.String())
	}
}

// writerFunc is a writer that a test looks over the shoulder of.
type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// A balancer that answers, but not with what the backend says, has no figure.
func TestWrongAnswersFailTheRound(t *testing.T) {
	r := shortRunner(t, io.Discard, played(t, "busy", playBusy), played(t, "sound", playRelay))
	got, err := r.scenario(t.Context(), scenarioNamed(t, "http-connect"))
	if err != nil {
		t.Fatal(err)
	}
	busy, sound := got.Rows[0], got.Rows[1]
	if len(busy.Samples) != 0 || !strings.Contains(busy.Failed, "503") {
		t.Errorf("%d samples, failed %q", len(busy.Samples), busy.Failed)
	}
	if len(sound.Samples) != 2 || !sound.Best {
		t.Errorf("the sound one: %d samples, %s", len(sound.Samples), sound.Failed)
	}
}

func TestTooLittleCPUIsNoSample(t *testing.T) {
	r := shortRunner(t, io.Discard, played(t, "weir", playRelay))
	r.leastCPU = time.Hour
	got, err := r.scenario(t.Context(), scenarioNamed(t, "tcp-keepalive"))
	if err != nil {
		t.Fatal(err)
	}
	if row := got.Rows[0]; !strings.Contains(row.Failed, "too little") {
		t.Errorf("%d samples, failed %q", len(row.Samples), row.Failed)
	}
}

func TestOrder(t *testing.T) {
	for round, want := range [][]int{{0, 1, 2}, {2, 1, 0}, {0, 1, 2}} {
		if diff := cmp.Diff(want, order(3, round)); diff != "" {
			t.Errorf("round %d: -want +got\n%s", round, diff)
		}
	}
}

func TestSampleOf(t *testing.T) {
	at := func(balancer, client, backend, machine time.Duration) reading {
		used := func(ms time.Duration) proc.Usage { return proc.Usage{CPU: ms * time.Millisecond, RSS: 7 << 20} }
		return reading{used(balancer), used(client), used(backend), machine * time.Millisecond}
	}
	res := load.Result{Elapsed: 2 * time.Second, Exchanges: 100_000, Bytes: 4e9, P50: 1, P99: 2}
	before, after := at(100, 200, 300, 5000), at(1100, 700, 800, 7600)
	tests := []struct {
		name       string
		cost, rate float64
	}{
		{name: "tcp-keepalive", cost: 10, rate: 50_000}, // 1 s of CPU for 100,000
		{name: "tcp-connect", cost: 10, rate: 50_000},
		{name: "tcp-download", cost: 250, rate: 2}, // 1 s of CPU for 4 GB
		{name: "http-keepalive", cost: 10, rate: 50_000},
		{name: "http-upload", cost: 250, rate: 2},
		{name: "https-handshake", cost: 10, rate: 50_000},
		{name: "http2-few", cost: 10, rate: 50_000},
		{name: "http2-download", cost: 250, rate: 2},
		{name: "udp-oneway", cost: 10, rate: 50_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sampleOf(scenarioNamed(t, tt.name).unit, before, after, res)
			if !near(s.Cost, tt.cost) || !near(s.Rate, tt.rate) {
				t.Errorf("cost %v, rate %v, want %v and %v", s.Cost, s.Rate, tt.cost, tt.rate)
			}
			if !near(s.Busy, 0.5) || !near(s.Load, 0.5) || !near(s.Others, 0.3) || s.RSS != 7<<20 {
				t.Errorf("busy %v, load %v, others %v, %d bytes", s.Busy, s.Load, s.Others, s.RSS)
			}
		})
	}
	idle := scenarioNamed(t, "tcp-idle").unit
	if got := idle.costOf(measured{rss: 8 << 20, held: 4096}); !near(got, 2) {
		t.Errorf("8 MiB for 4096 connections: %v KiB each", got)
	}
}

func TestEnter(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := enter(t.Context(), options{weir: "bin/no-such-weir"}, io.Discard); !errors.Is(err, errMissing) {
		t.Errorf("error %v, want %v", err, errMissing)
	}
	all, err := enter(t.Context(), options{weir: "/bin/true", rivals: rivalBalancers()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !all[0].Own || all[0].Path != "/bin/true" || len(all) != 3 || all[1].Own {
		t.Errorf("entrants %+v", all)
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, args string
		ok         bool
	}{
		{name: "nothing", args: "", ok: true},
		{name: "everything", args: "-scenario tcp-idle,tcp-sni -rounds 5 -duration 1s -weir x -rivals nginx -json f", ok: true},
		{name: "rivals alone", args: "-weir=", ok: true},
		{name: "unknown scenario", args: "-scenario nothing"},
		{name: "unknown rival", args: "-rivals relayd"},
		{name: "no balancer", args: "-weir= -rivals="},
		{name: "no rounds", args: "-rounds 0"},
		{name: "too long", args: "-duration 11m"},
		{name: "too short", args: "-duration 1ms"},
		{name: "argument", args: "now"},
		{name: "unknown flag", args: "-fast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			_, err := parse(strings.Fields(tt.args), &said)
			if tt.ok != (err == nil) {
				t.Errorf("error %v: %s", err, said.String())
			}
			if !tt.ok && (!errors.Is(err, errUsage) || said.String() == "") {
				t.Errorf("error %v, explained as %q", err, said.String())
			}
		})
	}
}

func TestChooseScenariosKeepsTheOrder(t *testing.T) {
	chosen, _ := chooseScenarios(scenarios(), "tcp-idle,tcp-connect")
	if len(chosen) != 2 || chosen[0].name != "tcp-connect" || chosen[1].name != "tcp-idle" {
		t.Errorf("chosen %d, first %s", len(chosen), chosen[0].name)
	}
	for names, want := range map[string]int{"all": len(scenarios()), "tcp,udp,http,https,http2": len(scenarios()), "http2": 3, "https": 3, "https,https-resume": 3, "tcp-latency": 3, "http-flap,udp-latency-30": 3} {
		if got, unknown := chooseScenarios(scenarios(), names); len(got) != want || unknown != "" {
			t.Errorf("%s: %d of %d, want %d; unknown %q", names, len(got), len(scenarios()), want, unknown)
		}
	}
	if _, unknown := chooseScenarios(scenarios(), "tcp,smtp"); unknown != "smtp" {
		t.Errorf("unknown %q, want smtp", unknown)
	}
}

func TestList(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-list"}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, sc := range scenarios() {
		if !strings.Contains(out.String(), sc.name) {
			t.Errorf("the list lacks %s", sc.name)
		}
	}
}
