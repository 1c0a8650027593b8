package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// headOf reads a request's head and leaves its body where it is.
func headOf(t testing.TB, c net.Conn) (*bufio.Reader, *http.Request) {
	t.Helper()
	r := bufio.NewReaderSize(c, 1<<10)
	req, err := http.ReadRequest(r)
	if err != nil {
		return r, nil
	}
	return r, req
}

// A server may answer before the request is there, and take no more of it. The client gets that answer although it is still
// sending, and the connection, on which the body might end anywhere, ends.
func TestEarlyResponse(t *testing.T) {
	const size = 8 << 20
	const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge"
	for _, tt := range []struct {
		name  string
		serve func(net.Conn, *bufio.Reader)
	}{
		{"and closes", func(c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, refusal) }},
		{"and waits", func(c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, refusal)
			waitClosed(c)
		}},
		{"after bulk", func(c net.Conn, r *bufio.Reader) {
			_, _ = io.CopyN(io.Discard, r, 2<<20)
			_, _ = io.WriteString(c, refusal)
			waitClosed(c)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := pipes(t)
			o := weirtest.Serve(t, func(c net.Conn) {
				if r, req := headOf(t, c); req != nil {
					tt.serve(c, r)
				}
			})
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			for i := range 4 {
				c := b.dial()
				go func() {
					_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
					_, _ = c.Write(pattern(size / 2))
				}()
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); resp.StatusCode != 413 || string(body) != "large" || err != nil {
					t.Errorf("%d %q, %v", resp.StatusCode, body, err)
				}
				b.ended(i+1, 413, "weir", "done")
				_ = c.Close()
			}
			b.idle(0)
			if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
			b.endPipes(t, before)
		})
	}
}

// waitClosed waits for the other side to close without reading what it sends.
func waitClosed(c net.Conn) {
	for weirtest.Established(c) {
		time.Sleep(time.Millisecond)
	}
}

// pipes counts the ends of pipes the process has open.
func pipes(t testing.TB) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// endPipes wants that no more pipes are open than before, but for those that a loop keeps for the next bulk.
func (b *bed) endPipes(t testing.TB, before int) {
	t.Helper()
	if n := pipes(t); n > before+2*len(b.server.workers) {
		t.Errorf("%d ends of pipes are open, %d before", n, before)
	}
}

// The client of a full-duplex exchange may go on sending while the response comes, and the connection lives on.
func TestResponseWhileUploading(t *testing.T) {
	o := weirtest.Serve(t, func(c net.Conn) {
		r, req := headOf(t, c)
		if req == nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfir")
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, "st!")
		_, _ = io.Copy(io.Discard, r)
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	c := b.dial()
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
	readUntil(t, c, "\r\n\r\nfir")
	send(t, c, "lo")
	readUntil(t, c, "st!")
	b.ended(1, 200, "weir", "done")
	if n := b.inState(idle); n != 1 {
		t.Errorf("%d connections wait for a request", n)
	}
	if n := b.server.Idle(b.pool.Backends()[0]); n != 1 {
		t.Errorf("%d connections are kept", n)
	}
}

// A server may say no instead of 100 (Continue): then the body does not come, and the connection ends, which the client is
// told.
func TestFinalResponseInsteadOfContinue(t *testing.T) {
	for _, final := range []string{"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno", okText} {
		o := newOrigin(t, func(c net.Conn) {
			if r, req := headOf(t, c); req != nil {
				_, _ = io.WriteString(c, final)
				_, _ = io.Copy(io.Discard, r)
			}
		})
		b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
		c := b.dial()
		send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		readUntil(t, c, "Connection: close\r\n\r\n")
		send(t, c, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n") // four bytes of it are the body
		if text := rest(t, c, false); len(text) != 2 {
			t.Errorf("behind the answer: %q", text)
		}
		has(t, o.all()[0], "Expect: 100-continue\r\n")
		if text := o.all()[0]; strings.Contains(text, "GET") {
			t.Errorf("the server got %q", text)
		}
		if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
			t.Errorf("%d connections are kept", n)
		}
	}
}

// weir's own answer to a request whose body is still coming reaches the client too.
func TestAnswerWhileUploading(t *testing.T) {
	b := newBed(t, setup{rule: "Path(`/there`)", front: FrontOptions{MaxBody: 1000}})
	for i, tt := range []struct {
		head   string
		status int
		by     string
		reason string
	}{
		{"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n", 404, "weir", "no-route"},
		{"POST /there HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n", 413, "client", "body-too-large"},
	} {
		c := b.dial()
		send(t, c, tt.head)
		text := readUntil(t, c, "\r\n\r\n")
		has(t, text, fmt.Sprintf("HTTP/1.1 %d ", tt.status), "Connection: close\r\n")
		for range 400 {
			send(t, c, "more of the body, which nobody reads, and a reset for which would take the answer away")
		}
		rest(t, c, false)
		b.ended(i+1, tt.status, tt.by, tt.reason)
	}
}

// A body without a length that turns out to be too long is cut off on its way.
func TestBodyThatGrowsTooLong(t *testing.T) {
	o := newOrigin(t, answers(okText))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, front: FrontOptions{MaxBody: 1000}})
	c := b.dial()
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(strings.Repeat("a", 600)))
	weirtest.Eventually(t, patience, func() bool { return o.Accepted() == 1 }, "the request is on its way")
	send(t, c, chunk(strings.Repeat("b", 600)))
	has(t, rest(t, c, false), "HTTP/1.1 413 ", "Connection: close\r\n")
	b.ended(1, 413, "client", "body-too-large")
	if text := o.all()[0]; strings.HasSuffix(text, "0\r\n\r\n") {
		t.Errorf("the server got an end: %q", text)
	}
}

// What a client has sent behind its last request is taken in before the connection closes, or a reset would take the
// response away: in the buffer, and in the socket.
func TestUnreadPipelinedBytes(t *testing.T) {
	const size = 1 << 20
	asked, goOn := make(chan struct{}), make(chan struct{})
	o := weirtest.Serve(t, func(c net.Conn) {
		if _, req := headOf(t, c); req == nil {
			return
		}
		close(asked)
		<-goOn
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, pattern(size))
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	c := b.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	<-asked
	send(t, c, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 100))
	weirtest.Eventually(t, patience, func() bool {
		ready := false
		b.server.each(func(w *worker) { w.forEach(func(c *conn) { ready = c.stream.MayRead() }) })
		return ready
	}, "the server knows of more requests")
	close(goOn)
	text := rest(t, c, false)
	if _, body, _ := strings.Cut(text, "\r\n\r\n"); len(body) != size {
		t.Errorf("%d bytes came", len(body))
	}
	b.entries(1)
}

// A client that pipelines and does not read is read from no further than there is room for answers.
func TestPipeliningWithoutReading(t *testing.T) {
	o := weirtest.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n%s", pattern(10_000)); err != nil {
				return
			}
		}
	})
	for _, path := range []string{"/there", "/nowhere"} {
		t.Run(path, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, rule: "Path(`/there`)"})
			c := b.dial()
			_ = c.(*net.TCPConn).SetReadBuffer(8 << 10)
			request := strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n", 1000)
			_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // by then both buffers of the kernel are full
			for {
				if _, err := io.WriteString(c, request); err != nil {
					break
				}
			}
			held, out := 0, 0
			b.server.each(func(w *worker) {
				w.forEach(func(c *conn) { held, out = len(c.stream.Peeked()), c.stream.Buffered() })
			})
			if held > 64<<10 || out > 128<<10 {
				t.Errorf("%d bytes of requests are held and %d of responses", held, out)
			}
			weirtest.Reset(c)
			b.idle(0)
		})
	}
}

// Requests that weir answers itself must not keep others on the loop waiting, however many come at once.
func TestPipelinedAnswersShareTheLoop(t *testing.T) {
	b := newBed(t, setup{rule: "Path(`/there`)"})
	const n = 5000
	c := b.dial()
	read := make(chan int, 1)
	go func() {
		all, _ := io.ReadAll(c)
		read <- strings.Count(string(all), "HTTP/1.1 404 ")
	}()
	send(t, c, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", n-1)+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if got := <-read; got != n {
		t.Errorf("%d answers, want %d", got, n)
	}
}

// slowBed answers every request with size bytes, of which the socket takes few at a time: the rest waits in weir.
func slowBed(t *testing.T, size int, front FrontOptions) (*bed, net.Conn) {
	t.Helper()
	body := string(pattern(size))
	b := newBed(t, setup{front: front, sendBuffer: 16 << 10, middlewares: []*Middleware{{Request: func(x *Exchange) Action {
		x.Answer(200, nil, body)
		return Answered
	}}}})
	b.server.each(func(w *worker) { w.linger = 10 * time.Millisecond })
	return b, b.dial()
}

// A client may take the last bytes of a response as slowly as the others: the end of the connection waits for it.
func TestSlowReaderGetsTheLastBytes(t *testing.T) {
	const size = 1 << 20
	const last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		at            state
		meanwhile     func(*bed)
	}{
		{"of the last response", last, lingering, func(*bed) {}},
		{"between requests", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", idle, func(b *bed) { b.front.Retire() }},
		{"of the last response, and weir ends", last, lingering, func(b *bed) { b.server.Drain() }},
		{"between requests, and weir ends", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", idle, func(b *bed) { b.server.Drain() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, c := slowBed(t, size, FrontOptions{KeepAliveTimeout: 20 * time.Millisecond})
			send(t, c, tt.request)
			weirtest.Eventually(t, patience, func() bool { return b.inState(tt.at) == 1 && b.unsent() > 0 }, "all is said")
			time.Sleep(100 * time.Millisecond) // longer than either timeout would let it live
			tt.meanwhile(b)
			_, body, _ := strings.Cut(rest(t, c, false), "\r\n\r\n")
			if len(body) != size {
				t.Errorf("%d bytes came of %d", len(body), size)
			}
		})
	}
}

// But not for ever: a client that takes nothing is cut off, by a reset, as in the middle of a response.
func TestReaderThatStopsAtTheLastBytes(t *testing.T) {
	for _, tt := range []struct {
		request string
		at      state
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", lingering},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", idle},
	} {
		b, c := slowBed(t, 1<<20, FrontOptions{ReadTimeout: 100 * time.Millisecond})
		send(t, c, tt.request)
		weirtest.Eventually(t, patience, func() bool { return b.inState(tt.at) == 1 && b.unsent() > 0 }, "all is said")
		b.idle(0)
		rest(t, c, true)
	}
}
