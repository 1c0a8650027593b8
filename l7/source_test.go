package l7

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// via is a request with lines of X-Forwarded-For.
func via(t testing.TB, lines ...string) *head.Head {
	t.Helper()
	text := "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, line := range lines {
		text += "X-Forwarded-For: " + line + "\r\n"
	}
	var p http1.Parser
	h := new(head.Head)
	if _, err := p.Request([]byte(text+"\r\n"), h); err != nil {
		t.Skip("the parser does not take it") // of a fuzzer
	}
	return h
}

func TestIPStrategy(t *testing.T) {
	const peer = "10.0.0.1"
	for _, tt := range []struct {
		name  string
		s     IPStrategy
		lines []string
		want  string // empty = none
	}{
		{"other end", IPStrategy{}, []string{"192.0.2.1, " + peer}, peer},
		{"depth 1", IPStrategy{Depth: 1}, []string{"192.0.2.3, 192.0.2.2, 192.0.2.1, " + peer}, "192.0.2.1"},
		{"depth 2", IPStrategy{Depth: 2}, []string{"192.0.2.3, 192.0.2.2, 192.0.2.1, " + peer}, "192.0.2.2"},
		{"depth 3", IPStrategy{Depth: 3}, []string{"192.0.2.3, 192.0.2.2, 192.0.2.1, " + peer}, "192.0.2.3"},
		{"depth 4", IPStrategy{Depth: 4}, []string{"192.0.2.3, 192.0.2.2, 192.0.2.1, " + peer}, ""},
		{"several fields", IPStrategy{Depth: 2}, []string{"192.0.2.3, 192.0.2.2", " 192.0.2.1", peer}, "192.0.2.2"},
		{"nobody before weir", IPStrategy{Depth: 1}, []string{peer}, ""},
		{"nothing", IPStrategy{Depth: 1}, nil, ""},
		{"a client with the proxy's address", IPStrategy{Depth: 1}, []string{peer + ", " + peer}, peer},
		{"a name", IPStrategy{Depth: 1}, []string{"unknown, " + peer}, ""},
		{"empty elements", IPStrategy{Depth: 2}, []string{"192.0.2.2,, 192.0.2.1 , ," + peer}, "192.0.2.2"},
		{"with a port", IPStrategy{Depth: 1}, []string{"192.0.2.1:80, " + peer}, "192.0.2.1"},
		{"IPv6", IPStrategy{Depth: 1}, []string{"2001:db8::1, " + peer}, "2001:db8::1"},
		{"IPv6 with a port", IPStrategy{Depth: 1}, []string{"[2001:db8::1]:80, " + peer}, "2001:db8::1"},
		{"IPv4 in IPv6", IPStrategy{Depth: 1}, []string{"::ffff:192.0.2.1, " + peer}, "192.0.2.1"},
		{"subnet", IPStrategy{Depth: 1, IPv6Subnet: 48}, []string{"2001:db8:1:2::3, " + peer}, "2001:db8:1::"},
		{"subnet and IPv4", IPStrategy{IPv6Subnet: 48}, nil, peer},
		{"excluded", IPStrategy{Excluded: prefixes("192.0.2.0/30")}, []string{"198.51.100.1, 192.0.2.7, 192.0.2.1, 192.0.2.2, " + peer}, "192.0.2.7"},
		{"all excluded", IPStrategy{Excluded: prefixes("192.0.2.0/24")}, []string{"192.0.2.7, 192.0.2.1, " + peer}, ""},
		{"excluded, and a name", IPStrategy{Excluded: prefixes("192.0.2.0/24")}, []string{"198.51.100.1, unknown, 192.0.2.1, " + peer}, ""},
		{"excluded, with depth", IPStrategy{Depth: 1, Excluded: prefixes("192.0.2.0/24")}, []string{"198.51.100.1, 192.0.2.1, " + peer}, "192.0.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAddresses(tt.s)
			got := a.of(via(t, tt.lines...), netip.MustParseAddr(peer))
			if want, _ := netip.ParseAddr(tt.want); got != want {
				t.Errorf("%v, want %q", got, tt.want)
			}
		})
	}
}

// FuzzIPStrategy holds the search from the end against one in a list.
func FuzzIPStrategy(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1", 1)
	f.Add("a,,b , [::1]:8, ::1", 2)
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, line string, depth int) {
		if depth < 1 || strings.ContainsAny(line, "\r\n") {
			return
		}
		h := via(t, line)
		a := newAddresses(IPStrategy{Depth: depth})
		got := a.of(h, peer)
		var list []netip.Addr
		for s := range strings.SplitSeq(string(h.Value(head.XForwardedFor)), ",") {
			if s = strings.Trim(s, " \t"); s != "" {
				list = append(list, forwardedAddr([]byte(s)))
			}
		}
		if n := len(list); n > 0 && list[n-1] == peer {
			list = list[:n-1]
		}
		want := netip.Addr{}
		if depth <= len(list) {
			want = list[len(list)-depth]
		}
		if got != want {
			t.Errorf("%q at %d: %v, want %v", line, depth, got, want)
		}
	})
}

func TestIPLists(t *testing.T) {
	deny := func(by IPStrategy, status int, ranges ...string) []*Middleware {
		return []*Middleware{IPDenyList("not", prefixes(ranges...), status, by)}
	}
	allow := func(by IPStrategy, ranges ...string) []*Middleware {
		return []*Middleware{IPAllowListBy("only", prefixes(ranges...), 0, by)}
	}
	one := IPStrategy{Depth: 1}
	const from = "X-Forwarded-For: 192.0.2.1\r\n"
	behave(t, told, []behaviour{
		{name: "denied", m: deny(IPStrategy{}, 0, "192.0.2.0/24", "127.0.0.0/8"), status: 403, record: []string{`"denied"`}},
		{name: "denied, with a status", m: deny(IPStrategy{}, 404, "127.0.0.1/32"), status: 404},
		{name: "not denied", m: deny(IPStrategy{}, 0, "192.0.2.0/24"), request: from},
		{name: "denied behind a proxy", m: deny(one, 0, "192.0.2.0/24"), request: from, trusted: true, status: 403},
		{name: "not denied behind a proxy", m: deny(one, 0, "127.0.0.0/8"), request: from, trusted: true},
		{name: "denied without an address", m: deny(one, 0, "192.0.2.0/24"), request: from, status: 403},
		{name: "allowed behind a proxy", m: allow(one, "192.0.2.0/24"), request: from, trusted: true},
		{name: "not allowed behind a proxy", m: allow(one, "127.0.0.0/8"), request: from, trusted: true, status: 403},
		{name: "allowed by a lie", m: allow(one, "192.0.2.0/24"), request: from, status: 403},
	})
}

func TestRateLimitBy(t *testing.T) {
	by := func(c SourceCriterion) []*Middleware {
		return []*Middleware{RateLimitBy("calm", 1, 1, time.Hour, c, time.Now())}
	}
	one := SourceCriterion{IP: IPStrategy{Depth: 1}}
	get := func(host, extra string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n" + extra + "\r\n" }
	for _, tt := range []struct {
		name     string
		by       SourceCriterion
		requests []string
		want     string // first digits of the statuses
		trusted  bool
	}{
		{"host", SourceCriterion{Host: true}, []string{get("a", ""), get("b", ""), get("A", "")}, "224", false},
		{"header", SourceCriterion{Header: "X-Key"}, []string{get("a", "X-Key: 1\r\n"), get("a", "X-Key: 2\r\n"), get("a", "x-key: 1\r\n"), get("a", ""), get("b", "")}, "22424", false},
		{"address", SourceCriterion{}, []string{get("a", "X-Forwarded-For: 192.0.2.1\r\n"), get("b", "X-Forwarded-For: 192.0.2.2\r\n")}, "24", true},
		{"address of a proxy's client", one, []string{get("a", "X-Forwarded-For: 192.0.2.1\r\n"), get("a", "X-Forwarded-For: 192.0.2.2\r\n"), get("a", "X-Forwarded-For: 192.0.2.2\r\n")}, "224", true},
		{"IPv6 address of a proxy's client", one, []string{get("a", "X-Forwarded-For: 2001:db8::1\r\n"), get("a", "X-Forwarded-For: 2001:db8::2\r\n")}, "24", true},
		{"no such address", one, []string{get("a", "X-Forwarded-For: 192.0.2.1\r\n"), get("a", "X-Forwarded-For: 192.0.2.2\r\n")}, "24", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := FrontOptions{}
			if tt.trusted {
				o.Trusted = prefixes("127.0.0.0/8")
			}
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, told)}, middlewares: by(tt.by), front: o})
			got := ""
			for _, r := range tt.requests {
				got += b.exchange(strings.Replace(r, "\r\n", "\r\nConnection: close\r\n", 1))[len("HTTP/1.1 "):][:1]
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestInFlightReq: a place is given back once, however a request ends.
func TestInFlightReq(t *testing.T) {
	asked, goOn := make(chan struct{}, 8), make(chan struct{})
	addr := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			asked <- struct{}{}
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
		case "/break":
			w.Header().Set("Content-Length", "5")
			panic(http.ErrAbortHandler)
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{InFlightReq("few", 1, SourceCriterion{Host: true})}})
	get := func(path string) string {
		return b.exchange("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	}
	for range 3 {
		has(t, get("/"), "HTTP/1.1 200 ")
		has(t, get("/break"), "HTTP/1.1 502 ")
	}
	for _, way := range ways {
		k := b.talk()
		k.say("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
		<-asked
		has(t, get("/"), "HTTP/1.1 429 ")
		has(t, b.exchange("GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ") // another one
		way.leave(k.conn)
		weirtest.Eventually(t, patience, func() bool { return strings.HasPrefix(get("/"), "HTTP/1.1 200 ") }, "the place of a client that has left is free")
	}
	k := b.talk()
	k.say("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	<-asked
	has(t, get("/"), "HTTP/1.1 429 ")
	close(goOn)
	has(t, k.rest(), "HTTP/1.1 200 ")
	has(t, get("/"), "HTTP/1.1 200 ")
	b.server.each(func(w *worker) {
		for _, x := range w.exchanges {
			if len(x.seats) != 0 {
				t.Error("an exchange that is over has a place")
			}
		}
	})
}

// An upgraded connection has its place until it ends, and a request that is answered behind the limit gives it back.
func TestInFlightReqOfUpgrades(t *testing.T) {
	one := InFlightReq("few", 1, SourceCriterion{})
	addr := raw(t, answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{one}})
	c := b.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	readUntil(t, c, "\r\n\r\n")
	has(t, b.exchange(oneGet), "HTTP/1.1 429 ")
	c.Close()
	b.ended(2, 101, "client", "done")

	inner := newBed(t, setup{middlewares: []*Middleware{one, IPAllowList("nobody", nil, 0)}})
	for range 3 {
		has(t, inner.exchange(oneGet), "HTTP/1.1 403 ")
	}
}
