package main_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// bench runs pgbench over and over until it is stopped, so that what happens meanwhile takes as long as it takes.
type bench struct {
	started chan struct{} // gets a value, if somebody takes it, when a run begins
	stop    chan struct{}
	done    sync.WaitGroup

	// Of all runs, to be read after end.
	runs, transactions int
	aborted            int      // clients that gave up because their connection failed
	failures           []string // what runs said that did not end well
}

var (
	benchAborted   = regexp.MustCompile(`(?m)^pgbench: error: client \d+ .*aborted`)
	benchProcessed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	benchFailed    = regexp.MustCompile(`number of failed transactions: [1-9]`)
)

// startBench reads single rows through addr with some clients; flags say more, such as -C for a connection each transaction.
func startBench(t *testing.T, addr, sslmode string, clients int, flags ...string) *bench {
	t.Helper()
	b := &bench{started: make(chan struct{}), stop: make(chan struct{})}
	dsn := fmt.Sprintf("host=127.0.0.1 port=%s user=postgres dbname=postgres connect_timeout=20 sslmode=%s", portOf(addr), sslmode)
	args := append([]string{"-S", "-n", "-c", strconv.Itoa(clients), "-j", "1", "-T", "2"}, flags...)
	weirtest.Tool(t, "pgbench")
	b.done.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			case b.started <- struct{}{}:
			default:
			}
			out, err := weirtest.TryRun(t, "pgbench", append(args, dsn)...)
			b.take(out, err)
		}
	})
	t.Cleanup(b.end)
	return b
}

// take adds up what a run said.
func (b *bench) take(out string, err error) {
	b.runs++
	b.aborted += len(benchAborted.FindAllString(out, -1))
	if m := benchProcessed.FindStringSubmatch(out); m != nil {
		n, _ := strconv.Atoi(m[1])
		b.transactions += n
	}
	if err != nil || benchFailed.MatchString(out) {
		b.failures = append(b.failures, fmt.Sprintf("%v: %s", err, out))
	}
}

// end waits for the last run.
func (b *bench) end() {
	select {
	case <-b.stop:
	default:
		close(b.stop)
	}
	b.done.Wait()
}

// check fails the test unless everything succeeded.
func (b *bench) check(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d transactions in %d runs", what, b.transactions, b.runs)
	if b.transactions == 0 {
		t.Errorf("%s: no transaction at all", what)
	}
	for _, f := range b.failures {
		t.Errorf("%s: %s", what, f)
	}
}

// TestPgbench holds the promise of the thing: no transaction fails that its own server did not fail.
func TestPgbench(t *testing.T) {
	a := weirtest.Postgres(t, weirtest.PostgresOptions{})
	b := weirtest.Postgres(t, weirtest.PostgresOptions{})
	for _, p := range []*weirtest.PostgresServer{a, b} {
		weirtest.Run(t, "pgbench", "-i", "-q", p.DSN(p.Addr, ""))
	}
	t.Run("while a server is killed and comes back", func(t *testing.T) { benchKill(t, a, b) })
	t.Run("while the configuration is reloaded", func(t *testing.T) { benchReload(t, a, b) })
	t.Run("beside a router for TLS", func(t *testing.T) { benchPrefer(t, a, b) })
}

// bank is the configuration of both: %s are its access log, further entrypoints, further routers, servers and further keys of the service.
const bank = `
accessLog: { path: %s }
entryPoints:
  db: { address: "127.0.0.1:0" }
%stcp:
  routers:
    bank: { entryPoints: [db], rule: "HostSNI(` + "`*`" + `)", service: bank }
%s  services:
    bank:
      loadBalancer:
        servers: [ %s ]
        slowStart: 0s
        %s
`

// quickCheck notices a killed server soon and a slow one never.
const quickCheck = `healthCheck: { type: postgres, user: postgres, interval: 200ms, timeout: 10s, fall: 2, rise: 1 }`

func benchKill(t *testing.T, a, b *weirtest.PostgresServer) {
	log := filepath.Join(t.TempDir(), "access.log")
	servers := fmt.Sprintf("{ address: %q }, { address: %q }", a.Addr, b.Addr)
	w := weirtest.Weir(t, fmt.Sprintf(bank, log, "", "", servers, quickCheck))
	awaitHealth(t, w, a.Addr, "up")
	awaitHealth(t, w, b.Addr, "up")
	const clients = 8
	lasting := startBench(t, addressOf(t, w, "db"), "disable", clients, "-T", "8") // long enough to be killed in the middle
	<-lasting.started                                                              // a run is over and the next one begins, whose connections are all new
	// pgbench asks on a connection of its own before; for some looks it may stand for a client that is not there yet.
	onA, looks := 0, 0
	weirtest.Eventually(t, soon, func() bool {
		last := onA
		onA = backendAt(t, w, a.Addr).Active
		if looks++; onA != last || onA+backendAt(t, w, b.Addr).Active != clients {
			looks = 0
		}
		return looks == 20
	}, "all clients of the run are connected")
	fleeting := startBench(t, addressOf(t, w, "db"), "disable", 4, "-C")
	served := backendAt(t, w, a.Addr).Connections
	weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, a.Addr).Connections > served+5 }, "short connections come and go")

	a.Kill()
	awaitHealth(t, w, a.Addr, "down")
	<-lasting.started
	a.Start()
	awaitHealth(t, w, a.Addr, "up")
	served = backendAt(t, w, a.Addr).Connections
	weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, a.Addr).Connections > served+clients }, "the server that came back is used again")
	lasting.end()
	fleeting.end()

	t.Logf("lasting: %d transactions in %d runs, %d clients of %d on the killed server aborted", lasting.transactions, lasting.runs, lasting.aborted, onA)
	t.Logf("fleeting: %d transactions in %d runs, %d clients aborted", fleeting.transactions, fleeting.runs, fleeting.aborted)
	if lasting.aborted == 0 || lasting.aborted > onA {
		t.Errorf("%d lasting connections failed, want some, and no more than the %d that were open on the killed server: %s", lasting.aborted, onA, lasting.failures)
	}
	if len(lasting.failures) > 1 || len(fleeting.failures) > 1 {
		t.Errorf("more runs failed than the one in which the server was killed: %s %s", lasting.failures, fleeting.failures)
	}
	cut := 0
	for _, r := range logAfterStop(t, w, log) {
		switch {
		case r.ServiceAddr == a.Addr && r.EndedBy == "backend" && (r.Reason == "done" || r.Reason == "backend-abort"):
			cut++
		case r.Reason != "done":
			t.Errorf("weir failed a connection that no server failed: %+v", r)
		}
	}
	if failed := lasting.aborted + fleeting.aborted; failed > cut {
		t.Errorf("%d connections failed, more than the %d that the killed server cut", failed, cut)
	}
}

// logAfterStop stops weir and returns its access log, which is complete then.
func logAfterStop(t *testing.T, w *weirtest.WeirProcess, log string) []record {
	t.Helper()
	w.Stop()
	if code := w.ExitCode(soon); code != 0 {
		t.Errorf("weir ends with %d", code)
	}
	return readLog(t, log)
}

func benchReload(t *testing.T, a, b *weirtest.PostgresServer) {
	const reloads = 50
	log := filepath.Join(t.TempDir(), "access.log")
	both := fmt.Sprintf("{ address: %q }, { address: %q }", a.Addr, b.Addr)
	variants := []string{
		fmt.Sprintf(bank, log, "", "", fmt.Sprintf("{ address: %q, weight: 3 }, { address: %q }", a.Addr, b.Addr), quickCheck),
		fmt.Sprintf(bank, log, "  more: { address: \"127.0.0.1:0\" }\n",
			"    more: { entryPoints: [db, more], rule: \"HostSNI(`more.db.test`)\", tls: { passthrough: true }, service: bank }\n", both, quickCheck),
		fmt.Sprintf(bank, log, "", "", both, "healthCheck: { type: tcp, interval: 300ms, timeout: 10s }"),
		fmt.Sprintf(bank, log, "", "", fmt.Sprintf("{ address: %q }", a.Addr), quickCheck),
		fmt.Sprintf(bank, log, "", "", both, "strategy: leastconn\n        "+quickCheck),
		fmt.Sprintf(bank, log, "", "", both, quickCheck),
	}
	w := weirtest.Weir(t, variants[len(variants)-1])
	before := w.Generation()
	lasting := startBench(t, addressOf(t, w, "db"), "disable", 4)
	fleeting := startBench(t, addressOf(t, w, "db"), "disable", 4, "-C")
	for i := range reloads {
		next := variants[i%len(variants)]
		if i%5 == 0 { // told by nobody, weir notices the file
			last := w.Generation()
			w.Write(next)
			weirtest.Eventually(t, soon, func() bool { return w.Generation() > last }, "the file that changed is in force")
		} else {
			w.Reload(next)
		}
		served := backendAt(t, w, a.Addr).Connections
		weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, a.Addr).Connections > served+2 }, "transactions go on")
	}
	lasting.end()
	fleeting.end()
	if n := w.Generation() - before; n < reloads {
		t.Errorf("%d reloads, want %d", n, reloads)
	}
	lasting.check(t, "lasting connections")
	fleeting.check(t, "a connection each transaction")
	for _, r := range logAfterStop(t, w, log) {
		if r.Reason != "done" || r.RetryAttempts != 0 {
			t.Fatalf("a reload disturbed a connection: %+v", r)
		}
	}
}

// benchPrefer has clients ask for TLS, which weir promises for the sake of the other router, of servers that do not speak it. libpq's default is
// to go on without.
func benchPrefer(t *testing.T, a, b *weirtest.PostgresServer) {
	log := filepath.Join(t.TempDir(), "access.log")
	servers := fmt.Sprintf("{ address: %q }, { address: %q }", a.Addr, b.Addr)
	tls := "    tls: { entryPoints: [db], rule: \"HostSNI(`tls.db.test`)\", tls: { passthrough: true }, service: bank }\n"
	w := weirtest.Weir(t, fmt.Sprintf(bank, log, "", tls, servers, quickCheck))
	lasting := startBench(t, addressOf(t, w, "db"), "prefer", 4)
	fleeting := startBench(t, addressOf(t, w, "db"), "prefer", 4, "-C")
	weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, a.Addr).Connections > 50 }, "connections come and go")
	lasting.end()
	fleeting.end()
	lasting.check(t, "lasting connections")
	fleeting.check(t, "a connection each transaction")
	for series, n := range metrics(t, w) {
		if strings.HasPrefix(series, "weir_backend_ejections_total") && n != 0 {
			t.Errorf("clients that ask for TLS eject a server: %s is %v", series, n)
		}
	}
}
