package l7

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// named answers with its name, and with a status other than 200 if one is given.
func named(t testing.TB, name string, status int) netip.AddrPort {
	t.Helper()
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s %s %s %d", name, r.Method, r.Host, len(body))
	})
}

// mock is a server for choices alone: its loops have numbers and never run.
func mock(t testing.TB, loops int) *Server {
	t.Helper()
	var list []*eventloop.Loop
	for i := range loops {
		loop, err := eventloop.New(i, eventloop.NewGate(1), nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, loop)
		go func() { _ = loop.Run() }()
		t.Cleanup(func() { _ = loop.Close(); <-loop.Done() })
	}
	return NewServer(Options{Loops: list})
}

// leaf is a target with a fixed offer.
type leaf struct {
	offer offer
	asked int
	lb    LoadBalancer
}

func (l *leaf) choose(*Exchange) choice {
	l.asked++
	if l.offer == nothing {
		return choice{}
	}
	return choice{offer: l.offer, lb: &l.lb}
}

func (s *Server) leaves(offers ...offer) (services []*Service) {
	for i, o := range offers {
		services = append(services, s.NewService(fmt.Sprint("leaf-", i), &leaf{offer: o}))
	}
	return services
}

func TestFew(t *testing.T) {
	var f few[int]
	for i := range maxNests + 2 {
		f.add(i)
	}
	if f.n != maxNests || f.of[maxNests-1] != maxNests-1 {
		t.Errorf("%+v", f)
	}
}

// TestWeightedShares: on each loop every prefix of the turns gives each child its share, rounded down or up, and children
// that offer less than others get nothing.
func TestWeightedShares(t *testing.T) {
	s := mock(t, 2)
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 70).Draw(rt, "weights")
		var children []Child
		sum := 0
		services := s.leaves(make([]offer, len(weights))...)
		for i, w := range weights {
			(*services[i].target.Load()).(*leaf).offer = sound
			children = append(children, Child{services[i], w})
			sum += w
		}
		v := s.NewService("weighted", s.NewWeighted(children, nil))
		x := &Exchange{worker: s.workers[rapid.IntRange(0, 1).Draw(rt, "loop")]}
		got := map[string]int{}
		for range 2 * sum {
			got[x.ask(v).service.Name()]++
		}
		for i, w := range weights {
			if n := got[services[i].Name()]; n != 2*w {
				rt.Fatalf("child %d of weight %d has %d of %d turns", i, w, n, 2*sum)
			}
		}
		if sum == 0 && x.ask(v).offer != nothing {
			rt.Fatal("an offer without any weight")
		}
		alive := rapid.IntRange(0, len(weights)-1).Draw(rt, "alive")
		for i, v := range services {
			l := (*v.target.Load()).(*leaf)
			if l.asked = 0; i != alive {
				l.offer = rapid.SampledFrom([]offer{nothing, panicky}).Draw(rt, "offer")
			}
		}
		c := x.ask(v)
		if weights[alive] > 0 && (c.offer != sound || c.service != services[alive]) {
			rt.Fatalf("offer %d instead of the one sound child's", c.offer)
		}
		for i, v := range services[:min(64, len(services))] {
			if n := (*v.target.Load()).(*leaf).asked; n > 1 {
				rt.Fatalf("child %d was asked %d times for one request", i, n)
			}
		}
	})
}

// client is an exchange of a client that has that address, good for choices alone.
func client(s *Server, ip netip.Addr) *Exchange {
	stream := new(eventloop.Stream)
	stream.SetRemote(netip.AddrPortFrom(ip, 1234))
	return &Exchange{worker: s.workers[0], conn: &conn{stream: stream}}
}

// TestHighestRandomWeight: clients go to children in proportion to weight, always to the same one, and when one is lost
// only its clients move.
func TestHighestRandomWeight(t *testing.T) {
	s := mock(t, 1)
	weights := []int{1, 2, 0, 5}
	services := s.leaves(sound, sound, sound, sound)
	var children []Child
	for i, w := range weights {
		children = append(children, Child{services[i], w})
	}
	v := s.NewService("hrw", NewHighestRandomWeight(children))
	const clients = 8000
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	first := make([]*Service, clients)
	got := map[*Service]int{}
	for i := range first {
		first[i] = chosen(s, v, address(i))
		got[first[i]]++
	}
	for i, w := range weights {
		if want := clients * w / 8; got[services[i]] < want*9/10 || got[services[i]] > want*11/10 {
			t.Errorf("child %d of weight %d has %d of %d clients", i, w, got[services[i]], clients)
		}
	}
	(*services[1].target.Load()).(*leaf).offer = panicky
	for i, before := range first {
		now := chosen(s, v, address(i))
		if before != services[1] && now != before {
			t.Fatalf("client %d has moved from %s to %s", i, before.Name(), now.Name())
		}
		if now == services[1] {
			t.Fatalf("client %d is at the child that is down", i)
		}
	}
	for _, v := range services {
		(*v.target.Load()).(*leaf).offer = panicky
	}
	if now := chosen(s, v, address(0)); now != first[0] {
		t.Error("with all down a client has moved")
	}
	if c := client(s, address(0)).ask(s.NewService("none", NewHighestRandomWeight(nil))); c.offer != nothing {
		t.Error("an offer without children")
	}
}

// chosen is the service that is chosen for a client.
func chosen(s *Server, v *Service, ip netip.Addr) *Service { return client(s, ip).ask(v).service }

func TestFailoverChoice(t *testing.T) {
	s := mock(t, 1)
	for _, tt := range []struct {
		main, fallback offer
		want           int // 0 = main
	}{
		{sound, sound, 0}, {sound, nothing, 0}, {panicky, sound, 1}, {panicky, panicky, 0}, {panicky, nothing, 0},
		{nothing, panicky, 1}, {nothing, sound, 1},
	} {
		t.Run(fmt.Sprint(tt.main, tt.fallback), func(t *testing.T) {
			services := s.leaves(tt.main, tt.fallback)
			v := s.NewService("failover", &Failover{Main: services[0], Fallback: services[1], Errors: &Errors{}})
			c := client(s, netip.IPv4Unspecified()).ask(v)
			if c.service != services[tt.want] || c.failovers.n != 1-tt.want {
				t.Errorf("%s with %d failovers", c.service.Name(), c.failovers.n)
			}
		})
	}
}

// TestServiceWithoutTarget: one that is still to be filled offers nothing.
func TestServiceWithoutTarget(t *testing.T) {
	s := mock(t, 1)
	v := s.NewService("new", nil)
	if c := client(s, netip.IPv4Unspecified()).ask(v); c.offer != nothing || c.service != v {
		t.Errorf("%+v", c)
	}
	v.Set(&leaf{offer: sound})
	if c := client(s, netip.IPv4Unspecified()).ask(v); c.offer != sound {
		t.Errorf("%+v", c)
	}
}

// TestTangledServices: services above themselves, as a reload may make them for a moment, end in no offer, and soon.
func TestTangledServices(t *testing.T) {
	s := mock(t, 1)
	a, b := s.NewService("a", &leaf{}), s.NewService("b", &leaf{})
	var children []Child
	for range 100 {
		children = append(children, Child{b, 1}, Child{a, 1})
	}
	a.Set(s.NewWeighted(children, nil))
	b.Set(&Failover{Main: a, Fallback: a})
	c := client(s, netip.IPv4Unspecified())
	if got := c.ask(a); got.offer != nothing {
		t.Errorf("offer %d", got.offer)
	}
	if got := c.ask(s.leaves(sound)[0]); got.offer != sound {
		t.Error("the next choice is spoilt")
	}
}

func TestChoosingDoesNotAllocate(t *testing.T) {
	s := mock(t, 1)
	leaves := s.leaves(nothing, panicky, sound)
	var pools []*Service
	for i, health := range []upstream.Health{upstream.Down, upstream.Up} {
		p := upstream.NewPool("p", nil)
		member := upstream.NewBackend("p", upstream.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Weight: 1})
		member.SetHealth(health, time.Now())
		p.Update(upstream.Options{}, []*upstream.Backend{member}, time.Now())
		pools = append(pools, s.NewService(fmt.Sprint("pool-", i), &LoadBalancer{Pool: p}))
	}
	w := s.NewService("w", s.NewWeighted([]Child{{pools[0], 3}, {leaves[0], 1}, {pools[1], 1}}, nil))
	h := s.NewService("h", NewHighestRandomWeight([]Child{{leaves[0], 3}, {w, 1}}))
	m := s.NewService("m", &Mirror{Main: h})
	v := s.NewService("f", &Failover{Main: m, Fallback: leaves[0]})
	c := client(s, netip.MustParseAddr("192.0.2.1"))
	if n := testing.AllocsPerRun(100, func() { c.ask(v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := c.ask(v); got.service != pools[1] || got.mirror == nil {
		t.Errorf("%s", got.service.Name())
	}
}

func TestWeightedEndToEnd(t *testing.T) {
	b := newBed(t, setup{})
	one, two := b.service("one", named(t, "one", 200)), b.service("two", named(t, "two", 200))
	b.svc.Set(b.server.NewWeighted([]Child{{one, 1}, {two, 3}}, nil))
	got := map[string]int{}
	for range 8 {
		_, body := b.get("/")
		got[strings.Fields(body)[0]]++
	}
	if got["one"] != 2 || got["two"] != 6 {
		t.Errorf("%v", got)
	}
	// A client has its answer a moment before it is counted and then recorded.
	has(t, strings.Join(b.records(8), "\n"), `"ServiceName":"one"`, `"ServiceName":"two"`)
	if n := b.svc.Stats().Requests[2]; n != 8 {
		t.Errorf("the router's service counts %d", n)
	}
	if n := two.Stats().Requests[2]; n != 6 {
		t.Errorf("the child counts %d", n)
	}
	b.health(two, upstream.Down)
	if _, body := b.get("/"); !strings.HasPrefix(body, "one ") {
		t.Errorf("%s", body)
	}
	b.health(one, upstream.Down)
	if status, _ := b.get("/"); status != 503 {
		t.Errorf("status %d with all down", status)
	}
}

// failover makes the bed's service fail over from one backend to another when it is answered with 500 to 599 or 404.
func (b *bed) failover(maxBody int64, main, fallback netip.AddrPort) (*Service, *Service) {
	b.t.Helper()
	e := &Errors{MaxBody: maxBody}
	e.Statuses.Add(500, 599)
	e.Statuses.Add(404, 404)
	m, f := b.service("main", main), b.service("fallback", fallback)
	b.svc.Set(&Failover{Main: m, Fallback: f, Errors: e})
	return m, f
}

func TestFailoverByStatus(t *testing.T) {
	for _, tt := range []struct {
		name          string
		main          int
		body          int
		chunked       bool
		maxBody       int64
		status, wants int // of the answer; bytes of body that its server has seen
		by            string
	}{
		{"good", 200, 10, false, -1, 200, 10, "main"},
		{"not named", 403, 10, false, -1, 403, 10, "main"},
		{"named, without body", 503, 0, false, -1, 200, 0, "fallback"},
		{"named alone", 404, 0, false, -1, 200, 0, "fallback"},
		{"with body", 500, 10, false, -1, 200, 10, "fallback"},
		{"with large body", 500, 1 << 20, false, -1, 200, 1 << 20, "fallback"},
		{"with too large a body", 500, 1<<20 + 1, false, -1, 500, 1<<20 + 1, "main"},
		{"chunked", 500, 300_000, true, -1, 200, 300_000, "fallback"},
		{"chunked, too large", 500, 300_000, true, 200_000, 500, 300_000, "main"},
		{"none kept", 500, 1, false, 0, 500, 1, "main"},
		{"none kept, without body", 500, 0, false, 0, 200, 0, "fallback"},
		{"largest that is kept", 500, 100, false, 100, 200, 100, "fallback"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{})
			main, fallback := b.failover(tt.maxBody, named(t, "main", tt.main), named(t, "fallback", 200))
			var body io.Reader = bytes.NewReader(pattern(tt.body))
			if tt.chunked {
				body = io.MultiReader(body)
			}
			resp, err := b.client().Post("http://"+b.addr+"/", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("%s POST %s %d", tt.by, b.addr, tt.wants); resp.StatusCode != tt.status || string(text) != want {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, text, tt.status, want)
			}
			b.records(1)
			if n := main.Stats().Requests[tt.main/100]; n != 1 {
				t.Errorf("main counts %v", main.Stats().Requests)
			}
			if n := fallback.Stats().Requests[2]; (n == 1) != (tt.by == "fallback") {
				t.Errorf("fallback counts %v", fallback.Stats().Requests)
			}
			if n := b.svc.Stats().Requests[tt.status/100]; n != 1 {
				t.Errorf("the router's service counts %v", b.svc.Stats().Requests)
			}
		})
	}
}

// TestFailoverWhileUploading: the main service answers before it has the body; the fallback gets what was sent and what
// still comes.
func TestFailoverWhileUploading(t *testing.T) {
	early := raw(t, func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 1024)
		seen := []byte{}
		for !bytes.Contains(seen, []byte("hello")) {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			seen = append(seen, buf[:n]...)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\nmore would come")
		_, _ = io.Copy(io.Discard, c)
	})
	gotHead := make(chan struct{})
	b := newBed(t, setup{})
	b.failover(-1, early, backend(t, func(w http.ResponseWriter, r *http.Request) {
		close(gotHead)
		echo(w, r)
	}))
	k := b.talk()
	k.say("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 11\r\n\r\nhello")
	<-gotHead
	k.say(" world")
	has(t, k.rest(), "HTTP/1.1 200 OK\r\n", `body="hello world"`)
}

// TestFailoverWithoutResponse: what weir itself would answer for a service counts as its answer.
func TestFailoverWithoutResponse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"gone", func(c net.Conn) { c.Close() }},
		{"nonsense", answers("HTTP/9 hello\r\n\r\n")},
		{"silent", func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{transport: Transport{ResponseTimeout: 500 * time.Millisecond}, front: FrontOptions{ReadTimeout: time.Second}})
			b.failover(-1, raw(t, tt.serve), named(t, "fallback", 200))
			has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
				"HTTP/1.1 200 OK\r\n", "fallback POST a 5")
		})
	}
}

// TestFailoversNest: the innermost that names a status is next, then those above it; without any way out the response stays.
func TestFailoversNest(t *testing.T) {
	b := newBed(t, setup{})
	first, second, third := b.service("first", named(t, "first", 500)), b.service("second", named(t, "second", 502)), b.service("third", named(t, "third", 503))
	all := &Errors{}
	all.Statuses.Add(0, 1000)
	inner := b.server.NewService("inner", &Failover{Main: first, Fallback: second, Errors: all})
	b.svc.Set(&Failover{Main: inner, Fallback: third, Errors: all})
	if status, body := b.get("/"); status != 503 || !strings.HasPrefix(body, "third ") {
		t.Errorf("%d %s", status, body)
	}
	has(t, b.records(1)[0], `"RetryAttempts":2`, `"ServiceName":"third"`)
	b.health(third, upstream.Down)
	if status, body := b.get("/"); status != 502 || !strings.HasPrefix(body, "second ") {
		t.Errorf("%d %s", status, body)
	}
	b.health(second, upstream.Down)
	if status, body := b.get("/"); status != 500 || !strings.HasPrefix(body, "first ") {
		t.Errorf("%d %s", status, body)
	}
}

// rewriting is a service's load balancer with RewriteHost.
func rewriting(v *Service) *LoadBalancer {
	lb := *(*v.target.Load()).(*LoadBalancer)
	lb.RewriteHost = true
	return &lb
}

// TestFailoverRestoresHost: a service that calls servers by their own name does not spoil the name for the next one.
func TestFailoverRestoresHost(t *testing.T) {
	b := newBed(t, setup{})
	main, _ := b.failover(-1, named(t, "main", 500), named(t, "fallback", 200))
	main.Set(rewriting(main))
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"), "fallback GET shop.test 0")
}

// TestFailoverKeepsConnections: a short response that is dropped leaves the connection good.
func TestFailoverKeepsConnections(t *testing.T) {
	var opened atomic.Int64
	busy := answers("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
	b := newBed(t, setup{})
	b.failover(-1, raw(t, func(c net.Conn) { opened.Add(1); busy(c) }), named(t, "fallback", 200))
	for range 3 {
		if status, _ := b.get("/"); status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestStatuses(t *testing.T) {
	var s Statuses
	for _, r := range [][2]int{{500, 502}, {404, 404}, {-5, 99}, {999, 2000}, {503, 499}} {
		s.Add(r[0], r[1])
	}
	for code := -10; code < 1100; code++ {
		want := code >= 500 && code <= 502 || code == 404 || code == 999
		if s.Has(code) != want {
			t.Errorf("Has(%d) = %v", code, !want)
		}
	}
}

// collector is a backend that keeps what it has been asked.
func collector(t testing.TB, seen chan<- string) netip.AddrPort {
	t.Helper()
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- fmt.Sprintf("%s %s %s expect=%q te=%v %d %d", r.Method, r.RequestURI, r.Host, r.Header.Get("Expect"), r.TransferEncoding, r.ContentLength, len(body))
		w.WriteHeader(201)
		_, _ = w.Write(pattern(100_000))
	})
}

func TestMirror(t *testing.T) {
	for _, tt := range []struct {
		name, request, want string
		withBody            bool
		maxBody             int64
	}{
		{"no body", "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", `GET /a?b a expect="" te=[] 0 0`, true, -1},
		{"body", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", `POST /a a expect="" te=[] 5 5`, true, -1},
		{"chunked", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `POST /a a expect="" te=[chunked] -1 5`, true, -1},
		{"expect", "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", `POST /a a expect="" te=[] 5 5`, true, -1},
		{"without its body", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", `POST /a a expect="" te=[] 0 0`, false, 0},
		{"body too long", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "", true, 4},
		{"no body may be kept", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "", true, 0},
		{"chunked body too long", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "", true, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{})
			seen := make(chan string, 10)
			main, copies := b.service("main", backend(t, echo)), b.service("copies", collector(t, seen))
			main.Set(rewriting(main)) // which copies do not inherit
			b.svc.Set(&Mirror{Main: main, Mirrors: []Reflection{{copies, 100}}, Body: tt.withBody, MaxBody: tt.maxBody})
			end := "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"
			has(t, b.exchange(tt.request+end), "HTTP/1.1 200 OK\r\n", "/end")
			want := []string{`GET /end end expect="" te=[] 0 0`}
			if tt.want != "" {
				want = append(want, tt.want)
			}
			got := map[string]bool{}
			for range want {
				got[<-seen] = true
			}
			for _, w := range want {
				if !got[w] {
					t.Errorf("%q is missing in %v", w, got)
				}
			}
			weirtest.Eventually(t, patience, func() bool { return copies.Stats().Requests[2] == int64(len(want)) }, "copies are not counted")
			if out := copies.Stats().Out; out < int64(len(want))*100_000 {
				t.Errorf("%d bytes came back", out)
			}
			if n := len(seen); n != 0 {
				t.Errorf("%d more copies", n)
			}
		})
	}
}

// TestMirrorPercent: of any number of requests in a row each mirror gets its part, rounded down or up.
func TestMirrorPercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.IntRange(-5, 110).Draw(t, "percent")
		m := &Mirror{Mirrors: []Reflection{{nil, 100}, {nil, percent}}}
		m.seen.Store(rapid.Uint64Range(0, 1000).Draw(t, "before"))
		n, got := rapid.IntRange(1, 1000).Draw(t, "requests"), 0
		for range n {
			bits := m.turns()
			if bits&1 == 0 {
				t.Fatal("a mirror of all requests has missed one")
			}
			got += int(bits >> 1)
		}
		share := float64(n*min(max(percent, 0), 100)) / 100
		if d := float64(got) - share; d <= -1 || d >= 1 {
			t.Fatalf("%d of %d at %d percent", got, n, percent)
		}
	})
}

// TestMirrorNeverHarms: mirrors that are down, refuse, hang or talk nonsense cost the client nothing.
func TestMirrorNeverHarms(t *testing.T) {
	closed := netip.MustParseAddrPort(weirtest.Refused(t))
	hang := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	for _, tt := range []struct {
		name   string
		addr   netip.AddrPort
		health upstream.Health
		class  int  // of the mirror's counters
		silent bool // until its time is over
	}{
		{"down", hang, upstream.Down, 5, false},
		{"refusing", closed, upstream.Up, 5, false},
		{"hanging", hang, upstream.Up, 5, true},
		{"leaving", raw(t, func(c net.Conn) { c.Close() }), upstream.Up, 5, false},
		{"nonsense", raw(t, answers("what?\r\n\r\n")), upstream.Up, 5, false},
		{"cut", raw(t, func(c net.Conn) { answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")(c) }), upstream.Up, 5, true},
		{"switching", raw(t, answers("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")), upstream.Up, 5, false},
		{"interim", raw(t, answers("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")), upstream.Up, 2, false},
		{"until close", raw(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
			c.Close()
		}), upstream.Up, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timeout := patience
			if tt.silent {
				timeout = 50 * time.Millisecond
			}
			b := newBed(t, setup{transport: Transport{ResponseTimeout: timeout}})
			main, copies := b.service("main", backend(t, echo)), b.service("copies", tt.addr)
			b.health(copies, tt.health)
			b.svc.Set(&Mirror{Main: main, Mirrors: []Reflection{{copies, 100}}})
			if status, body := b.get("/x"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
			weirtest.Eventually(t, patience, func() bool { return copies.Stats().Requests[tt.class] == 1 }, "the copy has not ended as it should")
		})
	}
}

// TestMirrorIsBounded: copies that hang are only so many; the rest is left out, and counted.
func TestMirrorIsBounded(t *testing.T) {
	hang := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	b := newBed(t, setup{})
	main, copies := b.service("main", backend(t, echo)), b.service("copies", hang)
	b.svc.Set(&Mirror{Main: main, Mirrors: []Reflection{{copies, 100}}})
	c := b.dial()
	go func() {
		_, _ = io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", maxCopies+7)+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	}()
	all, err := io.ReadAll(c)
	if n := bytes.Count(all, []byte("HTTP/1.1 200 OK")); n != maxCopies+8 {
		t.Errorf("%d answers, %v", n, err)
	}
	if n := copies.Stats().Dropped; n != 8 {
		t.Errorf("%d copies dropped", n)
	}
	hanging := (*copies.target.Load()).(*LoadBalancer).Pool.Backends()[0]
	b.server.CloseBackend(hanging, 0)
	if n := hanging.Active(); n != 0 {
		t.Errorf("%d copies outlive their backend", n)
	}
}

// TestMirrorOverTLS: copies go over TLS where the mirror's servers speak it.
func TestMirrorOverTLS(t *testing.T) {
	seen := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.RequestURI }))
	server.StartTLS()
	t.Cleanup(server.Close)
	b := newBed(t, setup{})
	lb := b.balancer("copies", server.Listener.Addr().(*net.TCPAddr).AddrPort())
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	lb.Transport = &Transport{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}, MaxIdle: 1}
	copies := b.server.NewService("copies", lb)
	b.svc.Set(&Mirror{Main: b.service("main", backend(t, echo)), Mirrors: []Reflection{{copies, 100}}})
	if status, _ := b.get("/secret"); status != 200 {
		t.Errorf("status %d", status)
	}
	if got := <-seen; got != "/secret" {
		t.Errorf("%q", got)
	}
	weirtest.Eventually(t, patience, func() bool { return copies.Stats().Requests[2] == 1 }, "the copy is not counted")
}

// TestMirrorReusesConnections: copies go over connections that rest.
func TestMirrorReusesConnections(t *testing.T) {
	var opened atomic.Int64
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	b := newBed(t, setup{})
	main := b.service("main", backend(t, echo))
	copies := b.service("copies", raw(t, func(c net.Conn) { opened.Add(1); answers(ok, ok, ok)(c) }))
	b.svc.Set(&Mirror{Main: main, Mirrors: []Reflection{{copies, 100}}})
	for i := range 3 {
		b.get("/")
		weirtest.Eventually(t, patience, func() bool { return copies.Stats().Requests[2] == int64(i+1) }, "a copy is missing")
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 3 copies", n)
	}
}

// TestReplayBudget: where a loop keeps as much as it may, a request gets the response it has got.
func TestReplayBudget(t *testing.T) {
	b := newBed(t, setup{})
	b.failover(-1, named(t, "main", 500), named(t, "fallback", 200))
	w := b.server.workers[0]
	post := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
	_ = w.loop.Call(func() { w.kept = maxKept - 4 })
	has(t, b.exchange(post), "HTTP/1.1 500", "main POST a 5")
	_ = w.loop.Call(func() { w.kept = maxKept - 5 })
	has(t, b.exchange(post), "HTTP/1.1 200", "fallback POST a 5")
	_ = w.loop.Call(func() { w.kept -= maxKept - 5 })
}

// TestFailoverWhenBackendIsClosed: a request whose backend is taken away goes to the fallback.
func TestFailoverWhenBackendIsClosed(t *testing.T) {
	asked := make(chan struct{})
	b := newBed(t, setup{})
	main, _ := b.failover(-1, raw(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1000))
		close(asked)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	}), named(t, "fallback", 200))
	got := make(chan string)
	c := b.dial()
	go func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
		all, _ := io.ReadAll(c)
		got <- string(all)
	}()
	<-asked
	b.server.CloseBackend((*main.target.Load()).(*LoadBalancer).Pool.Backends()[0], accesslog.BackendDown)
	has(t, <-got, "HTTP/1.1 200 OK", "fallback POST a 5")
}

func BenchmarkChoose(b *testing.B) {
	s := mock(b, 1)
	leaves := s.leaves(sound, sound, sound, sound)
	for name, target := range map[string]Target{
		"weighted": s.NewWeighted([]Child{{leaves[0], 3}, {leaves[1], 2}, {leaves[2], 1}}, nil),
		"hrw":      NewHighestRandomWeight([]Child{{leaves[0], 3}, {leaves[1], 2}, {leaves[2], 1}}),
		"failover": &Failover{Main: leaves[0], Fallback: leaves[1]},
		"mirror":   &Mirror{Main: leaves[0]},
	} {
		b.Run(name, func(b *testing.B) {
			v, x := s.NewService("v", target), client(s, netip.MustParseAddr("192.0.2.1"))
			b.ReportAllocs()
			for b.Loop() {
				x.ask(v)
			}
		})
	}
}

func TestBackendBehindUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.URL) })}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-done })
	b := newBed(t, setup{backends: []netip.AddrPort{upstream.UnixAddr(path)}, rewriteHost: true})
	for range 3 {
		if status, body := b.get("/x"); status != 200 || body != "localhost /x" {
			t.Errorf("%d %q", status, body)
		}
	}
	weirtest.Eventually(t, patience, func() bool { return b.server.Idle(b.pool.Backends()[0]) == 1 }, "not one connection that all requests used")
	has(t, b.records(3)[2], `"ServiceAddr":"unix:`+path+`"`, `"ServiceURL":"unix:`+path+`"`, `"UpstreamReused":true`)
}
