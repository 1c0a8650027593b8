package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestBadClients sends what no client should, and looks at the reason in log and metrics. A good client is served before and after.
func TestBadClients(t *testing.T) {
	t.Parallel()
	echo := weirtest.Serve(t, weirtest.Echo)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, fmt.Sprintf(`
accessLog: { path: %[1]s }
entryPoints:
  tls:   { address: "127.0.0.1:0", transport: { sniffTimeout: 2s } }
  plain: { address: "127.0.0.1:0" }
  proxy: { address: "127.0.0.1:0", transport: { sniffTimeout: 2s }, proxyProtocol: { trustedIPs: ["127.0.0.1"], require: true } }
tcp:
  routers:
    named: { entryPoints: [tls], rule: "HostSNI(%[2]sshop.test%[2]s)", tls: { passthrough: true }, service: echo }
    any:   { entryPoints: [plain, proxy], rule: "HostSNI(%[2]s*%[2]s)", service: echo }
  services: { echo: { loadBalancer: { servers: [ { address: %[3]q } ] } } }
`, log, "`", echo.Addr))
	good := func() {
		t.Helper()
		if got := ask(t, dial(t, addressOf(t, w, "plain")), "hello"); got != "hello" {
			t.Errorf("a good client is answered %q", got)
		}
	}
	good()
	const sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	for _, tt := range []struct {
		name, entrypoint string
		send             []string // each as a segment of its own, after a pause where there is more than one
		reason           string
	}{
		{"hello of another handshake type", "tls", []string{"\x16\x03\x01\x00\x04\x02\x00\x00\x00"}, "malformed-hello"},
		{"hello longer than its record says", "tls", []string{"\x16\x03\x01\x00\x06\x01\x00\x00\x02\xff\xff"}, "malformed-hello"},
		{"record of no length", "tls", []string{"\x16\x03\x01\x00\x00"}, "malformed-hello"},
		{"hello without an end", "tls", []string{"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + strings.Repeat("\x00", 1<<17)}, "malformed-hello"},
		{"plain text where only TLS is served", "tls", []string{"GET / HTTP/1.1\r\n\r\n"}, "no-route"},
		{"a PostgreSQL request with bytes behind it", "tls", []string{sslRequest + "\x16\x03"}, "malformed-postgres"},
		{"silence", "tls", nil, "sniff-timeout"},
		{"silence after a PostgreSQL request", "tls", []string{sslRequest}, "sniff-timeout"},
		{"a hello drop by drop", "tls", strings.Split("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""), "sniff-timeout"},
		{"no PROXY header", "proxy", []string{"hello\n"}, "malformed-proxy"},
		{"a PROXY header that is none", "proxy", []string{"PROXY TCP4 1.2.3.4 nobody 1 2\r\n"}, "malformed-proxy"},
		{"a PROXY header without an end", "proxy", []string{"PROXY TCP4 " + strings.Repeat("1", 200)}, "malformed-proxy"},
		{"half a PROXY header", "proxy", []string{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"}, "sniff-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			series := fmt.Sprintf(`weir_entrypoint_rejected_total{entrypoint=%q,reason=%q}`, tt.entrypoint, strings.ReplaceAll(tt.reason, "-", "_"))
			before := metrics(t, w)[series]
			conn := dial(t, addressOf(t, w, tt.entrypoint))
			start := time.Now()
			drip(conn, tt.send)
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) || isTimeout(err) {
				t.Fatalf("weir does not close the connection: %v", err)
			}
			if d := time.Since(start); tt.reason == "sniff-timeout" && d < 1900*time.Millisecond {
				t.Errorf("closed after %v, before its deadline", d)
			}
			awaitMetric(t, w, series, before+1)
			var found *record
			weirtest.Eventually(t, soon, func() bool {
				for _, r := range readLog(t, log) {
					if r.ClientAddr == conn.LocalAddr().String() && r.LocalAddr == conn.RemoteAddr().String() {
						found = &r
					}
				}
				return found != nil
			}, "the connection is in the access log")
			if found.Reason != tt.reason || found.ServiceName != "" || found.ServiceAddr != "" {
				t.Errorf("the log says %+v, want reason %s", *found, tt.reason)
			}
		})
	}
	good()
}

// drip sends pieces, a second apart, until the other side has had enough.
func drip(conn net.Conn, pieces []string) {
	for i, piece := range pieces {
		if i > 0 {
			// A client's slowness is what is tested; nothing is waited for. It ends early when weir closes.
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
				break
			}
		}
		if _, err := io.WriteString(conn, piece); err != nil {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(soon))
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestBadBackends puts each kind of bad backend behind an entrypoint of its own, alone and together with a good one.
func TestBadBackends(t *testing.T) {
	t.Parallel()
	answers := weirtest.Serve(t, weirtest.WhoWhenAsked("good")).Addr
	log := filepath.Join(t.TempDir(), "access.log")
	bad := []struct {
		name, addr string
		got        string // what a client that asks gets before the end
		reset      bool   // whether the end is a reset
		reason     string
		beside     bool // a good one beside it serves the client instead
	}{
		{"refuses", weirtest.Refused(t), "", true, "refused", true},
		{"swallows", weirtest.Unanswered(t), "", true, "connect-timeout", true},
		{"resets", weirtest.Serve(t, weirtest.ResetAfter(4)).Addr, "", true, "backend-abort", false},
		{"closes", weirtest.Serve(t, weirtest.Answer("")).Addr, "", false, "done", false},
		{"stalls", weirtest.Serve(t, weirtest.Stall("half")).Addr, "half", false, "idle-timeout", false},
		{"is-silent", weirtest.Serve(t, weirtest.Silent).Addr, "", false, "idle-timeout", false},
	}
	var entrypoints, routers, services strings.Builder
	add := func(name, servers string) {
		fmt.Fprintf(&entrypoints, "  %s: { address: \"127.0.0.1:0\", transport: { idleTimeout: 1s } }\n", name)
		fmt.Fprintf(&routers, "    %s: { entryPoints: [%s], rule: \"HostSNI(`*`)\", service: %s }\n", name, name, name)
		fmt.Fprintf(&services, "    %s: { loadBalancer: { servers: [ %s ], connect: { timeout: 1s } } }\n", name, servers)
	}
	for _, b := range bad {
		add(b.name, fmt.Sprintf("{ address: %q }", b.addr))
		if b.beside {
			add(b.name+"-beside", fmt.Sprintf("{ address: %q }, { address: %q }", b.addr, answers))
		}
	}
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\nentryPoints:\n"+entrypoints.String()+"tcp:\n  routers:\n"+routers.String()+"  services:\n"+services.String())
	logged := func(entrypoint string, n int) (found []record) {
		weirtest.Eventually(t, soon, func() bool {
			found = slices.DeleteFunc(readLog(t, log), func(r record) bool { return r.Entrypoint != entrypoint })
			return len(found) == n
		}, fmt.Sprintf("%d connections of %s are in the access log", n, entrypoint))
		return found
	}
	for _, b := range bad {
		t.Run(b.name, func(t *testing.T) {
			got, err := exchange(addressOf(t, w, b.name), "who\n")
			if got != b.got || isTimeout(err) || errors.Is(err, syscall.ECONNRESET) != b.reset {
				t.Errorf("the client gets %q, %v; want %q", got, err, b.got)
			}
			if r := logged(b.name, 1)[0]; r.Reason != b.reason || r.ServiceAddr != b.addr {
				t.Errorf("the log says %+v, want reason %s", r, b.reason)
			}
		})
		if !b.beside {
			continue
		}
		t.Run(b.name+" beside a good one", func(t *testing.T) {
			const clients = 4
			for range clients {
				conn := dial(t, addressOf(t, w, b.name+"-beside"))
				if got := ask(t, conn, "who"); got != "good" {
					t.Errorf("the client is answered %q", got)
				}
				conn.Close()
			}
			retried := 0
			for _, r := range logged(b.name+"-beside", clients) {
				retried += r.RetryAttempts
				if r.ServiceAddr != answers || r.Reason != "done" {
					t.Errorf("the log says %+v", r)
				}
			}
			if retried == 0 {
				t.Error("no connection was tried again: the bad one was never asked")
			}
		})
	}
}

// exchange sends text and returns what comes back until the end, which may be a reset as early as in the connect.
func exchange(addr, text string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return "", err
	}
	_, refusal := io.WriteString(conn, text)
	got, err := io.ReadAll(conn)
	if err == nil {
		err = refusal // a reset is told once: where writing has met it, reading sees a plain end
	}
	return string(got), err
}

// TestHalfClose ends one direction while the other goes on, both ways round, with more than sockets hold in between.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 1)
	late := weirtest.Serve(t, weirtest.AnswerAfterEOF(100*time.Millisecond))
	early := weirtest.Serve(t, weirtest.EndFirst("the server is done", got))
	w := weirtest.Weir(t, doors(door{"late", "127.0.0.1:0", late.Addr}, door{"early", "127.0.0.1:0", early.Addr}))
	load := bytes.Repeat([]byte("half a connection is a connection "), 1<<18)
	weirtest.CheckHalfClose(t, dial(t, addressOf(t, w, "late")), load)

	conn := dial(t, addressOf(t, w, "early"))
	if text, err := io.ReadAll(conn); err != nil || string(text) != "the server is done" {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := conn.Write(load); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if all := <-got; !bytes.Equal(all, load) {
		t.Errorf("the server that ended first got %d bytes, want %d", len(all), len(load))
	}
}
