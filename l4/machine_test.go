package l4

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// arena is one server for all rounds of TestAnyBehaviour, with everything switched on that keeps books.
type arena struct {
	*bench
	entry    *Entrypoint
	addr     string
	inFlight *InFlightConn
	pool     *upstream.Pool
	servers  [2]*weirtest.Backend
	openings []string // what clients may begin with
}

func newArena(t testing.TB) *arena {
	t.Helper()
	b := newBench(t, 0)
	a := &arena{bench: b, inFlight: NewInFlightConn(6)}
	o := upstream.Options{
		Connect:       upstream.ConnectOptions{Timeout: 20 * time.Millisecond, Retries: 1},
		Queue:         upstream.QueueOptions{Limit: 2, Timeout: 20 * time.Millisecond},
		Passive:       upstream.PassiveOptions{MaxFailedAttempts: 1 << 15},
		ProxyProtocol: 1,
	}
	var endpoints []upstream.Endpoint
	for i := range a.servers {
		a.servers[i] = weirtest.Serve(t, weirtest.Echo)
		endpoints = append(endpoints, upstream.Endpoint{Addr: a.servers[i].AddrPort(), Weight: 1, MaxConnections: 2})
	}
	var v *Service
	v, a.pool = b.service(o, endpoints...)
	terminated := b.passthrough("two.test", v)
	terminated.TLS, terminated.Config = Terminate, &tls.Config{Certificates: []tls.Certificate{weirtest.CA(t).Server("two.test").TLS}}
	routes := []*Route{b.passthrough("one.test", v), terminated, b.catchAll(v)}
	for _, r := range routes {
		r.Middlewares = []Middleware{a.inFlight, NewRateLimit(0, 1, time.Second, time.Now())}
	}
	routes[2].Rule = routeOf(t, "", "ClientIP(`127.0.0.0/8`)", 0, NoTLS).Rule // clients from elsewhere go to HTTP
	table, err := NewTable(routes, shouter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.entry, a.addr = b.open(EntrypointOptions{
		Proxy: loopbackTrusted, SniffTimeout: 20 * time.Millisecond, IdleTimeout: 24 * time.Millisecond, MaxConnections: 8,
	}, table)
	one, two := string(helloBytes(t, "one.test")), string(helloBytes(t, "two.test"))
	a.openings = []string{
		"", one, two, string(helloBytes(t, "nobody.test")), one[:40], one[:9] + strings.Repeat("\xff", 60), oneByteRecords([]byte(one)),
		"\x16\x03\x01\xff\xff", sslRequest, sslRequest + one, gssRequest, startUp, sslRequest[:6], "GET / HTTP/1.1\r\n\r\n", "GET",
		"\x00", "hello\n", strings.Repeat("bulk", 20_000),
	}
	return a
}

var proxyHeaders = []string{
	"", "", "", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY UNKNOWN\r\n", "PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n", "PROXY TCP9\r\n", "PROX",
	"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x07\x7f\x00\x00\x01\x00\x01\x00\x02", "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c",
}

// move is one thing a client does.
type move struct {
	kind  string // send, end, reset, read, pause
	bytes string
	pause time.Duration
}

// drawClient makes up a client: its bytes in pieces, with pauses, its end, a reset or a hang-up anywhere between.
func (a *arena) drawClient(t *rapid.T) (script []move) {
	opening := func() string { return a.openings[rapid.IntRange(0, len(a.openings)-1).Draw(t, "opening")] } // drawn by number: the bytes would drown the report
	rest := rapid.SampledFrom(proxyHeaders).Draw(t, "header") + opening()
	for range rapid.IntRange(0, 6).Draw(t, "moves") {
		switch kind := rapid.SampledFrom([]string{"send", "send", "send", "rest", "rest", "end", "reset", "read", "pause", "more"}).Draw(t, "move"); kind {
		case "send":
			n := min(len(rest), rapid.IntRange(1, 64).Draw(t, "bytes"))
			script = append(script, move{kind: "send", bytes: rest[:n]})
			rest = rest[n:]
		case "rest":
			script = append(script, move{kind: "send", bytes: rest})
			rest = ""
		case "more":
			rest = opening()
		case "pause":
			script = append(script, move{kind: kind, pause: time.Duration(rapid.IntRange(0, 8).Draw(t, "ms")) * time.Millisecond})
		default:
			script = append(script, move{kind: kind})
		}
	}
	return script
}

// play does what the script says and leaves.
func (a *arena) play(script []move) error {
	conn, err := net.DialTimeout("tcp", a.addr, patience)
	if err != nil {
		return nil // turned away at the door, so fast that connect(2) has seen it
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for _, m := range script {
		switch m.kind {
		case "send":
			if _, err := io.WriteString(conn, m.bytes); err != nil {
				return timeout(err)
			}
		case "end":
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				return timeout(err)
			}
		case "reset":
			weirtest.Reset(conn)
			return nil
		case "read":
			if _, err := conn.Read(make([]byte, 512)); err != nil {
				return timeout(err) // every phase has a deadline, so this must not wait for ever
			}
		case "pause":
			<-time.After(m.pause)
		}
	}
	return nil
}

// timeout keeps of an error that the test's own patience is over: everything else is weir's good right.
func timeout(err error) error {
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return fmt.Errorf("a client was forgotten: %w", err)
	}
	return nil
}

// shouter serves HTTP connections in capitals, for a while: deadlines are the handler's own once it has the connection.
type shouter struct{}

func (shouter) Serve(s *eventloop.Stream) {
	u := &mortal{upper: upper{peeked: make(chan string, 1), remote: make(chan netip.AddrPort, 1)}, stream: s, loop: s.Loop()}
	u.loop.Arm(&u.deadline, 20*time.Millisecond, u)
	u.peeked <- string(s.Peeked())
	u.remote <- s.Remote()
	s.SetHandler(u)
	u.Ready(s)
}

// mortal is upper with a deadline.
type mortal struct {
	upper
	loop     *eventloop.Loop
	stream   *eventloop.Stream
	deadline eventloop.Timer
}

func (m *mortal) Ready(s *eventloop.Stream) {
	m.upper.Ready(s)
	if !s.IsOpen() {
		m.loop.Disarm(&m.deadline) // the stream may be another connection's by then
	}
}

func (m *mortal) Expired(*eventloop.Timer) { m.stream.Close() }

func drawBehaviour(t *rapid.T) weirtest.Behaviour {
	heard := make(chan []byte, 100)
	return map[string]weirtest.Behaviour{
		"echo": weirtest.Echo, "who": weirtest.Who("who"), "silent": weirtest.Silent, "reset at once": weirtest.ResetAtOnce,
		"reset later": weirtest.ResetAfter(50), "close later": weirtest.CloseAfter(60), "stall": weirtest.Stall("half"), "answer": weirtest.Answer("bye"),
		"greet": weirtest.Greet("hello\n"), "end first": weirtest.EndFirst("end", heard), "flood": weirtest.Flood(300_000), "discard": weirtest.Discard,
		"yes": saysTo("S"), "no": saysTo("N"), "too much": saysTo("SS"),
	}[rapid.SampledFrom([]string{
		"echo", "echo", "who", "silent", "reset at once", "reset later", "close later", "stall", "answer", "greet", "end first", "flood", "discard",
		"yes", "no", "too much",
	}).Draw(t, "behaviour")]
}

// saysTo waits for an SSLRequest behind a PROXY header, answers it, and echoes.
func saysTo(answer string) weirtest.Behaviour {
	return func(conn net.Conn) {
		var got []byte
		one := make([]byte, 1)
		for !bytes.HasSuffix(got, []byte(sslRequest)) && len(got) < 256 {
			if _, err := conn.Read(one); err != nil {
				return
			}
			got = append(got, one...)
		}
		if _, err := io.WriteString(conn, answer); err == nil {
			weirtest.Echo(conn)
		}
	}
}

// TestAnyBehaviour lets clients and backends do whatever comes to their mind, the operator included, and wants the books
// to balance after every round: nobody counted, nobody waiting. That each connection has one record is checked in the end.
func TestAnyBehaviour(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	rapid.Check(t, func(t *rapid.T) {
		for _, s := range a.servers {
			s.Behave(drawBehaviour(t))
			if rapid.IntRange(0, 5).Draw(t, "refuse") == 0 {
				s.Refuse()
			} else {
				s.Accept()
			}
		}
		var clients sync.WaitGroup
		errs := make(chan error, 16)
		for range rapid.IntRange(1, 10).Draw(t, "clients") {
			script := a.drawClient(t)
			clients.Go(func() { errs <- a.play(script) })
		}
		switch rapid.IntRange(0, 8).Draw(t, "operator") {
		case 0:
			a.CloseAll(accesslog.Shutdown)
		case 1:
			a.CloseEntrypoint(a.entry, accesslog.Drain)
		case 2:
			a.CloseBackend(a.pool.Backends()[0], accesslog.BackendDown)
		case 3:
			a.Sync()
		}
		clients.Wait()
		for range len(errs) {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		a.settle(t)
	})
}

// settle waits until all is over and the books are balanced. They are looked at as a whole, again and again, because a
// client that has come and gone may still stand in the kernel's queue of connections to accept.
func (a *arena) settle(t *rapid.T) {
	deadline := time.Now().Add(patience)
	for {
		open := a.openBooks()
		if len(open) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted although all is over: %v; sessions by phase: %v", open, a.phases())
		}
		<-time.After(time.Millisecond)
	}
}

// openBooks lists what is still counted anywhere.
func (a *arena) openBooks() (open []string) {
	note := func(what string, n int64) {
		if n != 0 {
			open = append(open, fmt.Sprint(n, " ", what))
		}
	}
	note("at the server", a.Active())
	note("at the entrypoint", a.entry.Active())
	note("panics", a.Panics())
	note("in the queue", a.pool.Stats().Waiting)
	for _, backend := range a.pool.Backends() {
		note("at a backend", backend.Active())
	}
	for _, v := range a.services {
		note("at the service", v.Stats().Active)
	}
	note("at the middleware", a.inFlight.limit.Total())
	return open
}
