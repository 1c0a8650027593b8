package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestClientAborts has clients leave at every stage of a request. The server hears of it, and the log tells.
func TestClientAborts(t *testing.T) {
	t.Parallel()
	type visit struct{ path, end string }
	came, left := make(chan string, 8), make(chan visit, 8)
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		came <- r.URL.Path
		switch r.URL.Path {
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					break
				}
			}
		case "/uploads":
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				left <- visit{r.URL.Path, "unexpected end"}
				return
			}
		default: // says nothing
			<-r.Context().Done()
		}
		left <- visit{r.URL.Path, "left"}
	})
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+site("", "", app))
	addr := addressOf(t, w, "web")
	for _, tt := range []struct {
		name, send string
		read       int // bytes that the client reads before it goes
		end        string
		status     int // in the log
	}{
		{"/silent", "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", 0, "left", 499},
		{"/endless", "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", 1 << 20, "left", 200},
		{"/uploads", "POST /uploads HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun", 0, "unexpected end", 499},
		{"/uploads", "POST /uploads HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n", 0, "unexpected end", 499},
	} {
		for _, how := range []string{"reset", "close"} {
			t.Run(how+tt.name, func(t *testing.T) {
				conn := dial(t, addr)
				send(t, conn, tt.send)
				within(t, came, "the request reaches the server")
				if _, err := io.CopyN(io.Discard, conn, int64(tt.read)); err != nil {
					t.Fatal(err)
				}
				before := len(readRequests(t, log))
				if how == "reset" {
					resetByClose(t, conn)
				} else {
					conn.Close()
				}
				if v := within(t, left, "the server hears that the client has gone"); v != (visit{tt.name, tt.end}) {
					t.Errorf("the server sees %+v", v)
				}
				weirtest.Eventually(t, soon, func() bool { return len(readRequests(t, log)) > before }, "the request is in the access log")
				if r := readRequests(t, log)[before]; r.DownstreamStatus != tt.status || r.Reason != "client-abort" || r.EndedBy != "client" {
					t.Errorf("the log says %+v, want status %d", r, tt.status)
				}
			})
		}
	}
	awaitMetric(t, w, "weir_active_connections", 0)
	if b := backendAt(t, w, app); b.Active != 0 {
		t.Errorf("%d requests still count on the server", b.Active)
	}
}

// TestServerIsKilled kills a server in the middle of its response: the client must not take what it has for the whole.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	node := weirtest.Node(t, nodeApp)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+site("", "", node.Addr))
	base := "http://" + addressOf(t, w, "web")
	targets := []string{"/half?length", "/half?chunked"}
	var begun []*http.Response
	c := browser(t)
	for _, target := range targets {
		resp, err := c.Get(base + target)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadFull(resp.Body, make([]byte, len("half of it"))); err != nil {
			t.Fatal(err)
		}
		begun = append(begun, resp)
	}
	node.Kill()
	for i, resp := range begun {
		if rest, err := io.ReadAll(resp.Body); err == nil || isTimeout(err) || len(rest) > 0 {
			t.Errorf("%s ends with %q, %v", targets[i], rest, err)
		}
		if r := awaitRequest(t, log, targets[i]); r.Reason != "backend-abort" || r.EndedBy != "backend" || r.DownstreamStatus != 200 {
			t.Errorf("the log says %+v", r)
		}
	}
	if status, _ := fetch(t, c, base+"/said"); status != 502 {
		t.Errorf("status %d of a server that is not there", status)
	}
	node.Start()
	weirtest.Eventually(t, soon, func() bool { status, _ := fetch(t, c, base+"/said"); return status == 200 }, "the server is used again")
}

// TestServersCloseIdleConnections works against a server that closes its connections all the time, in the moment in which
// weir uses them again: no request that may be repeated fails for that.
func TestServersCloseIdleConnections(t *testing.T) {
	t.Parallel()
	addr := weirtest.FreeAddr(t)
	after := weirtest.FreeAddr(t)
	weirtest.Nginx(t, weirtest.NginxOptions{Listen: []string{addr, after}, HTTP: fmt.Sprintf(`
server { listen %s; keepalive_requests 3; return 200 "served"; }
server { listen %s; keepalive_timeout 1ms; return 200 "served"; }`, addr, after)})
	w := weirtest.Weir(t, site("", "", addr, after))
	front := addressOf(t, w, "web")
	if out := wrk(t, "-t1", "-c30", "-d2s", "http://"+front+"/"); strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		t.Errorf("requests failed:\n%s", out)
	}
	// One at a time, so that connections rest in between.
	c := browser(t)
	for range 300 {
		if status, body := fetch(t, c, "http://"+front+"/"); status != 200 || body != "served" {
			t.Fatalf("status %d, %q", status, body)
		}
	}
	if failed := answered(t, w, "app", "5xx"); failed != 0 {
		t.Errorf("%v answers were errors", failed)
	}
	if good := answered(t, w, "app", "2xx"); good < 300 {
		t.Errorf("%v answers", good)
	}
}

// wrk runs it to its end.
func wrk(t *testing.T, args ...string) string {
	t.Helper()
	return weirtest.Run(t, "wrk", args...)
}

// TestEarlyAnswers has a server answer before it has read the request: the client gets the answer.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	server := weirtest.Serve(t, weirtest.Answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"))
	w := weirtest.Weir(t, site("", "", server.Addr))
	conn := dial(t, addressOf(t, w, "web"))
	send(t, conn, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nbegun")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 403 || string(body) != "no\n" {
		t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
	}
	// The rest of the body has nowhere to go, so the connection cannot go on.
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) && !errors.Is(err, io.EOF) {
		t.Errorf("the connection lives on: %v", err)
	}
}
