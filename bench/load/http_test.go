package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	tests := []struct {
		name, head, body string
		size             int
	}{
		{name: "body alone", body: "abc", size: 3},
		{name: "head alone", head: "HEAD", body: "abc"},
		{name: "head and part of a body", head: "HEAD", body: "abc", size: 2},
		{name: "repeated body", head: "HEAD", body: "abc", size: 8},
		{name: "repeated body alone", body: "abc", size: 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMessage([]byte(tt.head), []byte(tt.body), tt.size)
			want := tt.head + strings.Repeat(tt.body, 3)[:tt.size]
			if m.size != len(want) {
				t.Fatalf("size %d, want %d", m.size, len(want))
			}
			for start := range want {
				got := want[:start]
				for len(got) < m.size {
					got += string(m.from(len(got)))
				}
				if got != want {
					t.Errorf("from %d: %q, want %q", start, got, want)
				}
			}
		})
	}
	if first := newMessage([]byte("HEAD"), pattern(100), 100).from(0); len(first) != 104 {
		t.Errorf("a small message is written in pieces, the first of %d bytes", len(first))
	}
}

// A head is found wherever the network has cut it.
func TestHeading(t *testing.T) {
	const head, body = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "body"
	for cut := 1; cut < len(head); cut++ {
		var h heading
		if got, _, err := h.take([]byte(head[:cut])); got != nil || err != nil {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
		got, rest, err := h.take([]byte(head[cut:] + body))
		if err != nil || string(got) != head || string(rest) != body {
			t.Errorf("cut at %d: %q, %q, %v", cut, got, rest, err)
		}
		if got, rest, err := h.take([]byte(head)); err != nil || string(got) != head || len(rest) != 0 {
			t.Errorf("after a cut at %d: %q, %q, %v", cut, got, rest, err)
		}
	}
	var h heading
	for range small {
		if _, _, err := h.take([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := h.take([]byte("x")); !errors.Is(err, errHead) {
		t.Errorf("%d bytes without an end: %v", small+1, err)
	}
}

func TestCheckAnswer(t *testing.T) {
	tests := []struct {
		name, head, want string // want is part of the error, empty for none
	}{
		{name: "right", head: "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  5 \r\n\r\n"},
		{name: "status", head: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n", want: "503"},
		{name: "version", head: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", want: "HTTP/1.0"},
		{name: "length", head: "HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n", want: `"55" instead of 5`},
		{name: "no length", head: "HTTP/1.1 200 OK\r\nX-Content-Length: 5\r\n\r\n", want: `"" instead of 5`},
		{name: "chunked", head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want: "chunked"},
		{name: "no HTTP", head: "\r\n\r\n", want: "status line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkAnswer([]byte(tt.head), 5)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, errWrong) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}

// Every target is asked for once before any is asked for again, and never the
// neighbour of the last one.
func TestTargets(t *testing.T) {
	for _, targets := range []Targets{{}, {Hosts: 1, Paths: 3}, {Hosts: 100, Paths: 10}, {Hosts: 8, Paths: 5}} {
		hosts, paths := targets.HostNames(), targets.PathPrefixes()
		seen := make(map[string]bool)
		last := ""
		for _, m := range targets.requests(Exchange{Answer: 1, HTTP: true}) {
			head := string(m.from(0))
			path, _, _ := strings.Cut(strings.TrimPrefix(head, "GET "), " ")
			host := string(field([]byte(head), "host"))
			if host == last && len(hosts) > 1 && len(paths) > 1 {
				t.Errorf("%+v: two requests for %s in a row", targets, host)
			}
			last = host
			seen[host+path] = true
		}
		for _, host := range hosts {
			for _, path := range paths {
				if !seen[host+path] {
					t.Errorf("%+v: %s%s is not asked for", targets, host, path)
				}
			}
		}
		if len(seen) != len(hosts)*len(paths) {
			t.Errorf("%+v: %d targets", targets, len(seen))
		}
	}
}

// What the tools say is HTTP to others than themselves too.
func TestServerTalksToAnyClient(t *testing.T) {
	kind := Exchange{Request: 70_000, Answer: 100_000, HTTP: true}
	url := "http://" + serve(t, kind)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for _, tt := range []struct {
		name   string
		length int
		status int
	}{
		{name: "as agreed", length: kind.Request, status: http.StatusOK},
		{name: "as agreed, again", length: kind.Request, status: http.StatusOK},
		{name: "of another length", length: 1, status: http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, err := (&http.Client{Transport: transport}).Post(url, "text/plain", bytes.NewReader(pattern(tt.length)))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status {
				t.Fatalf("%s, %v", res.Status, err)
			}
			if tt.status == http.StatusOK && !bytes.Equal(body, pattern(kind.Answer)) {
				t.Errorf("%d other bytes than agreed", len(body))
			}
		})
	}
}

func TestRunCountsWrongHTTP(t *testing.T) {
	kind := Exchange{Answer: 128, HTTP: true}
	right := string(answerHead(128)) + string(pattern(128))
	tests := []struct {
		name, answer, want string
	}{
		{name: "status", answer: strings.Replace(right, "200 OK", "502 Bad Gateway", 1), want: "502"},
		{name: "length", answer: string(answerHead(127)) + string(pattern(127)), want: "content length"},
		{name: "bytes", answer: string(answerHead(128)) + strings.Repeat("x", 128), want: "wrong answer"},
		{name: "too many bytes", answer: right + "x", want: "too many"},
		{name: "cut in the body", answer: right[:len(right)-1], want: "closed after 127 of 128 bytes"},
		{name: "no end of the head", answer: strings.Repeat("x", 2*small), want: "no end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// The client comes again when it has counted why the last
			// connection was no good.
			var stop atomic.Bool
			var came atomic.Int64
			addr := misbehave(t, func(c net.Conn) {
				stop.Store(came.Add(1) > 1)
				c.Read(make([]byte, small))
				io.WriteString(c, tt.answer)
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
			})
			c := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 1, Duration: time.Minute})
			res, err := c.Run(&stop, func() {})
			if err != nil && !errors.Is(err, ErrTooManyErrors) {
				t.Fatal(err)
			}
			if res.Wrong == 0 || res.Exchanges != 0 || !strings.Contains(res.LastError, tt.want) {
				t.Errorf("%d wrong answers, %d right ones, the last error %q; want %q", res.Wrong, res.Exchanges, res.LastError, tt.want)
			}
		})
	}
}

// An answer does not count before its request is out.
func TestAnswerBeforeTheRequestIsWrong(t *testing.T) {
	kind := Exchange{Request: 64 << 20, Answer: 128, HTTP: true}
	var stop atomic.Bool
	var came atomic.Int64
	addr := misbehave(t, func(c net.Conn) {
		stop.Store(came.Add(1) > 1)
		c.Read(make([]byte, 1))
		fmt.Fprintf(c, "%s%s", answerHead(128), pattern(128))
		io.Copy(io.Discard, c)
	})
	c := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 1, Duration: time.Minute})
	res, err := c.Run(&stop, func() {})
	if err != nil && !errors.Is(err, ErrTooManyErrors) {
		t.Fatal(err)
	}
	if res.Wrong == 0 || !strings.Contains(res.LastError, "of the request") {
		t.Errorf("%d wrong answers, the last error %q", res.Wrong, res.LastError)
	}
}

func TestAWrongAnswerIsNotForgotten(t *testing.T) {
	var r Result
	for _, err := range []error{errors.New("first"), errors.New("second")} {
		r.fault(err)
	}
	if r.LastError != "second" || r.Errors != 2 || r.Wrong != 0 {
		t.Errorf("%+v", r)
	}
	r.fault(fmt.Errorf("%w: third", errWrong))
	r.fault(errors.New("fourth"))
	if !strings.Contains(r.LastError, "third") || r.Errors != 4 || r.Wrong != 1 {
		t.Errorf("%+v", r)
	}
}

func TestHoldHTTP(t *testing.T) {
	kind := Exchange{Answer: 128, HTTP: true}
	c := client(t, ClientSpec{Addr: serve(t, kind), Exchange: kind, Connections: 5, Hold: true})
	var stop atomic.Bool
	if err := c.Hold(&stop, 10*time.Second, func() { stop.Store(true) }); err != nil {
		t.Fatal(err)
	}
	if c.held != 5 || c.res.Exchanges != 5 {
		t.Errorf("%d connections held after %d exchanges, want 5", c.held, c.res.Exchanges)
	}
}
