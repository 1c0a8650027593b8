package weirtest

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
)

// A DatagramServer is a UDP server inside the test process.
type DatagramServer struct {
	Addr string // 127.0.0.1:port

	received atomic.Int64
}

// ServeUDP starts a server that calls answer for every datagram and sends back each datagram it returns. answer runs on one goroutine;
// its argument is only good until it returns.
func ServeUDP(t testing.TB, answer func(from netip.AddrPort, datagram []byte) [][]byte) *DatagramServer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatalf("listen for datagrams: %v", err)
	}
	s := &DatagramServer{Addr: conn.LocalAddr().String()}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // a client that is gone, told by ICMP
			}
			s.received.Add(1)
			for _, datagram := range answer(from, buf[:n]) {
				_, _ = conn.WriteToUDPAddrPort(datagram, from)
			}
		}
	}()
	return s
}

// EchoUDP starts a server that sends every datagram back.
func EchoUDP(t testing.TB) *DatagramServer {
	t.Helper()
	return ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte { return [][]byte{datagram} })
}

// Received returns how many datagrams came so far.
func (s *DatagramServer) Received() int { return int(s.received.Load()) }

// RefusedUDP returns a loopback address that refuses datagrams: the kernel answers them with ICMP, of which a connected socket
// is told.
func RefusedUDP(t testing.TB) string {
	t.Helper()
	// Held by a socket, so that nobody else takes it, which is connected elsewhere, so that nobody's datagrams are for it.
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatalf("hold a port: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}
