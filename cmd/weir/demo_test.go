package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// shown collects what the demo says and tells when it has said all.
type shown struct {
	mu   sync.Mutex
	text strings.Builder
	all  chan struct{}
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if strings.Contains(string(p), "Ctrl-C ends the demo.") {
		close(s.all)
	}
	return len(p), nil
}

// promise is a command that the demo prints, and what a user sees who tries it.
type promise struct {
	name    string
	command string // a part of it
	want    string // regular expression for all that is seen
}

// promises are all that the demo prints, in its order.
var promises = []promise{
	{"echo", "echo hi | nc", `^((alpha: hi\n){2}beta: hi\n|alpha: hi\nbeta: hi\nalpha: hi\n|beta: hi\n(alpha: hi\n){2})$`},
	{"server speaks first", "</dev/null", `^hello, you came through weir\n$`},
	{"passed through", "https://shop.", `^shop was asked over TLS, as shop.weir.test\n$`},
	{"passed through to another", "https://blog.", `^blog was asked over TLS, as blog.weir.test\n$`},
	{"certificate", "openssl", `^subject=CN=shop.weir.test\n$`},
	{"TLS ended", "https://app.", `^app was asked without TLS\n$`},
	{"UDP", "nc -u", `^(epsilon: hi\nzeta: hi\n|zeta: hi\nepsilon: hi\n)$`},
	{"HTTP in turn", "-H 'Host: site.weir.test'", `^(gamma .*\ndelta|delta .*\ngamma) was asked for / by 127.0.0.1 over http\n$`},
	{"HTTP by path", "/api/items", `^api was asked for /api/items by 127.0.0.1 over http\n$`},
	{"middlewares", "/few", `^(HTTP/1.1 200 OK\n(gamma|delta) was asked for / by 127.0.0.1 over http\n){2}HTTP/1.1 429 Too Many Requests\n`},
	{"HTTPS", "https://site.", `^(gamma|delta) was asked for / by 127.0.0.1 over https\n$`},
	{"HTTP/2", "/api/items", `^HTTP/2.0 200 OK\napi was asked for /api/items by 127.0.0.1 over https\n$`},
	{"why", "weir routes test", `^entrypoint web: router api, service api\n(.*\n)*.* api matches: .*\n(.*\n)*.* pages matches: `},
	{"unknown host", "curl -i", `^HTTP/1.1 404 Not Found\n`},
	{"unknown name", "https://else.", `^curl: .*unrecognized name`},
	{"status", "weir status", `(?m)^backends +11: 11 up$`},
	{"backends", "weir backends", `^(.*\n){12}$`}, // eleven and a heading
	{"metrics", "/metrics", `(?m)^weir_entrypoint_http_requests_total\{`},
}

func TestDemoShowsWhatItPromises(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &shown{all: make(chan struct{})}, make(chan error, 1)
	go func() { done <- runDemo(ctx, 1, out, io.Discard) }()
	select {
	case <-out.all:
	case err := <-done:
		t.Fatalf("demo: %v", err)
	}
	text := out.text.String()
	commands := regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(text, -1)
	if len(commands) != len(promises) {
		t.Fatalf("%d commands are printed, and %d tried:\n%s", len(commands), len(promises), text)
	}
	admin := regexp.MustCompile(`status --admin (\S+)`).FindStringSubmatch(text)
	// A first probe that comes between two connections would have the turns begin again.
	weirtest.Eventually(t, 20*time.Second, func() bool {
		_, stdout, _ := weir("backends", "--admin", admin[1])
		return strings.Count(stdout, " up ") == 11
	}, "all backends of the demo are up")
	for i, p := range promises {
		command := commands[i][1]
		if !strings.Contains(command, p.command) {
			t.Errorf("%s: %q is printed", p.name, command)
			continue
		}
		if got := try(t, command); !regexp.MustCompile(p.want).MatchString(got) {
			t.Errorf("%s: %s\nshows %q, want %s", p.name, command, got, p.want)
		}
	}
	edit := regexp.MustCompile(`edit (\S+) and save`).FindStringSubmatch(text)
	if edit == nil {
		t.Fatalf("no file to edit in:\n%s", text)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("demo ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("demo does not end")
	}
	if _, err := os.Stat(edit[1]); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", edit[1], err)
	}
}

// try does what a printed command does and returns what it shows. The programs it names need not be installed.
func try(t *testing.T, command string) string {
	t.Helper()
	var words []string
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(command, -1) {
		words = append(words, m[1]+m[2])
	}
	after := func(word string) string {
		i := slices.Index(words, word)
		if i < 0 || i+1 >= len(words) {
			t.Fatalf("no %s in %s", word, command)
		}
		return words[i+1]
	}
	netcat := regexp.MustCompile(`nc -(?:N|u -w 1) (\S+) (\d+)`).FindStringSubmatch(command)
	switch words[0] {
	case "for":
		if slices.Contains(words, "-u") {
			addr := net.JoinHostPort(netcat[1], netcat[2])
			return shout(t, addr, "hi\n") + shout(t, addr, "hi\n")
		}
		addr := net.JoinHostPort(netcat[1], netcat[2])
		return talk(t, addr, "hi\n") + talk(t, addr, "hi\n") + talk(t, addr, "hi\n")
	case "nc":
		return talk(t, net.JoinHostPort(netcat[1], netcat[2]), "")
	case "openssl":
		return subject(t, after("-connect"), after("-servername"))
	case "curl":
		return curl(t, words[1:])
	case "weir":
		code, stdout, stderr := weir(words[1:]...)
		if code != exitOK {
			t.Errorf("%s: exit code %d\n%s", command, code, stderr)
		}
		return stdout
	}
	t.Fatalf("nobody knows how to try %s", command)
	return ""
}

// shout sends a datagram and returns the answer.
func shout(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1<<10)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer[:n])
}

// talk sends text and the end, and returns all that comes back.
func talk(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// subject is what openssl says about the certificate shown for a name.
func subject(t *testing.T, addr, name string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return "subject=" + conn.ConnectionState().PeerCertificates[0].Subject.String() + "\n"
}

// curl asks for URLs over one connection, as the program of that name does.
func curl(t *testing.T, args []string) string {
	t.Helper()
	var urls []string
	header, roots, resolved, head := http.Header{}, x509.NewCertPool(), "", false
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-i":
			head = true
			continue
		case "-H":
			name, value, _ := strings.Cut(args[i+1], ": ")
			header.Set(name, value)
		case "--cacert":
			pem, err := os.ReadFile(args[i+1])
			if err != nil {
				t.Fatal(err)
			}
			roots.AppendCertsFromPEM(pem)
		case "--resolve": // name:port:address
			parts := strings.Split(args[i+1], ":")
			resolved = net.JoinHostPort(parts[2], parts[1])
		default:
			urls = append(urls, args[i])
			continue
		}
		i++ // a flag with a value
	}
	dials := 0
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, cmp.Or(resolved, addr))
		},
	}
	defer transport.CloseIdleConnections()
	seen := ""
	for _, url := range urls {
		seen += fetch(t, &http.Client{Transport: transport, Timeout: 10 * time.Second}, url, header, head)
	}
	if dials != 1 {
		t.Errorf("%d connections were made for %v", dials, urls)
	}
	return seen
}

func fetch(t *testing.T, client *http.Client, url string, header http.Header, head bool) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Host = header.Clone(), header.Get("Host")
	resp, err := client.Do(req)
	if err != nil {
		return "curl: " + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if head {
		return resp.Proto + " " + resp.Status + "\n" + string(body)
	}
	return string(body)
}

// A cluster of three on loopback: what is printed is tried, and all of them drop a backend that is killed.
func TestDemoNodes(t *testing.T) {
	out := filepath.Join(t.TempDir(), "shown")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(weirtest.Binary(t), "demo", "--nodes", "3")
	cmd.Stdout, cmd.Stderr = file, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := sync.OnceValue(func() error {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	var text string
	weirtest.Eventually(t, 20*time.Second, func() bool {
		b, err := os.ReadFile(out)
		text = string(b)
		return err == nil && strings.Contains(text, "Ctrl-C ends the demo.")
	}, "the demo has said all")
	find := func(pattern string) []string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s in:\n%s", pattern, text)
		}
		return m[1:]
	}
	run := func(command, want string) {
		t.Helper()
		if got := try(t, command); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s\nshows %q, want %s", command, got, want)
		}
	}
	run(find(`(weir members --admin \S+)`)[0], `(?m)^lb-1 .*\n^lb-2 .*\n^lb-3 `)
	views := regexp.MustCompile(`weir backends --service echo --admin \S+`).FindAllString(text, -1)
	if len(views) != 3 {
		t.Fatalf("%d views of the backends are printed", len(views))
	}
	alpha := find(`demo-backend alpha (\S+)`)[0]
	all := func(state string) func() bool {
		return func() bool {
			for _, view := range views {
				if !regexp.MustCompile(`(?m)^echo .*` + regexp.QuoteMeta(alpha) + ` +` + state).MatchString(try(t, view)) {
					return false
				}
			}
			return true
		}
	}
	weirtest.Eventually(t, 20*time.Second, all("up"), "alpha is up at all of them")
	pid, err := strconv.Atoi(find(`kill -9 (\d+)`)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	weirtest.Eventually(t, 20*time.Second, all("down"), "alpha is down at all of them")
	run(find(`(weir drain echo \S+ --admin \S+)`)[0], `acked 3/3`)
	run(find(`(weir orders --admin \S+)`)[0], `(?m)^echo .*drain`)
	run(find(`(weir undrain echo \S+ --admin \S+)`)[0], `acked 3/3`)
	if err := stop(); err != nil {
		t.Errorf("demo ends with %v", err)
	}
	dir := filepath.Dir(find(`edit (\S+) and save`)[0])
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
}
