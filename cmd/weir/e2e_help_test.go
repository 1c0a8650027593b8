package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// soon is how long something may take that should happen at once, on a machine that has much else to do.
const soon = 20 * time.Second

// addressOf returns where an entrypoint of a running weir listens: with the port the kernel picked where the configuration says 0.
func addressOf(t *testing.T, w *weirtest.WeirProcess, entrypoint string) string {
	t.Helper()
	var list []struct{ Name, Address string }
	w.JSON("/api/v1/entrypoints", &list)
	for _, e := range list {
		if e.Name == entrypoint {
			return e.Address
		}
	}
	t.Fatalf("weir has no entrypoint %s", entrypoint)
	return ""
}

// portOf returns the port of an address.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// backend is what the admin API says of one.
type backend struct {
	Service, Address, Health string
	Active                   int
	Connections              int
	Checks, CheckFailures    int
	Draining                 bool
	EjectedUntil             time.Time // zero: not ejected
}

// backendAt returns what a running weir says of a backend.
func backendAt(t *testing.T, w *weirtest.WeirProcess, addr string) backend {
	t.Helper()
	var list []backend
	w.JSON("/api/v1/backends", &list)
	for _, b := range list {
		if b.Address == addr {
			return b
		}
	}
	t.Fatalf("weir has no backend %s", addr)
	return backend{}
}

// awaitHealth waits until weir has the given verdict on a backend.
func awaitHealth(t *testing.T, w *weirtest.WeirProcess, addr, health string) {
	t.Helper()
	weirtest.Eventually(t, soon, func() bool { return backendAt(t, w, addr).Health == health }, "backend "+addr+" is "+health)
}

// metrics returns what /metrics says, by series as it is written there.
func metrics(t *testing.T, w *weirtest.WeirProcess) map[string]float64 {
	t.Helper()
	status, body := w.Get("/metrics")
	if status != 200 {
		t.Fatalf("/metrics: status %d: %s", status, body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			t.Fatalf("/metrics: %v in %q", err, line)
		}
		all[line[:i]] = value
	}
	return all
}

// awaitMetric waits until a series has a value.
func awaitMetric(t *testing.T, w *weirtest.WeirProcess, series string, want float64) {
	t.Helper()
	weirtest.Eventually(t, soon, func() bool { return metrics(t, w)[series] == want }, fmt.Sprintf("%s is %v", series, want))
}

// record is one line of the access log in JSON.
type record struct {
	StartUTC                             time.Time
	Protocol                             string
	Entrypoint                           string `json:"entryPointName"`
	ClientAddr, ClientHost, ClientPort   string
	PeerAddr, LocalAddr                  string
	RouterName, ServiceName, ServiceAddr string
	TLSMode, TLSVersion, SNI, ALPN       string
	BytesIn, BytesOut                    int64
	Duration, RouteDuration              time.Duration
	QueueDuration, ConnectDuration       time.Duration
	RetryAttempts                        int
	EndedBy, Reason, TerminationState    string
}

// readLog returns the records of an access log.
func readLog(t *testing.T, path string) []record {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // on its way
		}
		var r record
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("%s: %v in %s", path, err, line)
		}
		all = append(all, r)
	}
	return all
}

// awaitLog waits until an access log holds n records and returns them all.
func awaitLog(t *testing.T, path string, n int) []record {
	t.Helper()
	var all []record
	weirtest.Eventually(t, soon, func() bool {
		all = readLog(t, path)
		return len(all) >= n
	}, fmt.Sprintf("%d records in the access log", n))
	return all
}

// dial connects and sees to it that nothing hangs.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * soon)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// send writes text.
func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

// ask sends a line and returns the one that comes back.
func ask(t *testing.T, conn net.Conn, line string) string {
	t.Helper()
	answer, err := tryAsk(conn, line)
	if err != nil {
		t.Fatalf("ask %q: %v", line, err)
	}
	return answer
}

func tryAsk(conn net.Conn, line string) (string, error) {
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	return readLine(conn)
}

// readLine reads up to a newline and not a byte further.
func readLine(conn net.Conn) (string, error) {
	var text []byte
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return string(text), err
		}
		if b[0] == '\n' {
			return string(text), nil
		}
		text = append(text, b[0])
	}
}

// refused reports whether nobody listens at an address.
func refused(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// positionOf returns where a word stands in a configuration, as line:column.
func positionOf(t *testing.T, config, word string) string {
	t.Helper()
	before, _, found := strings.Cut(config, word)
	if !found {
		t.Fatalf("no %q in %s", word, config)
	}
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, len(before)-strings.LastIndexByte(before, '\n'))
}

// result is what a verb of weir did.
type result struct {
	stdout, stderr string
	code           int
}

// weir runs a verb to its end.
func weir(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(weirtest.Binary(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("weir %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// fields returns the cells of a table's rows; two blanks part them.
func fields(text string) [][]string {
	var rows [][]string
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var row []string
		for cell := range strings.SplitSeq(lines.Text(), "  ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				row = append(row, cell)
			}
		}
		rows = append(rows, row)
	}
	return rows
}
