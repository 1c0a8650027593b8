package health

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// datagramKinds returns the kinds that speak UDP.
func datagramKinds() []string { return []string{"dns", "udp"} }

// streamKinds returns the kinds that connect.
func streamKinds() []string {
	return slices.DeleteFunc(Kinds(), func(kind string) bool { return slices.Contains(datagramKinds(), kind) })
}

// needle is what the probes of these tests expect; dns has an expectation of its own.
var needle = Params{Exchange: Exchange{Send: []byte("?"), Expect: []byte("needle")}}

// say makes a server that answers each datagram with the given ones.
func say(answers ...string) func(netip.AddrPort, []byte) [][]byte {
	return func(netip.AddrPort, []byte) [][]byte {
		var out [][]byte
		for _, a := range answers {
			out = append(out, []byte(a))
		}
		return out
	}
}

func TestDatagramsRefused(t *testing.T) {
	addr := weirtest.RefusedUDP(t)
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			// No deadline: the refusal alone ends the probe.
			err := newProber(t, kind, needle).Probe(t.Context(), netip.MustParseAddrPort(addr))
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestDatagramProbersKeepTheirDeadline(t *testing.T) {
	servers := map[string]func(netip.AddrPort, []byte) [][]byte{
		"silent":   say(),
		"babbling": say("", "x", "gibberish of more than twelve bytes"),
	}
	for name, server := range servers {
		for _, kind := range datagramKinds() {
			t.Run(kind+" "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
				defer cancel()
				err := newProber(t, kind, needle).Probe(ctx, netip.MustParseAddrPort(weirtest.ServeUDP(t, server).Addr))
				if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v does not say that time ran out", err)
				}
			})
		}
	}
}

// An answer that comes when the probe is over does not help it, and does not enter the next one.
func TestLateDatagram(t *testing.T) {
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			first := true
			s := weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
				if first {
					first = false
					cancel() // no deadline: without this the probe would block for ever
					<-over
					return [][]byte{[]byte("needle"), answerTo(datagram, nil)}
				}
				return [][]byte{answerTo(datagram, nil), []byte("needle")}
			})
			p := newProber(t, kind, needle)
			err := p.Probe(ctx, netip.MustParseAddrPort(s.Addr))
			close(over)
			if err == nil {
				t.Error("the cancelled probe succeeded")
			}
			check(t, probe(t, p, s.Addr), "")
		})
	}
}

// A server that never stops talking is given up.
func TestDatagramFlood(t *testing.T) {
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			// No deadline: without the limit this would go on for ever.
			err := newProber(t, kind, needle).Probe(t.Context(), flood(t))
			if !errors.Is(err, errFlood) {
				t.Fatalf("error %v", err)
			}
			if len(err.Error()) > 500 {
				t.Errorf("the error repeats %d bytes of what the server sent", len(err.Error()))
			}
		})
	}
}

// flood starts a server that sends datagrams to its first client until the test ends.
func flood(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		_, client, err := conn.ReadFromUDPAddrPort(make([]byte, 64))
		for datagram := bytes.Repeat([]byte("A"), 1000); !errors.Is(err, net.ErrClosed); {
			_, err = conn.WriteToUDPAddrPort(datagram, client)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestDatagramKindsRefuse(t *testing.T) {
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			if _, err := New(kind, Params{ProxyProtocol: 1}); !errors.Is(err, errProxyUDP) {
				t.Errorf("a PROXY header of version 1: %v", err)
			}
			socket := netip.AddrPortFrom(netip.IPv6Unspecified().WithZone("/run/x.sock"), 1)
			if err := newProber(t, kind, Params{}).Probe(t.Context(), socket); !errors.Is(err, errUnixNoUDP) {
				t.Errorf("a Unix socket: %v", err)
			}
		})
	}
}

// TestDatagramsWithPROXYHeader: each datagram begins with one that says that it is the proxy's own.
func TestDatagramsWithPROXYHeader(t *testing.T) {
	s := weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
		question, ok := bytes.CutPrefix(datagram, []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"))
		if !ok {
			return nil
		}
		return [][]byte{answerTo(question, nil), []byte("needle")}
	})
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			p := needle
			p.ProxyProtocol = 2
			check(t, probe(t, newProber(t, kind, p), s.Addr), "")
		})
	}
}

func TestDatagramsToOtherPort(t *testing.T) {
	s := weirtest.ServeUDP(t, func(_ netip.AddrPort, datagram []byte) [][]byte {
		return [][]byte{answerTo(datagram, nil), []byte("needle")}
	})
	for _, kind := range datagramKinds() {
		t.Run(kind, func(t *testing.T) {
			p := needle
			p.Port = netip.MustParseAddrPort(s.Addr).Port()
			check(t, probe(t, newProber(t, kind, p), weirtest.RefusedUDP(t)), "")
		})
	}
}

func TestUDP(t *testing.T) {
	echo := func(_ netip.AddrPort, datagram []byte) [][]byte { return [][]byte{datagram} }
	whole := bytes.Repeat([]byte("x"), datagramLimit)
	tests := []struct {
		name   string
		server func(netip.AddrPort, []byte) [][]byte
		e      Exchange
	}{
		{"any answer", say("whatever"), Exchange{Send: []byte("?")}},
		{"an empty answer", say(""), Exchange{Send: []byte("?")}},
		{"an empty question", say("Thursday"), Exchange{}},
		{"the expected answer", echo, Exchange{Send: []byte("ping"), Expect: []byte("ping")}},
		{"in the middle", say("xx needle yy"), needle.Exchange},
		{"after garbage", say("garbage", "", "need", "le", "needle"), needle.Exchange},
		{"the longest", echo, Exchange{Send: whole, Expect: whole}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "udp", Params{Exchange: tt.e}), weirtest.ServeUDP(t, tt.server).Addr), "")
		})
	}
}

// What came instead of the answer is in the error.
func TestUDPNamesWhatCame(t *testing.T) {
	s := weirtest.ServeUDP(t, say("first", "-ERR loading"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := newProber(t, "udp", needle).Probe(ctx, netip.MustParseAddrPort(s.Addr))
	check(t, err, `wait for the answer: i/o timeout; got something else: no "needle" in "-ERR loading"`)
}
