package l4

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// goesOn has a client ask n times, again where a datagram was lost: under a flood the kernel's buffer may be full.
func goesOn(t *testing.T, conn *net.UDPConn, n int) {
	t.Helper()
	buf := make([]byte, 2048)
	for range n {
		deadline := time.Now().Add(patience)
		for {
			sendUDP(t, conn, "hello")
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if got, err := conn.Read(buf); err == nil {
				if string(buf[:got]) != "hello" {
					t.Fatalf("got %q", buf[:got])
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a client gets no answer because of what another one does")
			}
		}
	}
}

// flood has conns send as fast as they can until the test ends.
func flood(t *testing.T, text string, conns ...*net.UDPConn) {
	t.Helper()
	var flooding sync.WaitGroup
	over := make(chan struct{})
	for _, conn := range conns {
		flooding.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					_, _ = conn.Write([]byte(text))
				}
			}
		})
	}
	t.Cleanup(func() {
		close(over)
		flooding.Wait()
	})
}

// TestUDPNobodyWaitsForOthers: whatever one flow suffers or does, others on both loops get their answers.
func TestUDPNobodyWaitsForOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, b *trial)
	}{
		{"flood of a source", func(t *testing.T, b *trial) {
			flood(t, "flood", dialUDP(t, b.bound))
			weirtest.Eventually(t, patience, func() bool { return b.entry.Stats().In.Datagrams > 1000 }, "there is no flood")
		}},
		{"large flood, never read", func(t *testing.T, b *trial) {
			flood(t, strings.Repeat("x", 9000), dials(t, b.bound, 2)...)
			weirtest.Eventually(t, patience, func() bool { return b.entry.Stats().In.Datagrams > 1000 }, "there is no flood")
		}},
		{"flood that is denied", func(t *testing.T, b *trial) {
			c := newCrowd(t, b.bound)
			over := make(chan struct{})
			var flooding sync.WaitGroup
			flooding.Go(func() { // each datagram a new flow, as of forged sources
				for i := 0; ; i++ {
					select {
					case <-over:
						return
					default:
						c.send(i&0xffff, "flood")
					}
				}
			})
			t.Cleanup(func() { close(over); flooding.Wait() })
			weirtest.Eventually(t, patience, func() bool { return b.entry.Stats().Dropped[flow.TooMany] > 1000 }, "there is no flood")
		}},
		{"silent backend", func(t *testing.T, b *trial) {
			v, _ := b.udpBench.service(upstream.Options{}, weirtest.ServeUDP(t, noAnswer).Addr)
			e, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			flood(t, "anybody?", dials(t, bound, 2)...)
			weirtest.Eventually(t, patience, func() bool { return e.Stats().In.Datagrams > 1000 }, "there is no flood")
		}},
		{"backend that says too much", func(t *testing.T, b *trial) {
			v, _ := b.udpBench.service(upstream.Options{}, weirtest.ServeUDP(t, hundredfold).Addr)
			_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			flood(t, "more", dialUDP(t, bound))
			weirtest.Eventually(t, patience, func() bool { return v.Stats().Out.Datagrams > 1000 }, "there is no flood")
		}},
		{"backend that refuses", func(t *testing.T, b *trial) {
			v, pool := b.udpBench.service(upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}}, refusing(t), refusing(t))
			_, bound := b.open("127.0.0.1:0", UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			flood(t, "anybody?", dials(t, bound, 2)...)
			weirtest.Eventually(t, patience, func() bool { return pool.Backends()[0].Stats().ConnectFailures > 10 }, "nobody is refused")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTrial(t, Options{}, UDPOptions{MaxFlows: 20})
			b.unlogged = true
			conns := dials(t, b.bound, 8) // on both loops
			for _, conn := range conns {
				goesOn(t, conn, 1)
			}
			tt.do(t, b)
			for _, conn := range conns {
				goesOn(t, conn, 10)
			}
		})
	}
}
