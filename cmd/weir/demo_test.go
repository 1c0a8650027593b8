package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
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

func TestDemoShowsWhatItPromises(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &shown{all: make(chan struct{})}, make(chan error, 1)
	go func() { done <- runDemo(ctx, out, io.Discard) }()
	select {
	case <-out.all:
	case err := <-done:
		t.Fatalf("demo: %v", err)
	}
	find := func(pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(out.text.String())
		if m == nil {
			t.Fatalf("no %s in:\n%s", pattern, out.text.String())
		}
		return m[1]
	}
	// A first probe that comes between two connections would have the turns begin again.
	weirtest.Eventually(t, 20*time.Second, func() bool {
		_, stdout, _ := weir("backends", "--admin", find(`status --admin (\S+)`))
		return strings.Count(stdout, " up ") == 6
	}, "all backends of the demo are up")
	echo := strings.ReplaceAll(find(`nc -N (\S+ \d+); done`), " ", ":")
	counts := map[string]int{}
	for range 3 {
		counts[talk(t, echo, "hi\n")]++
	}
	if counts["alpha: hi\n"] != 2 || counts["beta: hi\n"] != 1 {
		t.Errorf("echo: %v", counts)
	}
	if got := talk(t, strings.ReplaceAll(find(`nc -N (\S+ \d+) </dev/null`), " ", ":"), ""); got != "hello, you came through weir\n" {
		t.Errorf("greeter: %q", got)
	}
	secure, ca := find(`-connect (\S+)`), find(`--cacert (\S+)`)
	for name, want := range map[string]string{
		"shop": "shop was asked over TLS, as shop.weir.test\n", "blog": "blog was asked over TLS, as blog.weir.test\n",
		"app": "app was asked without TLS\n",
	} {
		if got, err := fetch(t, ca, secure, name+".weir.test"); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := fetch(t, ca, secure, "else.weir.test"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name nobody serves: %v", err)
	}
	code, stdout, stderr := weir("backends", "--admin", find(`status --admin (\S+)`))
	if code != exitOK || strings.Count(stdout, "127.0.0.1") != 6 {
		t.Errorf("backends: exit code %d\n%s%s", code, stdout, stderr)
	}
	file := find(`edit (\S+) and save`)
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("demo ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("demo does not end")
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", file, err)
	}
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

func fetch(t *testing.T, ca, addr, name string) (string, error) {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: name},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr)
		},
	}}
	resp, err := client.Get("https://" + name + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
