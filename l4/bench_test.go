package l4

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// lane is a server with a client and a backend that allocate nothing, being plain system calls: what is allocated while
// connections pass is the server's.
type lane struct {
	entry   *Entrypoint
	backend *upstream.Backend
	addr    syscall.SockaddrInet4
	buf     [64]byte
}

// newLane serves connections that are routed by what route makes of the service, with or without an access log.
func newLane(t testing.TB, logged bool, route func(*Service) *Route) *lane {
	t.Helper()
	o := Options{Loops: 1, Log: slog.New(slog.DiscardHandler)}
	if logged {
		o.AccessLog = accesslog.New(nil)
		if err := o.AccessLog.Configure(accesslog.Options{Format: accesslog.JSON, Path: filepath.Join(t.TempDir(), "log")}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := o.AccessLog.Close(t.Context()); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	l := &lane{backend: upstream.NewBackend("svc", upstream.Endpoint{Addr: answerOnce(t), Weight: 1})}
	pool := upstream.NewPool("svc", nil)
	pool.Update(upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}}, []*upstream.Backend{l.backend}, time.Now())
	sockets, err := s.Bind([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	at := sockets.Addrs()[0]
	l.addr = syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	l.entry, err = s.Open("ep", sockets, EntrypointOptions{SniffTimeout: patience, IdleTimeout: patience}, mustTable(t, route(s.NewService("svc", pool))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.entry.Close)
	return l
}

// answerOnce is a backend that reads once, writes four bytes and closes, one connection after the other.
func answerOnce(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 128); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 8192)
		for {
			conn, _, errno := syscall.Syscall6(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, syscall.SOCK_CLOEXEC, 0, 0)
			if errno != 0 {
				return
			}
			_, _ = syscall.Read(int(conn), buf)
			_, _ = syscall.Write(int(conn), buf[:4])
			_ = syscall.Close(int(conn))
		}
	})
	t.Cleanup(func() {
		_ = syscall.Shutdown(fd, syscall.SHUT_RDWR) // which makes accept return
		serving.Wait()
		_ = syscall.Close(fd)
	})
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
}

// pass makes one connection: request, answer, end.
func (l *lane) pass(t testing.TB, request []byte) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Connect(fd, &l.addr); err != nil {
		t.Fatal(os.NewSyscallError("connect", err))
	}
	if _, err := syscall.Write(fd, request); err != nil {
		t.Fatal(os.NewSyscallError("write", err))
	}
	for got := 0; ; {
		n, err := syscall.Read(fd, l.buf[:])
		if err != nil || n == 0 && got != 4 {
			t.Fatalf("%d bytes, %v", got, err)
		}
		if got += n; n == 0 {
			return
		}
	}
}

// lanes are the ways connections take in the tests and benchmarks below.
func lanes(t testing.TB) []struct {
	name    string
	logged  bool
	request []byte
	route   func(*Service) *Route
} {
	catchAll := func(v *Service) *Route {
		r := routeOf(t, "rest", "HostSNI(`*`)", 0, NoTLS)
		r.Service = v
		return r
	}
	limited := func(v *Service) *Route {
		r := routeOf(t, "rest", "ClientIP(`127.0.0.0/8`)", 0, NoTLS)
		r.Service = v
		r.Middlewares = []Middleware{
			NewIPAllowList([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), NewInFlightConn(100), NewRateLimit(1_000_000, 1000, time.Second, time.Now()),
		}
		return r
	}
	byName := func(v *Service) *Route {
		r := routeOf(t, "named", "HostSNI(`one.test`)", 0, Passthrough)
		r.Service = v
		return r
	}
	return []struct {
		name    string
		logged  bool
		request []byte
		route   func(*Service) *Route
	}{
		{"plain", false, []byte("ping"), catchAll},
		{"plain, logged", true, []byte("ping"), catchAll},
		{"plain, middlewares", false, []byte("ping"), limited},
		{"TLS by name, logged", true, helloBytes(t, "one.test", "h2"), byName},
	}
}

// TestConnectionsAllocateNothing: once the pools are warm, a relayed connection from accept to record takes nothing from
// the heap, so that load makes no garbage.
func TestConnectionsAllocateNothing(t *testing.T) {
	for _, tt := range lanes(t) {
		t.Run(tt.name, func(t *testing.T) {
			l := newLane(t, tt.logged, tt.route)
			const count = 1000
			run := func() (allocated float64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range count {
					l.pass(t, tt.request)
				}
				runtime.ReadMemStats(&after)
				return float64(after.Mallocs-before.Mallocs) / count
			}
			run()
			each := run()
			t.Logf("%.3f allocations per connection", each)
			if !raceEnabled && each > 0.2 { // the runtime and the log's writer have a few of their own
				t.Errorf("%.3f allocations per connection", each)
			}
			weirtest.Eventually(t, patience, func() bool { return l.entry.Active() == 0 && l.backend.Active() == 0 }, "connections stay")
		})
	}
}

// BenchmarkConnection is one connection per request on loopback, its client and its backend included.
func BenchmarkConnection(b *testing.B) {
	for _, tt := range lanes(b) {
		b.Run(tt.name, func(b *testing.B) {
			l := newLane(b, tt.logged, tt.route)
			b.ReportAllocs()
			for b.Loop() {
				l.pass(b, tt.request)
			}
		})
	}
}
