package l4

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// childVariable holds the orders of a test binary that is to run a server alone in its process, so that memory and
// descriptors can be told from those of clients and backends.
const childVariable = "WEIR_L4_CHILD"

func TestMain(m *testing.M) {
	if orders := os.Getenv(childVariable); orders != "" {
		if err := serveAlone(orders); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// childOrders is what a child serves.
type childOrders struct {
	Backend      netip.AddrPort
	NoFile       uint64 // limit of descriptors; 0 = as it is
	TLS          bool   // look at first bytes, route TLS
	Plain        bool   // route what is not TLS; so it is without TLS anyway
	SniffTimeout time.Duration
	UDPBackend   netip.AddrPort // of a UDP entrypoint; the zero value is none
	IdleTimeout  time.Duration  // of flows
	Shared       *SharedSockets // nil = flows
}

// childReport is how a child is.
type childReport struct {
	Addr                 string
	RSS                  int64 // anonymous, in bytes
	Heap                 int64 // in use, in bytes
	Active, Pauses       int64
	Internal, TimedOut   int64 // connections ended so
	Opened, ActiveByStat int64
	UDPAddr              string
	UDP, UDPService      flow.Stats
	UDPFailures          uint64 // charged to the backend of the UDP entrypoint
	Flows                int64
}

// serveAlone runs a server until its standard input ends, and reports for every line that comes there.
func serveAlone(orders string) error {
	var o childOrders
	if err := json.Unmarshal([]byte(orders), &o); err != nil {
		return err
	}
	if o.NoFile > 0 {
		limit := syscall.Rlimit{Cur: o.NoFile, Max: o.NoFile}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	s, err := NewServer(Options{Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer s.Close()
	pool := upstream.NewPool("svc", nil)
	pool.Update(upstream.Options{Connect: upstream.ConnectOptions{Timeout: patience}},
		[]*upstream.Backend{upstream.NewBackend("svc", upstream.Endpoint{Addr: o.Backend, Weight: 1})}, time.Now())
	routes, err := childRoutes(o, s.NewService("svc", pool))
	if err != nil {
		return err
	}
	table, err := NewTable(routes, nil, nil)
	if err != nil {
		return err
	}
	sockets, err := s.Bind([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		return err
	}
	e, err := s.Open("ep", sockets, EntrypointOptions{SniffTimeout: o.SniffTimeout}, table)
	if err != nil {
		return err
	}
	defer e.Close()
	udp, err := openAlone(s, o)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		r := reportOf(e, sockets.Addrs()[0].String())
		if udp != nil {
			udp.report(&r)
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// childUDP is the UDP entrypoint of a child.
type childUDP struct {
	entry   *UDPEntrypoint
	service *UDPService
	backend *upstream.Backend
	addr    netip.AddrPort
}

// openAlone opens the UDP entrypoint, if there is to be one.
func openAlone(s *Server, o childOrders) (*childUDP, error) {
	if !o.UDPBackend.IsValid() {
		return nil, nil
	}
	u := &childUDP{backend: upstream.NewBackend("udp", upstream.Endpoint{Addr: o.UDPBackend, Weight: 1})}
	pool := upstream.NewPool("udp", nil)
	pool.Update(upstream.Options{}, []*upstream.Backend{u.backend}, time.Now())
	u.service = s.NewUDPService("udp", pool)
	sockets, err := s.BindUDP([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		return nil, err
	}
	u.addr = sockets.Addrs()[0]
	u.entry, err = s.OpenUDP("udp", sockets, UDPOptions{IdleTimeout: o.IdleTimeout, MaxFlows: 1 << 16},
		&UDPRoute{Name: "udp", Service: u.service, Shared: o.Shared})
	return u, err
}

func (u *childUDP) report(r *childReport) {
	r.UDPAddr, r.Flows, r.UDPFailures = u.addr.String(), u.entry.Flows(), u.backend.Stats().ConnectFailures
	r.UDP, r.UDPService = u.entry.Stats(), u.service.Stats()
}

func childRoutes(o childOrders, v *Service) (routes []*Route, err error) {
	if o.TLS {
		r, err := newRoute("named", "HostSNI(`one.test`)", 1, Passthrough, v)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	if o.Plain || !o.TLS {
		r, err := newRoute("plain", "HostSNI(`*`)", 1, NoTLS, v)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func reportOf(e *Entrypoint, addr string) childReport {
	runtime.GC()
	debug.FreeOSMemory()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	stats := e.Stats()
	return childReport{
		Addr: addr, RSS: anonymous(), Heap: int64(memory.HeapInuse),
		Active: e.Active(), Pauses: e.Pauses(), ActiveByStat: stats.Active, Opened: stats.Opened,
		Internal: stats.Ended[accesslog.Internal], TimedOut: stats.Ended[accesslog.SniffTimeout],
	}
}

// anonymous is the memory of this process that no file backs, in bytes; -1 if the kernel does not tell.
func anonymous() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return -1
}

// child is a server in a process of its own.
type child struct {
	t    testing.TB
	in   io.WriteCloser
	out  *json.Decoder
	addr string
}

func startChild(t testing.TB, o childOrders) *child {
	t.Helper()
	return startChildBy(t, func(exe string) *exec.Cmd { return exec.Command(exe) }, o)
}

// startChildBy starts one by a command that runs the executable, somewhere.
func startChildBy(t testing.TB, command func(exe string) *exec.Cmd, o childOrders) *child {
	t.Helper()
	orders, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+string(orders))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	})
	c := &child{t: t, in: in, out: json.NewDecoder(out)}
	c.addr = c.report().Addr
	return c
}

func (c *child) report() (r childReport) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := c.out.Decode(&r); err != nil {
		c.t.Fatal(err)
	}
	return r
}
