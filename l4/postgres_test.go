package l4

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/upstream"
)

const (
	sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"
	startUp    = "\x00\x00\x00\x14\x00\x03\x00\x00user\x00alice\x00\x00"
)

// postgres behaves as a PostgreSQL server does up to the start-up message: it says name, whether the message came over
// TLS, and echoes from then on. answer is what an SSLRequest gets.
func postgres(name string, certificate *weirtest.Certificate, answer string) weirtest.Behaviour {
	return func(conn net.Conn) {
		word := " plain\n"
		message := make([]byte, len(startUp))
		if _, err := io.ReadFull(conn, message[:8]); err != nil {
			return
		}
		if bytes.Equal(message[:8], peek.PostgresSSLRequest) {
			if _, err := io.WriteString(conn, answer); err != nil || answer != "S" {
				weirtest.Discard(conn)
				return
			}
			word = " over TLS\n"
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate.TLS}})
			if _, err := io.ReadFull(conn, message[:8]); err != nil {
				return
			}
		}
		if _, err := io.ReadFull(conn, message[8:]); err != nil || string(message) != startUp {
			return
		}
		if _, err := io.WriteString(conn, name+word); err == nil {
			weirtest.Echo(conn)
		}
	}
}

// pgBench is a table as in the manual's example: a server by name, one whose TLS weir terminates, one that wants ALPN, and
// one for whoever is left.
type pgBench struct {
	*bench
	ca   *weirtest.Authority
	rest *weirtest.Backend
	addr string
}

func newPGBench(t testing.TB, sniffTimeout time.Duration) *pgBench {
	t.Helper()
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	rest := weirtest.Serve(t, postgres("rest", ca.Server("rest.test", "unknown.test"), "S"))
	one, _ := b.pool(upstream.Options{}, weirtest.Serve(t, postgres("one", ca.Server("one.test"), "S")).Addr)
	two, _ := b.pool(upstream.Options{}, weirtest.Serve(t, postgres("two", nil, "N")).Addr)
	direct, _ := b.pool(upstream.Options{}, weirtest.ServeTLS(t, ca.Server("direct.test"), weirtest.Who("direct"), "postgresql").Addr)
	other, _ := b.pool(upstream.Options{}, rest.Addr)

	terminated := b.passthrough("two.test", two)
	terminated.TLS, terminated.Config = Terminate, &tls.Config{Certificates: []tls.Certificate{ca.Server("two.test").TLS}}
	byALPN := routeOf(t, "direct", "HostSNI(`direct.test`) && ALPN(`postgresql`)", 0, Passthrough)
	byALPN.Service = direct
	_, addr := b.open(EntrypointOptions{SniffTimeout: sniffTimeout},
		mustTable(t, b.passthrough("one.test", one), terminated, byALPN, b.catchAll(other)))
	return &pgBench{b, ca, rest, addr}
}

func (b *pgBench) secure(conn net.Conn, name string, alpn ...string) net.Conn {
	return tls.Client(conn, &tls.Config{ServerName: name, RootCAs: b.ca.Pool(), NextProtos: alpn})
}

func TestPostgresStarts(t *testing.T) {
	for _, tt := range []struct {
		name             string
		requests         []string // each is answered by one byte
		answers          string
		host             string // of the hello; empty = no TLS
		want             string
		mode, sni, route string // as logged
	}{
		{"SSLRequest, then TLS by name", []string{sslRequest}, "S", "one.test", "one over TLS\n", "passthrough", "one.test", "tls-one.test"},
		{"GSSENCRequest first", []string{gssRequest, sslRequest}, "NS", "one.test", "one over TLS\n", "passthrough", "one.test", "tls-one.test"},
		{"weir terminates: the backend is not asked for TLS", []string{sslRequest}, "S", "two.test", "two plain\n", "terminated", "two.test", "tls-two.test"},
		{"a name nobody wants goes to the catch-all as it came", []string{sslRequest}, "S", "unknown.test", "rest over TLS\n", "passthrough", "unknown.test", "rest"},
		{"plain start-up", nil, "", "", "rest plain\n", "", "", "rest"},
		{"plain start-up after a no to GSSENCRequest", []string{gssRequest}, "N", "", "rest plain\n", "", "", "rest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPGBench(t, patience)
			var conn net.Conn = dial(t, b.addr)
			for i, request := range tt.requests {
				send(t, conn, request)
				expect(t, conn, tt.answers[i:i+1])
			}
			if tt.host != "" {
				conn = b.secure(conn, tt.host)
			}
			send(t, conn, startUp)
			expect(t, conn, tt.want)
			send(t, conn, "select")
			expect(t, conn, "select")
			finish(t, conn)
			line := b.wantReason(accesslog.Done)
			for key, want := range map[string]string{"TLSMode": tt.mode, "SNI": tt.sni, "RouterName": tt.route} {
				if got, _ := line[key].(string); got != want {
					t.Errorf("the record has %s %q, want %q", key, got, want)
				}
			}
		})
	}
}

// TestPostgresDirectTLS: since PostgreSQL 17 a client may start with the hello, and then names the protocol by ALPN.
func TestPostgresDirectTLS(t *testing.T) {
	b := newPGBench(t, patience)
	conn := b.secure(dial(t, b.addr), "direct.test", "postgresql")
	expect(t, conn, "direct\n")
	finish(t, conn)
	if got := b.wantReason(accesslog.Done)["ALPN"]; got != "postgresql" {
		t.Errorf("the record has ALPN %q", got)
	}
}

// TestPostgresInPieces cuts everything into single bytes: all of the start-up must be put together again.
func TestPostgresInPieces(t *testing.T) {
	b := newPGBench(t, patience)
	proxy := weirtest.NewFaultProxy(t, b.addr)
	proxy.SetPiece(1)
	var conn net.Conn = dial(t, proxy.Addr)
	send(t, conn, gssRequest)
	expect(t, conn, "N")
	send(t, conn, sslRequest)
	expect(t, conn, "S")
	conn = b.secure(conn, "one.test")
	send(t, conn, startUp)
	expect(t, conn, "one over TLS\n")
}

func TestPostgresRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		sends []string // all but the last are answered
		hang  bool     // the client leaves then
		want  accesslog.Reason
	}{
		{"hello right behind the request", []string{sslRequest + "\x16\x03\x01"}, false, accesslog.MalformedPostgres},
		{"start-up right behind the request", []string{gssRequest + startUp}, false, accesslog.MalformedPostgres},
		{"plain start-up after a yes", []string{sslRequest, startUp}, false, accesslog.MalformedPostgres},
		{"SSLRequest after a yes", []string{sslRequest, sslRequest}, false, accesslog.MalformedPostgres},
		{"GSSENCRequest after a yes", []string{sslRequest, gssRequest}, false, accesslog.MalformedPostgres},
		{"HTTP after a yes", []string{sslRequest, "GET / HTTP/1.1\r\n"}, false, accesslog.MalformedPostgres},
		{"GSSENCRequest after a no", []string{gssRequest, gssRequest}, false, accesslog.MalformedPostgres},
		{"silence after a yes", []string{sslRequest, ""}, false, accesslog.SniffTimeout},
		{"silence after a no", []string{gssRequest, ""}, false, accesslog.SniffTimeout},
		{"half a request", []string{sslRequest[:5]}, false, accesslog.SniffTimeout},
		{"gone after a yes", []string{sslRequest, ""}, true, accesslog.ClientAbort},
		{"gone after a no", []string{gssRequest, ""}, true, accesslog.ClientAbort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timeout := patience
			if tt.want == accesslog.SniffTimeout {
				timeout = unhurried
			}
			b := newPGBench(t, timeout)
			conn := dial(t, b.addr)
			for i, bytes := range tt.sends {
				send(t, conn, bytes)
				if i < len(tt.sends)-1 {
					if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.hang {
				conn.Close()
			} else if got := expectGone(t, conn); len(got) != 0 {
				t.Errorf("served %q", got)
			}
			b.wantReason(tt.want)
			if n := b.rest.Accepted(); n != 0 {
				t.Errorf("the catch-all's backend was bothered %d times", n)
			}
		})
	}
}

// TestPostgresBackendThatDeclines: what a client was promised must be true, so another backend is asked while the client
// waits when one says anything but yes. It has failed unless it says a plain no.
func TestPostgresBackendThatDeclines(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	for _, tt := range []struct {
		name   string
		behave weirtest.Behaviour
		want   accesslog.Reason
		failed int64
	}{
		{"no", postgres("", nil, "N"), accesslog.ConnectFailed, 0},
		{"no and more", postgres("", nil, "NX"), accesslog.ConnectFailed, 1},
		{"error", postgres("", nil, "E"), accesslog.ConnectFailed, 1},
		{"a byte too many", postgres("", nil, "SX"), accesslog.ConnectFailed, 1},
		{"the end", func(net.Conn) {}, accesslog.ConnectFailed, 1},
		{"a reset", weirtest.ResetAtOnce, accesslog.ConnectFailed, 1},
		{"nothing", weirtest.Silent, accesslog.ConnectTimeout, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			bad := weirtest.Serve(t, tt.behave)
			timeout := patience
			if tt.want == accesslog.ConnectTimeout {
				timeout = unhurried
			}
			o := upstream.Options{Connect: upstream.ConnectOptions{Timeout: timeout, Retries: 1}, Passive: upstream.PassiveOptions{MaxFailedAttempts: 100}}
			alone, pool := b.pool(o, bad.Addr)
			both, _ := b.pool(o, bad.Addr, weirtest.Serve(t, postgres("good", ca.Server("both.test"), "S")).Addr)
			_, addr := b.open(EntrypointOptions{}, mustTable(t, b.passthrough("alone.test", alone), b.passthrough("both.test", both)))

			ask := func(name string) net.Conn {
				conn := dial(t, addr)
				send(t, conn, sslRequest)
				expect(t, conn, "S")
				return tls.Client(conn, &tls.Config{ServerName: name, RootCAs: ca.Pool()})
			}
			if err := ask("alone.test").(*tls.Conn).Handshake(); err == nil {
				t.Error("the handshake succeeds with a backend that does not speak TLS")
			}
			line := b.wantReason(tt.want)
			if line["EndedBy"] != "backend" || line["RetryAttempts"] != 0.0 {
				t.Errorf("the record says %v", line)
			}
			if got := pool.Backends()[0].Stats(); int64(got.FailureStreak) != tt.failed || int64(got.ConnectFailures) != tt.failed {
				t.Errorf("the backend's failure counts as %+v", got)
			}
			for range 2 { // one of them at least meets the bad one first
				conn := ask("both.test")
				send(t, conn, startUp)
				expect(t, conn, "good over TLS\n")
				finish(t, conn)
				b.wantReason(accesslog.Done)
			}
			if both.Stats().Retries == 0 {
				t.Error("no retry is counted")
			}
		})
	}
}

// TestPostgresWhereNoRouteIsForTLS: weir promises nothing it cannot keep; the backend answers for itself.
func TestPostgresWhereNoRouteIsForTLS(t *testing.T) {
	b := newBench(t, 0)
	v, _ := b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Echo).Addr)
	table, err := NewTable([]*Route{b.catchAll(v)}, nullHandler{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, addr := b.open(EntrypointOptions{}, table)
	for _, request := range []string{sslRequest, gssRequest} {
		conn := dial(t, addr)
		send(t, conn, request)
		expect(t, conn, request)
	}
}
