package l7

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// moody answers some requests of a connection and then closes it at a moment of its own: right behind an answer, a little
// later, or when the next request has come, unread.
func moody(served *sync.Map) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for range 1 + rand.IntN(4) {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			n, _ := served.LoadOrStore(req.URL.Path, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			_, _ = io.WriteString(c, okText)
		}
		if rand.IntN(2) == 0 {
			_, _ = r.Peek(1) // a request has come, and meets a closed door
			if rand.IntN(2) == 0 {
				weirtest.Reset(c)
			}
		}
	}
}

// Servers close connections that rest whenever they like. What may be repeated never fails for that; what may not is never
// sent twice.
func TestServersThatCloseIdleConnections(t *testing.T) {
	var served sync.Map
	o := weirtest.Serve(t, moody(&served))
	b := newBed(t, setup{loops: 2, backends: []netip.AddrPort{o.AddrPort()}})
	var clients sync.WaitGroup
	var posts, failed atomic.Int64
	for i := range 8 {
		clients.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for j := range 60 {
				path := fmt.Sprintf("http://%s/%d/%d", b.addr, i, j)
				method, body := "GET", io.Reader(nil)
				if j%3 == 0 {
					method, body = "POST", strings.NewReader("x")
					posts.Add(1)
				}
				req, err := http.NewRequest(method, path, body)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Errorf("%s: %v", method, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				switch {
				case resp.StatusCode == 200:
				case method == "POST" && resp.StatusCode == 502:
					failed.Add(1)
				default:
					t.Errorf("%s: status %d", method, resp.StatusCode)
				}
			}
		})
	}
	clients.Wait()
	served.Range(func(path, n any) bool {
		var i, j int
		_, _ = fmt.Sscanf(path.(string), "/%d/%d", &i, &j)
		if times := n.(*atomic.Int64).Load(); j%3 == 0 && times != 1 {
			t.Errorf("POST %s reached the server %d times", path, times)
		}
		return true
	})
	t.Logf("%d of %d POSTs met a closed door", failed.Load(), posts.Load())
}

// A POST that is sent on a connection of which the server has gone already is not sent there at all.
func TestPostMeetsNoClosedConnection(t *testing.T) {
	closeNow, closed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o := newOrigin(t, func(c net.Conn) {
		first := false
		once.Do(func() { first = true })
		answers(okText)(&untilClosed{c, closeNow, closed, first})
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	if status, _ := b.get("/"); status != 200 {
		t.Fatal(status)
	}
	// The loop is kept busy while the server closes, so that it does not hear of it before the POST comes.
	c := b.dial()
	b.idle(1)
	b.server.each(func(*worker) {
		close(closeNow)
		<-closed
		send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
	})
	has(t, rest(t, c, false), "HTTP/1.1 200 ")
	if n := o.heads("POST"); n != 1 {
		t.Errorf("POST was sent %d times", n)
	}
}

// untilClosed is a connection whose second request never comes: it closes when it is told to.
type untilClosed struct {
	net.Conn
	now, done chan struct{}
	first     bool
}

func (c *untilClosed) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.first {
		<-c.now
		_ = c.Conn.Close()
		close(c.done)
	}
	return n, err
}

// kept waits until the pool has as many idle connections as wanted.
func (b *bed) kept(want int64) {
	b.t.Helper()
	weirtest.Eventually(b.t, patience, func() bool { return b.server.Idle(b.pool.Backends()[0]) == want }, fmt.Sprint(want, " idle connections"))
}

// at sends n requests at one time and waits for all answers.
func (b *bed) at(n int, goOn chan struct{}) {
	b.t.Helper()
	var all []net.Conn
	for range n {
		c := b.dial()
		send(b.t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		all = append(all, c)
	}
	weirtest.Eventually(b.t, patience, func() bool { return b.inPhase(waiting) == n }, "all are waiting")
	for range n {
		goOn <- struct{}{}
	}
	for _, c := range all {
		has(b.t, rest(b.t, c, false), "HTTP/1.1 200 ")
	}
}

func onWord(goOn chan struct{}) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			<-goOn
			_, _ = io.WriteString(c, okText)
		}
	}
}

func TestIdlePoolLimits(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, onWord(goOn))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, transport: Transport{MaxIdle: 2, MaxRequests: 3}})
	b.at(5, goOn)
	b.kept(2) // after a sweep
	if n := o.Accepted(); n != 5 {
		t.Errorf("%d connections for 5 requests at a time", n)
	}
	b.at(2, goOn)
	if n := o.Accepted(); n != 5 {
		t.Errorf("%d connections: the idle ones were not used", n)
	}
	b.at(2, goOn) // the third of each
	b.kept(0)
}

// TestSpareLinks: what is above the number that may rest does for a moment, so that requests that come by the hundred at one
// time find the connections that those before them have used.
func TestSpareLinks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		count   int
		rested  time.Duration
		crowded bool
		spare   bool
	}{
		{"few, for long", 2, time.Minute, false, false},
		{"few, for too long", 2, time.Hour, false, true},
		{"more, since now", 3, 0, false, false},
		{"more, for half a sweep", 3, sweepEvery / 2, false, false},
		{"more, for a sweep", 3, sweepEvery, false, true},
		{"few, since now, all run out", 1, 0, true, false},
		{"few, for a sweep, all run out", 1, sweepEvery, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			p := &place{count: tt.count}
			l := &link{transport: &Transport{MaxIdle: 2, IdleTimeout: 90 * time.Second}, rested: now.Add(-tt.rested)}
			if spare := p.spare(l, now, tt.crowded); spare != tt.spare {
				t.Errorf("spare: %v", spare)
			}
		})
	}
}

func TestIdleTimeoutOfLinks(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, onWord(goOn))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, transport: Transport{IdleTimeout: short}})
	b.at(1, goOn)
	b.kept(1)
	b.kept(0) // after the idle timeout
	weirtest.Eventually(t, patience, func() bool { return o.Active() == 0 }, "the server's connections are closed")
}

// A connection that rests and says anything, or ends, is not kept.
func TestRestingConnectionsThatSpeak(t *testing.T) {
	for _, text := range []string{"x", okText, ""} {
		speak := make(chan struct{})
		o := weirtest.Serve(t, func(c net.Conn) {
			if _, req := headOf(t, c); req != nil {
				_, _ = io.WriteString(c, okText)
				<-speak
				_, _ = io.WriteString(c, text)
			}
		})
		b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
		b.get("/")
		b.kept(1)
		close(speak)
		b.kept(0)
	}
}

// Connections made in another way are not used again.
func TestTransportChanges(t *testing.T) {
	o := weirtest.Serve(t, answers(repeat(okText, 10)...))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	b.get("/")
	b.get("/")
	if n := o.Accepted(); n != 1 {
		t.Fatalf("%d connections", n)
	}
	other := *b.lb.Transport
	lb := *b.lb
	lb.Transport = &other
	b.svc.Set(&lb)
	b.get("/")
	if n := o.Accepted(); n != 2 {
		t.Errorf("%d connections", n)
	}
	b.kept(1)
}

// Without an idle timeout connections stay; those to a backend that is being drained do not.
func TestIdleConnectionsToADrainingBackend(t *testing.T) {
	o := weirtest.Serve(t, answers(repeat(okText, 10)...))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	b.get("/")
	b.kept(1)
	b.pool.Backends()[0].SetDraining(true, time.Now())
	b.kept(0)
}
