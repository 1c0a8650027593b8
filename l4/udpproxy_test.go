package l4

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// unwrapped starts a server that wants a PROXY header before each datagram, and sends back who the header says sent it to
// whom, and what is behind it. A datagram without a header it answers with "bare ".
func unwrapped(t *testing.T) *weirtest.DatagramServer {
	t.Helper()
	return weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
		r := bufio.NewReader(strings.NewReader(string(datagram)))
		header, err := proxyproto.Read(r)
		if err != nil {
			return [][]byte{append([]byte("bare "), datagram...)}
		}
		payload, _ := io.ReadAll(r)
		source, _ := header.SourceAddr.(*net.UDPAddr)
		destination, _ := header.DestinationAddr.(*net.UDPAddr)
		if header.Version != 2 || source == nil || destination == nil {
			return [][]byte{[]byte("not a header of version 2 for datagrams")}
		}
		return [][]byte{append(payload, (" " + source.String() + " " + destination.String())...)}
	})
}

func TestUDPProxyHeader(t *testing.T) {
	proxied := upstream.Options{ProxyProtocol: 2}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			v, pool := b.service(proxied, unwrapped(t).Addr)
			e, bound := b.open(addr, UDPOptions{}, &UDPRoute{Name: "r", Service: v})
			conn := dialUDP(t, called(bound))
			ends := " " + conn.LocalAddr().String() + " " + conn.RemoteAddr().String()
			for _, text := range []string{"hello", "", strings.Repeat("x", 30_000), "bye"} {
				sendUDP(t, conn, text)
				expectUDP(t, conn, text+ends)
			}
			// The header leaves no room: what does not go as a whole does not go.
			sendUDP(t, conn, strings.Repeat("x", 65_507))
			awaitDrops(t, e, flow.Unsent, 1)
			if n := v.Stats().Dropped[flow.Unsent]; n != 1 {
				t.Errorf("the service counts %d datagrams that were not sent", n)
			}
			sendUDP(t, conn, "still here")
			expectUDP(t, conn, "still here"+ends)
			if failures := pool.Backends()[0].Stats().ConnectFailures; failures != 0 {
				t.Errorf("%d failures are charged to the backend", failures)
			}

			// A flow that lives goes by what the pool says now.
			pool.Update(upstream.Options{}, pool.Backends(), time.Now())
			sendUDP(t, conn, "hello")
			expectUDP(t, conn, "bare hello")
			if s := e.Stats(); s.Opened != 1 || s.Moved != 0 {
				t.Errorf("the entrypoint counts %+v", s)
			}
		})
	}
}

// TestUDPProxyHeaderOnSharedSockets: each datagram tells its own sender, whose answers come back to it.
func TestUDPProxyHeaderOnSharedSockets(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			b := newUDPBench(t, Options{})
			heard := make(chan string, 10)
			server := weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
				r := bufio.NewReader(strings.NewReader(string(datagram)))
				header, err := proxyproto.Read(r)
				if err != nil {
					heard <- "bare"
					return nil
				}
				query, _ := io.ReadAll(r)
				heard <- header.SourceAddr.String() + " " + header.DestinationAddr.String()
				if len(query) > 2 {
					query[2] |= 0x80
				}
				return [][]byte{query}
			})
			v, pool := b.service(upstream.Options{ProxyProtocol: 2}, server.Addr)
			e, bound := b.open(addr, UDPOptions{}, &UDPRoute{Name: "r", Service: v, Shared: &SharedSockets{Protocol: flow.Auto}})
			conns := dials(t, bound, 3)
			ends := func(conn *net.UDPConn) string { return conn.LocalAddr().String() + " " + conn.RemoteAddr().String() }
			for i, conn := range conns {
				sendUDP(t, conn, dnsQuery(uint16(i), "name"))
				expectUDP(t, conn, dnsAnswer(uint16(i), "name"))
				expectHeard(t, heard, ends(conn))
				sendUDP(t, conn, "no query")
				expectHeard(t, heard, ends(conn))
			}
			awaitDrops(t, e, flow.Unasked, 3) // what came back to "no query"
			sendUDP(t, conns[0], strings.Repeat("x", 65_507))
			awaitDrops(t, e, flow.Unsent, 1)
			sendUDP(t, conns[0], "still here")
			expectHeard(t, heard, ends(conns[0]))

			pool.Update(upstream.Options{}, pool.Backends(), time.Now())
			sendUDP(t, conns[0], "without")
			expectHeard(t, heard, "bare")
			if failures := pool.Backends()[0].Stats().ConnectFailures; failures != 0 {
				t.Errorf("%d failures are charged to the backend", failures)
			}
		})
	}
}

func expectHeard(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	select {
	case got := <-heard:
		if got != want {
			t.Errorf("the backend was told %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("the backend was not told %q", want)
	}
}
