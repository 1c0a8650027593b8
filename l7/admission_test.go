package l7

import (
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestLinksRunOut: requests for which there is no connection any more are told so at once, no backend is blamed for it, and
// those that come when others have ended are served.
func TestLinksRunOut(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, onWord(goOn))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, links: 2})
	first, second := b.dial(), b.dial()
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	send(t, first, get)
	send(t, second, get)
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == 2 }, "both are waiting")
	has(t, b.exchange(get), "HTTP/1.1 503 ")
	if e := b.ended(1, 503, "weir", "limit"); e.Detail != "server-connections" {
		t.Errorf("detail %q", e.Detail)
	}
	if n := b.pool.Backends()[0].Stats().ConnectFailures; n != 0 {
		t.Errorf("%d failures are counted against the backend", n)
	}
	goOn <- struct{}{}
	goOn <- struct{}{}
	has(t, rest(t, first, false), "HTTP/1.1 200 ")
	has(t, rest(t, second, false), "HTTP/1.1 200 ")
	b.at(2, goOn)
	if n := b.server.Links(); n != 2 {
		t.Errorf("%d connections are counted, want the 2 that rest", n)
	}
	b.server.CloseBackend(b.pool.Backends()[0], 0)
	if n := b.server.Links(); n != 0 {
		t.Errorf("%d connections are counted, and there is none", n)
	}
}

// TestOthersTakeOfTheLinks: what others have of the descriptors is not HTTP's, but for a quarter.
func TestOthersTakeOfTheLinks(t *testing.T) {
	goOn := make(chan struct{})
	o := weirtest.Serve(t, onWord(goOn))
	var others atomic.Int64
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, links: 8, others: others.Load})
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	open := 0
	for _, tt := range []struct{ others, most int }{{1000, 2}, {6, 2}, {5, 3}, {0, 8}} {
		others.Store(int64(tt.others))
		for ; open < tt.most; open++ {
			send(t, b.dial(), get)
		}
		weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == tt.most }, "those are waiting that may")
		has(t, b.exchange(get), "HTTP/1.1 503 ")
	}
	for range open {
		goOn <- struct{}{}
	}
}

// TestIdleLinksMakeRoom: two backends in turn, and one connection that there may be.
func TestIdleLinksMakeRoom(t *testing.T) {
	one, two := weirtest.Serve(t, answers(repeat(okText, 10)...)), weirtest.Serve(t, answers(repeat(okText, 10)...))
	b := newBed(t, setup{backends: []netip.AddrPort{one.AddrPort(), two.AddrPort()}, links: 1})
	for range 6 {
		if status, body := b.get("/"); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	if a, b := one.Accepted(), two.Accepted(); a != 3 || b != 3 {
		t.Errorf("%d and %d connections, want 3 each", a, b)
	}
}

// TestIdleTrunksMakeRoom: a connection that speaks HTTP/2 is given up after a moment without requests.
func TestIdleTrunksMakeRoom(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	one, _ := server2(t, 100, ok)
	two, _ := server2(t, 100, ok)
	b := newBed(t, setup{backends: []netip.AddrPort{one, two}, links: 1, transport: Transport{HTTP2: OnlyHTTP2}})
	if status, _ := b.get("/"); status != http.StatusOK {
		t.Fatal(status)
	}
	if status, _ := b.get("/"); status != http.StatusServiceUnavailable {
		t.Fatalf("%d over a second connection", status)
	}
	weirtest.Eventually(t, patience, func() bool { return b.server.Links() == 0 }, "the idle one has gone")
	for range 2 {
		if status, _ := b.get("/"); status != http.StatusOK {
			t.Fatal(status)
		}
		weirtest.Eventually(t, patience, func() bool { return b.server.Links() == 0 }, "the idle one has gone")
	}
}
