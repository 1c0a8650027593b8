package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// site is a configuration with one entrypoint, web, and one HTTP service, app. front is what else the entrypoint says,
// balancer what else the load balancer says.
func site(front, balancer string, servers ...string) string {
	return fmt.Sprintf(`
entryPoints: { web: { address: "127.0.0.1:0" %s } }
http:
  routers:  { all: { rule: "PathPrefix(%s/%[2]s)", service: app } }
  services: { app: { loadBalancer: { servers: [ %s ] %s } } }
`, front, "`", urls(servers...), balancer)
}

// urls lists servers by their addresses as a load balancer wants them.
func urls(servers ...string) string {
	var list []string
	for _, s := range servers {
		list = append(list, fmt.Sprintf(`{ url: "http://%s" }`, s))
	}
	return strings.Join(list, ", ")
}

// serveHTTP starts a server of Go's net/http and returns its address.
func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// browser returns a client that keeps connections, follows nothing, and waits no longer than for anything else.
func browser(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 2 * soon,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch gets a URL whole.
func fetch(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return resp.StatusCode, string(text)
}

// rawHTTP sends text on a connection of its own and returns the answer, head and body, up to the connection's end.
func rawHTTP(t *testing.T, addr, text string) string {
	t.Helper()
	got, err := exchange(addr, text)
	if err != nil {
		t.Fatalf("%.60q: %q, %v", text, got, err)
	}
	return got
}

// responses takes apart what came back on one connection to requests of the given methods.
func responses(t *testing.T, r io.Reader, methods ...string) (statuses []int, bodies []string) {
	t.Helper()
	in := bufio.NewReader(r)
	for _, method := range methods {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("response to %s: %v", method, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("body of the response to %s: %v", method, err)
		}
		statuses, bodies = append(statuses, resp.StatusCode), append(bodies, string(body))
	}
	return statuses, bodies
}

// requestRecord is what the access log says of a request, as far as tests look at it.
type requestRecord struct {
	Protocol, ClientAddr                      string
	Entrypoint                                string `json:"entryPointName"`
	RouterName, ServiceName, ServiceAddr      string
	RequestMethod, RequestPath, RequestHost   string
	RequestProtocol, RequestScheme            string
	RequestCount, RetryAttempts               int
	RequestContentSize, DownstreamContentSize int64
	OriginStatus, DownstreamStatus            int
	GRPCStatus                                *int
	TLSVersion, SNI                           string
	Duration, FirstByteDuration               time.Duration
	EndedBy, Reason, Detail, TerminationState string
}

// awaitRequest waits until the access log has a request for a target, and returns the last such one.
func awaitRequest(t *testing.T, path, target string) requestRecord {
	t.Helper()
	var found requestRecord
	weirtest.Eventually(t, soon, func() bool {
		for _, r := range slices.Backward(readRequests(t, path)) {
			if r.RequestPath == target {
				found = r
				return true
			}
		}
		return false
	}, "a record of "+target)
	return found
}

// readRequests returns the records of an access log that are complete.
func readRequests(t *testing.T, path string) []requestRecord {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []requestRecord
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // on its way
		}
		var r requestRecord
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v in %s", path, err, line)
		}
		all = append(all, r)
	}
	return all
}

// answered returns how many answers of a class, such as "5xx", a service has given.
func answered(t *testing.T, w *weirtest.WeirProcess, service, class string) float64 {
	t.Helper()
	series := fmt.Sprintf(`weir_service_http_requests_total{code=%q,protocol="http",service=%q}`, class, service)
	n, there := metrics(t, w)[series]
	if !there {
		t.Fatalf("no series %s", series)
	}
	return n
}

// resetByClose closes a connection so that the other side gets a reset.
func resetByClose(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// writeTemp writes a file that goes with the test.
func writeTemp(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// trusting is how a client that believes an authority asks for a name.
func trusting(ca *weirtest.Authority, name string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: name}
}

// program is one that runs beside the test.
type program struct {
	cmd *exec.Cmd
	out bytes.Buffer // read when it has ended
}

// startProgram starts a program that prints its report when it ends.
func startProgram(t *testing.T, path string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// interrupt ends the program and returns what it printed.
func (p *program) interrupt() string {
	_ = p.cmd.Process.Signal(os.Interrupt)
	return p.wait()
}

// wait waits for the end of a program that ends by itself and returns what it printed.
func (p *program) wait() string {
	_ = p.cmd.Wait() // what it says about its end is in its report
	return p.out.String()
}

// quiet takes what a server of the test's own complains about, where complaints are what the test is after.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// within waits for something that happens in another goroutine.
func within[T any](t *testing.T, events <-chan T, what string) (event T) {
	t.Helper()
	select {
	case event = <-events:
	case <-time.After(soon):
		t.Fatalf("after %v still not: %s", soon, what)
	}
	return event
}
