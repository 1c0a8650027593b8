package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestStreamsLeaveDescriptors: one client of HTTP/2 wants more connections to a slow server than weir has descriptors for. What is
// too much is refused with a word in the log, TCP goes on as before, also when it wants all that is its own, accepting never rests, and
// all is as it was afterwards.
func TestStreamsLeaveDescriptors(t *testing.T) {
	t.Parallel()
	const files, wanted = 400, 240
	held, release := make(chan struct{}, wanted), make(chan struct{})
	freeAll := sync.OnceFunc(func() { close(release) })
	slow := serveHTTP(t, func(http.ResponseWriter, *http.Request) {
		held <- struct{}{}
		<-release
	})
	t.Cleanup(freeAll)
	echo := weirtest.Serve(t, weirtest.Echo)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.WeirWithFiles(t, files, fmt.Sprintf(`
accessLog: { path: %q }
engine: { loops: 1 }
entryPoints: { web: { address: "127.0.0.1:0" }, raw: { address: "127.0.0.1:0" } }
http:
  routers:  { slow: { entryPoints: [web], rule: "PathPrefix(%[2]s/%[2]s)", service: slow } }
  services: { slow: { loadBalancer: { servers: [ { url: "http://%[3]s" } ] } } }
tcp:
  routers:  { echo: { entryPoints: [raw], rule: "HostSNI(%[2]s*%[2]s)", service: echo } }
  services: { echo: { loadBalancer: { servers: [ { address: %[4]q } ] } } }
`, log, "`", slow, echo.Addr))
	most := int(metrics(t, w)["weir_http_max_backend_connections"])
	if most < 50 || most >= wanted {
		t.Fatalf("%d connections to servers may be open, of %d files", most, files)
	}

	client, url := plain2(t), "http://"+addressOf(t, w, "web")+"/"
	statuses := make(chan int, wanted)
	for range wanted {
		go func() {
			resp, err := client.Get(url)
			if err != nil {
				t.Error(err)
				statuses <- 0
				return
			}
			_ = resp.Body.Close() // it is empty
			statuses <- resp.StatusCode
		}()
	}
	for range most {
		<-held
	}
	for range wanted - most {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Fatalf("status %d beyond the limit, want 503", status)
		}
	}
	raw := addressOf(t, w, "raw")
	echoed := func(n int) {
		t.Helper()
		open := make([]net.Conn, n)
		for i := range open {
			open[i] = dial(t, raw)
			send(t, open[i], "still here")
		}
		for _, conn := range open {
			got := make([]byte, len("still here"))
			if err := conn.SetReadDeadline(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "still here" {
				t.Errorf("TCP gets %q, %v", got, err)
			}
			_ = conn.Close() // it has said all
		}
	}
	echoed(10)
	if n := metrics(t, w)["weir_http_backend_connections"]; int(n) != most {
		t.Errorf("%v connections to servers, want %d", n, most)
	}
	freeAll()
	for range most {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("status %d within the limit", status)
		}
	}
	// They rest now, and make room for as many of TCP as there may be clients.
	m := metrics(t, w)
	echoed(int(m["weir_max_connections"] - m["weir_active_connections"]))
	if n := metrics(t, w)[`weir_entrypoint_accept_errors_total{entrypoint="raw"}`]; n != 0 {
		t.Errorf("accepting rested %v times", n)
	}
	t.Logf("%v connections to servers of HTTP, of which there may be %d, have become %v", m["weir_http_backend_connections"], most, metrics(t, w)["weir_http_backend_connections"])
	weirtest.Eventually(t, soon, func() bool {
		refused := 0
		for _, r := range readRequests(t, log) {
			if r.Reason == "limit" && r.Detail == "server-connections" && r.DownstreamStatus == http.StatusServiceUnavailable {
				refused++
			}
		}
		return refused == wanted-most
	}, "the log has a record of each that was refused")
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d afterwards", resp.StatusCode)
	}
}
