package l4

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

// crowd is one socket that speaks for as many clients as are wanted, each with an address of its own in 127.0.0.0/8 and all
// with the same port.
type crowd struct {
	t    testing.TB
	conn *ipv4.PacketConn
	to   *net.UDPAddr
	buf  [64 << 10]byte
}

// newCrowd returns a crowd that sends to an entrypoint on 127.0.0.1.
func newCrowd(t testing.TB, to netip.AddrPort) *crowd {
	t.Helper()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, conn: ipv4.NewPacketConn(conn), to: net.UDPAddrFromAddrPort(to)}
	if err := c.conn.SetControlMessage(ipv4.FlagDst, true); err != nil {
		t.Fatal(err)
	}
	return c
}

// member is the address of the i-th client, i up to 2^20.
func member(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 100 + byte(i>>16), byte(i >> 8), byte(i)})
}

// send sends in the name of the i-th client.
func (c *crowd) send(i int, text string) {
	c.t.Helper()
	if _, err := c.conn.WriteTo([]byte(text), &ipv4.ControlMessage{Src: member(i).AsSlice()}, c.to); err != nil {
		c.t.Error(err) // it may be another goroutine
	}
}

// receive waits for a datagram to any of the clients, and tells to which. False means that none came within d.
func (c *crowd) receive(d time.Duration) (to netip.Addr, text string, ok bool) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	n, control, _, err := c.conn.ReadFrom(c.buf[:])
	if err != nil {
		return netip.Addr{}, "", false
	}
	to, ok = netip.AddrFromSlice(control.Dst.To4())
	if !ok {
		c.t.Fatalf("it is not known to whom a datagram was sent: %v", control)
	}
	return to, string(c.buf[:n]), true
}

// ask has clients first to first+n-1 send their own address and wait for an answer that ends with it, and returns what was
// before it in each answer. Some at a time, so that no buffer overflows; what is lost all the same is sent again.
func (c *crowd) ask(first, n int) map[netip.Addr]string {
	c.t.Helper()
	const window = 256
	answers := make(map[netip.Addr]string, n)
	for at := first; at < first+n; at += window {
		end := min(at+window, first+n)
		c.askAll(at, end, answers)
	}
	return answers
}

func (c *crowd) askAll(first, end int, answers map[netip.Addr]string) {
	c.t.Helper()
	left := end - first
	for deadline := time.Now().Add(patience); left > 0; {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of clients %d to %d get no answer", left, first, end-1)
		}
		for i := first; i < end; i++ {
			if _, has := answers[member(i)]; !has {
				c.send(i, member(i).String())
			}
		}
		for left > 0 {
			to, text, ok := c.receive(time.Second)
			if !ok {
				break
			}
			before, own := strings.CutSuffix(text, to.String())
			if !own {
				c.t.Fatalf("%s got %q", to, text)
			}
			if _, has := answers[to]; !has {
				answers[to] = before
				left--
			}
		}
	}
}
