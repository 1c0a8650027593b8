package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newProber(t *testing.T, kind string, p Params) Prober {
	t.Helper()
	prober, err := New(kind, p)
	if err != nil {
		t.Fatalf("New(%s): %v", kind, err)
	}
	return prober
}

// probe asks once, with ten seconds.
func probe(t *testing.T, p Prober, addr string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return p.Probe(ctx, netip.MustParseAddrPort(addr))
}

// check compares an error with what it must contain; empty = no error.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("probe failed: %v", err)
	case want != "" && err == nil:
		t.Errorf("probe succeeded, want an error with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("probe failed with %q, want %q in it", err, want)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name, kind string
		params     Params
		want       string
	}{
		{"unknown kind", "ftp", Params{}, "dns, grpc, http, mysql, postgres, redis, tcp, tls, udp"},
		{"PROXY version", "tcp", Params{ProxyProtocol: 3}, "version 3"},
		{"endless expectation", "tcp", Params{Exchange: Exchange{Expect: make([]byte, readLimit+1)}}, "longer"},
		{"more to send than a datagram", "udp", Params{Exchange: Exchange{Send: make([]byte, datagramLimit+1)}}, "what is sent is longer"},
		{"more to expect than a datagram", "udp", Params{Exchange: Exchange{Expect: make([]byte, datagramLimit+1)}}, "what is expected is longer"},
		{"name of dns", "dns", Params{DNS: DNS{Name: "a..b"}}, "a..b"},
		{"record type of dns", "dns", Params{DNS: DNS{RecordType: "ANY"}}, "A, AAAA, CAA"},
		{"method", "http", Params{HTTP: HTTP{Method: "GET /"}}, "token"},
		{"path without slash", "http", Params{HTTP: HTTP{Path: "healthz"}}, "path"},
		{"path with a line end", "http", Params{HTTP: HTTP{Path: "/\r\nX: y"}}, "path"},
		{"path with a blank", "http", Params{HTTP: HTTP{Path: "/a b"}}, "path"},
		{"host with a line end", "http", Params{HTTP: HTTP{Host: "a\r\nb"}}, "host"},
		{"header name", "http", Params{HTTP: HTTP{Headers: http.Header{"a b": {"c"}}}}, "header name"},
		{"header value", "http", Params{HTTP: HTTP{Headers: http.Header{"a": {"b\r\nc: d"}}}}, "line"},
		{"status", "http", Params{HTTP: HTTP{Status: 99}}, "status"},
		{"service of grpc", "grpc", Params{GRPC: GRPC{Service: strings.Repeat("x", grpcNameLimit+1)}}, "longer"},
		{"host of grpc", "grpc", Params{GRPC: GRPC{Host: "a\r\nb"}}, "host"},
		{"user of postgres", "postgres", Params{Login: Login{User: "a\x00b"}}, "zero byte"},
		{"user of mysql", "mysql", Params{Login: Login{User: "a\x00b"}}, "zero byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := New(tt.kind, tt.params)
			if err == nil {
				t.Fatalf("New made %v", p)
			}
			check(t, err, tt.want)
		})
	}
}

// Every kind that connects is back by its deadline, whatever the server does or does not do.
func TestProbersKeepTheirDeadline(t *testing.T) {
	servers := map[string]func(t *testing.T) string{
		"silent":     func(t *testing.T) string { return weirtest.Serve(t, weirtest.Silent).Addr },
		"unanswered": func(t *testing.T) string { return weirtest.Unanswered(t) },
		"dripping": func(t *testing.T) string {
			return weirtest.Serve(t, func(conn net.Conn) {
				for {
					if _, err := conn.Write([]byte{1}); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}).Addr
		},
	}
	for name, serve := range servers {
		for _, kind := range streamKinds() {
			t.Run(kind+" "+name, func(t *testing.T) {
				p := newProber(t, kind, Params{Exchange: Exchange{Send: []byte("?"), Expect: []byte("never")}})
				addr := netip.MustParseAddrPort(serve(t))
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
				defer cancel()
				start := time.Now()
				err := p.Probe(ctx, addr)
				if err == nil {
					t.Error("probe succeeded")
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("a probe of 150 ms took %v", took)
				}
				if name == "silent" && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) { // the latter before it is connected
					t.Errorf("error %v does not say that time ran out", err)
				}
			})
		}
	}
}

func TestProbersStopWhenCancelled(t *testing.T) {
	for _, kind := range streamKinds() {
		t.Run(kind, func(t *testing.T) {
			accepted := make(chan struct{})
			s := weirtest.Serve(t, func(conn net.Conn) {
				close(accepted)
				weirtest.Silent(conn)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-accepted
				cancel()
			}()
			p := newProber(t, kind, Params{Exchange: Exchange{Expect: []byte("never")}})
			// No deadline: without the cancellation this would block for ever.
			if err := p.Probe(ctx, s.AddrPort()); err == nil {
				t.Error("probe succeeded")
			}
		})
	}
}

// No kind that connects reads on for ever what makes no sense.
func TestProbersBoundWhatTheyRead(t *testing.T) {
	for _, kind := range streamKinds() {
		t.Run(kind, func(t *testing.T) {
			sent := make(chan int64, 1)
			s := weirtest.Serve(t, func(conn net.Conn) {
				n, _ := io.CopyN(conn, neverEnding('A'), 1<<30)
				sent <- n
			})
			p := newProber(t, kind, Params{Exchange: Exchange{Expect: []byte("never")}})
			if err := probe(t, p, s.Addr); err == nil {
				t.Error("probe succeeded")
			} else if len(err.Error()) > 2000 {
				t.Errorf("the error repeats %d bytes of what the server sent", len(err.Error()))
			}
			// What the server got rid of sits in socket buffers, not in the prober.
			if n := <-sent; n > 32<<20 {
				t.Errorf("the server could send %d bytes", n)
			}
		})
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestProbersOnDeadServers(t *testing.T) {
	reset := weirtest.Serve(t, weirtest.ResetAtOnce)
	closed := weirtest.Serve(t, func(net.Conn) {})
	refused := weirtest.Refused(t)
	for _, kind := range streamKinds() {
		p := newProber(t, kind, Params{Exchange: Exchange{Send: []byte("?"), Expect: []byte("never")}})
		t.Run(kind+" refused", func(t *testing.T) {
			if err := probe(t, p, refused); !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "connect: connection refused" {
				t.Errorf("error %v", err)
			}
		})
		t.Run(kind+" reset", func(t *testing.T) {
			if err := probe(t, p, reset.Addr); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("error %v", err)
			}
		})
		t.Run(kind+" closed", func(t *testing.T) {
			if err := probe(t, p, closed.Addr); err == nil {
				t.Error("probe succeeded")
			}
		})
	}
}

func TestExchange(t *testing.T) {
	split := func(parts ...string) weirtest.Behaviour {
		return func(conn net.Conn) {
			for _, part := range parts {
				if _, err := io.WriteString(conn, part); err != nil {
					return
				}
				time.Sleep(time.Millisecond) // so that the parts are segments of their own
			}
			weirtest.Discard(conn)
		}
	}
	tests := []struct {
		name   string
		behave weirtest.Behaviour
		e      Exchange
		want   string
	}{
		{"connect only", weirtest.Discard, Exchange{}, ""},
		{"send only", weirtest.Discard, Exchange{Send: []byte("hi")}, ""},
		{"expect a greeting", weirtest.Greet("220 mail ready\r\n"), Exchange{Expect: []byte("220 ")}, ""},
		{"in the middle", weirtest.Greet("xx needle yy"), Exchange{Expect: []byte("needle")}, ""},
		{"over two segments", split("xx nee", "dle yy"), Exchange{Expect: []byte("needle")}, ""},
		{"byte by byte", split("n", "e", "e", "d", "l", "e"), Exchange{Expect: []byte("needle")}, ""},
		{"send and expect", weirtest.Echo, Exchange{Send: []byte("ping"), Expect: []byte("ping")}, ""},
		{"answer then stall is enough", weirtest.Stall("+PONG"), Exchange{Send: []byte("PING"), Expect: []byte("PONG")}, ""},
		{"wrong answer", weirtest.Answer("-ERR"), Exchange{Send: []byte("PING"), Expect: []byte("+PONG")}, `closed without "+PONG", having sent "-ERR"`},
		{"nothing", weirtest.Answer(""), Exchange{Send: []byte("PING"), Expect: []byte("+PONG")}, `having sent ""`},
		{"too late in the stream", split(strings.Repeat("x", readLimit+8192), "needle"), Exchange{Expect: []byte("needle")}, "no \"needle\" in the first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "tcp", Params{Exchange: tt.e}), weirtest.Serve(t, tt.behave).Addr), tt.want)
		})
	}
}

func TestProxyHeader(t *testing.T) {
	tests := []struct {
		name    string
		version int
		want    string
	}{
		{"none", 0, ""},
		{"version 1", 1, "PROXY UNKNOWN\r\n"},
		{"version 2", 2, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
	}
	for _, tt := range tests {
		for _, kind := range []string{"tcp", "redis"} {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				got := make(chan string, 1)
				s := weirtest.Serve(t, func(conn net.Conn) {
					b := make([]byte, len(tt.want)+4)
					n, _ := io.ReadFull(conn, b)
					got <- string(b[:n])
					_, _ = io.WriteString(conn, "+PONG\r\n")
				})
				p := newProber(t, kind, Params{ProxyProtocol: tt.version, Exchange: Exchange{Send: []byte("*1\r\n"), Expect: []byte("+PONG")}})
				if err := probe(t, p, s.Addr); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.want+"*1\r\n", <-got); diff != "" {
					t.Errorf("what the backend read (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A header before nothing must arrive all the same: the close that follows may not destroy it.
func TestProxyHeaderAloneArrives(t *testing.T) {
	for range 50 {
		got := make(chan string, 1)
		s := weirtest.Serve(t, func(conn net.Conn) {
			all, err := io.ReadAll(conn)
			if err != nil {
				all = []byte(err.Error())
			}
			got <- string(all)
		})
		if err := probe(t, newProber(t, "tcp", Params{ProxyProtocol: 1}), s.Addr); err != nil {
			t.Fatal(err)
		}
		if all := <-got; all != "PROXY UNKNOWN\r\n" {
			t.Fatalf("the backend read %q", all)
		}
	}
}

func TestOtherPort(t *testing.T) {
	s := weirtest.Serve(t, weirtest.Discard)
	p := newProber(t, "tcp", Params{Port: s.AddrPort().Port()})
	check(t, probe(t, p, weirtest.Refused(t)), "")
}

func TestTLS(t *testing.T) {
	ca, stranger := weirtest.CA(t), weirtest.CA(t)
	s := weirtest.ServeTLS(t, ca.Server("orders.db.test"), weirtest.Who("orders"), "postgresql")
	byAddress := weirtest.ServeTLS(t, ca.Server("127.0.0.1"), weirtest.Who("orders"))
	plain := weirtest.Serve(t, weirtest.Greet("220 plain\r\n"))
	tests := []struct {
		name string
		addr string
		tls  *TLS
		e    Exchange
		want string
	}{
		{"nothing verified", s.Addr, nil, Exchange{}, ""},
		{"name and authority verified", s.Addr, &TLS{ServerName: "orders.db.test", RootCAs: ca.Pool()}, Exchange{}, ""},
		{"name only sent", s.Addr, &TLS{ServerName: "other.test"}, Exchange{}, ""},
		{"wrong name", s.Addr, &TLS{ServerName: "other.test", RootCAs: ca.Pool()}, Exchange{}, "other.test"},
		{"wrong authority", s.Addr, &TLS{ServerName: "orders.db.test", RootCAs: stranger.Pool()}, Exchange{}, "unknown authority"},
		{"authorities of the system", s.Addr, &TLS{ServerName: "orders.db.test", Verify: true}, Exchange{}, "certificate"},
		{"address verified", byAddress.Addr, &TLS{RootCAs: ca.Pool()}, Exchange{}, ""},
		{"address not in the certificate", s.Addr, &TLS{RootCAs: ca.Pool()}, Exchange{}, "127.0.0.1"},
		{"verification skipped", s.Addr, &TLS{ServerName: "other.test", RootCAs: stranger.Pool(), Verify: true, InsecureSkipVerify: true}, Exchange{}, ""},
		{"protocol offered", s.Addr, &TLS{NextProtos: []string{"postgresql"}}, Exchange{}, ""},
		{"protocol not spoken", s.Addr, &TLS{NextProtos: []string{"redis"}}, Exchange{}, "tls handshake"},
		{"exchange inside", s.Addr, nil, Exchange{Expect: []byte("orders\n")}, ""},
		{"wrong answer inside", byAddress.Addr, nil, Exchange{Send: []byte("x"), Expect: []byte("orders\nxy")}, ""},
		{"server is plain", plain.Addr, nil, Exchange{}, "tls handshake"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "wrong answer inside" {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the handshake must be over by then
				defer cancel()
				err := newProber(t, "tls", Params{TLS: tt.tls, Exchange: tt.e}).Probe(ctx, netip.MustParseAddrPort(tt.addr))
				check(t, err, "wait for")
				return
			}
			check(t, probe(t, newProber(t, "tls", Params{TLS: tt.tls, Exchange: tt.e}), tt.addr), tt.want)
		})
	}
}

// Probing leaves no sockets in TIME_WAIT where the server is plain and has answered all.
func TestProbesLeaveNoTimeWait(t *testing.T) {
	tests := []struct {
		kind   string
		behave weirtest.Behaviour
	}{
		{"tcp", weirtest.Discard},
		{"redis", weirtest.Answer("+PONG\r\n")},
		{"http", weirtest.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			// An address of this test's own: other connections of the machine wait as well.
			s := weirtest.ServeAt(t, "127.77.0.1:0", tt.behave)
			for range 20 {
				if err := probe(t, newProber(t, tt.kind, Params{}), s.Addr); err != nil {
					t.Fatal(err)
				}
			}
			if n := timeWaits(t, s.AddrPort()); n > 0 {
				t.Errorf("%d of 20 probes left a socket in TIME_WAIT", n)
			}
		})
	}
}

// timeWaits counts the sockets in TIME_WAIT towards an IPv4 address, and at it.
func timeWaits(t *testing.T, addr netip.AddrPort) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const timeWait = "06"
	b := addr.Addr().As4()
	want := fmt.Sprintf("%02X%02X%02X%02X:%04X", b[3], b[2], b[1], b[0], addr.Port()) // as a little-endian machine prints it
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && (f[1] == want || f[2] == want) && f[3] == timeWait {
			n++
		}
	}
	return n
}

func TestParsePayload(t *testing.T) {
	tests := []struct {
		name, text string
		want       string
		wantErr    string
	}{
		{"plain", "PING", "PING", ""},
		{"empty", "", "", ""},
		{"escapes", `PING\r\n\t\0\\\"`, "PING\r\n\t\x00\\\"", ""},
		{"bytes", `\x00\xfF\x41B`, "\x00\xffAB", ""},
		{"utf-8", "né", "né", ""},
		{"real line end", "PING\r\n", "PING\r\n", ""},
		{"hex", "hex:50 49 4e47 0D0a", "PING\r\n", ""},
		{"text that begins with hex:", `\hex:50`, "hex:50", ""},
		{"unknown escape", `a\qb`, "", "byte 1"},
		{"escape cut off", `ab\`, "", "byte 2"},
		{"short byte", `\x4`, "", "byte 0"},
		{"no digits", `\xzz`, "", "byte 0"},
		{"sign for a digit", `\x+4`, "", "byte 0"},
		{"odd hex", "hex:5", "", "hex"},
		{"wrong hex", "hex:5g", "", "hex"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePayload(tt.text)
			check(t, err, tt.wantErr)
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, seed := range []string{"PING", `\r\n\x00`, "hex:00ff", `\hex:`, `\`, `\x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParsePayload(s)
		if err != nil {
			return
		}
		if len(got) > len(s) {
			t.Fatalf("%q became %d bytes", s, len(got))
		}
		if !strings.ContainsAny(s, `\`) && !strings.HasPrefix(s, "hex:") && string(got) != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestKindsAreInOrder(t *testing.T) {
	if kinds := Kinds(); !slices.IsSorted(kinds) || len(kinds) != 9 {
		t.Errorf("kinds %v", kinds)
	}
}
