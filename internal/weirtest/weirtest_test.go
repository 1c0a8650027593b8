package weirtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func ask(t *testing.T, conn net.Conn, question string) string {
	t.Helper()
	if _, err := io.WriteString(conn, question); err != nil {
		t.Fatalf("send: %v", err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b[:n])
}

func TestPostgres(t *testing.T) {
	ca := CA(t)
	p := Postgres(t, PostgresOptions{TLS: ca.Server("orders.db.test", "127.0.0.1"), Settings: map[string]string{"max_connections": "17"}})
	if got := strings.TrimSpace(p.Query("SHOW max_connections")); got != "17" {
		t.Errorf("max_connections is %q, want 17", got)
	}
	encrypted := p.DSN(p.Addr, "sslmode=verify-full sslrootcert="+ca.File)
	if got := strings.TrimSpace(Run(t, "psql", "-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", encrypted)); got != "t" {
		t.Errorf("the connection is encrypted: %q, want t", got)
	}
	p.Kill()
	if out, err := TryRun(t, "psql", "-Xc", "SELECT 1", p.DSN(p.Addr, "")); err == nil {
		t.Errorf("a killed server answers: %s", out)
	}
	p.Start()
	p.Query("SELECT 1")
}

func TestMariaDB(t *testing.T) {
	ca := CA(t)
	m := MariaDB(t, MariaDBOptions{TLS: ca.Server("shop.db.test")})
	host, port, _ := net.SplitHostPort(m.Addr)
	out := Run(t, "mariadb", "--no-defaults", "--protocol=TCP", "--ssl", "-h", host, "-P", port, "-u", "weir", "-N", "-e", "SHOW STATUS LIKE 'Ssl_cipher'")
	if !strings.Contains(out, "TLS_") {
		t.Errorf("the connection is not encrypted: %q", out)
	}
}

func TestRedis(t *testing.T) {
	ca := CA(t)
	plain := Redis(t, RedisOptions{})
	if got := ask(t, dial(t, plain.Addr), "PING\r\n"); got != "+PONG\r\n" {
		t.Errorf("answer %q", got)
	}
	locked := Redis(t, RedisOptions{TLS: ca.Server("127.0.0.1"), Password: "secret"})
	if got := ask(t, tls.Client(dial(t, locked.Addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}), "PING\r\n"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("answer %q, want -NOAUTH", got)
	}
}

func TestPausedServerHoldsItsConnections(t *testing.T) {
	r := Redis(t, RedisOptions{})
	conn := dial(t, r.Addr)
	r.Pause()
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a paused server answered: %d bytes, %v", n, err)
	}
	r.Resume()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 16)); n == 0 {
		t.Fatalf("no answer after Resume: %v", err)
	}
}

func TestNginx(t *testing.T) {
	web, tcp := FreeAddr(t), FreeAddr(t)
	Nginx(t, NginxOptions{
		HTTP:   "server { listen " + web + "; location / { return 200 'hello'; } }",
		Stream: "server { listen " + tcp + "; proxy_pass " + web + "; }",
		Listen: []string{web, tcp},
	})
	for _, addr := range []string{web, tcp} {
		resp, err := http.Get("http://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "hello" {
			t.Errorf("%s answers %q", addr, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestHAProxy(t *testing.T) {
	addr, echo := FreeAddr(t), Serve(t, Echo)
	HAProxy(t, `
defaults
  mode tcp
  timeout connect 1s
  timeout client 10s
  timeout server 10s
listen l
  bind `+addr+`
  server s `+echo.Addr, addr)
	if got := ask(t, dial(t, addr), "ping"); got != "ping" {
		t.Errorf("answer %q", got)
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	var pid int
	t.Run("server", func(t *testing.T) {
		r := Redis(t, RedisOptions{})
		pid = r.PID()
		r.Stop()
		if code := r.ExitCode(time.Second); code != 0 {
			t.Errorf("exit code %d after a polite stop", code)
		}
		r.Start()
		pid = r.PID()
	})
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there after its test: %v", err)
	}
}

func TestBehaviours(t *testing.T) {
	tests := []struct {
		name    string
		behave  Behaviour
		send    string
		end     bool // half-close after sending
		want    string
		wantErr error
	}{
		{name: "echo", behave: Echo, send: "abc", end: true, want: "abc"},
		{name: "who speaks first", behave: Who("one"), end: true, want: "one\n"},
		{name: "who when asked", behave: WhoWhenAsked("two"), send: "?\n?\n", end: true, want: "two\ntwo\n"},
		{name: "answer", behave: Answer("yes"), send: "?", want: "yes"},
		{name: "greet", behave: Greet("hi"), end: true, want: "hi"},
		{name: "answer after the end", behave: AnswerAfterEOF(time.Millisecond), send: "abc", end: true,
			want: "3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"},
		{name: "reset at once", behave: ResetAtOnce, wantErr: syscall.ECONNRESET},
		{name: "reset after two bytes", behave: ResetAfter(2), send: "abc", wantErr: syscall.ECONNRESET},
		{name: "close after two bytes", behave: CloseAfter(2), send: "ab", want: "ab"},
		{name: "drip", behave: Drip("slow", time.Millisecond), send: "?", want: "slow"},
		{name: "flood", behave: Flood(5), want: "fffff"},
		{name: "silent", behave: Silent, send: "abc", wantErr: os.ErrDeadlineExceeded},
		{name: "stall", behave: Stall("he"), send: "?", want: "he", wantErr: os.ErrDeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Serve(t, tt.behave)
			raw, err := net.Dial("tcp", s.Addr)
			if errors.Is(err, syscall.ECONNRESET) && errors.Is(tt.wantErr, syscall.ECONNRESET) {
				return // the reset overtook the connect
			}
			if err != nil {
				t.Fatal(err)
			}
			conn := raw.(*net.TCPConn)
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if tt.send != "" {
				if _, err := io.WriteString(conn, tt.send); err != nil {
					t.Fatal(err)
				}
			}
			if tt.end {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(tt.want))
			if n, err := io.ReadFull(conn, got); err != nil {
				t.Fatalf("got %q, %v; want %q", got[:n], err, tt.want)
			}
			if errors.Is(tt.wantErr, os.ErrDeadlineExceeded) { // that nothing more comes is not waited for long
				if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := io.ReadAll(conn)
			if string(got) != tt.want || len(rest) > 0 || !errors.Is(err, tt.wantErr) {
				t.Errorf("got %q, then %q, %v; want %q, %v", got, rest, err, tt.want, tt.wantErr)
			}
			if s.Accepted() != 1 {
				t.Errorf("accepted %d connections, want 1", s.Accepted())
			}
		})
	}
}

func TestBackendRefusesAndComesBack(t *testing.T) {
	s := Serve(t, Echo)
	open := dial(t, s.Addr)
	ask(t, open, "x")
	s.Refuse()
	if _, err := net.Dial("tcp", s.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial: %v, want refused", err)
	}
	if got := ask(t, open, "still"); got != "still" {
		t.Errorf("the open connection answers %q", got)
	}
	s.Accept()
	ask(t, dial(t, s.Addr), "x")
	s.Kill()
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read after Kill: %v, want a reset", err)
	}
	Eventually(t, 5*time.Second, func() bool { return s.Active() == 0 }, "no connection is open")
}

func TestServeTLS(t *testing.T) {
	ca := CA(t)
	s := ServeTLS(t, ca.Server("a.test"), Who("a"), "redis")
	conn := tls.Client(dial(t, s.Addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test", NextProtos: []string{"redis"}})
	if got := ask(t, conn, "x"); got != "a\n" {
		t.Errorf("answer %q", got)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "redis" {
		t.Errorf("ALPN %q", got)
	}
	var unknown x509.UnknownAuthorityError
	stranger := tls.Client(dial(t, s.Addr), &tls.Config{RootCAs: CA(t).Pool(), ServerName: "a.test"})
	if err := stranger.Handshake(); !errors.As(err, &unknown) {
		t.Errorf("handshake under another authority: %v", err)
	}
}

func TestHalfClose(t *testing.T) {
	answer := Serve(t, AnswerAfterEOF(0))
	CheckHalfClose(t, dial(t, answer.Addr), bytes.Repeat([]byte("x"), 100_000))
	CheckHalfClose(t, dial(t, NewFaultProxy(t, answer.Addr).Addr), []byte("through a proxy"))
	got := make(chan []byte, 1)
	first := Serve(t, EndFirst("bye", got))
	conn := dial(t, first.Addr)
	if all, err := io.ReadAll(conn); string(all) != "bye" {
		t.Fatalf("read %q, %v", all, err)
	}
	if _, err := io.WriteString(conn, "late"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if all := <-got; string(all) != "late" {
		t.Errorf("the server got %q after its end", all)
	}
}

func TestAddressesWithoutServer(t *testing.T) {
	if _, err := net.Dial("tcp", Refused(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Refused: %v", err)
	}
	_, err := net.DialTimeout("tcp", Unanswered(t), 100*time.Millisecond)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Unanswered: %v, want a timeout", err)
	}
}

func TestFaultProxy(t *testing.T) {
	p := NewFaultProxy(t, Serve(t, Echo).Addr)
	t.Run("dribble", func(t *testing.T) {
		p.SetPiece(1)
		p.SetDelay(time.Millisecond)
		defer func() { p.SetPiece(0); p.SetDelay(0) }()
		conn := dial(t, p.Addr)
		start := time.Now()
		if _, err := io.WriteString(conn, "0123456789"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 10*time.Millisecond {
			t.Errorf("ten bytes in pieces of one, a millisecond each, took %v", took)
		}
	})
	t.Run("rate", func(t *testing.T) {
		p.SetRate(100_000)
		defer p.SetRate(0)
		conn := dial(t, p.Addr)
		start := time.Now()
		if _, err := conn.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 100*time.Millisecond {
			t.Errorf("10 kB at 100 kB/s took %v", took)
		}
	})
	t.Run("stall and flow", func(t *testing.T) {
		conn := dial(t, p.Addr)
		p.Stall()
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read while stalled: %v", err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		p.Flow()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("read after Flow: %v", err)
		}
	})
	t.Run("end towards the client", func(t *testing.T) {
		conn := dial(t, p.Addr)
		ask(t, conn, "x")
		p.EndAll()
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("read: %v, want EOF", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		conn := dial(t, p.Addr)
		ask(t, conn, "x")
		p.ResetAll()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v, want a reset", err)
		}
	})
}

func TestEchoUDP(t *testing.T) {
	s := EchoUDP(t)
	conn, err := net.Dial("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, conn, "datagram"); got != "datagram" || s.Received() != 1 {
		t.Errorf("answer %q, received %d", got, s.Received())
	}
}

func TestRefusedUDP(t *testing.T) {
	conn, err := net.Dial("udp", RefusedUDP(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read: %v, want refused", err)
	}
}

func TestNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	n := NewNetwork(t)
	a, b := n.Host(), n.Host()
	var l net.Listener
	a.Do(func() {
		var err error
		if l, err = net.Listen("tcp", a.Addr.String()+":0"); err != nil {
			t.Error(err)
		}
	})
	if l == nil {
		t.FailNow()
	}
	defer l.Close()
	if outside, err := net.Listen("tcp", a.Addr.String()+":0"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("the host's address is there outside its namespace: %v", err)
		if err == nil {
			outside.Close()
		}
	}
	var conn net.Conn
	b.Do(func() {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		f := os.NewFile(uintptr(fd), "b")
		defer f.Close()
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: a.Addr.As4()}); err != nil {
			t.Error(err)
			return
		}
		conn, err = net.FileConn(f)
		if err != nil {
			t.Error(err)
		}
	})
	if conn == nil {
		t.FailNow()
	}
	defer conn.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if got := peer.RemoteAddr().(*net.TCPAddr).IP.String(); got != b.Addr.String() {
		t.Errorf("the peer is %s, want %s", got, b.Addr)
	}
	if out, err := b.Command("ip", "-br", "addr").CombinedOutput(); err != nil || !strings.Contains(string(out), b.Addr.String()) {
		t.Errorf("ip addr on b: %v\n%s", err, out)
	}
}

func TestWeirHelper(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "standin")
	Run(t, "go", "build", "-o", binary, "./testdata/standin")
	tests := []struct{ name, config string }{
		{"admin address given", fmt.Sprintf("note: %%s\nadmin: { address: %q }\n", FreeAddr(t))},
		{"admin address put in", "note: %s\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := startWeir(t, http.DefaultClient, []string{binary}, fmt.Sprintf(tt.config, "first"))
			var status struct{ Note string }
			w.JSON("/api/v1/status", &status)
			if status.Note != "first" {
				t.Errorf("note %q", status.Note)
			}
			w.Reload(fmt.Sprintf(tt.config, "second"))
			w.JSON("/api/v1/status", &status)
			if status.Note != "second" || w.Generation() != 2 {
				t.Errorf("after the reload: note %q, generation %d", status.Note, w.Generation())
			}
			if code, _ := w.Get("/nothing"); code != http.StatusNotFound {
				t.Errorf("status %d of an unknown path", code)
			}
			w.Stop()
			if code := w.ExitCode(time.Second); code != 0 || !strings.Contains(w.Log(), "stopped") {
				t.Errorf("exit code %d, log %q", code, w.Log())
			}
		})
	}
}

func TestModuleRoot(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "internal", "weirtest", "weir.go")); err != nil {
		t.Errorf("%s is not the module's root: %v", root, err)
	}
}

func TestAdminAddress(t *testing.T) {
	tests := []struct {
		name, config, want string
	}{
		{"flow style", `admin: { address: "127.0.0.1:9901" }`, "127.0.0.1:9901"},
		{"block style", "entryPoints: {}\nadmin:\n  address: 127.0.0.1:1\n", "127.0.0.1:1"},
		{"none", "log: { level: debug }", ""},
		{"broken", "admin: [", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := adminAddress(tt.config); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNode(t *testing.T) {
	n := Node(t, `
const [host, port] = process.argv[2].split(':');
require('http').createServer((req, res) => res.end('from node')).listen(port, host);
`)
	answer := ask(t, dial(t, n.Addr), "GET / HTTP/1.0\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.HasSuffix(answer, "from node") {
		t.Errorf("answer %q", answer)
	}
}
