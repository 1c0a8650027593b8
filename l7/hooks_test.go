package l7

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/head"
)

const oneGet = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// marking adds its name to a field of the request and of the response.
func marking(name string) *Middleware {
	add := func(h *head.Head) {
		trail, _ := h.Get("X-Trail")
		_ = h.Set("X-Trail", strings.TrimPrefix(string(trail)+" "+name, " "))
	}
	return &Middleware{
		Name:     name,
		Request:  func(x *Exchange) Action { add(x.Head()); return Next },
		Response: func(x *Exchange) { add(x.ResponseHead()) },
	}
}

// asking does something with a request.
func asking(do func(*Exchange) Action) *Middleware { return &Middleware{Request: do} }

// Requests are seen in order and responses the other way round, weir's own too, by those who have seen the request.
func TestHooksInOrder(t *testing.T) {
	answer := asking(func(x *Exchange) Action { x.Answer(299, nil, "mine"); return Answered })
	for _, tt := range []struct {
		name string
		ms   []*Middleware
		want string // of the response
		sent string // of the request
	}{
		{"of a server", []*Middleware{marking("a"), marking("b"), marking("c")}, "X-Trail: c b a\r\n", "X-Trail: a b c\r\n"},
		{"of a middleware", []*Middleware{marking("a"), marking("b"), answer, marking("c")}, "X-Trail: b a\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, answers(okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, middlewares: tt.ms})
			has(t, b.exchange(oneGet), tt.want)
			switch sent := strings.Join(o.all(), ""); {
			case tt.sent != "":
				has(t, sent, tt.sent)
				b.ended(1, 200, "weir", "done")
			case sent != "":
				t.Errorf("the server got %q", sent)
			default:
				b.ended(1, 299, "weir", "answered")
			}
		})
	}
	// Where no backend is left, weir's answer is seen by all of them.
	b := newBed(t, setup{middlewares: []*Middleware{marking("a"), marking("b")}})
	has(t, b.exchange(oneGet), "HTTP/1.1 503 ", "X-Trail: b a\r\n")
}

// A middleware may wait for work that blocks. The loop goes on meanwhile.
func TestWaiting(t *testing.T) {
	for _, tt := range []struct {
		name   string
		then   func(*Exchange)
		status int
		reason string
		sent   int
	}{
		{"and go on", func(x *Exchange) { x.Continue() }, 200, "done", 1},
		{"and go on twice", func(x *Exchange) { x.Continue(); x.Continue() }, 200, "done", 1},
		{"and answer", func(x *Exchange) { x.Answer(299, nil, "mine") }, 299, "answered", 0},
		{"and reject", func(x *Exchange) { x.Reject(403, accesslog.Denied) }, 403, "denied", 0},
		{"and answer and go on", func(x *Exchange) { x.Answer(299, nil, "mine"); x.Continue() }, 299, "answered", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, answers(okText))
			goOn := make(chan struct{})
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, middlewares: []*Middleware{asking(func(x *Exchange) Action {
				if err := x.Go(func() { <-goOn }, func() { tt.then(x) }); err != nil {
					t.Error(err)
				}
				return Wait
			})}})
			k := b.talk()
			k.say(oneGet)
			weirtest.Eventually(t, patience, func() bool { return b.inState(busy) == 1 }, "the request waits") // by way of the loop
			close(goOn)
			k.rest()
			b.ended(1, tt.status, "weir", tt.reason)
			if n := o.heads("GET"); n != tt.sent {
				t.Errorf("the request was sent %d times", n)
			}
		})
	}
}

// A client that leaves while work is done for it takes nothing with it: the work ends, and nothing follows.
func TestClientLeavesDuringWork(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			goOn, worked := make(chan struct{}), make(chan struct{})
			followed := false
			b := newBed(t, setup{middlewares: []*Middleware{asking(func(x *Exchange) Action {
				_ = x.Go(func() { <-goOn; close(worked) }, func() { followed = true })
				return Wait
			})}})
			c := b.dial()
			send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
			weirtest.Eventually(t, patience, func() bool { return b.inState(busy) == 1 }, "the request waits")
			way.leave(c)
			b.ended(1, 499, "client", "client-abort")
			b.idle(0)
			close(goOn)
			<-worked
			weirtest.Eventually(t, patience, func() bool { return b.server.waiting.Load() == 0 }, "the goroutine is done")
			b.server.each(func(*worker) {
				if followed {
					t.Error("something followed for a request that was over")
				}
			})
		})
	}
}

// A bug in a middleware costs one request: the client is told, the bug is counted, and the connection lives on.
func TestHooksThatPanic(t *testing.T) {
	bug := func() { panic("bug") }
	for _, tt := range []struct {
		name string
		m    *Middleware
	}{
		{"request", asking(func(*Exchange) Action { bug(); return Next })},
		{"response", &Middleware{Response: func(*Exchange) { bug() }}},
		{"response of weir's own", &Middleware{
			Request:  func(x *Exchange) Action { x.Answer(299, nil, "mine"); return Answered },
			Response: func(*Exchange) { bug() },
		}},
		{"work", asking(func(x *Exchange) Action { _ = x.Go(bug, x.Continue); return Wait })},
		{"after work", asking(func(x *Exchange) Action { _ = x.Go(func() {}, bug); return Wait })},
		{"no answer although it says so", asking(func(*Exchange) Action { return Answered })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, answers(okText, okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, middlewares: []*Middleware{marking("outer"), tt.m}})
			text := b.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n" + oneGet)
			if n := strings.Count(text, "HTTP/1.1 500 Internal Server Error\r\n"); n != 2 || strings.Count(text, "HTTP/1.1 ") != 2 {
				t.Errorf("%q", text)
			}
			b.ended(2, 500, "weir", "internal")
			want := int64(2)
			if tt.name == "no answer although it says so" {
				want = 0
			}
			if n := b.server.panics.Swap(0); n != want { // the bed wants none at its end
				t.Errorf("%d panics are counted, want %d", n, want)
			}
			if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
}

// Work that blocks is bounded: what is beyond is told so at once.
func TestBusy(t *testing.T) {
	goOn := make(chan struct{})
	refused := make(chan error, 1)
	b := newBed(t, setup{middlewares: []*Middleware{asking(func(x *Exchange) Action {
		for {
			if err := x.Go(func() { <-goOn }, func() {}); err != nil {
				refused <- err
				x.Reject(503, accesslog.Limit)
				return Answered
			}
		}
	})}})
	has(t, b.exchange(oneGet), "HTTP/1.1 503 ")
	if err := <-refused; !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if n := b.server.waiting.Load(); n != maxWaiting {
		t.Errorf("%d wait", n)
	}
	if n := len(b.server.blocking); n > maxBlocking {
		t.Errorf("%d work at one time", n)
	}
	close(goOn)
	weirtest.Eventually(t, patience, func() bool { return b.server.waiting.Load() == 0 }, "all is done")
}

// Who may not pass is told so, and the log says why, and who it was.
func TestDeny(t *testing.T) {
	who := asking(func(x *Exchange) Action {
		x.SetUser("ada")
		x.Deny("no-key", 401, func(h *head.Head) { _ = h.Set("WWW-Authenticate", "Key") }, "no\n")
		x.Deny("twice", 403, nil, "never\n")
		return Answered
	})
	b := newBed(t, setup{middlewares: []*Middleware{who}})
	has(t, b.exchange(oneGet), "HTTP/1.1 401 ", "WWW-Authenticate: Key\r\n", "\r\n\r\nno\n")
	b.ended(1, 401, "weir", "denied")
	has(t, b.records(1)[0], `"ClientUsername":"ada"`, `"Detail":"no-key"`)
}

// What a hook keeps, the others of its middleware find, and nobody else.
func TestKeep(t *testing.T) {
	one, other := &Middleware{Name: "one"}, &Middleware{Name: "other"}
	one.Request = func(x *Exchange) Action { x.Keep(one, 1); x.Keep(one, 2); return Next }
	one.Response = func(x *Exchange) {
		if x.Kept(one) != 2 || x.Kept(other) != nil {
			t.Errorf("kept: %v, and of the other %v", x.Kept(one), x.Kept(other))
		}
	}
	b := newBed(t, setup{middlewares: []*Middleware{one, other}})
	has(t, b.exchange(oneGet), "HTTP/1.1 503 ")
}
