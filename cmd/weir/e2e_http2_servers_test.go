package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// serve2 is serveHTTP for HTTP/2 alone, with prior knowledge.
func serve2(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet()
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// plain2 is the standard library's client of HTTP/2 with prior knowledge.
func plain2(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// upload sends load, of unknown length where chunked is set, and returns what comes back.
func upload(t *testing.T, c *http.Client, url, load string, chunked bool) string {
	t.Helper()
	var body io.Reader = strings.NewReader(load)
	if chunked {
		body = io.MultiReader(body)
	}
	resp, err := c.Post(url, "text/plain", body)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(all)
}

// TestHTTP2Servers has weir speak HTTP/2 to servers of others, over TLS as they pick it and with prior knowledge, for clients of
// both versions.
func TestHTTP2Servers(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	cert := ca.Server("app.test")
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 1<<20)
	if err := os.WriteFile(filepath.Join(dir, "big"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	for path := dir; path != "/" && path != os.TempDir(); path = filepath.Dir(path) {
		_ = os.Chmod(path, 0o755) // nginx's worker is another user
	}
	secure, plain := weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	said := strings.TrimSuffix(saying, `"`) + `|$server_protocol"`
	locations := fmt.Sprintf(`location /said { return 200 %s; } location /big { root %s; } location /204 { return 204; }`, said, dir)
	weirtest.Nginx(t, weirtest.NginxOptions{Listen: []string{secure, plain}, HTTP: fmt.Sprintf(`
server { listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s; %s }
server { listen %s http2; %s }`, secure, cert.CertFile, cert.KeyFile, locations, plain, locations)})
	app := serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/said") {
			fmt.Fprintf(w, "%s|%s||%s|%s|127.0.0.1|http|%s", r.Method, r.RequestURI, r.Header.Get("X-Test"), r.Host, r.Proto)
			return
		}
		sendBack(w, r)
	})
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, fmt.Sprintf(`
accessLog: { path: %[1]s }
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    secure: { rule: "Host(%[2]ssecure.test%[2]s)", service: secure }
    plain:  { rule: "Host(%[2]splain.test%[2]s)", service: plain }
    go:     { rule: "Host(%[2]sgo.test%[2]s)", service: go }
  services:
    secure: { loadBalancer: { servers: [ { url: "https://%[3]s" } ], healthCheck: { path: /204, interval: 100ms }, serversTransport: { serverName: app.test, rootCAs: [ %[4]s ] } } }
    plain:  { loadBalancer: { servers: [ { url: "h2c://%[5]s" } ], healthCheck: { path: /204, interval: 100ms } } }
    go:     { loadBalancer: { servers: [ { url: "h2c://%[6]s" } ] } }
`, log, "`", secure, ca.File, plain, app.Listener.Addr()))
	addr := addressOf(t, w, "web")
	awaitHealth(t, w, secure, "up")
	awaitHealth(t, w, plain, "up")
	for name, c := range map[string]*http.Client{"HTTP/1.1": browser(t), "HTTP/2": plain2(t)} {
		for _, host := range []string{"secure.test", "plain.test", "go.test"} {
			to := *c
			to.Transport = hosted{c.Transport, host}
			want := "GET|/said?x||1|" + host + "|127.0.0.1|http|HTTP/2.0"
			if status, got := ask2(t, &to, "GET", "http://"+addr+"/said?x"); status != 200 || got != want {
				t.Errorf("%s %s: %d %q, want %q", name, host, status, got, want)
			}
			if host == "go.test" {
				continue
			}
			if status, got := ask2(t, &to, "GET", "http://"+addr+"/big"); status != 200 || got != big {
				t.Errorf("%s %s: %d, %d bytes, want %d", name, host, status, len(got), len(big))
			}
			if status, got := ask2(t, &to, "HEAD", "http://"+addr+"/big"); status != 200 || got != "" {
				t.Errorf("%s %s: HEAD: %d, %d bytes", name, host, status, len(got))
			}
			if status, got := ask2(t, &to, "GET", "http://"+addr+"/204"); status != 204 || got != "" {
				t.Errorf("%s %s: %d %q", name, host, status, got)
			}
		}
		to := *c
		to.Transport = hosted{c.Transport, "go.test"}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				load := big[:1<<20+i]
				if got := upload(t, &to, "http://"+addr+"/body", load, i%2 == 0); got != load {
					t.Errorf("%s: %d bytes came back of %d", name, len(got), len(load))
				}
			})
		}
		all.Wait()
	}
}

// ask2 asks and returns the answer.
func ask2(t *testing.T, c *http.Client, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "1")
	resp, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(all)
}

// hosted sends requests with a Host of its own.
type hosted struct {
	http.RoundTripper
	host string
}

func (h hosted) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Host = h.host
	return h.RoundTripper.RoundTrip(r)
}

// TestHTTP2ServerLeaves has a server of HTTP/2 go by GOAWAY, and another one be killed, under requests of which none fails that
// can be made again.
func TestHTTP2ServerLeaves(t *testing.T) {
	t.Parallel()
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}
	servers := []*httptest.Server{serve2(t, answer), serve2(t, answer), serve2(t, answer)}
	config := func(n int) string {
		var list []string
		for _, s := range servers[:n] {
			list = append(list, s.Listener.Addr().String())
		}
		return strings.ReplaceAll(site("", ", slowStart: 0s", list...), "http://", "h2c://")
	}
	w := weirtest.Weir(t, config(3))
	url := "http://" + addressOf(t, w, "web") + "/"
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 8 {
		c := browser(t)
		if i%2 == 0 {
			c = plain2(t)
		}
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := strings.Repeat("x", n%3000)
				req, _ := http.NewRequest("PUT", url, bytes.NewReader([]byte(want)))
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(got) != want || err != nil {
					t.Errorf("%d, %d bytes, %v, want %d bytes", resp.StatusCode, len(got), err, len(want))
					return
				}
			}
		})
	}
	served := func(n float64) {
		weirtest.Eventually(t, time.Minute, func() bool { return answered(t, w, "app", "2xx") > n }, "requests are not answered")
	}
	served(100)
	if err := servers[1].Config.Shutdown(t.Context()); err != nil { // by GOAWAY
		t.Error(err)
	}
	served(answered(t, w, "app", "2xx") + 100)
	servers[2].CloseClientConnections() // without a word
	served(answered(t, w, "app", "2xx") + 100)
	w.Reload(config(1))
	served(answered(t, w, "app", "2xx") + 100)
	close(stop)
	load.Wait()
}
