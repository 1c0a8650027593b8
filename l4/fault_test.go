package l4

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// TestSlowDrip: a client that sends a byte at a time is cut off by the absolute deadline, however lively it looks.
func TestSlowDrip(t *testing.T) {
	t.Parallel()
	const deadline = unhurried
	ca := weirtest.CA(t)
	for _, tt := range []struct {
		name    string
		bytes   string // after the first `at once` ones, a byte at a time
		atOnce  int
		options EntrypointOptions
		mode    TLSMode
		want    accesslog.Reason
	}{
		{"PROXY header", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 " + strings.Repeat("5", 60), 0, EntrypointOptions{Proxy: loopbackTrusted}, Passthrough, accesslog.SniffTimeout},
		{"hello behind a PROXY header", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n" + string(helloBytes(t, "one.test")), 42, EntrypointOptions{Proxy: loopbackTrusted}, Passthrough, accesslog.SniffTimeout},
		{"hello", string(helloBytes(t, "one.test")), 0, EntrypointOptions{}, Passthrough, accesslog.SniffTimeout},
		{"hello in records of one byte", oneByteRecords(helloBytes(t, "one.test")), 0, EntrypointOptions{}, Passthrough, accesslog.SniffTimeout},
		{"the rest of a handshake", string(helloBytes(t, "one.test")) + "\x16\x03\x03\x3f\x00" + strings.Repeat("x", 1000), len(helloBytes(t, "one.test")), EntrypointOptions{}, Terminate, accesslog.TLSHandshake},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
			route := b.passthrough("one.test", v)
			route.TLS, route.Config = tt.mode, &tls.Config{Certificates: []tls.Certificate{ca.Server("one.test").TLS}}
			tt.options.SniffTimeout = deadline
			_, addr := b.open(tt.options, mustTable(t, route))
			conn := dial(t, addr)
			send(t, conn, tt.bytes[:tt.atOnce])
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, conn)
			}()
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			drip := []byte(tt.bytes[tt.atOnce:])
			for open := true; open && len(drip) > 0; {
				select {
				case <-ended:
					open = false
				case <-pace.C:
					_, err := conn.Write(drip[:1])
					drip, open = drip[1:], err == nil
				}
			}
			if len(drip) == 0 {
				t.Error("all bytes were taken: there is no absolute deadline")
			}
			took := time.Duration(b.wantReason(tt.want)["Duration"].(float64))
			if took < deadline || took > patience/2 {
				t.Errorf("the connection ended after %v, its deadline is %v", took, deadline)
			}
		})
	}
}

// oneByteRecords spreads a hello over as many TLS records as it has bytes, or as many as are allowed.
func oneByteRecords(hello []byte) string {
	var b strings.Builder
	for _, c := range hello[5:min(len(hello), 5+200)] {
		b.WriteString("\x16\x03\x01\x00\x01")
		b.WriteByte(c)
	}
	return b.String()
}

func TestBackendFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behave weirtest.Behaviour
		want   accesslog.Reason
		by     string
		reads  string
	}{
		{"answers, then stalls", weirtest.Stall("half an ans"), accesslog.IdleTimeout, "weir", "half an ans"},
		{"never answers", weirtest.Silent, accesslog.IdleTimeout, "weir", ""},
		{"resets after the request", weirtest.ResetAfter(4), accesslog.BackendAbort, "backend", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			backend := weirtest.Serve(t, tt.behave)
			other := weirtest.Serve(t, tt.behave)
			v, _ := b.pool(upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}}, backend.Addr, other.Addr)
			_, addr := b.open(EntrypointOptions{IdleTimeout: unhurried}, mustTable(t, b.catchAll(v)))
			conn, err := net.DialTimeout("tcp", addr, patience)
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if err == nil {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, "ping") // may meet the reset
				if got := expectGone(t, conn); string(got) != tt.reads {
					t.Errorf("read %q, want %q", got, tt.reads)
				}
			}
			if line := b.wantReason(tt.want); line["EndedBy"] != tt.by {
				t.Errorf("the record says %v", line)
			}
			if n := backend.Accepted() + other.Accepted(); n != 1 {
				t.Errorf("%d backends were connected to: what has gone to one must not go to another", n)
			}
		})
	}
}

// TestBackendThatResetsAtOnce: a reset that comes with the connection is a failed attempt, after which another backend is
// tried; one that comes a moment later ends the relay.
func TestBackendThatResetsAtOnce(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.ResetAtOnce).Addr)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	for range 20 {
		expectRefused(t, addr)
		if line := b.wantReason(accesslog.ConnectFailed, accesslog.BackendAbort); line["EndedBy"] != "backend" {
			t.Errorf("the record says %v", line)
		}
	}
}

// TestHalfClosedPeers: each side may end its direction first and still gets everything, plain and through TLS.
func TestHalfClosedPeers(t *testing.T) {
	ca := weirtest.CA(t)
	for _, mode := range []TLSMode{NoTLS, Passthrough, Terminate} {
		t.Run([]string{"plain", "passthrough", "terminate"}[mode], func(t *testing.T) {
			b := newBench(t, 0)
			certificate := ca.Server("one.test")
			heard := make(chan []byte, 1)
			backend := weirtest.Serve(t, nil)
			if mode == Passthrough {
				backend = weirtest.ServeTLS(t, certificate, nil)
			}
			v, _ := b.pool(upstream.Options{}, backend.Addr)
			route := b.catchAll(v)
			if mode != NoTLS {
				route = b.passthrough("one.test", v)
				route.TLS, route.Config = mode, &tls.Config{Certificates: []tls.Certificate{certificate.TLS}}
			}
			_, addr := b.open(EntrypointOptions{}, mustTable(t, route))
			connect := func() net.Conn {
				if conn := dial(t, addr); mode == NoTLS {
					return conn
				} else {
					return tls.Client(conn, &tls.Config{ServerName: "one.test", RootCAs: ca.Pool()})
				}
			}
			request := bytes.Repeat([]byte("half "), 100_000)

			backend.Behave(weirtest.AnswerAfterEOF(20 * time.Millisecond))
			weirtest.CheckHalfClose(t, connect(), request)
			if got := b.wantReason(accesslog.Done)["EndedBy"]; mode != Passthrough && got != "client" { // through TLS, weir does not see who says close_notify
				t.Errorf("ended by %v, but the client said its end first", got)
			}

			backend.Behave(weirtest.EndFirst("the answer", heard))
			conn := connect()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "the answer" {
				t.Fatalf("read %q, %v", got, err)
			}
			if _, err := conn.Write(request); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			select {
			case got := <-heard:
				if !bytes.Equal(got, request) {
					t.Errorf("the server that had ended first heard %d of %d bytes", len(got), len(request))
				}
			case <-time.After(patience):
				t.Fatal("the server that ended first waits for the client's end")
			}
			if got := b.wantReason(accesslog.Done)["EndedBy"]; mode != Passthrough && got != "backend" {
				t.Errorf("ended by %v, but the backend said its end first", got)
			}
		})
	}
}

// TestProxyAndTLSTogether: a PROXY header in front of TLS, routed by name and by the address the header gives, another one
// out to the backend, ahead of what the client sent.
func TestProxyAndTLSTogether(t *testing.T) {
	const in = "PROXY TCP4 192.0.2.1 192.0.2.2 1234 5678\r\n"
	const out = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x16\x2e"
	ca := weirtest.CA(t)
	for _, mode := range []TLSMode{Passthrough, Terminate} {
		t.Run([]string{"", "passthrough", "terminate"}[mode], func(t *testing.T) {
			b := newBench(t, 0)
			backend := weirtest.Serve(t, func(conn net.Conn) {
				header := make([]byte, len(out))
				if _, err := io.ReadFull(conn, header); err != nil || string(header) != out {
					t.Errorf("the backend reads %q, %v", header, err)
					return
				}
				if mode == Passthrough {
					conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{ca.Server("one.test").TLS}})
				}
				weirtest.Echo(conn)
			})
			v, _ := b.pool(upstream.Options{ProxyProtocol: 2}, backend.Addr)
			route := routeOf(t, "office", "HostSNI(`one.test`) && ClientIP(`192.0.2.0/24`)", 0, mode)
			route.Service, route.Config = v, &tls.Config{Certificates: []tls.Certificate{ca.Server("one.test").TLS}}
			route.Middlewares = []Middleware{NewIPAllowList([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")})}
			_, addr := b.open(EntrypointOptions{Proxy: ProxyOptions{Trusted: loopbackTrusted.Trusted, Require: true}}, mustTable(t, route))

			raw := dial(t, addr)
			hello := tls.Client(&prefixed{TCPConn: raw, prefix: in}, &tls.Config{ServerName: "one.test", RootCAs: ca.Pool()})
			send(t, hello, "ping")
			expect(t, hello, "ping")
			finish(t, hello)
			line := b.wantReason(accesslog.Done)
			if line["ClientAddr"] != "192.0.2.1:1234" || line["PeerAddr"] != raw.LocalAddr().String() || line["LocalAddr"] != "192.0.2.2:5678" {
				t.Errorf("the record says %v", line)
			}
		})
	}
}

// prefixed sends prefix in one segment with the first bytes written.
type prefixed struct {
	*net.TCPConn
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	n, err := p.TCPConn.Write(append([]byte(p.prefix), b...))
	n, p.prefix = n-len(p.prefix), ""
	return max(n, 0), err
}

// TestRoutesInOrder: on an entrypoint with everything, TLS goes to the TCP router with its name, then to HTTPS, then to the
// TCP catch-all; plain bytes go to the TCP router without TLS before HTTP.
func TestRoutesInOrder(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	serve := func(name string) *Service {
		v, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("a.test", "b.test", "c.test"), weirtest.Who(name)).Addr)
		return v
	}
	rest := routeOf(t, "any", "HostSNI(`*`)", 0, Passthrough)
	rest.Service = serve("any")
	plain, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Who("plain")).Addr)
	office := routeOf(t, "office", "ClientIP(`192.0.2.0/24`)", 0, NoTLS)
	office.Service = plain
	u := &upper{peeked: make(chan string, 9), remote: make(chan netip.AddrPort, 9)}
	table, err := NewTable([]*Route{b.passthrough("a.test", serve("named")), rest, office}, u, handlerFor{"a.test": u, "b.test": u})
	if err != nil {
		t.Fatal(err)
	}
	_, addr := b.open(EntrypointOptions{Proxy: loopbackTrusted}, table)

	for name, want := range map[string]string{"a.test": "named\n", "c.test": "any\n"} {
		conn := tls.Client(dial(t, addr), &tls.Config{ServerName: name, RootCAs: ca.Pool()})
		expect(t, conn, want)
	}
	conn := dial(t, addr)
	if _, err := conn.Write(helloBytes(t, "b.test")); err != nil {
		t.Fatal(err)
	}
	if got := <-u.peeked; got[0] != 22 {
		t.Errorf("HTTPS was handed %q", got)
	}
	conn = dial(t, addr)
	send(t, conn, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n")
	expect(t, conn, "plain\n")
	conn = dial(t, addr)
	send(t, conn, "get / http/1.1\r\n")
	expect(t, conn, "GET / HTTP/1.1\r\n")
}

type handlerFor map[string]Handler

func (h handlerFor) HandlerFor(name []byte) Handler { return h[string(name)] }

// TestServerFirstOnAMixedTable: a client that waits for the server to speak falls to the plain catch-all when the time for
// looking is over, with a PROXY header and without.
func TestServerFirstOnAMixedTable(t *testing.T) {
	for _, tt := range []struct {
		name, sends string
		require     bool
		want        accesslog.Reason
		greeting    string
	}{
		{"nothing sent", "", false, accesslog.Done, "hello\n"},
		{"PROXY header only", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", true, accesslog.Done, "hello\n"},
		{"nothing where a PROXY header is required", "", true, accesslog.SniffTimeout, ""},
		{"half a hello", "\x16\x03", false, accesslog.SniffTimeout, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Greet("hello\n")).Addr)
			timeout := 50 * time.Millisecond
			if tt.sends != "" {
				timeout = unhurried
			}
			_, addr := b.open(EntrypointOptions{SniffTimeout: timeout, Proxy: ProxyOptions{Trusted: loopbackTrusted.Trusted, Require: tt.require}},
				mustTable(t, b.passthrough("one.test", v), b.catchAll(v)))
			conn := dial(t, addr)
			send(t, conn, tt.sends)
			if tt.greeting == "" {
				expectGone(t, conn)
			} else {
				expect(t, conn, tt.greeting)
				finish(t, conn)
			}
			b.wantReason(tt.want)
		})
	}
	t.Run("client that has only its end to say", func(t *testing.T) {
		b := newBench(t, 0)
		v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Greet("hello\n")).Addr)
		_, addr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("one.test", v), b.catchAll(v)))
		conn := dial(t, addr)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if line != "hello\n" {
			t.Errorf("read %q, %v", line, err)
		}
	})
}

// TestRetryBudget: when most of a service is dead, retries stop at the budget instead of doubling the load.
func TestRetryBudget(t *testing.T) {
	b := newBench(t, 0)
	v, pool := b.pool(upstream.Options{Connect: upstream.ConnectOptions{Retries: 1}}, weirtest.Refused(t), weirtest.Serve(t, weirtest.Echo).Addr)
	e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	for pool.Stats().RetriesRefused == 0 {
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			continue // refused so fast that connect(2) has seen the reset
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "ping")
		_, _ = io.ReadFull(conn, make([]byte, 4))
		conn.Close()
		if e.Stats().Opened > 5000 {
			t.Fatal("5,000 connections in a row and every retry was granted")
		}
	}
	line := b.wantReason(accesslog.Refused)
	if line["EndedBy"] != "backend" || line["RetryAttempts"] != 0.0 || line["ConnectDuration"] != -1.0 {
		t.Errorf("the record says %v", line)
	}
	weirtest.Eventually(t, patience, func() bool { return e.Active() == 0 }, "connections stay")
	stats := pool.Stats()
	if got := uint64(v.Stats().Retries); got != stats.Retries {
		t.Errorf("%d retries are counted, the budget has granted %d", got, stats.Retries)
	}
	if got := uint64(v.Stats().Ended[accesslog.Refused]); got != stats.RetriesRefused {
		t.Errorf("%d clients were refused, the budget has refused %d", got, stats.RetriesRefused)
	}
}

// TestPassiveHealth: connections that fail in a row call for the backend's ejection; after it nobody meets it, and a
// success ends a run of failures.
func TestPassiveHealth(t *testing.T) {
	b := newBench(t, 0)
	flaky := weirtest.Serve(t, weirtest.Echo)
	flaky.Refuse()
	backends := []*upstream.Backend{
		upstream.NewBackend("svc", upstream.Endpoint{Addr: flaky.AddrPort(), Weight: 1}),
		upstream.NewBackend("svc", upstream.Endpoint{Addr: weirtest.Serve(t, weirtest.Echo).AddrPort(), Weight: 1}),
	}
	tripped := make(chan *upstream.Backend, 1)
	pool := upstream.NewPool("svc", func(b *upstream.Backend) { tripped <- b })
	o := upstream.Options{
		Connect: upstream.ConnectOptions{Timeout: patience, Retries: 1},
		Passive: upstream.PassiveOptions{MaxFailedAttempts: 3, EjectionTime: time.Hour, MaxEjectionPercent: 50},
	}
	pool.Update(o, backends, time.Now())
	v := b.NewService("svc", pool)
	b.services, b.pools = append(b.services, v), append(b.pools, pool)
	_, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
	ask := func() {
		conn := dial(t, addr)
		send(t, conn, "ping")
		expect(t, conn, "ping")
		finish(t, conn)
	}
	for backends[0].Stats().FailureStreak < 2 {
		ask()
	}
	flaky.Accept()
	for backends[0].Stats().FailureStreak > 0 {
		ask()
	}
	flaky.Refuse()
	for range 2 * 3 * 2 {
		ask()
		if len(tripped) > 0 {
			break
		}
	}
	select {
	case got := <-tripped:
		if got != backends[0] {
			t.Fatalf("%s is to be ejected", got.Addr())
		}
	case <-time.After(patience):
		t.Fatal("nobody asks for the ejection")
	}
	pool.Update(o, backends, time.Now())
	failures := backends[0].Stats().ConnectFailures
	for range 6 {
		ask()
	}
	if got := backends[0].Stats().ConnectFailures; got != failures {
		t.Errorf("the ejected backend was asked %d times", got-failures)
	}
}

// panicky panics where it is told to.
type panicky struct{ admit, leave, serve bool }

func (p panicky) Admit(netip.Addr, time.Time) accesslog.Reason {
	if p.admit {
		panic("admit")
	}
	return accesslog.Unknown
}

func (p panicky) Leave(netip.Addr) {
	if p.leave {
		panic("leave")
	}
}

func (p panicky) Serve(s *eventloop.Stream) {
	s.SetHandler(p)
	if p.serve {
		panic("serve")
	}
}

func (p panicky) Ready(s *eventloop.Stream) { panic("ready") }

func TestPanicOfAServedConnection(t *testing.T) {
	b := newBench(t, 0)
	b.panics = 1
	table, err := NewTable(nil, panicky{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, addr := b.open(EntrypointOptions{}, table)
	conn := dial(t, addr)
	send(t, conn, "GET / HTTP/1.1\r\n")
	b.awaitPhase(served, 1)
	send(t, conn, "\r\n")
	expectGone(t, conn)
	b.wantReason(accesslog.Internal)
	weirtest.Eventually(t, patience, func() bool { return e.Active() == 0 }, "the connection is still counted")
}

// TestPanicsCostOneConnection: a bug in a middleware or a handler closes its connection and is counted; what the
// connection took is given back, and another one goes on. That the counts are right is checked by newBench.
func TestPanicsCostOneConnection(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ms      []Middleware
		handler Handler
		sends   string // nothing = the middleware runs when the time for looking is over
		want    accesslog.Reason
	}{
		{"Admit", []Middleware{panicky{admit: true}}, nil, "ping", accesslog.Internal},
		{"Admit in a timer", []Middleware{panicky{admit: true}}, nil, "", accesslog.Internal},
		{"Leave", []Middleware{panicky{leave: true}}, nil, "ping", accesslog.Done},
		{"Serve", nil, panicky{serve: true}, "GET / HTTP/1.1\r\n", accesslog.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			b.panics = 1
			v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
			_, healthy := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
			other := dial(t, healthy)
			send(t, other, "ping")
			expect(t, other, "ping")

			count := NewInFlightConn(1)
			var routes []*Route
			if tt.handler == nil {
				first := append([]Middleware{count}, tt.ms...)
				routes = []*Route{b.catchAll(v, append(first, NewInFlightConn(1))...), b.passthrough("one.test", v)}
			}
			table, err := NewTable(routes, tt.handler, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := EntrypointOptions{}
			if tt.sends == "" {
				o.SniffTimeout = 50 * time.Millisecond
			}
			e, addr := b.open(o, table)
			conn := dial(t, addr)
			_, _ = io.WriteString(conn, tt.sends)
			if tt.want == accesslog.Done {
				expect(t, conn, tt.sends)
				finish(t, conn)
			} else {
				expectGone(t, conn)
			}
			b.wantReason(tt.want)
			weirtest.Eventually(t, patience, func() bool { return e.Active() == 0 }, "the connection is still counted")
			if got := count.Admit(netip.MustParseAddr("127.0.0.1"), time.Now()); got != accesslog.Unknown {
				t.Errorf("the middleware before the broken one was not left: %v", got)
			}
			send(t, other, "pong")
			expect(t, other, "pong")
		})
	}
}
