package l7

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

func buffering(t testing.TB, o BufferingOptions) *Middleware {
	t.Helper()
	m, err := Buffering("buffering", o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBufferingRequests(t *testing.T) {
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, pattern(n)) }
	chunks := func(sizes ...int) string {
		text := "Transfer-Encoding: chunked\r\n\r\n"
		for _, n := range sizes {
			text += fmt.Sprintf("%x\r\n%s\r\n", n, pattern(n))
		}
		return text + "0\r\n\r\n"
	}
	for _, tt := range []struct {
		name    string
		o       BufferingOptions
		request string // behind the first fields
		status  int
		te      string // that the server sees
		body    int
	}{
		{"none", BufferingOptions{MemRequest: 100}, "\r\n", 200, "[]", 0},
		{"length", BufferingOptions{MemRequest: 100}, length(100), 200, "[]", 100},
		{"a length that is not held", BufferingOptions{MemRequest: 100}, length(101), 200, "[]", 101},
		{"a length that may not be", BufferingOptions{MemRequest: 100, MaxRequest: 200}, length(201), 413, "", 0},
		{"a length that is not held, but may be", BufferingOptions{MemRequest: 100, MaxRequest: 200}, length(200), 200, "[]", 200},
		{"chunks get a length", BufferingOptions{MemRequest: 100}, chunks(10, 16), 200, "[]", 26},
		{"empty chunks", BufferingOptions{MemRequest: 100}, chunks(), 200, "[]", 0},
		{"chunks that are not held", BufferingOptions{MemRequest: 100}, chunks(90000, 90000, 90000), 200, "[chunked]", 270000},
		{"chunks that may not be", BufferingOptions{MemRequest: 1000, MaxRequest: 90}, chunks(50, 41), 413, "", 0},
		{"many chunks that may not be", BufferingOptions{MemRequest: 1000, MaxRequest: 100000}, chunks(90000, 90000, 90000), 413, "", 0},
		{"nothing is held", BufferingOptions{}, chunks(10), 200, "[chunked]", 10},
		{"chunks that are none", BufferingOptions{MemRequest: 100}, "Transfer-Encoding: chunked\r\n\r\nx", 400, "", 0},
		{"trailers", BufferingOptions{MemRequest: 100}, "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", 200, "[chunked]", 1},
	} {
		if overHTTP2 && tt.status == 400 {
			continue // it has no words for that
		}
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{middlewares: []*Middleware{buffering(t, tt.o)}, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "te=%v %d", r.TransferEncoding, len(body))
			})}})
			text := b.exchange("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + tt.request)
			has(t, text, fmt.Sprintf("HTTP/1.1 %d ", tt.status))
			if tt.status == 200 && !strings.HasSuffix(text, fmt.Sprintf("\r\n\r\nte=%s %d", tt.te, tt.body)) {
				t.Error(text)
			}
		})
	}
}

// The server hears of a request only when its body is here, and a client that is asked for it sends it.
func TestBufferingWaitsForTheBody(t *testing.T) {
	o := newOrigin(t, answers(okText))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, middlewares: []*Middleware{buffering(t, BufferingOptions{MemRequest: 1000})}})
	c := b.dial()
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\nConnection: close\r\n\r\n")
	var buf [100]byte
	n, _ := c.Read(buf[:])
	if got := string(buf[:n]); got != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%q", got)
	}
	send(t, c, "hello")
	weirtest.Eventually(t, patience, func() (half bool) {
		b.server.each(func(w *worker) { half = w.kept == 5 })
		return half
	}, "half of the body is held")
	if n := o.heads("POST"); n != 0 {
		t.Error("the server has heard of it")
	}
	send(t, c, "world")
	has(t, rest(t, c, false), "HTTP/1.1 200 OK\r\n")
	if sent := strings.Join(o.all(), ""); strings.Contains(sent, "Expect") || !strings.HasSuffix(sent, "\r\n\r\nhelloworld") {
		t.Errorf("%q", sent)
	}
}

// A client that leaves or stops in the middle of its body takes what is held with it.
func TestBufferingOfBodiesThatDoNotCome(t *testing.T) {
	set := FrontOptions{ReadTimeout: 100 * time.Millisecond}
	for _, tt := range []struct {
		name   string
		leave  func(net.Conn)
		status int
		by     string
		reason string
	}{
		{"leaves", func(c net.Conn) { c.Close() }, 499, "client", "client-abort"},
		{"stops", func(net.Conn) {}, 408, "client", "request-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{front: set, middlewares: []*Middleware{buffering(t, BufferingOptions{MemRequest: 1000})}})
			c := b.dial()
			send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
			tt.leave(c)
			b.ended(1, tt.status, tt.by, tt.reason)
		})
	}
}

func TestBufferingResponses(t *testing.T) {
	type options = BufferingOptions
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name string
		o    options
		text string // of the server, which closes behind it
		want string // of the client's, its start
		end  string // and its end
	}{
		{"length", options{MemResponse: 10}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello"},
		{"a length that is not held", options{MemResponse: 4}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello"},
		{"a length that may not be", options{MemResponse: 10, MaxResponse: 4}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 500 ", "\r\n\r\nInternal Server Error\n"},
		{"chunks", options{MemResponse: 100}, chunked + "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n" + inChunks("hello")},
		{"chunks that are not held", options{MemResponse: 4}, chunked + "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n" + inChunks("hello")},
		{"chunks that may not be", options{MemResponse: 100, MaxResponse: 4}, chunked + "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 500 ", "\r\n\r\nInternal Server Error\n"},
		{"chunks that turn out not to be allowed", options{MemResponse: 1, MaxResponse: 4}, chunked + "1\r\nh\r\n" + "5\r\nhello\r\n", "HTTP/1.1 500 ", ""},
		{"up to the end", options{MemResponse: 100}, "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello"},
		{"nothing", options{MemResponse: 100}, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 ", "\r\n\r\n"},
		{"broken off", options{MemResponse: 100}, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 502 ", "\r\n\r\nBad Gateway\n"},
		{"broken", options{MemResponse: 100}, chunked + "x", "HTTP/1.1 502 ", "\r\n\r\nBad Gateway\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{middlewares: []*Middleware{marking("outer"), buffering(t, tt.o)}, backends: []netip.AddrPort{raw(t, func(c net.Conn) {
				var buf [4096]byte
				_, _ = c.Read(buf[:])
				_, _ = io.WriteString(c, tt.text)
				c.Close()
			})}})
			text := b.exchange(oneGet)
			if !strings.HasPrefix(text, tt.want) || !strings.HasSuffix(text, tt.end) {
				t.Errorf("%q", text)
			}
			if n := strings.Count(text, "X-Trail: outer\r\n"); n != 1 {
				t.Errorf("the response is seen %d times", n)
			}
		})
	}
}

// A response is held until all of it is here; events are not.
func TestBufferingHoldsResponses(t *testing.T) {
	for _, events := range []bool{false, true} {
		next := make(chan struct{})
		b := newBed(t, setup{middlewares: []*Middleware{buffering(t, BufferingOptions{MemResponse: 1000})}, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
			if events {
				w.Header().Set("Content-Type", "text/event-stream")
			}
			_, _ = io.WriteString(w, "one ")
			w.(http.Flusher).Flush()
			<-next
			_, _ = io.WriteString(w, "two")
		})}})
		c := b.dial()
		send(t, c, oneGet)
		if !events {
			weirtest.Eventually(t, patience, func() (half bool) {
				b.server.each(func(w *worker) { half = w.kept > 4 })
				return half
			}, "half of the response is held")
			b.server.each(func(w *worker) {
				w.forEach(func(c *conn) {
					if c.x.status != 0 || c.x.phase != collecting {
						t.Error("the client has heard of it")
					}
				})
			})
		} else {
			var buf [1000]byte
			for got := ""; !strings.Contains(got, "one "); {
				n, err := c.Read(buf[:])
				if got += string(buf[:n]); err != nil {
					t.Fatal(got, err)
				}
			}
		}
		close(next)
		has(t, rest(t, c, false), "3\r\ntwo\r\n0\r\n\r\n")
	}
}

// Compression knows the length of what is held.
func TestBufferingAndCompress(t *testing.T) {
	for _, size := range []int{500, 5000} {
		b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = w.Write(pattern(size / 10))
				w.(http.Flusher).Flush()
			}
		})}})
		b.add(b.server.Compress("compress", usualCompress), buffering(t, BufferingOptions{MemResponse: 10000}))
		resp, body := b.fetch("GET", "/", "gzip")
		if coded := resp.Header.Get("Content-Encoding") == "gzip"; coded != (size > 1024) || len(body) != size/10*10 {
			t.Errorf("%v, %d bytes", resp.Header, len(body))
		}
		b.encodersIdle()
	}
}

func TestBufferingRetries(t *testing.T) {
	for _, tt := range []struct {
		name, expression string
		backend          []int
		want             string
	}{
		{"never", "", []int{500, 200}, "500 asked 1: POST / hello"},
		{"a status", "ResponseCode() == 500 && Attempts() < 3", []int{500, 500, 200}, "200 asked 3: POST / hello"},
		{"often enough", "ResponseCode() == 500 && Attempts() < 2", []int{500, 500, 200}, "500 asked 2: POST / hello"},
		{"another method", `RequestMethod() == "GET"`, []int{500, 200}, "500 asked 1: POST / hello"},
		{"the network", "IsNetworkError() && Attempts() <= 2", []int{0, 0, 200}, "200 asked 3: POST / hello"},
		{"for ever", "ResponseCode() >= 500", []int{500}, "500 asked 10: POST / hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, inTurn(tt.backend...))},
				middlewares: []*Middleware{buffering(t, BufferingOptions{MemRequest: 100, MemResponse: 1000, RetryExpression: tt.expression})},
				pool:        upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}, Passive: passive.Passive}})
			text := b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
			status, body, _ := strings.Cut(tt.want, " ")
			if !strings.HasPrefix(text, "HTTP/1.1 "+status+" ") || !strings.HasSuffix(text, "\r\n\r\n"+body) {
				t.Errorf("%s, want %s", text, tt.want)
			}
		})
	}
	if _, err := Buffering("b", BufferingOptions{RetryExpression: "true"}); err == nil {
		t.Error("nonsense is taken")
	}
}

// What all requests together hold is bounded: beyond that, bodies are passed on as they come.
func TestBufferingIsBounded(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, middlewares: []*Middleware{buffering(t, BufferingOptions{MemRequest: 100, MemResponse: 1000})}})
	b.server.each(func(w *worker) { w.kept = maxKept })
	has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), `body="hello"`)
	b.server.each(func(w *worker) {
		if w.kept != maxKept {
			t.Errorf("%d bytes are counted", w.kept)
		}
		w.kept = 0
	})
}
