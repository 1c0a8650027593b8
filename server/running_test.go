package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/weirtest"
)

// running is a Server in the test's process with real sockets.
type running struct {
	*Server
	t       *testing.T
	cancel  context.CancelFunc
	signals chan os.Signal
	done    chan struct{}
	err     error // of Run; read after done
	log     *safeBuffer

	mu   sync.Mutex
	text string // what a reload loads
}

// safeBuffer takes the log from several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// head is what every configuration in the tests begins with.
const head = "admin: { address: \"127.0.0.1:0\" }\nengine: { loops: 2 }\n"

// start runs a server on a configuration and returns when it is ready. It is stopped with the test.
func start(t *testing.T, text string) *running {
	t.Helper()
	r := launch(t, text)
	select {
	case <-r.Ready():
	case <-r.done:
		t.Fatalf("Run: %v\n%s", r.err, r.log)
	}
	return r
}

// launch is start without waiting for readiness.
func launch(t *testing.T, text string) *running {
	t.Helper()
	return launchWith(t, text, nil)
}

// launchWith is launch with middlewares that somebody has built in.
func launchWith(t *testing.T, text string, own map[string]Maker) *running {
	t.Helper()
	r := &running{t: t, text: text, log: new(safeBuffer), done: make(chan struct{}), signals: make(chan os.Signal, 4)}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	r.Server = New(Options{
		Config: parse(t, head+text), Load: r.load, Signals: r.signals, Log: NewLog(r.log), Build: Build{"test", "none"}, Middlewares: own,
	})
	go func() {
		defer close(r.done)
		r.err = r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case r.signals <- os.Interrupt: // do not wait for connections that the test forgot
		case <-r.done:
		}
		<-r.done
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

func (r *running) load() (*config.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return config.Parse("weir.yaml", []byte(head+r.text))
}

// tryReload loads another configuration and returns what came of it.
func (r *running) tryReload(text string) error {
	r.mu.Lock()
	r.text = text
	r.mu.Unlock()
	return r.Server.Reload(r.t.Context())
}

func (r *running) mustReload(text string) {
	r.t.Helper()
	if err := r.tryReload(text); err != nil {
		r.t.Fatalf("reload: %v", err)
	}
}

// addr is where an entrypoint listens.
func (r *running) addr(entrypoint string) string {
	r.t.Helper()
	return r.entrypoint(entrypoint).Address
}

func (r *running) entrypoint(name string) admin.Entrypoint {
	r.t.Helper()
	for _, e := range r.State().Entrypoints {
		if e.Name == name {
			return e
		}
	}
	r.t.Fatalf("no entrypoint %s", name)
	return admin.Entrypoint{}
}

// backend is the state of one backend, by its address.
func (r *running) backend(addr string) admin.Backend {
	r.t.Helper()
	b, ok := r.lookup(addr)
	if !ok {
		r.t.Fatalf("no backend %s", addr)
	}
	return b
}

func (r *running) lookup(addr string) (admin.Backend, bool) {
	for _, b := range r.State().Backends {
		if b.Address == addr {
			return b, true
		}
	}
	return admin.Backend{}, false
}

// caughtUp returns when Run has done with what it was at, its log lines included: what State shows of a change may be seen
// before the rest of the change is done.
func (r *running) caughtUp() {
	r.t.Helper()
	if !r.do(r.t.Context(), func() {}) {
		r.t.Fatal("Run has returned")
	}
}

func (r *running) eventually(cond func() bool, msg string) {
	r.t.Helper()
	weirtest.Eventually(r.t, 10*time.Second, cond, msg)
}

// line is a client connection on which lines go back and forth.
type line struct {
	net.Conn
	t    *testing.T
	r    *bufio.Reader
	host string // that requests name
}

func dial(t *testing.T, addr string) *line {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return wrap(t, conn)
}

func wrap(t *testing.T, conn net.Conn) *line {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &line{Conn: conn, t: t, r: bufio.NewReader(conn), host: "a.example"}
}

// say sends a line and returns the answer.
func (l *line) say(text string) string {
	l.t.Helper()
	if _, err := io.WriteString(l, text+"\n"); err != nil {
		l.t.Fatalf("send %q: %v", text, err)
	}
	answer, err := l.r.ReadString('\n')
	if err != nil {
		l.t.Fatalf("answer to %q: %v", text, err)
	}
	return strings.TrimSuffix(answer, "\n")
}

// ends waits until the other side ends the connection, whichever way, and fails if it says something instead.
func (l *line) ends() {
	l.t.Helper()
	if answer, err := l.r.ReadString('\n'); err == nil {
		l.t.Fatalf("connection says %q instead of ending", answer)
	} else if os.IsTimeout(err) {
		l.t.Fatal("connection does not end")
	}
}

// simple is a configuration with one entrypoint, one router and one service.
func simple(listen string, servers ...string) string {
	var list []string
	for _, s := range servers {
		list = append(list, `{ address: "`+s+`" }`)
	}
	return `entryPoints: { web: { address: "` + listen + `" } }
tcp:
  routers: { all: { rule: "HostSNI(` + "`*`" + `)", service: app } }
  services: { app: { loadBalancer: { servers: [ ` + strings.Join(list, ", ") + ` ], slowStart: 0s } } }
`
}

// write puts text in a file's place in one step: whoever watches the file must not see half of it.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".next", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
}
