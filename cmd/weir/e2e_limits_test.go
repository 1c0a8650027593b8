package main_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// residentKiB returns the memory of a process that is in RAM.
func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no VmRSS in %s", text)
	return 0
}

// crowd opens n connections that send what say returns for each, and never more.
func crowd(t *testing.T, addr string, n int, say func(i int) string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.DialTimeout("tcp", addr, soon)
		if err != nil {
			t.Fatalf("connection %d of %d: %v", i, n, err)
		}
		t.Cleanup(func() { conn.Close() })
		if text := say(i); text != "" {
			send(t, conn, text)
		}
		conns[i] = conn
	}
	return conns
}

// TestSilentCrowd opens thousands of connections that say nothing, or not enough, while psql works through the same entrypoint. weir ends each by
// its deadline and gives the memory back.
func TestSilentCrowd(t *testing.T) {
	t.Parallel()
	const size = 8000 // times two descriptors in this process and in weir would be too much; weir holds one for each
	const entry = `weir_entrypoint_active_connections{entrypoint="db"}`
	const heap = "go_memstats_heap_alloc_bytes"
	const timeouts = `weir_entrypoint_rejected_total{entrypoint="db",reason="sniff_timeout"}`
	ca := weirtest.CA(t)
	orders := namedPostgres(t, "orders", ca.Server("orders.db.test"))
	w := weirtest.Weir(t, fmt.Sprintf(`
engine: { loops: 2 }
entryPoints: { db: { address: "127.0.0.1:0", transport: { sniffTimeout: 40s } } }
tcp:
  routers:  { orders: { rule: "HostSNI(%[1]sorders.db.test%[1]s)", tls: { passthrough: true }, service: orders } }
  services: { orders: { loadBalancer: { servers: [ { address: %[2]q } ] } } }
`, "`", orders.Addr))
	addr := addressOf(t, w, "db")
	query := func() {
		t.Helper()
		if got, err := psql(t, addr, "orders.db.test", "sslmode=verify-full sslrootcert="+ca.File, whoami); err != nil || got != "orders,true" {
			t.Errorf("psql: %q, %v", got, err)
		}
	}
	query()
	// What answering questions takes is part of the baseline: the collector lets garbage grow before it looks.
	live := math.Inf(1)
	for range 200 {
		live = min(live, metrics(t, w)[heap])
	}
	before := residentKiB(t, w.PID())

	// Every fourth has begun a hello that never ends.
	begun := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 300)
	conns := crowd(t, addr, size, func(i int) string {
		if i%4 == 0 {
			return begun
		}
		return ""
	})
	opened := metrics(t, w)[entry]
	query()
	held := residentKiB(t, w.PID())
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(4 * soon)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n > 0 || isTimeout(err) {
			t.Fatalf("a connection that says nothing gets %d bytes, %v", n, err)
		}
	}
	query()
	awaitMetric(t, w, entry, 0)
	if m := metrics(t, w); m[timeouts] != size {
		t.Errorf("%v connections ran into the deadline, want %d", m[timeouts], size)
	}
	t.Logf("%v open at one time; resident KiB: %d before, %d with them", opened, before, held)
	if opened < size {
		t.Errorf("%v connections were open at one time, want %d", opened, size)
	}
	if perConn := (held - before) * 1024 / size; perConn > 8<<10*shadow {
		t.Errorf("%d bytes for each connection", perConn)
	}
	// What loops keep for the next connections is bounded; the rest is let go by the next collection, for which questions make garbage.
	const kept = 10 << 20 * shadow
	weirtest.Eventually(t, soon, func() bool { return metrics(t, w)[heap] < live+kept }, fmt.Sprintf("the heap is less than %d bytes above the %v of before", kept, live))
	// The runtime gives memory back to the system little by little.
	const near = 16 << 10 * shadow // KiB
	weirtest.Eventually(t, 2*soon, func() bool {
		metrics(t, w)
		return residentKiB(t, w.PID()) < before+near
	}, fmt.Sprintf("weir's memory is less than %d KiB above the %d KiB of before", near, before))
	t.Logf("resident KiB afterwards: %d", residentKiB(t, w.PID()))
}

// setOpenFiles changes the soft limit of open files of a running process.
func setOpenFiles(t *testing.T, pid, limit int) {
	t.Helper()
	weirtest.Run(t, "prlimit", "--pid", strconv.Itoa(pid), fmt.Sprintf("--nofile=%d:", limit))
}

// TestOutOfDescriptors takes the descriptors away from a running weir, as a leak elsewhere or a wrong limit would. What is open goes on, bulk
// included; what waits is served as soon as there are descriptors again.
func TestOutOfDescriptors(t *testing.T) {
	t.Parallel()
	echo := weirtest.Serve(t, weirtest.Echo)
	w := weirtest.Weir(t, fmt.Sprintf(relay, "", "", echo.Addr))
	addr := addressOf(t, w, "in")
	old := dial(t, addr)
	ask(t, old, "before")
	setOpenFiles(t, w.PID(), 3) // no descriptor below it is free, so there is not one more

	answers := make(chan error, 20)
	for range cap(answers) {
		go func() {
			got, err := exchangeLine(addr, "are you there?")
			if err == nil && got != "are you there?" {
				err = fmt.Errorf("answer %q", got)
			}
			answers <- err
		}()
	}
	weirtest.Eventually(t, soon, func() bool { return strings.Contains(w.Log(), "out of resources") }, "weir says that it is out of descriptors")
	if got := ask(t, old, "meanwhile"); got != "meanwhile" {
		t.Errorf("the open connection answers %q", got)
	}
	echoBulk(t, old, 8<<20)

	setOpenFiles(t, w.PID(), 1000)
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Errorf("a connection that waited: %v", err)
		}
	}
	if got := ask(t, dial(t, addr), "after") + ask(t, old, "after"); got != "afterafter" {
		t.Errorf("answers %q", got)
	}
	if n := metrics(t, w)[`weir_entrypoint_accept_errors_total{entrypoint="in"}`]; n == 0 {
		t.Error("failed accepts are not counted")
	}
}

// exchangeLine sends a line on a connection of its own and returns the one that comes back.
func exchangeLine(addr, line string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return "", err
	}
	return tryAsk(conn, line)
}

// echoBulk sends random bytes and wants them back.
func echoBulk(t *testing.T, conn net.Conn, size int) {
	t.Helper()
	load := make([]byte, size)
	_, _ = rand.Read(load) // never fails
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(load)
		sent <- err
	}()
	back := make([]byte, size)
	if _, err := io.ReadFull(conn, back); err != nil {
		t.Fatalf("read %d bytes back: %v", size, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back, load) {
		t.Error("bulk came back changed")
	}
}

// TestFewDescriptors starts weir with so few that it has to turn connections away: at once, counted, and without harm to those it has.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	const rejected = `weir_entrypoint_rejected_total{entrypoint="in",reason="limit"}`
	echo := weirtest.Serve(t, weirtest.Echo)
	w := weirtest.WeirWithFiles(t, 128, fmt.Sprintf(relay, "", "", echo.Addr))
	addr := addressOf(t, w, "in")
	limit := int(metrics(t, w)["weir_max_connections"])
	if limit < 1 || limit > 64 {
		t.Fatalf("weir with 128 descriptors allows %d connections, each of which takes two", limit)
	}
	conns := make([]net.Conn, limit)
	for i := range conns {
		conns[i] = dial(t, addr)
		ask(t, conns[i], "hello")
	}
	for range 10 {
		if got, err := exchange(addr, "hello\n"); got != "" || isTimeout(err) {
			t.Errorf("a connection too many gets %q, %v", got, err)
		}
	}
	for _, conn := range conns {
		if got := ask(t, conn, "still there"); got != "still there" {
			t.Errorf("an open connection answers %q", got)
		}
	}
	awaitMetric(t, w, rejected, 10)
	conns[0].Close()
	awaitMetric(t, w, "weir_active_connections", float64(limit-1))
	if got := ask(t, dial(t, addr), "room again"); got != "room again" {
		t.Errorf("answer %q", got)
	}
	if log := w.Log(); strings.Contains(log, "out of resources") {
		t.Errorf("weir ran out of descriptors below its own limit: %s", log)
	}
}
