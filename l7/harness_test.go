package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/upstream"
)

// patience bounds the wait for what happens soon.
const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a server on loops of its own, with what a test needs to look at.
type bed struct {
	t      testing.TB
	server *Server
	front  *Front
	pool   *upstream.Pool
	pools  []*upstream.Pool // further ones
	addr   string
	logged string // path of the access log
	routes []*route.Route[*Router]
	set    FrontSettings
	lb     *LoadBalancer
	svc    *Service
}

// door hands the connections of a listener to a front.
type door struct {
	t     testing.TB
	front *Front
	tls   *Security
	send  int
}

func (d door) Accept(ln *eventloop.Listener, fd int, from netip.AddrPort) {
	if d.send > 0 {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, d.send); err != nil {
			d.t.Error(err)
		}
	}
	s := new(eventloop.Stream)
	if err := s.Open(ln.Loop(), fd, from, nil); err != nil {
		d.t.Errorf("open: %v", err)
		return
	}
	d.front.open(s, d.tls)
}

// setup says what a bed is like; fields left zero take usual values.
type setup struct {
	loops       int
	backends    []netip.AddrPort
	pool        upstream.Options
	transport   Transport
	front       FrontOptions
	middlewares []*Middleware
	security    *Security
	rule        string // of the one route
	rewriteHost bool
	links       int // there may be to backends; 0 = no limit
	others      func() int64
	sendBuffer  int // of the kernel, for each client; 0 = what it likes
}

func newBed(t testing.TB, o setup) *bed {
	t.Helper()
	b := &bed{t: t, logged: filepath.Join(t.TempDir(), "access.log")}
	loops := make([]*eventloop.Loop, max(o.loops, 1))
	gate := eventloop.NewGate(2)
	for i := range loops {
		loop, err := eventloop.New(i, gate, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		loops[i] = loop
		go func() { _ = loop.Run() }()
	}
	log := accesslog.New(nil)
	if err := log.Configure(accesslog.Options{Format: accesslog.JSON, Path: b.logged}); err != nil {
		t.Fatal(err)
	}
	b.server = NewServer(Options{Loops: loops, AccessLog: log, Hostname: "weir-1", MaxLinks: o.links, Others: o.others, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if o.pool.Connect.Timeout == 0 {
		o.pool.Connect = upstream.ConnectOptions{Timeout: 2 * time.Second, Retries: 2}
	}
	if o.pool.Queue.Timeout == 0 {
		o.pool.Queue = upstream.QueueOptions{Limit: 10, Timeout: time.Second}
	}
	if behindHTTP2 {
		o.transport.HTTP2 = OnlyHTTP2
	}
	if o.transport.MaxIdle == 0 {
		o.transport.MaxIdle = 100
	}
	b.pool = upstream.NewPool("svc", nil)
	var members []*upstream.Backend
	for _, addr := range o.backends {
		members = append(members, upstream.NewBackend("svc", upstream.Endpoint{Addr: addr, Weight: 1}))
	}
	b.pool.Update(o.pool, members, time.Now())
	b.lb = &LoadBalancer{Pool: b.pool, Transport: &o.transport, RewriteHost: o.rewriteHost}
	b.svc = b.server.NewService("svc", b.lb)
	f := &o.front
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&f.HandshakeTimeout, patience}, {&f.ReadTimeout, patience}, {&f.KeepAliveTimeout, patience}, {&f.IdleTimeout, patience}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if o.rule == "" {
		o.rule = "PathPrefix(`/`)"
	}
	b.set = FrontSettings{FrontOptions: o.front}
	b.route("main", o.rule, o.middlewares, o.security)
	b.front = b.server.NewFront("web", b.set)
	socket, err := eventloop.OpenSocket(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		t.Fatal(err)
	}
	b.addr = socket.Addr().String()
	for i, loop := range loops {
		if i > 0 {
			if socket, err = eventloop.OpenSocket(netip.MustParseAddrPort(b.addr), false); err != nil {
				t.Fatal(err)
			}
		}
		var ln *eventloop.Listener
		_ = loop.Call(func() { ln, err = loop.Listen(socket, door{t, b.front, o.security, o.sendBuffer}) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = loop.Call(ln.Close) })
	}
	t.Cleanup(func() { b.close(loops, log) })
	return b
}

// close ends everything and wants nothing to be left counted.
func (b *bed) close(loops []*eventloop.Loop, log *accesslog.Writer) {
	b.server.Drain()
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if s := c.stream; s != nil {
				s.Revoke()
			} else if c.x != nil && c.x.tunnel != nil {
				c.x.tunnel.Stop(nil, true)
			}
		})
		w.forEachSession(func(s *session) { s.stream.Revoke() })
		if w.sessions != nil {
			b.t.Errorf("loop %d still has a session", w.loop.ID())
		}
		if len(w.copies) != 0 || w.copied != 0 || w.kept != 0 {
			b.t.Errorf("loop %d still has %d copies of %d bytes, and %d bytes to send again", w.loop.ID(), len(w.copies), w.copied, w.kept)
		}
		if w.first != nil {
			b.t.Errorf("loop %d still has an open connection", w.loop.ID())
		}
		for _, p := range w.places {
			if len(p.trunks) != 0 || p.waiting.count != 0 {
				b.t.Errorf("loop %d still has %d trunks, and %d requests that wait for one", w.loop.ID(), len(p.trunks), p.waiting.count)
			}
			if p.count != 0 {
				b.t.Errorf("loop %d still has %d idle connections", w.loop.ID(), p.count)
			}
		}
	})
	for _, pool := range append(b.pools, b.pool) {
		for _, backend := range pool.Backends() {
			if n := backend.Active(); n != 0 {
				b.t.Errorf("%d requests still count on %s", n, backend.Addr())
			}
		}
	}
	if n := b.server.Panics(); n != 0 {
		b.t.Errorf("%d panics", n)
	}
	b.server.Flush(patience)
	for _, loop := range loops {
		_ = loop.Close()
		<-loop.Done()
	}
	if err := log.Close(b.t.Context()); err != nil && b.t.Context().Err() == nil {
		b.t.Error(err)
	}
}

// balancer is one more load balancer, with a pool of the given name.
func (b *bed) balancer(name string, addrs ...netip.AddrPort) *LoadBalancer {
	b.t.Helper()
	var members []*upstream.Backend
	for _, addr := range addrs {
		members = append(members, upstream.NewBackend(name, upstream.Endpoint{Addr: addr, Weight: 1}))
	}
	pool := upstream.NewPool(name, nil)
	pool.Update(b.pool.Options(), members, time.Now())
	b.pools = append(b.pools, pool)
	return &LoadBalancer{Pool: pool, Transport: b.lb.Transport}
}

// service is one more service, with one load balancer.
func (b *bed) service(name string, addrs ...netip.AddrPort) *Service {
	b.t.Helper()
	return b.server.NewService(name, b.balancer(name, addrs...))
}

// health gives the verdict on all backends of a service with a load balancer.
func (b *bed) health(v *Service, h upstream.Health) {
	b.t.Helper()
	pool := (*v.target.Load()).(*LoadBalancer).Pool
	for _, backend := range pool.Backends() {
		backend.SetHealth(h, time.Now())
	}
	pool.Update(pool.Options(), pool.Backends(), time.Now())
}

// route makes a route to the one service the only one.
func (b *bed) route(name, text string, ms []*Middleware, security *Security) {
	b.t.Helper()
	expr, err := rule.Parse(text)
	if err != nil {
		b.t.Fatal(err)
	}
	r := &Router{Name: name, Service: b.svc, Middlewares: ms, Counters: b.server.NewCounters()}
	b.routes = []*route.Route[*Router]{{Name: name, Rule: expr, Priority: 1, TLS: security != nil, Value: r}}
	if b.set.Table, err = route.NewTable(b.routes); err != nil {
		b.t.Fatal(err)
	}
}

// backend is an HTTP server of the standard library.
func backend(t testing.TB, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if behindHTTP2 {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// raw is a server that speaks for itself.
func raw(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	return weirtest.Serve(t, serve).AddrPort()
}

// answers reads one request after the other and answers each with the next of the given texts, then closes.
func answers(texts ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for _, text := range texts {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, text)
		}
		_, _ = io.Copy(io.Discard, r)
	}
}

func (b *bed) dial() net.Conn {
	b.t.Helper()
	c, err := net.DialTimeout("tcp", b.addr, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// exchange sends text on a fresh connection and returns all that comes back until its end.
func (b *bed) exchange(text string) string {
	b.t.Helper()
	if overHTTP2 {
		return b.exchange2(text)
	}
	c := b.dial()
	if _, err := io.WriteString(c, text); err != nil {
		b.t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		all = fmt.Appendf(all, "[%v]", err)
	}
	return string(all)
}

// client is one that has a connection for each request, or one of HTTP/2.
func (b *bed) client() *http.Client {
	if overHTTP2 {
		spoken++
		return h2client(b.t, nil)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: patience}
}

// get asks for a path on a fresh connection.
func (b *bed) get(path string) (status int, body string) {
	b.t.Helper()
	resp, err := b.client().Get("http://" + b.addr + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// records waits for n whole lines of the access log and returns them; one that is still being written is none.
func (b *bed) records(n int) []string {
	b.t.Helper()
	var lines []string
	weirtest.Eventually(b.t, patience, func() bool {
		b.server.Flush(patience)
		text, _ := os.ReadFile(b.logged)
		lines = strings.SplitAfter(string(text), "\n")
		lines = lines[:len(lines)-1] // what stands behind the last end of line
		return len(lines) >= n
	}, "records are missing")
	return lines
}

func pattern(n int) []byte {
	return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
}

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}
