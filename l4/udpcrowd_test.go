package l4

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is one socket that speaks for as many clients as are wanted, each with an address of its own in 127.0.0.0/8 and all
// with the same port.
type crowd struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
	buf  [64 << 10]byte
	oob  [128]byte
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
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1) }); err != nil || set != nil {
		t.Fatal(err, set)
	}
	return &crowd{t: t, conn: conn, to: to}
}

// member is the address of the i-th client, i up to 2^20.
func member(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 100 + byte(i>>16), byte(i >> 8), byte(i)})
}

// addr is the address and port of the i-th client.
func (c *crowd) addr(i int) string {
	_, port, _ := net.SplitHostPort(c.conn.LocalAddr().String())
	return net.JoinHostPort(member(i).String(), port)
}

// send sends in the name of the i-th client.
func (c *crowd) send(i int, text string) {
	c.t.Helper()
	oob := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: member(i).As4()})
	if _, _, err := c.conn.WriteMsgUDPAddrPort([]byte(text), oob, c.to); err != nil {
		c.t.Error(err) // it may be another goroutine
	}
}

// receive waits for a datagram to any of the clients, and tells to which. False means that none came within d.
func (c *crowd) receive(d time.Duration) (to netip.Addr, text string, ok bool) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	n, oobn, _, _, err := c.conn.ReadMsgUDPAddrPort(c.buf[:], c.oob[:])
	if err != nil {
		return netip.Addr{}, "", false
	}
	messages, err := unix.ParseSocketControlMessage(c.oob[:oobn])
	if err != nil || len(messages) == 0 || len(messages[0].Data) < unix.SizeofInet4Pktinfo {
		c.t.Fatalf("it is not known to whom a datagram was sent: %v, %v", messages, err)
	}
	return netip.AddrFrom4([4]byte(messages[0].Data[8:12])), string(c.buf[:n]), true
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
