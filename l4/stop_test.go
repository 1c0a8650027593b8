package l4

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

var loopbackTrusted = ProxyOptions{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// stage is a server and a client that is held in one phase.
type stage struct {
	*bench
	entry *Entrypoint
	pool  *upstream.Pool // the backend's, where the phase has one
	conn  net.Conn       // gone when the session is stopped
}

// stages bring a session to each phase and leave it there.
var stages = map[phase]func(t *testing.T) stage{
	readingProxy: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
		e, addr := b.open(EntrypointOptions{Proxy: loopbackTrusted}, mustTable(t, b.catchAll(v)))
		return stage{bench: b, entry: e, conn: dial(t, addr)}
	},
	sniffing: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
		e, addr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("one.test", v)))
		conn := dial(t, addr)
		send(t, conn, "\x16\x03\x01")
		return stage{bench: b, entry: e, conn: conn}
	},
	securing: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
		route := b.passthrough("one.test", v)
		route.TLS, route.Config = Terminate, &tls.Config{Certificates: []tls.Certificate{weirtest.CA(t).Server("one.test").TLS}}
		route.Middlewares = []Middleware{NewInFlightConn(1)}
		e, addr := b.open(EntrypointOptions{}, mustTable(t, route))
		conn := dial(t, addr)
		hold := make(chan struct{})
		shaken := make(chan struct{})
		go func() { // a client that thinks about the certificate
			defer close(shaken)
			_ = tls.Client(conn, &tls.Config{ServerName: "one.test", InsecureSkipVerify: true, VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error {
				<-hold
				return nil
			}}).Handshake()
		}()
		t.Cleanup(func() { close(hold); <-shaken })
		return stage{bench: b, entry: e, conn: conn}
	},
	queueing: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, pool := b.service(upstream.Options{Queue: upstream.QueueOptions{Limit: 1, Timeout: patience}},
			upstream.Endpoint{Addr: weirtest.Serve(t, weirtest.Echo).AddrPort(), Weight: 1, MaxConnections: 1})
		_, other := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
		e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
		dial(t, other)
		b.awaitPhase(relaying, 1)
		return stage{bench: b, entry: e, pool: pool, conn: dial(t, addr)}
	},
	connecting: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, pool := b.pool(upstream.Options{}, weirtest.Unanswered(t))
		e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v)))
		return stage{bench: b, entry: e, pool: pool, conn: dial(t, addr)}
	},
	greeting: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, pool := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Silent).Addr)
		e, addr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("one.test", v)))
		conn := dial(t, addr)
		send(t, conn, sslRequest)
		expect(t, conn, "S")
		_, err := conn.Write(helloBytes(t, "one.test"))
		if err != nil {
			t.Fatal(err)
		}
		return stage{bench: b, entry: e, pool: pool, conn: conn}
	},
	relaying: func(t *testing.T) stage {
		b := newBench(t, 0)
		v, pool := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
		e, addr := b.open(EntrypointOptions{}, mustTable(t, b.catchAll(v, NewInFlightConn(1))))
		return stage{bench: b, entry: e, pool: pool, conn: dial(t, addr)}
	},
	served: func(t *testing.T) stage {
		b := newBench(t, 0)
		table, err := NewTable(nil, &upper{peeked: make(chan string, 1), remote: make(chan netip.AddrPort, 1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, addr := b.open(EntrypointOptions{}, table)
		conn := dial(t, addr)
		send(t, conn, "GET / HTTP/1.1\r\n")
		return stage{bench: b, entry: e, conn: conn}
	},
}

// helloBytes is a ClientHello as crypto/tls writes it.
func helloBytes(t testing.TB, name string, alpn ...string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(theirs, &tls.Config{ServerName: name, NextProtos: alpn, InsecureSkipVerify: true}).Handshake()
	}()
	hello := make([]byte, 16<<10)
	n, err := ours.Read(hello)
	ours.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// termination is how the record of a session stopped in a phase must end.
var termination = map[phase]string{
	readingProxy: "KR", sniffing: "KR", securing: "KR", queueing: "KQ", connecting: "KC", greeting: "KC", relaying: "KD", served: "KC",
}

// TestStoppedInEveryPhase: whatever a connection is at, it can be ended, is recorded once, and counts nowhere any more; the
// latter two are what newBench checks in the end.
func TestStoppedInEveryPhase(t *testing.T) {
	t.Parallel()
	for p := readingProxy; p <= served; p++ {
		t.Run(map[phase]string{
			readingProxy: "PROXY header", sniffing: "first bytes", securing: "TLS handshake", queueing: "queue",
			connecting: "connecting", greeting: "SSLRequest", relaying: "relay", served: "handler",
		}[p], func(t *testing.T) {
			for _, tt := range []struct {
				name string
				stop func(stage)
				want accesslog.Reason
			}{
				{"all", func(s stage) { s.CloseAll(accesslog.Shutdown) }, accesslog.Shutdown},
				{"entrypoint", func(s stage) { s.CloseEntrypoint(s.entry, accesslog.Drain) }, accesslog.Drain},
				{"server", func(s stage) { s.entry.Close(); s.Close() }, accesslog.Shutdown},
				{"client", func(s stage) { weirtest.Reset(s.conn) }, accesslog.ClientAbort},
			} {
				t.Run(tt.name, func(t *testing.T) {
					s := stages[p](t)
					s.awaitPhase(p, 1)
					tt.stop(s)
					if tt.name == "client" {
						weirtest.Eventually(t, patience, func() bool { return s.phases()[p] == 0 }, "the session outlives its client")
						return
					}
					expectGone(t, s.conn)
					if tt.name == "server" {
						return // what is in the log is for newBench
					}
					if p == queueing && tt.name == "all" {
						return // the one it waited for may go first, and give it the slot
					}
					weirtest.Eventually(t, patience, func() bool {
						for _, line := range s.lines() {
							if line["Reason"] == tt.want.String() && line["TerminationState"] == termination[p] {
								return true
							}
						}
						return false
					}, "no record ends with "+termination[p])
				})
			}
		})
	}
}

// TestBackendClosedWhileConnecting: a client that has not reached the backend is led elsewhere.
func TestBackendClosedWhileConnecting(t *testing.T) {
	for _, p := range []phase{connecting, greeting, queueing, relaying} {
		t.Run(termination[p], func(t *testing.T) {
			s := stages[p](t)
			s.awaitPhase(p, 1)
			gone := s.pool.Backends()[0]
			ca := weirtest.CA(t)
			next := upstream.NewBackend("svc", upstream.Endpoint{Addr: weirtest.Serve(t, postgres("next", ca.Server("one.test"), "S")).AddrPort(), Weight: 1})
			o := s.pool.Options()
			o.Connect.Retries = 1
			gone.SetDraining(true, time.Now())
			s.pool.Update(o, []*upstream.Backend{gone, next}, time.Now())
			s.CloseBackend(gone, accesslog.BackendDown)
			switch p {
			case relaying:
				expectGone(t, s.conn)
				s.wantReason(accesslog.BackendDown)
			case greeting:
				s.awaitPhase(relaying, 1) // the next one has said yes
			default:
				send(t, s.conn, startUp)
				expect(t, s.conn, "next plain\n")
			}
			if n := gone.Active(); n != 0 {
				t.Errorf("the backend that is closed still has %d connections", n)
			}
			if got := gone.Stats().ConnectFailures; got != 0 {
				t.Errorf("%d failures are charged to a backend that was taken away", got)
			}
		})
	}
	t.Run("nobody else", func(t *testing.T) {
		s := stages[connecting](t)
		s.awaitPhase(connecting, 1)
		s.CloseBackend(s.pool.Backends()[0], accesslog.BackendDown)
		expectGone(t, s.conn)
		if line := s.wantReason(accesslog.BackendDown); line["EndedBy"] != "weir" || line["TerminationState"] != "DC" {
			t.Errorf("the record says %v", line)
		}
	})
}
