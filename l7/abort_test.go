package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// stage is how far a request has come when somebody leaves.
type stage struct {
	name    string
	request string
	serve   func(net.Conn, *bufio.Reader, *http.Request) // what the server does before it waits; nil = it only reads the head
	want    string                                       // what the client waits for before it leaves
}

const postText = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

// stages are those at which a server has the request.
func stages() []stage {
	say := func(text string) func(net.Conn, *bufio.Reader, *http.Request) {
		return func(c net.Conn, _ *bufio.Reader, _ *http.Request) { _, _ = io.WriteString(c, text) }
	}
	return []stage{
		{"waiting for a response", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil, ""},
		{"in the middle of a request's body", postText + "some", nil, ""},
		{"in the middle of a chunked body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", nil, ""},
		{"waiting for leave to send", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", nil, ""},
		{"after an interim response", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", say("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"), "A: b\r\n\r\n"},
		{"in the middle of a response", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome"), "\r\n\r\nsome"},
		{"in the middle of a chunk", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"), "5\r\nhe"},
		{"in the middle of both", postText + "some", say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome"), "\r\n\r\nsome"},
		{"in a tunnel", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
			say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi"), "\r\n\r\nhi"},
	}
}

// ways are how somebody leaves.
var ways = []struct {
	name  string
	reset bool
	leave func(net.Conn)
}{
	{"end", false, func(c net.Conn) { _ = c.Close() }},
	{"half an end", false, func(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }},
	{"reset", true, weirtest.Reset},
}

// A client that leaves takes its request with it: the server learns at once, whatever both are at.
func TestClientLeaves(t *testing.T) {
	for _, s := range stages() {
		for _, way := range ways {
			t.Run(s.name+", "+way.name, func(t *testing.T) {
				asked, left := make(chan struct{}), make(chan error, 1)
				o := weirtest.Serve(t, func(c net.Conn) {
					r := bufio.NewReader(c)
					req, err := http.ReadRequest(r)
					if err != nil {
						left <- err
						return
					}
					if s.serve != nil {
						s.serve(c, r, req)
					}
					close(asked)
					_, err = io.Copy(io.Discard, r)
					left <- err
				})
				b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
				c := b.dial()
				send(t, c, s.request)
				<-asked
				readUntil(t, c, s.want)
				way.leave(c)
				err := <-left
				tunnel := s.name == "in a tunnel"
				if cut := err != nil; cut == tunnel && !way.reset || way.reset && !cut {
					t.Errorf("the server's read ended with %v", err)
				}
				e := b.entries(1)[0]
				switch want := statusOf(s.want); {
				case tunnel && !way.reset:
					if e.Reason != "done" {
						t.Errorf("%+v", e)
					}
				case e.Reason != "client-abort" || e.EndedBy != "client" || e.DownstreamStatus != want:
					t.Errorf("%+v, want client-abort and %d", e, want)
				}
				b.idle(0)
				if n := b.pool.Backends()[0].Active(); n != 0 {
					t.Errorf("%d requests count on the server", n)
				}
				if n := b.pool.Backends()[0].Stats().FailureStreak; n != 0 {
					t.Error("it was blamed on the server")
				}
			})
		}
	}
}

// statusOf is what the log has for a client that has got so much.
func statusOf(got string) int {
	switch got {
	case "", "A: b\r\n\r\n":
		return 499
	case "\r\n\r\nhi":
		return 101
	}
	return 200
}

// A client that leaves before there is a request costs nothing; one that leaves in the middle of a head is in the log.
func TestClientLeavesBeforeItsRequest(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			o := weirtest.Serve(t, answers(okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			way.leave(b.dial())
			c := b.dial()
			send(t, c, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
			readUntil(t, c, "\r\n\r\nok")
			way.leave(c) // between requests
			b.idle(0)
			b.entries(1)
			c = b.dial()
			send(t, c, "GET /half HTTP/1.1\r\nHo")
			weirtest.Eventually(t, patience, func() bool { return b.inState(reading) == 1 }, "the head is arriving")
			way.leave(c)
			if e := b.ended(2, 499, "client", "client-abort"); e.RequestPath != "/half" {
				t.Errorf("path %q", e.RequestPath)
			}
			b.idle(0)
		})
	}
}

// A client that leaves while its request waits for a slot or for a connection gives both up.
func TestClientLeavesWhileNothingIsSent(t *testing.T) {
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", postText + "some"} {
		for _, way := range ways {
			for _, where := range []string{"queueing", "connecting"} {
				t.Run(fmt.Sprint(where, ", ", request[:4], way.name), func(t *testing.T) {
					options := passive
					if where == "queueing" {
						options.Queue = upstream.QueueOptions{Limit: 1, Timeout: patience}
					}
					b := newBed(t, setup{backends: []netip.AddrPort{netip.MustParseAddrPort(weirtest.Unanswered(t))}, pool: options})
					backend := b.pool.Backends()[0]
					if where == "queueing" {
						b.limit(1)
						if _, err := b.pool.Acquire(0, nil, time.Now()); err != nil {
							t.Fatal(err)
						}
						defer b.pool.Release(backend)
					}
					c := b.dial()
					send(t, c, request)
					want := map[string]phase{"queueing": queueing, "connecting": connecting}[where]
					weirtest.Eventually(t, patience, func() bool { return b.inPhase(want) == 1 }, "the request is "+where)
					way.leave(c)
					b.ended(1, 499, "client", "client-abort")
					b.idle(0)
					if n := b.pool.Stats().Waiting; n != 0 {
						t.Errorf("%d wait", n)
					}
				})
			}
		}
	}
}

// A server that leaves: the client gets an answer if it has got none, and else the end that it cannot take for the whole.
func TestServerLeaves(t *testing.T) {
	for _, s := range stages() {
		for _, way := range ways {
			t.Run(s.name+", "+way.name, func(t *testing.T) {
				leave := make(chan struct{})
				done := make(chan struct{})
				o := weirtest.Serve(t, func(c net.Conn) {
					r := bufio.NewReader(c)
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if s.serve != nil {
						s.serve(c, r, req)
					}
					<-leave
					way.leave(c)
					<-done
				})
				defer close(done)
				options := passive
				options.Connect = upstream.ConnectOptions{Timeout: patience} // no second try: it would wait as well
				b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: options})
				c := b.dial()
				send(t, c, s.request)
				readUntil(t, c, s.want)
				weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting)+b.inPhase(answering)+b.inPhase(switched) == 1 }, "it is there")
				close(leave)
				e := s.afterServerLeft(t, b, c, way.reset)
				b.idle(0)
				if tunnel := s.name == "in a tunnel"; !tunnel {
					if e.Reason != "backend-abort" || e.EndedBy != "backend" {
						t.Errorf("%+v", e)
					}
					if n := b.pool.Backends()[0].Stats().FailureStreak; n == 0 {
						t.Error("no failure was counted")
					}
				}
				if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
					t.Errorf("%d connections are kept", n)
				}
			})
		}
	}
}

// afterServerLeft looks at what the client gets, and ends what is still open.
func (s stage) afterServerLeft(t *testing.T, b *bed, c net.Conn, reset bool) entry {
	t.Helper()
	switch status := statusOf(s.want); {
	case status == 499:
		readUntil(t, c, "HTTP/1.1 502 Bad Gateway\r\n")
		e := b.ended(1, 502, "backend", "backend-abort")
		_ = c.Close()
		return e
	case status == 101:
		rest(t, c, reset)
		_ = c.Close() // each side of a tunnel ends by itself
		return b.entries(1)[0]
	}
	rest(t, c, true)
	return b.ended(1, 200, "backend", "backend-abort")
}
