package l4

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

const patience = 10 * time.Second

// unhurried is a timeout that must run out in a test which has something to do before: no machine is so busy that it takes longer.
const unhurried = time.Second

// bench is a running server with an access log, and what tests ask of it.
type bench struct {
	*Server
	t       testing.TB
	logPath string
	seen    map[int]bool // lines of the access log that were asked for
	writer  *accesslog.Writer

	panics      int64 // how many the test provokes
	entrypoints []*Entrypoint
	services    []*Service
	pools       []*upstream.Pool
}

func newBench(t testing.TB, maxConnections int) *bench {
	t.Helper()
	b := &bench{t: t, logPath: filepath.Join(t.TempDir(), "access.log"), seen: map[int]bool{}, writer: accesslog.New(nil)}
	if err := b.writer.Configure(accesslog.Options{Format: accesslog.JSON, Path: b.logPath}); err != nil {
		t.Fatal(err)
	}
	var err error
	b.Server, err = NewServer(Options{Loops: 2, MaxConnections: maxConnections, AccessLog: b.writer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.writer.Close(ctx); err != nil {
			t.Error(err)
		}
		b.checkBooks()
		if t.Failed() {
			content, _ := os.ReadFile(b.logPath)
			t.Logf("access log:\n%.20000s", content)
		}
	})
	return b
}

// checkBooks holds what must be so when all is over: nothing is counted as open anywhere, and the access log has one line
// for each connection, with the reason for which it was counted. Those turned away at the door have none.
func (b *bench) checkBooks() {
	b.t.Helper()
	if n := b.Active(); n != 0 {
		b.t.Errorf("%d connections are still counted after the end", n)
	}
	if n := b.Panics(); n != b.panics {
		b.t.Errorf("%d handlers panicked, want %d", n, b.panics)
	}
	var ended, logged [accesslog.NumReasons]int64
	for _, e := range b.entrypoints {
		stats := e.Stats()
		if e.Active() != 0 || stats.Active != 0 {
			b.t.Errorf("entrypoint still has %d connections open by count, %d by sum", e.Active(), stats.Active)
		}
		for reason, n := range stats.Ended {
			ended[reason] += n
		}
	}
	for _, v := range b.services {
		if n := v.Stats().Active; n != 0 {
			b.t.Errorf("service still has %d connections open", n)
		}
	}
	for _, pool := range b.pools {
		if n := pool.Stats().Waiting; n != 0 {
			b.t.Errorf("%d connections still wait for a slot", n)
		}
		for _, backend := range pool.Backends() {
			if n := backend.Active(); n != 0 {
				b.t.Errorf("backend %s still has %d connections open", backend.Addr(), n)
			}
		}
	}
	for _, line := range b.lines() {
		for reason := range logged {
			if line["Reason"] == accesslog.Reason(reason).String() {
				logged[reason]++
			}
		}
	}
	ended[accesslog.Limit] = min(ended[accesslog.Limit], logged[accesslog.Limit])
	if diff := cmp.Diff(ended, logged); diff != "" {
		b.t.Errorf("connections by reason, counted (-) and logged (+):\n%s", diff)
	}
}

// lines reads the access log.
func (b *bench) lines() (lines []map[string]any) {
	content, _ := os.ReadFile(b.logPath)
	for text := range strings.Lines(string(content)) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil { // the last one may be half written
			lines = append(lines, line)
		}
	}
	return lines
}

// phases counts the open sessions by how far they have come.
func (b *bench) phases() map[phase]int {
	n := make(map[phase]int)
	b.forEach(func(c *session) { n[c.phase]++ })
	return n
}

// awaitPhase waits until n sessions are in a phase.
func (b *bench) awaitPhase(p phase, n int) {
	b.t.Helper()
	weirtest.Eventually(b.t, patience, func() bool { return b.phases()[p] == n }, fmt.Sprintf("no %d sessions come to phase %d", n, p))
}

// pool makes a service over backends.
func (b *bench) pool(o upstream.Options, addrs ...string) (*Service, *upstream.Pool) {
	b.t.Helper()
	var endpoints []upstream.Endpoint
	for _, addr := range addrs {
		endpoints = append(endpoints, upstream.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: 1})
	}
	return b.service(o, endpoints...)
}

func (b *bench) service(o upstream.Options, endpoints ...upstream.Endpoint) (*Service, *upstream.Pool) {
	b.t.Helper()
	if o.Connect.Timeout == 0 {
		o.Connect.Timeout = patience
	}
	var backends []*upstream.Backend
	for _, e := range endpoints {
		backends = append(backends, upstream.NewBackend("svc", e))
	}
	pool := upstream.NewPool("svc", nil)
	pool.Update(o, backends, time.Now())
	v := b.NewService("svc", pool)
	b.pools, b.services = append(b.pools, pool), append(b.services, v)
	return v, pool
}

// open starts an entrypoint on a free port and returns its address.
func (b *bench) open(o EntrypointOptions, t *Table) (*Entrypoint, string) {
	b.t.Helper()
	if o.SniffTimeout == 0 {
		o.SniffTimeout = patience
	}
	sockets, err := b.Bind([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		b.t.Fatal(err)
	}
	addr := sockets.Addrs()[0].String()
	e, err := b.Open("ep", sockets, o, t)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(e.Close)
	b.entrypoints = append(b.entrypoints, e)
	return e, addr
}

// catchAll is a plain route for everything.
func (b *bench) catchAll(v *Service, ms ...Middleware) *Route {
	r := routeOf(b.t, "rest", "HostSNI(`*`)", 0, NoTLS)
	r.Service, r.Middlewares = v, ms
	return r
}

func (b *bench) passthrough(host string, v *Service) *Route {
	r := routeOf(b.t, "tls-"+host, "HostSNI(`"+host+"`)", 0, Passthrough)
	r.Service = v
	return r
}

// wantReason waits for a line of the access log with the reason that no earlier call has seen. Lines of different loops
// come in any order.
func (b *bench) wantReason(want ...accesslog.Reason) (line map[string]any) {
	b.t.Helper()
	var words []string
	for _, reason := range want {
		words = append(words, reason.String())
	}
	weirtest.Eventually(b.t, patience, func() bool {
		for i, l := range b.lines() {
			if word, _ := l["Reason"].(string); !b.seen[i] && slices.Contains(words, word) {
				b.seen[i], line = true, l
				return true
			}
		}
		return false
	}, "the access log has no line that says "+strings.Join(words, " or "))
	return line
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, conn io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// finish ends a connection as a polite client does: it says its end and waits for the server's.
func finish(t testing.TB, conn net.Conn) {
	t.Helper()
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("the server's end comes as %q, %v", rest, err)
	}
	conn.Close()
}

// expectGone reads until the connection is over, which must not take forever.
func expectGone(t testing.TB, conn net.Conn) (read []byte) {
	t.Helper()
	read, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is still open")
	}
	return read
}

// expectRefused connects and wants the connection to end without a byte. A reset may even be faster than connect(2).
func expectRefused(t testing.TB, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if got := expectGone(t, conn); len(got) != 0 {
		t.Errorf("served %q", got)
	}
}

func TestRelayOfAServerThatSpeaksFirst(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Greet("hello\n")).Addr)
	e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))

	conn := dial(t, addr)
	expect(t, conn, "hello\n")
	conn.Close()
	b.wantReason(accesslog.Done)
	if got := e.Stats(); got.Opened != 1 || got.Active != 0 || got.BytesOut != 6 {
		t.Errorf("entrypoint counts %+v", got)
	}
	if got := v.Stats(); got.Opened != 1 || got.Active != 0 || got.BytesOut != 6 {
		t.Errorf("service counts %+v", got)
	}
}

func TestHalfClose(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.AnswerAfterEOF(50*time.Millisecond)).Addr)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	weirtest.CheckHalfClose(t, dial(t, addr), []byte("a request, and then the end"))
	b.wantReason(accesslog.Done)
}

func TestRoutesTLSByName(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	one, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("one.test"), weirtest.Who("one")).Addr)
	two, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("two.test"), weirtest.Who("two")).Addr)
	rest, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Who("rest")).Addr)
	table := mustTable(t, b.passthrough("one.test", one), b.passthrough("two.test", two), b.catchAll(rest))
	_, addr := b.open(EntrypointOptions{}, table)

	for _, name := range []string{"one", "two"} {
		conn := tls.Client(dial(t, addr), &tls.Config{ServerName: name + ".test", RootCAs: ca.Pool()})
		if err := conn.Handshake(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, name) {
			t.Errorf("%s.test answers %q, %v", name, line, err)
		}
		conn.Close()
	}

	// A name nobody wants is refused by the alert RFC 6066 names.
	err := tls.Client(dial(t, addr), &tls.Config{ServerName: "three.test", InsecureSkipVerify: true}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("unknown name: %v, want unrecognized_name", err)
	}

	// A backend that is not there is told by an alert too: a reset would leave the client's library without words.
	dead, _ := b.pool(upstream.Options{}, weirtest.Refused(t))
	_, deadAddr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("one.test", dead)))
	err = tls.Client(dial(t, deadAddr), &tls.Config{ServerName: "one.test", InsecureSkipVerify: true}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("backend refused: %v, want internal_error", err)
	}
	b.wantReason(accesslog.Refused)

	// A client that says nothing falls to the plain catch-all when the time for looking is over.
	_, hasty := b.open(EntrypointOptions{SniffTimeout: 50 * time.Millisecond}, table)
	line, err := bufio.NewReader(dial(t, hasty)).ReadString('\n')
	if err != nil || !strings.Contains(line, "rest") {
		t.Errorf("a silent client got %q, %v", line, err)
	}
}

func TestHelloInPieces(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	v, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("one.test"), weirtest.Who("one")).Addr)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("one.test", v)))
	proxy := weirtest.NewFaultProxy(t, addr)
	proxy.SetPiece(7)
	conn := tls.Client(dial(t, proxy.Addr), &tls.Config{ServerName: "one.test", RootCAs: ca.Pool()})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
}

func TestTerminatesTLS(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	route := b.passthrough("one.test", v)
	route.TLS, route.Config = Terminate, &tls.Config{Certificates: []tls.Certificate{ca.Server("one.test").TLS}, NextProtos: []string{"demo"}}
	_, addr := b.open(EntrypointOptions{}, mustTable(t, route))

	conn := tls.Client(dial(t, addr), &tls.Config{ServerName: "one.test", RootCAs: ca.Pool(), NextProtos: []string{"demo"}})
	send(t, conn, "ping")
	expect(t, conn, "ping")
	if got := conn.ConnectionState().NegotiatedProtocol; got != "demo" {
		t.Errorf("negotiated %q", got)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := expectGone(t, conn); len(rest) != 0 {
		t.Errorf("got %q after the end", rest)
	}
	b.wantReason(accesslog.Done)

	// A client that does not trust the certificate ends the handshake; nobody is bothered.
	if err := tls.Client(dial(t, addr), &tls.Config{ServerName: "one.test"}).Handshake(); err == nil {
		t.Error("handshake succeeded without trust")
	}
	b.wantReason(accesslog.TLSHandshake)
}

func TestBadFirstBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, bytes string
		options     EntrypointOptions
		want        accesslog.Reason
	}{
		{name: "hello with lengths that do not fit", bytes: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff", want: accesslog.MalformedHello},
		{name: "hello too large", bytes: "\x16\x03\x01\x40\x00\x01\xff\xff\xff", want: accesslog.MalformedHello},
		{name: "hello that never ends", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", options: EntrypointOptions{SniffTimeout: 50 * time.Millisecond}, want: accesslog.SniffTimeout},
		{name: "nothing at all", options: EntrypointOptions{SniffTimeout: 50 * time.Millisecond}, want: accesslog.SniffTimeout},
		{name: "plain bytes where only TLS is routed", bytes: "hello?\r\n\r\n", want: accesslog.NoRoute},
		{
			name: "PROXY header required and missing", bytes: "GET / HTTP/1.1\r\n\r\n", want: accesslog.MalformedProxy,
			options: EntrypointOptions{Proxy: ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Require: true}},
		},
		{
			name: "PROXY header required from somebody not trusted", bytes: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", want: accesslog.MalformedProxy,
			options: EntrypointOptions{Proxy: ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Require: true}},
		},
		{
			name: "broken PROXY header", bytes: "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n", want: accesslog.MalformedProxy,
			options: EntrypointOptions{Proxy: ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		},
		{name: "bytes behind a PostgreSQL SSLRequest", bytes: "\x00\x00\x00\x08\x04\xd2\x16\x2f\x16", want: accesslog.MalformedPostgres},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			ca := weirtest.CA(t)
			backend := weirtest.ServeTLS(t, ca.Server("one.test"), weirtest.Who("one"))
			v, _ := b.pool(upstream.Options{}, backend.Addr)
			e, addr := b.open(tt.options, mustTable(t, b.passthrough("one.test", v)))
			conn, err := net.Dial("tcp", addr)
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if err == nil {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, tt.bytes) // may meet a reset already
				expectGone(t, conn)
			}
			b.wantReason(tt.want)
			if got := e.Stats().Ended[tt.want]; got != 1 {
				t.Errorf("counted %d times", got)
			}
			if n := backend.Accepted(); n != 0 {
				t.Errorf("the backend was bothered %d times", n)
			}
		})
	}
}

func TestProxyProtocol(t *testing.T) {
	trusted := ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, tt := range []struct {
		name    string
		in      string
		options ProxyOptions
		out     int
		want    string
	}{
		{"v1 in, v1 out", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n", trusted, 1, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\nbody"},
		{"v1 in, none out", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n", trusted, 0, "body"},
		{"unknown keeps the peer", "PROXY UNKNOWN\r\n", trusted, 1, "PROXY TCP4 127.0.0.1 127.0.0.1"},
		{"trusted peer without one", "", trusted, 0, "body"},
		{"not trusted: the client's own bytes", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n", ProxyOptions{}, 0, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\nbody"},
		{
			"v1 in, v2 out", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n", trusted, 2,
			"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x16\x2ebody",
		},
		{
			"v2 local keeps the peer", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", trusted, 0, "body",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			v, _ := b.pool(upstream.Options{ProxyProtocol: tt.out}, weirtest.Serve(t, weirtest.Echo).Addr)
			_, addr := b.open(EntrypointOptions{Proxy: tt.options}, mustTable(t, b.catchAll(v)))
			conn := dial(t, addr)
			send(t, conn, tt.in)
			send(t, conn, "body")
			expect(t, conn, tt.want)
		})
	}
}

func TestRetriesOnAnotherBackend(t *testing.T) {
	b := newBench(t, 0)
	good := weirtest.Serve(t, weirtest.Echo)
	v, pool := b.pool(upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}}, weirtest.Refused(t), good.Addr)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	for range 4 {
		conn := dial(t, addr)
		send(t, conn, "ping")
		expect(t, conn, "ping")
		conn.Close()
		b.wantReason(accesslog.Done)
	}
	if got := v.Stats().Retries; got == 0 {
		t.Error("no connection was retried, although every other one met the dead backend")
	}
	for _, backend := range pool.Backends() {
		if n := backend.Active(); n != 0 && backend.Addr() != good.AddrPort() {
			t.Errorf("backend %s still counts %d connections", backend.Addr(), n)
		}
	}
}

func TestBackendsThatDoNotAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		addr func(testing.TB) string
		o    upstream.Options
		want accesslog.Reason
	}{
		{"refused", weirtest.Refused, upstream.Options{Connect: upstream.ConnectOptions{Retries: 1}}, accesslog.Refused},
		{"black hole", weirtest.Unanswered, upstream.Options{Connect: upstream.ConnectOptions{Timeout: 50 * time.Millisecond}}, accesslog.ConnectTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			v, pool := b.pool(tt.o, tt.addr(t))
			_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
			expectRefused(t, addr)
			b.wantReason(tt.want)
			if n := pool.Backends()[0].Active(); n != 0 {
				t.Errorf("the backend still counts %d connections", n)
			}
		})
	}
	t.Run("none at all", func(t *testing.T) {
		b := newBench(t, 0)
		v, _ := b.pool(upstream.Options{})
		_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
		expectRefused(t, addr)
		b.wantReason(accesslog.NoBackend)
	})
}

func TestAbortsArePassedOn(t *testing.T) {
	b := newBench(t, 0)
	reset := weirtest.Serve(t, weirtest.ResetAfter(4))
	v, _ := b.pool(upstream.Options{}, reset.Addr)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	conn := dial(t, addr)
	send(t, conn, "ping")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the backend's reset reached the client as %v", err)
	}
	b.wantReason(accesslog.BackendAbort)

	seen := make(chan error, 1)
	reset.Behave(func(conn net.Conn) {
		_, err := io.Copy(io.Discard, conn)
		seen <- err
	})
	conn = dial(t, addr)
	send(t, conn, "ping")
	weirtest.Eventually(t, patience, func() bool { b.Sync(); return v.Stats().BytesIn >= 8 }, "the bytes do not arrive")
	weirtest.Reset(conn)
	select {
	case err := <-seen:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client's reset reached the backend as %v", err)
		}
	case <-time.After(patience):
		t.Error("the backend does not learn of the client's reset")
	}
	b.wantReason(accesslog.ClientAbort)
}

func TestIdleTimeout(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	_, addr := b.open(EntrypointOptions{IdleTimeout: unhurried}, mustTable(t, b.catchAll(v)))
	conn := dial(t, addr)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	expectGone(t, conn)
	b.wantReason(accesslog.IdleTimeout)
}

func TestConnectionLimits(t *testing.T) {
	b := newBench(t, 3)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	narrow, narrowAddr := b.open(EntrypointOptions{MaxConnections: 1}, mustTable(t, b.catchAll(v)))
	_, wideAddr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))

	use := func(addr string) net.Conn {
		conn := dial(t, addr)
		send(t, conn, "ping")
		expect(t, conn, "ping")
		return conn
	}
	first := use(narrowAddr)
	expectRefused(t, narrowAddr) // its own limit
	use(wideAddr)
	use(wideAddr)
	expectRefused(t, wideAddr) // the server's
	if got := narrow.Stats().Ended[accesslog.Limit]; got != 1 {
		t.Errorf("entrypoint counts %d refused connections, want 1", got)
	}
	first.Close()
	weirtest.Eventually(t, patience, func() bool { return narrow.Active() == 0 }, "the place does not come free")
	use(narrowAddr)
}

func TestMiddlewaresTurnAway(t *testing.T) {
	b := newBench(t, 0)
	backend := weirtest.Serve(t, weirtest.Echo)
	v, _ := b.pool(upstream.Options{}, backend.Addr)
	inFlight := NewInFlightConn(1)
	_, open := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v, inFlight)))
	_, closed := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v, inFlight, NewIPAllowList(nil))))

	expectRefused(t, closed)
	b.wantReason(accesslog.Denied)

	// The first middleware has let the denied connection in, and must have let it go again.
	conn := dial(t, open)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	expectRefused(t, open)
	b.wantReason(accesslog.Limit)
	conn.Close()
	b.wantReason(accesslog.Done)
	conn = dial(t, open)
	send(t, conn, "ping")
	expect(t, conn, "ping")
}

func TestQueueForASlot(t *testing.T) {
	b := newBench(t, 0)
	o := upstream.Options{
		Connect: upstream.ConnectOptions{Timeout: patience},
		Queue:   upstream.QueueOptions{Limit: 1, Timeout: patience},
	}
	v, pool := b.service(o, upstream.Endpoint{Addr: weirtest.Serve(t, weirtest.Echo).AddrPort(), Weight: 1, MaxConnections: 1})
	backend := pool.Backends()[0]
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))

	holder := dial(t, addr)
	send(t, holder, "ping")
	expect(t, holder, "ping")
	waiter := dial(t, addr)
	send(t, waiter, "pong")
	weirtest.Eventually(t, patience, func() bool { return pool.Stats().Waiting == 1 }, "nobody waits")
	expectRefused(t, addr)
	b.wantReason(accesslog.QueueFull)

	holder.Close()
	expect(t, waiter, "pong")

	// One that leaves while it waits gives up its place.
	leaver := dial(t, addr)
	weirtest.Eventually(t, patience, func() bool { return pool.Stats().Waiting == 1 }, "nobody waits")
	weirtest.Reset(leaver)
	weirtest.Eventually(t, patience, func() bool { return pool.Stats().Waiting == 0 }, "the place in the queue is kept for a client that has gone")

	o.Queue.Timeout = 50 * time.Millisecond
	pool.Update(o, []*upstream.Backend{backend}, time.Now())
	expectRefused(t, addr)
	b.wantReason(accesslog.QueueTimeout)
	waiter.Close()
	weirtest.Eventually(t, patience, func() bool { return backend.Active() == 0 }, "a slot is lost")
}

func TestQueueUnderPressureLosesNoSlot(t *testing.T) {
	b := newBench(t, 0)
	const clients, slots = 100, 3
	v, pool := b.service(upstream.Options{Queue: upstream.QueueOptions{Limit: clients, Timeout: patience}},
		upstream.Endpoint{Addr: weirtest.Serve(t, weirtest.Echo).AddrPort(), Weight: 1, MaxConnections: slots})
	backend := pool.Backends()[0]
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "ping")
			if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	weirtest.Eventually(t, patience, func() bool { return backend.Active() == 0 }, "a slot is lost")
}

func TestStoppingConnections(t *testing.T) {
	b := newBench(t, 0)
	v, pool := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	use := func() net.Conn {
		conn := dial(t, addr)
		send(t, conn, "ping")
		expect(t, conn, "ping")
		return conn
	}
	for _, tt := range []struct {
		name string
		stop func()
		want accesslog.Reason
	}{
		{"backend down", func() { b.CloseBackend(pool.Backends()[0], accesslog.BackendDown) }, accesslog.BackendDown},
		{"entrypoint removed", func() { b.CloseEntrypoint(e, accesslog.Drain) }, accesslog.Drain},
		{"all", func() { b.CloseAll(accesslog.Shutdown) }, accesslog.Shutdown},
	} {
		conn := use()
		tt.stop()
		expectGone(t, conn)
		b.wantReason(tt.want)
	}
	if n := pool.Backends()[0].Active(); n != 0 {
		t.Errorf("the backend still counts %d connections", n)
	}

	// A closed entrypoint takes no new connection and keeps the old ones.
	conn := use()
	e.Close()
	if late, err := net.Dial("tcp", addr); err == nil {
		late.Close()
		t.Error("a closed entrypoint still accepts")
	}
	send(t, conn, "pong")
	expect(t, conn, "pong")
}

// upper is what an L7 server would be: it takes the stream with the bytes l4 has looked at, on the stream's loop.
type upper struct {
	peeked chan string
	remote chan netip.AddrPort
	taken  chan error // told when the stream was closed from outside; may be nil
}

func (u *upper) Serve(s *eventloop.Stream) {
	u.peeked <- string(s.Peeked())
	u.remote <- s.Remote()
	s.SetHandler(u)
	u.Ready(s)
}

func (u *upper) Ready(s *eventloop.Stream) {
	buf := make([]byte, 1024)
	for {
		n, err := s.Read(buf)
		if err == eventloop.ErrAgain {
			return
		}
		if err == eventloop.ErrClosed && u.taken != nil {
			u.taken <- err
		}
		if err != nil {
			s.Close()
			return
		}
		_ = s.Write([]byte(strings.ToUpper(string(buf[:n]))))
	}
}

func TestHandsHTTPUp(t *testing.T) {
	b := newBench(t, 0)
	u := &upper{peeked: make(chan string, 1), remote: make(chan netip.AddrPort, 1)}
	table, err := NewTable(nil, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, addr := b.open(EntrypointOptions{Proxy: ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, table)
	conn := dial(t, addr)
	send(t, conn, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\nget / http/1.1\r\n")
	expect(t, conn, "GET / HTTP/1.1\r\n")
	if got := <-u.peeked; !strings.HasPrefix(got, "get") {
		t.Errorf("handed up with %q peeked", got)
	}
	if got := <-u.remote; got.String() != "192.0.2.1:1234" {
		t.Errorf("handed up as from %s", got)
	}
	if e.Active() != 1 {
		t.Errorf("%d connections counted while the handler has it", e.Active())
	}
	conn.Close()
	weirtest.Eventually(t, patience, func() bool { return e.Active() == 0 }, "the connection is still counted after its handler closed it")
}

// TestStopTellsTheHandler: a handler whose connection is ended from outside learns of it while there is still something to
// give back.
func TestStopTellsTheHandler(t *testing.T) {
	b := newBench(t, 0)
	u := &upper{peeked: make(chan string, 1), remote: make(chan netip.AddrPort, 1), taken: make(chan error, 1)}
	table, err := NewTable(nil, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, addr := b.open(EntrypointOptions{}, table)
	conn := dial(t, addr)
	send(t, conn, "get / http/1.1\r\n")
	expect(t, conn, "GET / HTTP/1.1\r\n")
	b.CloseEntrypoint(e, accesslog.Drain)
	expectGone(t, conn)
	select {
	case <-u.taken:
	case <-time.After(patience):
		t.Error("the handler was not told")
	}
	b.wantReason(accesslog.Drain)
}

// TestSilentCrowd: many connections that send nothing hold no buffer, end by their deadline, and others do not notice.
func TestSilentCrowd(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	v, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("one.test"), weirtest.Echo).Addr)
	e, addr := b.open(EntrypointOptions{SniffTimeout: 2 * time.Second}, mustTable(t, b.passthrough("one.test", v)))
	const crowd = 1000
	for range crowd {
		dial(t, addr)
	}
	conn := tls.Client(dial(t, addr), &tls.Config{ServerName: "one.test", RootCAs: ca.Pool()})
	send(t, conn, "ping")
	expect(t, conn, "ping")
	weirtest.Eventually(t, patience, func() bool { return e.Stats().Ended[accesslog.SniffTimeout] == crowd }, "silent connections stay")
	send(t, conn, "pong")
	expect(t, conn, "pong")
}
