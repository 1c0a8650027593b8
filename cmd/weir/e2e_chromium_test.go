package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
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

// objects is how many a page has besides itself.
const objects = 200

// objectPage loads its objects as scripts, each of which hands it a text, and reports how many came and how many of them
// were right. A browser gives up what is under way when an interface of the machine comes or goes, as those of other tests
// do: then it goes to the page of the next number, which has its own objects.
const objectPage = `<!DOCTYPE html><link rel="icon" href="data:,"><script>
let came = 0, right = 0, failed = 0;
addEventListener('error', () => failed++, true);
function got(i, text) { came++; if (text === (String(i).padStart(3, '0') + '.').repeat(1 + i * i % 5000)) right++; }
window.onload = () => {
  const page = Number(location.pathname.split('/')[1]);
  if (failed && page < 9) location.replace('/' + (page + 1) + '/');
  else fetch('/report?' + [page, came, right, failed].join('+'));
};
</script>`

// objectServer serves such pages, /1/ and so on, and tells of reports.
func objectServer(opened *atomic.Bool, reports chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var page, i int
		if r.URL.Path == "/report" {
			text, _ := url.QueryUnescape(r.URL.RawQuery)
			reports <- text
		} else if n, _ := fmt.Sscanf(r.URL.Path, "/%d/object/%d.js", &page, &i); n == 2 {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = fmt.Fprintf(w, "got(%d, %q)", i, strings.Repeat(fmt.Sprintf("%03d.", i), 1+i*i%5000))
		} else if n == 1 {
			opened.Store(true)
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, objectPage)
			for i := range objects {
				_, _ = fmt.Fprintf(w, `<script async src="object/%d.js"></script>`, i)
			}
		} else {
			http.NotFound(w, r)
		}
	}
}

// TestPageInChromium: a browser loads a page of 200 objects of up to 20 KB over one connection.
func TestPageInChromium(t *testing.T) {
	t.Parallel()
	reports := make(chan string, 1)
	var opened atomic.Bool
	app := serveHTTP(t, objectServer(&opened, reports))
	ca := weirtest.CA(t)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+secureSite(ca.Server("shop.test"), "", app))
	chromium(t, addressOf(t, w, "secure"), "/1/", opened.Load)
	report := within(t, reports, "the page's report")
	page, counts, _ := strings.Cut(report, " ")
	if want := fmt.Sprintf("%d %[1]d 0", objects); counts != want {
		t.Fatalf("page %s reports %q came, right and failed, want %q", page, counts, want)
	}
	// The report is asked for when all is here, and is logged last.
	awaitRequest(t, log, "/report?"+strings.ReplaceAll(report, " ", "+"))
	asked, clients := map[string]int{}, map[string]int{}
	for _, r := range readRequests(t, log) {
		if path, ok := strings.CutPrefix(r.RequestPath, "/"+page+"/"); ok {
			asked[path]++
			clients[r.ClientAddr+" "+r.RequestProtocol]++
			if r.DownstreamStatus != 200 {
				t.Errorf("%s: status %d", r.RequestPath, r.DownstreamStatus)
			}
		}
	}
	for i := range objects {
		if path := fmt.Sprintf("object/%d.js", i); asked[path] != 1 {
			t.Errorf("%s was asked for %d times", path, asked[path])
		}
	}
	if len(asked) != objects+1 || asked[""] != 1 {
		t.Errorf("%d paths were asked for, the page %d times", len(asked), asked[""])
	}
	for client := range clients {
		if len(clients) != 1 || !strings.HasSuffix(client, " HTTP/2.0") {
			t.Errorf("the connections, and how many requests came over them: %v", clients)
		}
	}
}
