package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// changing is a configuration that is another one for each i, in services, routers, middlewares, options and certificates.
// What stays is which TLS options the host has: who came in by others is asked to come again, which is an answer of 421.
func changing(i int, plain, secure string, servers []string, certs []*weirtest.Certificate) string {
	service, other := "one", "two"
	if i%2 == 1 {
		service, other = other, service
	}
	cert := certs[i%len(certs)]
	return fmt.Sprintf(`
entryPoints:
  web:    { address: %[2]q, transport: { keepAliveMaxRequests: %[3]d } }
  secure: { address: %[4]q }
http:
  routers:
    all:     { entryPoints: [web], rule: "PathPrefix(%[1]s/%[1]s)", service: %[5]s }
    path-%[3]d: { entryPoints: [web], rule: "PathPrefix(%[1]s/%[3]d%[1]s)", service: %[6]s, middlewares: [strip] }
    secure:  { entryPoints: [secure], rule: "PathPrefix(%[1]s/%[1]s)", tls: { options: own }, service: mixed }
  middlewares: { strip: { stripPrefix: { prefixes: [ "/%[3]d" ] } } }
  services:
    %[5]s: { loadBalancer: { slowStart: 0s, strategy: %[12]s, servers: [ { url: "http://%[7]s" }, { url: "http://%[8]s", weight: %[13]d } ] } }
    %[6]s: { loadBalancer: { servers: [ { url: "http://%[7]s" } ], serversTransport: { maxIdleConnsPerHost: %[14]d } } }
    mixed: { weighted: { services: [ { name: one, weight: %[13]d }, { name: two } ] } }
tls:
  certificates: [ { certFile: %[9]s, keyFile: %[10]s } ]
  options: { own: { minVersion: %[11]s } }
`, "`", plain, 1000+i, secure, service, other, servers[i%len(servers)], servers[(i+1)%len(servers)], cert.CertFile, cert.KeyFile,
		[]string{"VersionTLS12", "VersionTLS13"}[i/2%2], []string{"wrr", "p2c", "leastconn"}[i%3], 1+i%4, 10+i%3)
}

// TestReloadsUnderLoad changes everything that can change, fifty times, under requests of which none may fail.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	const reloads = 50
	var servers []string
	for range 3 {
		servers = append(servers, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "served") }))
	}
	ca := weirtest.CA(t)
	certs := []*weirtest.Certificate{ca.Server("shop.test"), ca.Server("shop.test")}
	plain, secure := weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	w := weirtest.Weir(t, changing(0, plain, secure, servers, certs))

	stop := make(chan struct{})
	var load sync.WaitGroup
	var asked atomic.Int64
	// One who has a connection for each request, over TLS; one who keeps them.
	for _, url := range []string{"https://" + secure + "/", "http://" + plain + "/"} {
		c := browser(t)
		transport := c.Transport.(*http.Transport)
		transport.DisableKeepAlives = strings.HasPrefix(url, "https")
		transport.TLSClientConfig = trusting(ca, "shop.test")
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := c.Get(url)
				if err != nil {
					t.Errorf("GET %s: %v", url, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(body) != "served" {
					t.Errorf("GET %s: status %d, %q, %v", url, resp.StatusCode, body, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	report := make(chan string, 1)
	wrkPath := weirtest.Tool(t, "wrk")
	wrkRun := startProgram(t, wrkPath, "-t1", "-c20", "-d60s", "http://"+plain+"/")
	for i := 1; i <= reloads; i++ {
		w.Reload(changing(i, plain, secure, servers, certs))
	}
	close(stop)
	load.Wait()
	go func() { report <- wrkRun.interrupt() }()
	if out := within(t, report, "wrk ends"); strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") || !strings.Contains(out, "Requests/sec") {
		t.Errorf("requests failed:\n%s", out)
	}
	if asked.Load() < reloads {
		t.Errorf("only %d requests beside those of wrk", asked.Load())
	}
	// Whoever watches the file may have been faster than who asks; then both have counted.
	if g := w.Generation(); g < reloads+1 {
		t.Errorf("generation %d after %d reloads", g, reloads)
	}
	m := metrics(t, w)
	for _, class := range []string{"3xx", "4xx", "5xx"} {
		for _, entrypoint := range []string{"web", "secure"} {
			if n := m[fmt.Sprintf(`weir_entrypoint_http_requests_total{code=%q,entrypoint=%q}`, class, entrypoint)]; n != 0 {
				t.Errorf("%v answers of %s at %s", n, class, entrypoint)
			}
		}
	}
}

// askUntilRefused asks again and again, until nobody listens any more. Each answer must be whole.
func askUntilRefused(t *testing.T, c *http.Client, url string, served *atomic.Int64) {
	for {
		// A connection that weir has closed between two requests makes the client take a new one, which is refused.
		resp, err := c.Get(url)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err != nil {
			t.Errorf("a request fails: %v", err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != "served" {
			t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
			return
		}
		served.Add(1)
	}
}

// TestStopUnderLoad stops weir while clients ask and ask again. Every request that reached it is answered; then it ends with 0.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}, 1), make(chan struct{})
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-answer
		}
		_, _ = io.WriteString(w, "served")
	})
	w := weirtest.Weir(t, site("", "", app))
	addr := addressOf(t, w, "web")

	var load sync.WaitGroup
	var served atomic.Int64
	for range 8 {
		c := browser(t)
		load.Go(func() { askUntilRefused(t, c, "http://"+addr+"/", &served) })
	}
	type outcome struct {
		resp *http.Response
		body string
		err  error
	}
	slow := make(chan outcome, 1)
	load.Go(func() {
		resp, err := browser(t).Get("http://" + addr + "/slow")
		if err != nil {
			slow <- outcome{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		slow <- outcome{resp, string(body), err}
	})
	within(t, arrived, "the slow request reaches its server")
	idle := dial(t, addr)
	send(t, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if statuses, _ := responses(t, idle, "GET"); statuses[0] != 200 {
		t.Fatalf("status %d", statuses[0])
	}
	weirtest.Eventually(t, soon, func() bool { return served.Load() > 100 }, "clients are served")

	w.Signal(syscall.SIGTERM)
	if rest, err := io.ReadAll(idle); err != nil || len(rest) > 0 {
		t.Errorf("a connection between requests ends with %q, %v", rest, err)
	}
	weirtest.Eventually(t, soon, func() bool { return strings.Contains(w.Log(), "nothing new is accepted") }, "weir accepts no more")
	if !refused(addr) {
		t.Error("a weir that stops accepts a connection")
	}
	close(answer)
	if got := within(t, slow, "the slow request is answered"); got.err != nil || got.body != "served" || !got.resp.Close {
		t.Errorf("the slow request: %+v, it must be answered with Connection: close", got)
	}
	load.Wait()
	if code := w.ExitCode(soon); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestHTTPCertificateIsReplacedOnDisk serves a new certificate without being told, and keeps the connections of the old one.
func TestHTTPCertificateIsReplacedOnDisk(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	cert, renewed := ca.Server("shop.test"), ca.Server("shop.test")
	w := weirtest.Weir(t, secureSite(cert, "", goApp(t)))
	url := "https://" + addressOf(t, w, "secure") + "/said"
	clientOf := func() *http.Client {
		c := browser(t)
		c.Transport.(*http.Transport).TLSClientConfig = trusting(ca, "shop.test")
		return c
	}
	ask := func(c *http.Client) string {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "shop.test"
		resp, _ := do(t, c, req)
		if resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	old := clientOf()
	before := ask(old)
	install(t, renewed, cert)
	weirtest.Eventually(t, soon, func() bool { return ask(clientOf()) != before }, "the new certificate is served")
	if ask(old) != before {
		t.Error("the old connection was not kept")
	}
}
