package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s host=%s xff=%s proto=%s te=%v body=%q", r.Method, r.RequestURI, r.Host,
		r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.TransferEncoding, body)
}

func TestRequestAndResponse(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}})
	status, body := b.get("/a/../b?c=d")
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	has(t, body, `GET /b?c=d host=`+b.addr+` xff=127.0.0.1 proto=http`)
}

func TestKeepAliveAndPipelining(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}})
	text := b.exchange("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n" +
		"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	has(t, text, "GET /1 ", `POST /2 host=a xff=127.0.0.1 proto=http te=[] body="hello"`, `POST /3 host=a xff=127.0.0.1 proto=http te=[chunked] body="world"`, "GET /4 ", "Connection: close")
	if i, j := strings.Index(text, "GET /1"), strings.Index(text, "GET /4"); i > j {
		t.Error("answers are out of order")
	}
	stats := b.server.BackendStats(b.pool.Backends()[0])
	if stats.Requests[2] != 4 {
		t.Errorf("requests %v", stats.Requests)
	}
	if n := b.pool.Backends()[0].Stats().Connections; n != 4 {
		t.Errorf("%d picks", n)
	}
}

func TestBodiesOfManySizes(t *testing.T) {
	sum := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.URL.Query().Get("chunked") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		_, _ = io.Copy(w, r.Body)
	}
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, sum)}})
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	for _, size := range []int{0, 1, 4095, 4096, 65535, 65536, 65537, 1 << 20, 9<<20 + 7} {
		for _, mode := range []string{"", "?chunked=1"} {
			t.Run(fmt.Sprint(size, mode), func(t *testing.T) {
				want := pattern(size)
				var body io.Reader = bytes.NewReader(want)
				if mode != "" {
					body = io.MultiReader(body) // of no known length
				}
				resp, err := client.Post("http://"+b.addr+"/"+mode, "text/plain", body)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%d bytes came back of %d", len(got), len(want))
				}
			})
		}
	}
}

func TestNoRouteNoBackend(t *testing.T) {
	b := newBed(t, setup{rule: "Host(`a.test`)"})
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n"), "HTTP/1.1 404 Not Found\r\n", "\r\n\r\nNot Found\n")
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"), "HTTP/1.1 503 Service Unavailable\r\n")
	has(t, b.exchange("HEAD / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n"), "Content-Length: 10\r\n")
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n", "Connection: close")
}

func TestRefusedGoesToAnother(t *testing.T) {
	dead := netip.MustParseAddrPort(weirtest.Refused(t))
	b := newBed(t, setup{backends: []netip.AddrPort{dead, backend(t, echo)}})
	for range 4 {
		if status, body := b.get("/x"); status != 200 {
			t.Errorf("status %d: %s", status, body)
		}
	}
	has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"), `body="hi"`)
}

func TestUpgrade(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "echo" {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ")
		_, _ = io.Copy(c, r)
	})}})
	c := b.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
	_, _ = io.WriteString(c, "late")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%v, %v", resp, err)
	}
	want := "hello early late"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	_ = c.(*net.TCPConn).CloseWrite() // each side ends on its own
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Fatalf("%q, %v", rest, err)
	}
	has(t, b.records(1)[0], `"DownstreamStatus":101`, `"Reason":"done"`)
}

func TestContinue(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}})
	c := b.dial()
	r := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(c, "body")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	has(t, string(body), `body="body"`)
}

func TestStaleIdleConnectionIsReplayed(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, ok)
		// The next request meets a closed connection, and perhaps a reset.
		_, _ = http.ReadRequest(r)
	})}})
	for range 5 {
		if status, body := b.get("/"); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
	}
}

func TestCloseDelimited(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nall of it")
		}
	})}})
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "Connection: close\r\n", "\r\n\r\nall of it")
}
