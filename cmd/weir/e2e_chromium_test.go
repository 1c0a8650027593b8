package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// socketPage opens a WebSocket to where it comes from, has a text and many bytes echoed, and reports what it saw. A browser
// opens one on the connection of HTTP/2 that it has, if it has one, so the page asks for something first. It splits long
// messages, which the echo does not join again; these are not.
const socketPage = `<!DOCTYPE html><script>
const seen = [];
const report = () => fetch('/report?' + encodeURIComponent(seen.join(' ')));
fetch('/warm').then(() => {
  const load = new Uint8Array(60000).map((_, i) => i * 7);
  let rounds = 0;
  const s = new WebSocket('wss://' + location.host + '/socket');
  s.binaryType = 'arraybuffer';
  s.onopen = () => { seen.push('open'); s.send('hello'); };
  s.onmessage = (e) => {
    if (typeof e.data === 'string') { seen.push(e.data); s.send(load); return; }
    const back = new Uint8Array(e.data);
    if (++rounds < 20) { s.send(load); return; }
    seen.push(back.length, back.every((b, i) => b === load[i]));
    s.close(1000, 'enough');
  };
  s.onerror = () => seen.push('error');
  s.onclose = (e) => { seen.push('closed', e.code, e.wasClean); report(); };
});
</script>`

// chromium opens a page of shop.test at addr in a browser without a window, and keeps it open. opened says that it was
// asked for.
func chromium(t *testing.T, addr, path string, opened func() bool) {
	t.Helper()
	weirtest.Start(t, "chromium", []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--user-data-dir=" + t.TempDir(), "--ignore-certificate-errors",
		"--host-resolver-rules=MAP shop.test 127.0.0.1", "https://shop.test:" + portOf(addr) + path,
	}, opened)
}

// TestWebSocketInChromium: a browser speaks WebSocket on the connection that it has.
func TestWebSocketInChromium(t *testing.T) {
	t.Parallel()
	echo, reports := goWebSocket(t), make(chan string, 1)
	var opened atomic.Bool
	pages := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			opened.Store(true)
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, socketPage)
		case "/report":
			text, _ := url.QueryUnescape(r.URL.RawQuery)
			reports <- text
		}
	})
	ca := weirtest.CA(t)
	cert := ca.Server("shop.test")
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  secure: { address: "127.0.0.1:0" }
accessLog: { path: %[6]s }
http:
  routers:
    pages:  { rule: "Host(%[1]sshop.test%[1]s)", tls: {}, service: pages }
    socket: { rule: "Host(%[1]sshop.test%[1]s) && Path(%[1]s/socket%[1]s) && Header(%[1]sUpgrade%[1]s, %[1]swebsocket%[1]s)", tls: {}, service: echo }
  services:
    pages: { loadBalancer: { servers: [ %[2]s ] } }
    echo:  { loadBalancer: { servers: [ %[3]s ] } }
tls:
  certificates: [ { certFile: %[4]s, keyFile: %[5]s } ]
`, "`", urls(pages), urls(echo), cert.CertFile, cert.KeyFile, log))
	chromium(t, addressOf(t, w, "secure"), "/", opened.Load)
	select {
	case got := <-reports:
		if want := "open hello 60000 true closed 1000 true"; got != want {
			t.Errorf("the page reports %q, want %q", got, want)
		}
	case <-time.After(soon):
		t.Fatal("the page reports nothing")
	}
	r := awaitRequest(t, log, "/socket")
	if r.RequestProtocol != "HTTP/2.0" || r.DownstreamStatus != 200 || r.OriginStatus != 101 || r.RequestContentSize < 20*60_000 || r.DownstreamContentSize < 20*60_000 {
		t.Errorf("the log says %+v", r)
	}
}
