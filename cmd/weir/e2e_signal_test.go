package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// relay is a configuration with one entrypoint, "in", and one service with one backend. %s are further sections, keys of the
// entrypoint, and the backend's address.
const relay = `
%s
entryPoints:
  in: { address: "127.0.0.1:0" %s }
tcp:
  routers:
    in: { entryPoints: [in], rule: "HostSNI(` + "`*`" + `)", service: echo }
  services:
    echo: { loadBalancer: { servers: [ { address: %q } ] } }
`

// awaitStopping waits until a weir that was told to stop says so.
func awaitStopping(t *testing.T, w *weirtest.WeirProcess) {
	t.Helper()
	weirtest.Eventually(t, soon, func() bool {
		status, _ := w.Get("/readyz")
		return status == http.StatusServiceUnavailable
	}, "readyz is red")
}

func TestSIGTERMWaitsForConnections(t *testing.T) {
	t.Parallel()
	echo := weirtest.Serve(t, weirtest.Echo)
	w := weirtest.Weir(t, fmt.Sprintf(relay, "", "", echo.Addr))
	addr := addressOf(t, w, "in")
	conn := dial(t, addr)
	ask(t, conn, "before")
	w.Signal(syscall.SIGTERM)
	awaitStopping(t, w)
	weirtest.Eventually(t, soon, func() bool { return strings.Contains(w.Log(), "nothing new is accepted") }, "weir accepts no more")
	if !refused(addr) {
		t.Error("a weir that stops accepts a connection")
	}
	if status, _ := w.Get("/livez"); status != http.StatusOK {
		t.Errorf("livez is %d", status)
	}
	if got := ask(t, conn, "after"); got != "after" {
		t.Errorf("the open connection answers %q", got)
	}
	select {
	case <-w.Done():
		t.Fatal("weir has ended with a connection open")
	default:
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("the connection ends with %q, %v", rest, err)
	}
	if code := w.ExitCode(soon); code != 0 {
		t.Errorf("weir ends with %d", code)
	}
}

func TestSIGTERMCutsAfterGraceTime(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "access.log")
	echo := weirtest.Serve(t, weirtest.Echo)
	w := weirtest.Weir(t, fmt.Sprintf(relay, "accessLog: { path: "+log+" }", ", transport: { lifeCycle: { graceTimeOut: 200ms } }", echo.Addr))
	conn := dial(t, addressOf(t, w, "in"))
	ask(t, conn, "before")
	w.Signal(syscall.SIGTERM)
	if rest, err := io.ReadAll(conn); len(rest) > 0 {
		t.Errorf("the connection ends with %q, %v", rest, err)
	}
	if code := w.ExitCode(soon); code != 0 {
		t.Errorf("weir ends with %d", code)
	}
	if all := readLog(t, log); len(all) != 1 || all[0].Reason != "shutdown" || all[0].TerminationState != "KD" || all[0].EndedBy != "weir" {
		t.Errorf("the access log holds %+v", all)
	}
}

func TestSecondSIGTERMStopsNow(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			echo := weirtest.Serve(t, weirtest.Echo)
			w := weirtest.Weir(t, fmt.Sprintf(relay, "", ", transport: { lifeCycle: { requestAcceptGraceTimeout: 1h, graceTimeOut: 1h } }", echo.Addr))
			addr := addressOf(t, w, "in")
			conn := dial(t, addr)
			ask(t, conn, "before")
			w.Signal(syscall.SIGTERM)
			awaitStopping(t, w)
			// Still accepting, because of requestAcceptGraceTimeout.
			if got := ask(t, dial(t, addr), "late"); got != "late" {
				t.Errorf("a late connection answers %q", got)
			}
			w.Signal(second)
			if rest, err := io.ReadAll(conn); len(rest) > 0 {
				t.Errorf("the connection ends with %q, %v", rest, err)
			}
			if code := w.ExitCode(soon); code != 0 {
				t.Errorf("weir ends with %d", code)
			}
		})
	}
}

// TestSIGUSR1LosesNoLine rotates the access log again and again while connections end.
func TestSIGUSR1LosesNoLine(t *testing.T) {
	t.Parallel()
	const rotations, clients, each = 5, 4, 25
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	echo := weirtest.Serve(t, weirtest.Echo)
	w := weirtest.Weir(t, fmt.Sprintf(relay, "accessLog: { path: "+log+" }", "", echo.Addr))
	addr := addressOf(t, w, "in")
	var mu sync.Mutex
	missing := map[string]bool{} // client addresses without a line
	var files []string
	for i := range rotations {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range each {
					from, err := shortConnection(addr)
					if err != nil {
						t.Errorf("connection: %v", err)
						return
					}
					mu.Lock()
					missing[from] = true
					mu.Unlock()
				}
			})
		}
		rotated := fmt.Sprintf("%s.%d", log, i)
		if err := os.Rename(log, rotated); err != nil {
			t.Fatal(err)
		}
		files = append(files, rotated)
		w.Signal(syscall.SIGUSR1)
		weirtest.Eventually(t, soon, func() bool {
			_, err := os.Stat(log)
			return err == nil
		}, "the log file is made anew")
		wg.Wait()
	}
	w.Stop()
	lines := 0
	for _, file := range append(files, log) {
		for _, r := range readLog(t, file) {
			lines++
			delete(missing, r.ClientAddr)
		}
	}
	if want := rotations * clients * each; lines != want || len(missing) > 0 {
		t.Errorf("%d lines in all, want %d; connections without a line: %v", lines, want, missing)
	}
}

// shortConnection echoes a line and returns the client's address.
func shortConnection(addr string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, err = tryAsk(conn, "hello")
	return conn.LocalAddr().String(), err
}

func TestSIGHUPWithBrokenConfiguration(t *testing.T) {
	t.Parallel()
	echo := weirtest.Serve(t, weirtest.Echo)
	good := fmt.Sprintf(relay, "", "", echo.Addr)
	w := weirtest.Weir(t, good)
	addr := addressOf(t, w, "in")
	conn := dial(t, addr)
	ask(t, conn, "before")

	broken := strings.Replace(good, "service: echo", "servce: echo", 1)
	broken = strings.Replace(broken, "loadBalancer", "loadBalanser", 1)
	w.Write(broken)
	w.Signal(syscall.SIGHUP)
	for _, want := range []string{
		w.File + ":" + positionOf(t, broken, "servce") + `: tcp.routers.in.servce: unknown key (did you mean \"service\"?)`,
		w.File + ":" + positionOf(t, broken, "loadBalanser") + `: tcp.services.echo.loadBalanser: unknown key (did you mean \"loadBalancer\"?)`,
	} {
		weirtest.Eventually(t, soon, func() bool { return strings.Contains(w.Log(), want) }, "the log says "+want)
	}
	if got := ask(t, conn, "after") + ask(t, dial(t, addr), "new"); got != "afternew" {
		t.Errorf("answers %q", got)
	}
	if n := w.Generation(); n != 1 {
		t.Errorf("generation %d of the configuration is in force, want the first", n)
	}
	m := metrics(t, w)
	if m["weir_config_last_reload_success"] != 0 || m[`weir_config_reloads_total{result="failure"}`] == 0 {
		t.Error("the metrics do not tell that the reload failed")
	}
	if status, _ := w.Get("/readyz"); status != http.StatusOK {
		t.Errorf("readyz is %d", status)
	}
	w.Reload(good)
	awaitMetric(t, w, "weir_config_last_reload_success", 1)
}
