package l4

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// TestReloadUnderLoad swaps everything that can be swapped while connections come in on all loops: each is served by the
// old state or the new one, none is lost, and none sees half of both.
func TestReloadUnderLoad(t *testing.T) {
	b := newBench(t, 0)
	ca := weirtest.CA(t)
	certificate := ca.Server("one.test")
	var pools [2]*upstream.Pool
	var services [2]*Service
	for i, name := range []string{"a", "b"} {
		services[i], pools[i] = b.pool(upstream.Options{}, weirtest.Serve(t, weirtest.Who(name)).Addr)
	}
	routes := func(i int) []*Route {
		terminated := b.passthrough("one.test", services[i])
		terminated.TLS, terminated.Config = Terminate, &tls.Config{Certificates: []tls.Certificate{certificate.TLS}}
		return []*Route{b.catchAll(services[i], NewInFlightConn(1000)), terminated}
	}
	options := []EntrypointOptions{
		{SniffTimeout: patience, IdleTimeout: patience},
		{SniffTimeout: patience, MaxConnections: 1000, Proxy: loopbackTrusted},
	}
	tables := [2]*Table{mustTable(t, routes(0)...), mustTable(t, routes(1)...)}
	e, addr := b.open(options[0], tables[0])

	var done atomic.Bool
	var swaps int
	var swapper, clients sync.WaitGroup
	swapper.Go(func() {
		for ; !done.Load(); swaps++ {
			i := swaps % 2
			e.Set(options[i], tables[i])
			services[i].SetChooser(upstream.Failover{Service: pools[i], Fallback: pools[1-i]})
			o := pools[i].Options()
			o.Strategy = []upstream.Strategy{upstream.WRR, upstream.LeastConn, upstream.Maglev}[swaps%3]
			pools[i].Update(o, pools[i].Backends(), time.Now())
			b.Sync()
			_, _ = e.Stats(), services[i].Stats()
		}
	})
	for worker := range 4 {
		clients.Go(func() {
			for range 40 {
				if err := askOnce(addr, worker%2 == 0, ca); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	done.Store(true)
	swapper.Wait()
	weirtest.Eventually(t, patience, func() bool { return e.Active() == 0 }, "connections stay")
	stats := e.Stats()
	if got := stats.Ended[accesslog.Done] + stats.Ended[accesslog.ClientAbort]; got != 4*40 || swaps < 2 {
		t.Errorf("%d of %d connections were served, over %d swaps: %+v", got, 4*40, swaps, stats)
	}
}

// askOnce makes one connection and wants the greeting and an echo.
func askOnce(addr string, secure bool, ca *weirtest.Authority) error {
	raw, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn := raw
	if secure {
		conn = tls.Client(raw, &tls.Config{ServerName: "one.test", RootCAs: ca.Pool()})
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, len("a\nping")))
	return err
}
