package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// h2transport is the standard library's client of HTTP/2, for shop.test at addr.
func h2transport(t *testing.T, ca *weirtest.Authority, addr string) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test"}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// TestHTTP2 has programs of others speak HTTP/2 to weir, over TLS and with prior knowledge.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+secureSite(ca.Server("shop.test"), "", goApp(t)))
	addr := addressOf(t, w, "secure")
	got, err := curl(t, addr, "/said?x", "--cacert", ca.File, "--http2", "-H", "X-Test: 1", "-w", " %{http_version} %{http_code}")
	want := "GET|/said?x||1|shop.test:" + portOf(addr) + "|127.0.0.1|https 2 200"
	if err != nil || got != want {
		t.Errorf("curl: %q, %v, want %q", got, err, want)
	}
	if r := awaitRequest(t, log, "/said?x"); r.RequestProtocol != "HTTP/2.0" || r.RequestScheme != "https" || r.SNI != "shop.test" {
		t.Errorf("the log says %+v", r)
	}
	load := strings.Repeat("0123456789", 200_000)
	file := writeTemp(t, load)
	if got, err := curl(t, addr, "/body", "--cacert", ca.File, "--http2", "--data-binary", "@"+file); err != nil || got != load {
		t.Errorf("curl: of %d bytes come back %d, %v", len(load), len(got), err)
	}
	if got, err := curl(t, addr, "/said", "--cacert", ca.File, "--http1.1", "-w", " %{http_version}"); err != nil || !strings.HasSuffix(got, " 1.1") {
		t.Errorf("curl that speaks HTTP/1.1 alone: %q, %v", got, err)
	}

	// Many at a time on one connection, some of which bring and get much.
	client := h2transport(t, ca, addr)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*3000)
			resp, err := client.Post("https://shop.test/body", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			back, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(back, body) || resp.ProtoMajor != 2 {
				t.Errorf("%d: of %d bytes come back %d, %v, %s", i, len(body), len(back), err, resp.Proto)
			}
		})
	}
	wg.Wait()
}

// TestHTTP2WithPriorKnowledge is without TLS.
func TestHTTP2WithPriorKnowledge(t *testing.T) {
	t.Parallel()
	w := weirtest.Weir(t, site("", "", goApp(t)))
	addr := addressOf(t, w, "web")
	url := "http://" + addr
	got := weirtest.Run(t, "curl", "-sS", "--max-time", "20", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", "-d", "hello", url+"/body")
	if got != "hello 2 200" {
		t.Errorf("curl: %q", got)
	}
	// A client that asks to switch to it gets HTTP/1.1.
	got = weirtest.Run(t, "curl", "-sS", "--max-time", "20", "--http2", "-w", " %{http_version} %{http_code}", "-d", "hello", url+"/body")
	if got != "hello 1.1 200" {
		t.Errorf("curl: %q", got)
	}
	// nghttp sends priorities, and asks for what the page refers to at once.
	out := weirtest.Run(t, "nghttp", "-nv", "-t", "20", "-m", "20", url+"/said")
	if n := strings.Count(out, ":status: 200"); n != 20 {
		t.Errorf("nghttp has %d answers:\n%s", n, out)
	}
	out = weirtest.Run(t, "h2load", "-n", "3000", "-c", "5", "-m", "100", "-t", "1", url+"/said")
	if !regexp.MustCompile(`3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout`).MatchString(out) {
		t.Errorf("h2load:\n%s", out)
	}
	if strings.Contains(w.Log(), "panicked") {
		t.Errorf("weir panicked:\n%s", w.Log())
	}
}

// TestHTTP2OfTheManual has others speak HTTP/2 to the first configuration of the manual's page on HTTP, of which only the
// addresses and the certificate are other ones.
func TestHTTP2OfTheManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := strings.Cut(string(text), "```yaml weir\n")
	config, _, _ = strings.Cut(config, "```")
	who := func(name string) string {
		return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.URL.Path) })
	}
	ca := weirtest.CA(t)
	cert := ca.Server("shop.example.com")
	config = strings.NewReplacer(`":80"`, `"127.0.0.1:0"`, `":443"`, strconv.Quote(weirtest.FreeAddr(t)), "10.0.0.1:8080", who("shop"), "10.0.0.2:8080", who("shop"), "10.0.0.3:8080", who("api"),
		"/etc/weir/shop.crt", cert.CertFile, "/etc/weir/shop.key", cert.KeyFile).Replace(config)
	w := weirtest.Weir(t, config)
	web, secure := addressOf(t, w, "web"), addressOf(t, w, "secure")
	ask := func(args ...string) string {
		return weirtest.Run(t, "curl", append([]string{"-sS", "--max-time", "20", "--cacert", ca.File, "-w", " %{http_version} %{http_code}",
			"--connect-to", "shop.example.com:80:" + web, "--connect-to", "shop.example.com:443:" + secure}, args...)...)
	}
	for url, want := range map[string]string{"https://shop.example.com/a": "shop /a 2 200", "https://shop.example.com/api/b": "api /api/b 2 200"} {
		if got := ask("--http2", url); got != want {
			t.Errorf("curl %s: %q, want %q", url, got, want)
		}
	}
	if got := ask("--http2-prior-knowledge", "-o", filepath.Join(t.TempDir(), "body"), "http://shop.example.com/a"); got != " 2 301" {
		t.Errorf("curl that is sent over to HTTPS: %q", got)
	}
	// nghttp takes the name for SNI from the header.
	out := weirtest.Run(t, "nghttp", "-v", "-t", "20", "-H", ":authority: shop.example.com", "https://"+secure+"/api/c", "https://"+secure+"/d")
	for _, want := range []string{"The negotiated protocol: h2", "api /api/c", "shop /d", "recv SETTINGS frame"} {
		if !strings.Contains(out, want) {
			t.Errorf("nghttp does not say %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, ":status: 200"); n != 2 {
		t.Errorf("nghttp has %d answers:\n%s", n, out)
	}
}

// TestHTTP2Options: a user decides whether HTTP/2 is agreed on, and how many requests a client may have under way.
func TestHTTP2Options(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	text := secureSite(ca.Server("shop.test"), "options: old", goApp(t)) + "  options: { old: { alpnProtocols: [ http/1.1 ] } }\n"
	addr := addressOf(t, weirtest.Weir(t, text), "secure")
	if got, err := curl(t, addr, "/said", "--cacert", ca.File, "--http2", "-w", " %{http_version}"); err != nil || !strings.HasSuffix(got, " 1.1") {
		t.Errorf("curl where HTTP/1.1 alone is spoken: %q, %v", got, err)
	}
	text = site(", http2: { maxConcurrentStreams: 7 }", "", goApp(t))
	addr = addressOf(t, weirtest.Weir(t, text), "web")
	out := weirtest.Run(t, "nghttp", "-nv", "-t", "20", fmt.Sprintf("http://%s/said", addr))
	if !strings.Contains(out, "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):7]") {
		t.Errorf("nghttp:\n%s", out)
	}
}

// TestHTTP2Stop: what is under way when weir is stopped is served, and clients go elsewhere with the rest.
func TestHTTP2Stop(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	begun, release := make(chan struct{}), make(chan struct{})
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	w := weirtest.Weir(t, secureSite(ca.Server("shop.test"), "", app))
	addr := addressOf(t, w, "secure")
	client := h2transport(t, ca, addr)
	type result struct {
		body string
		err  error
	}
	got := make(chan result)
	go func() {
		resp, err := client.Get("https://shop.test/")
		if err != nil {
			got <- result{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		got <- result{string(body), err}
	}()
	<-begun
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.Stop()
	}()
	weirtest.Eventually(t, 20*time.Second, func() bool { return strings.Contains(w.Log(), "msg=stopping") }, "weir is stopping")
	close(release)
	if r := <-got; r.err != nil || r.body != "done" {
		t.Errorf("%+v", r)
	}
	<-stopped
}

// TestHTTP2CertificateIsReplacedOnDisk: sessions of the name are led to the new certificate without losing a request, those
// of another name are not disturbed.
func TestHTTP2CertificateIsReplacedOnDisk(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	shop, other := ca.Server("shop.test"), ca.Server("other.test")
	begun, release := make(chan struct{}, 1), make(chan struct{})
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	text := secureSite(shop, "", app)
	text = strings.Replace(text, "rule: \"Host(`shop.test`)\"", "rule: \"Host(`shop.test`) || Host(`other.test`)\"", 1)
	text = strings.Replace(text, "certificates: [ ", fmt.Sprintf("certificates: [ { certFile: %s, keyFile: %s }, ", other.CertFile, other.KeyFile), 1)
	w := weirtest.Weir(t, text)
	addr := addressOf(t, w, "secure")
	old, undisturbed := framesTo(t, ca, addr, "shop.test"), framesTo(t, ca, addr, "other.test")
	request := func(name, path string) []string {
		return []string{":method", "GET", ":scheme", "https", ":authority", name, ":path", path}
	}
	old.ask(1, true, request("shop.test", "/wait")...)
	<-begun
	undisturbed.ask(1, true, request("other.test", "/")...)
	if status, _ := undisturbed.answer(1); status != "200" {
		t.Errorf("status %s", status)
	}
	before := w.Generation()
	install(t, ca.Server("shop.test"), shop)
	weirtest.Eventually(t, soon, func() bool { return w.Generation() > before }, "the new certificate is in force")
	old.ask(3, true, request("shop.test", "/")...) // weir may have said that it goes, but not yet after which request
	close(release)
	status, last := old.answer(1)
	more, err := old.end()
	if last = append(last, more...); status != "200" || err != io.EOF || len(last) != 2 || last[0] != 1<<31-1 || last[1] != 1 && last[1] != 3 {
		t.Errorf("status %s, GOAWAYs %d, %v", status, last, err)
	}
	undisturbed.ask(3, true, request("other.test", "/")...)
	if status, last := undisturbed.answer(3); status != "200" || len(last) > 0 {
		t.Errorf("the session of another name: status %s, GOAWAYs %d", status, last)
	}
}
