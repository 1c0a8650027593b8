package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

const short = 250 * time.Millisecond

// hold reads a request's head, says something and waits for the end of the connection.
func hold(text string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, r)
	}
}

// drip sends a byte now and then until the connection has ended.
func drip(c net.Conn, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(short / 10):
		}
		if _, err := c.Write([]byte("a")); err != nil {
			return
		}
	}
}

// Every wait has an end, an answer and a reason.
func TestTimeouts(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		serve         func(net.Conn)
		front         FrontOptions
		transport     Transport
		dripping      bool
		status        int
		by, reason    string
		reset, blamed bool
	}{
		{name: "half a head", request: "GET / HTTP/1.1\r\nHo", front: FrontOptions{ReadTimeout: short}, status: 408, by: "client", reason: "request-timeout"},
		{name: "half a head, dripping", request: "GET / HTTP/1.1\r\nA: ", front: FrontOptions{ReadTimeout: short}, dripping: true,
			status: 408, by: "client", reason: "request-timeout"},
		{name: "half a body", request: postText + "some", serve: hold(""), front: FrontOptions{ReadTimeout: short},
			status: 408, by: "client", reason: "request-timeout"},
		{name: "half a body and an early response", request: postText + "some", serve: hold("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
			front: FrontOptions{ReadTimeout: short}, status: 200, by: "client", reason: "request-timeout", reset: true},
		{name: "no response", request: get, serve: hold(""), transport: Transport{ResponseTimeout: short},
			status: 504, by: "backend", reason: "response-timeout", blamed: true},
		{name: "no response and no timeout for that", request: get, serve: hold(""), front: FrontOptions{IdleTimeout: short},
			status: 504, by: "backend", reason: "response-timeout", blamed: true},
		{name: "no leave to send", request: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", serve: hold(""),
			front: FrontOptions{ReadTimeout: short / 2}, transport: Transport{ResponseTimeout: short * 2}, status: 504, by: "backend", reason: "response-timeout", blamed: true},
		{name: "half a response head", request: get, serve: hold("HTTP/1.1 200 OK\r\nA: "), transport: Transport{ResponseTimeout: short},
			status: 504, by: "backend", reason: "response-timeout", blamed: true},
		{name: "half a response", request: get, serve: hold("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), front: FrontOptions{IdleTimeout: short},
			status: 200, by: "backend", reason: "idle-timeout", reset: true},
		{name: "all together", request: get, serve: hold(""), front: FrontOptions{WriteTimeout: short}, status: 504, by: "weir", reason: "response-timeout"},
		{name: "tunnel", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
			serve: hold("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), front: FrontOptions{IdleTimeout: short},
			status: 101, by: "weir", reason: "idle-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.serve == nil {
				tt.serve = hold("")
			}
			o := weirtest.Serve(t, tt.serve)
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, front: tt.front, transport: tt.transport, pool: passive})
			c := b.dial()
			stop := make(chan struct{})
			var dripping sync.WaitGroup
			began := time.Now()
			send(t, c, tt.request)
			if tt.dripping {
				dripping.Go(func() { drip(c, stop) })
			}
			e := b.ended(1, tt.status, tt.by, tt.reason)
			if took := time.Since(began); took < short || took > 20*short {
				t.Errorf("took %v", took)
			}
			close(stop)
			dripping.Wait()
			switch {
			case tt.reset:
				rest(t, c, true)
			case tt.status != 101:
				has(t, readUntil(t, c, "\r\n\r\n"), fmt.Sprintf("HTTP/1.1 %d ", tt.status))
			}
			if failed := b.pool.Backends()[0].Stats().FailureStreak > 0; failed != tt.blamed {
				t.Errorf("blamed on the server: %v (%+v)", failed, e)
			}
			_ = c.Close()
			b.idle(0)
		})
	}
}

// A client that does not take the response is cut off.
func TestClientThatDoesNotRead(t *testing.T) {
	o := weirtest.Serve(t, func(c net.Conn) {
		if _, req := headOf(t, c); req != nil {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<30)
			for block := pattern(1 << 20); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, front: FrontOptions{ReadTimeout: 2 * short}, sendBuffer: 16 << 10})
	c := b.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b.ended(1, 200, "client", "request-timeout")
	b.idle(0)
}

// A connection between requests ends after its time, without a record and without a reset.
func TestKeepAliveTimeout(t *testing.T) {
	o := weirtest.Serve(t, answers(okText))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, front: FrontOptions{KeepAliveTimeout: short}})
	c := b.dial()
	rest(t, c, false)
	c = b.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if text := rest(t, c, false); !strings.HasSuffix(text, "\r\n\r\nok") {
		t.Errorf("%q", text)
	}
	b.entries(1)
}

// How many requests a connection may serve, and for how long, is said with the last of them.
func TestConnectionsWearOut(t *testing.T) {
	for name, front := range map[string]FrontOptions{"requests": {KeepAliveRequests: 2}, "time": {KeepAliveTime: time.Nanosecond}} {
		t.Run(name, func(t *testing.T) {
			o := weirtest.Serve(t, answers(okText, okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, front: front})
			want := 1
			if front.KeepAliveRequests > 0 {
				want = front.KeepAliveRequests
			}
			text := b.exchange(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 5))
			if n := strings.Count(text, "HTTP/1.1 200"); n != want || strings.Count(text, "Connection: close") != 1 {
				t.Errorf("%d answers: %q", n, text)
			}
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	o := passive
	o.Connect = upstream.ConnectOptions{Timeout: short}
	b := newBed(t, setup{backends: []netip.AddrPort{netip.MustParseAddrPort(weirtest.Unanswered(t))}, pool: o})
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 504 Gateway Timeout\r\n")
	b.ended(1, 504, "backend", "connect-timeout")
	if b.pool.Backends()[0].Stats().FailureStreak == 0 {
		t.Error("no failure was counted")
	}
}

// With all slots taken requests wait, not for ever, and not more than may.
func TestQueue(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			<-goOn
			_, _ = io.WriteString(c, okText)
		}
	})
	options := upstream.Options{Queue: upstream.QueueOptions{Limit: 1, Timeout: 3 * short}}
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: options})
	b.limit(1)
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	first := b.dial()
	send(t, first, get)
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == 1 }, "one is served")
	second := b.dial()
	send(t, second, get)
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(queueing) == 1 }, "one waits")
	has(t, b.exchange(get), "HTTP/1.1 503 ")
	b.ended(1, 503, "weir", "queue-full")
	has(t, rest(t, second, false), "HTTP/1.1 503 ")
	b.ended(2, 503, "weir", "queue-timeout")

	third := b.dial()
	send(t, third, get)
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(queueing) == 1 }, "one waits")
	close(goOn)
	has(t, rest(t, first, false), "HTTP/1.1 200 ")
	has(t, rest(t, third, false), "HTTP/1.1 200 ")
}

// Draining lets requests end, whatever they are at, and their connections with them.
func TestDrain(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/slow" {
				<-goOn
			}
			_, _ = io.WriteString(c, okText)
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	fresh, used, half, slow := b.dial(), b.dial(), b.dial(), b.dial()
	send(t, used, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	readUntil(t, used, "\r\n\r\nok")
	send(t, half, "GET / HTTP/1.1\r\n")
	send(t, slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	weirtest.Eventually(t, patience, func() bool { return b.inState(reading) == 1 && b.inPhase(waiting) == 1 && b.open() == 4 }, "all are there")
	b.server.Drain()
	rest(t, fresh, false)
	rest(t, used, false)
	send(t, half, "Host: a\r\n\r\n")
	has(t, rest(t, half, false), "HTTP/1.1 200 ", "Connection: close\r\n")
	close(goOn)
	has(t, rest(t, slow, false), "HTTP/1.1 200 ", "Connection: close\r\n")
	b.idle(0)
	if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

// A backend that is taken away gives its requests to another one where they may be sent again, and else ends them.
func TestCloseBackend(t *testing.T) {
	for _, s := range stages() {
		t.Run(s.name, func(t *testing.T) {
			first := weirtest.Serve(t, func(c net.Conn) {
				r, req := headOf(t, c)
				if req == nil {
					return
				}
				if s.serve != nil {
					s.serve(c, r, req)
				}
				_, _ = io.Copy(io.Discard, r)
			})
			b := newBed(t, setup{backends: []netip.AddrPort{first.AddrPort()}})
			c := b.dial()
			send(t, c, s.request)
			readUntil(t, c, s.want)
			weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting)+b.inPhase(answering)+b.inPhase(switched) == 1 }, "it is there")
			second := weirtest.Serve(t, answers(okText))
			gone := b.pool.Backends()[0]
			b.pool.Update(b.pool.Options(), []*upstream.Backend{upstream.NewBackend("svc", upstream.Endpoint{Addr: second.AddrPort(), Weight: 1})}, time.Now())
			b.server.CloseBackend(gone, accesslog.BackendDown)
			switch status := statusOf(s.want); {
			case s.name == "waiting for a response":
				readUntil(t, c, "\r\n\r\nok")
				if e := b.ended(1, 200, "weir", "done"); e.RetryAttempts != 1 {
					t.Errorf("%d retries", e.RetryAttempts)
				}
			case status == 499:
				readUntil(t, c, "HTTP/1.1 502 ")
				b.ended(1, 502, "weir", "backend-down")
			default:
				rest(t, c, true)
				b.ended(1, status, "weir", "backend-down")
			}
			if n := gone.Active(); n != 0 {
				t.Errorf("%d requests count on it", n)
			}
		})
	}
}

// New settings hold from the next request on, on connections that are open too, and no request notices the change itself.
func TestSetUnderTraffic(t *testing.T) {
	o := weirtest.Serve(t, func(c net.Conn) { answers(repeat(okText, 10_000)...)(c) })
	b := newBed(t, setup{loops: 2, backends: []netip.AddrPort{o.AddrPort()}})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Get("http://" + b.addr + "/")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	for range 200 {
		set := b.set
		b.route("main", "PathPrefix(`/`)", nil, nil)
		set.Table = b.set.Table
		b.front.Set(set)
	}
	close(stop)
	clients.Wait()

	c := b.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	readUntil(t, c, "\r\n\r\nok")
	set := b.set
	set.Limits.Line = 64
	b.front.Set(set)
	send(t, c, "GET /"+strings.Repeat("a", 100)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	has(t, rest(t, c, false), "HTTP/1.1 414 ")
}

func repeat(text string, n int) (all []string) {
	for range n {
		all = append(all, text)
	}
	return all
}
