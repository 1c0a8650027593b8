package cluster

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// A stream that this node opens ends in time, whatever the other side does, and what strangers send is bounded.
func TestTap(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		network := newNetwork(t, 1)
		here, there := network.attach(network.address()), network.attach(network.address())
		tp := newTap(here, 2*time.Second)
		defer tp.Shutdown()
		conn, err := tp.DialTimeout(there.addr.String(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		other := <-there.streams
		defer other.Close()
		began := time.Now()
		if _, err := conn.Write([]byte("nobody reads this")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing to a member that does not read: %v", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
		conn.Close()

		var held []net.Conn
		for range maxInbound + 1 {
			conn, err := there.DialTimeout(here.addr.String(), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			select {
			case c := <-tp.StreamCh():
				held = append(held, c)
			case <-time.After(time.Second):
			}
		}
		if len(held) != maxInbound || tp.turned.Load() != 1 {
			t.Errorf("%d connections are open, %d were turned away", len(held), tp.turned.Load())
		}
		tp.unread.Store(maxUnread)
		if _, err := held[0].Read(make([]byte, 1)); !errors.Is(err, errUnread) {
			t.Errorf("reading beyond the bound: %v", err)
		}
		for _, c := range held {
			c.Close()
			c.Close()
		}
		if n := tp.inbound.Load(); n != 0 {
			t.Errorf("%d connections are counted after all were closed", n)
		}
	})
}
