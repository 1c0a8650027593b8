package weirtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// reaches reports whether a connection from one host to a server on another is answered.
func reaches(t *testing.T, from *Host, to *Backend) bool {
	t.Helper()
	return reachesWithin(t, 300*time.Millisecond, from, to)
}

// reached is reaches of what should be reached: a busy machine takes its time for it.
func reached(t *testing.T, from *Host, to *Backend) bool {
	t.Helper()
	return reachesWithin(t, 10*time.Second, from, to)
}

func reachesWithin(t *testing.T, wait time.Duration, from *Host, to *Backend) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to.Addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// packets returns a socket on a host.
func packets(t *testing.T, h *Host) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	var err error
	h.Do(func() { conn, err = net.ListenPacket("udp", h.Addr.String()+":0") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// arrive sends datagrams and returns how many come, given some time for the last.
func arrive(t *testing.T, from, to net.PacketConn, n int) int {
	t.Helper()
	got := 0
	take := func(wait time.Duration) bool {
		if err := to.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		_, _, err := to.ReadFrom(make([]byte, 16))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return err == nil
	}
	for range n {
		if _, err := from.WriteTo([]byte("x"), to.LocalAddr()); err != nil {
			t.Fatalf("a sender is told of a loss: %v", err)
		}
		if take(time.Millisecond) {
			got++
		}
	}
	for take(100 * time.Millisecond) {
		got++
	}
	return got
}

func TestLose(t *testing.T) {
	n := NewNetwork(t)
	a, b, c := n.Host(), n.Host(), n.Host()
	server := a.Serve(0, Echo)
	toA, toB, fromB, fromC := packets(t, a), packets(t, b), packets(t, b), packets(t, c)
	port := int(server.AddrPort().Port())
	for _, tt := range []struct {
		name  string
		fault Fault
		from  []*Host
		// what is lost
		tcp, udp, back, other bool
	}{
		{"all", Fault{}, nil, true, true, false, true},
		{"all of one host", Fault{}, []*Host{b}, true, true, false, false},
		{"datagrams", Fault{Protocol: "udp"}, []*Host{b}, false, true, false, false},
		{"connections", Fault{Protocol: "tcp"}, []*Host{b}, true, false, false, false},
		{"a port", Fault{Port: port}, []*Host{b}, true, false, false, false},
		{"a port of one protocol", Fault{Port: port, Protocol: "tcp"}, []*Host{b}, true, false, false, false},
		{"another port", Fault{Port: port + 1}, []*Host{b}, false, false, false, false},
		{"a port of the other protocol", Fault{Port: port, Protocol: "udp"}, []*Host{b}, false, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			end := a.Lose(tt.fault, tt.from...)
			if got := !reached(t, b, server); got != tt.tcp {
				t.Errorf("connections are lost: %v", got)
			}
			for _, way := range []struct {
				name     string
				from, to net.PacketConn
				lost     bool
			}{
				{"datagrams", fromB, toA, tt.udp}, {"datagrams the other way", toA, toB, tt.back}, {"datagrams of a third", fromC, toA, tt.other},
			} {
				if got := arrive(t, way.from, way.to, 1) == 0; got != way.lost {
					t.Errorf("%s are lost: %v", way.name, got)
				}
			}
			end()
			end()
			if !reached(t, b, server) || arrive(t, fromB, toA, 1) == 0 {
				t.Error("packets are lost after the end")
			}
		})
	}
	t.Run("some", func(t *testing.T) {
		const sent = 2000
		// The port is at both ends, where a packet that matched twice would be lost twice as often.
		from, to := portAt(t, b, 7946), portAt(t, a, 7946)
		defer a.Lose(Fault{Percent: 20, Port: 7946})()
		if got := arrive(t, from, to, sent); got < sent*75/100 || got > sent*85/100 {
			t.Errorf("%d of %d arrive at 20 %% loss", got, sent)
		}
	})
}

// portAt is packets at a port.
func portAt(t *testing.T, h *Host, port int) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	var err error
	h.Do(func() { conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: h.Addr.AsSlice(), Port: port}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestPart(t *testing.T) {
	n := NewNetwork(t)
	a, b, c := n.Host(), n.Host(), n.Host()
	atA, atB, atC := a.Serve(0, Echo), b.Serve(0, Echo), c.Serve(0, Echo)
	heal := n.Part(Fault{}, []*Host{a}, []*Host{b, c})
	if reaches(t, a, atB) || reaches(t, c, atA) {
		t.Error("hosts reach each other across a partition")
	}
	if !reached(t, b, atC) || !reached(t, c, atB) {
		t.Error("hosts on one side do not reach each other")
	}
	heal()
	if !reached(t, a, atB) || !reached(t, c, atA) {
		t.Error("hosts do not reach each other after the partition")
	}
	end := n.Among(Fault{Protocol: "tcp"}, a, b)
	if reaches(t, a, atB) || reaches(t, b, atA) || !reached(t, c, atA) {
		t.Error("other connections are lost than those between two hosts")
	}
	end()
}

func TestServeOnHost(t *testing.T) {
	n := NewNetwork(t)
	a, b := n.Host(), n.Host()
	server := a.Serve(5000, Echo)
	if want := a.Addr.String() + ":5000"; server.Addr != want {
		t.Fatalf("it serves at %s, want %s", server.Addr, want)
	}
	if !reached(t, b, server) {
		t.Error("it is not reached")
	}
	server.Kill()
	if reaches(t, b, server) {
		t.Error("it is reached after its end")
	}
	server.Accept()
	if !reached(t, b, server) {
		t.Error("it is not reached after it came back")
	}
}

func TestStartOnHost(t *testing.T) {
	h := NewNetwork(t).Host()
	p := h.Start("sh", []string{"-c", "ip -br addr; echo $GREETING; exec sleep 1000"}, []string{"GREETING=hello"},
		func(p *Process) bool { return strings.Contains(p.Log(), "hello\n") })
	if !strings.Contains(p.Log(), h.Addr.String()) {
		t.Errorf("it does not run on the host: %s", p.Log())
	}
	p.Kill()
	if code := p.ExitCode(time.Second); code != -1 {
		t.Errorf("exit code %d after a kill", code)
	}
}

func TestSkewClock(t *testing.T) {
	const source = "package time\n\nimport (\n\t\"errors\"\n)\n\nfunc Now() Time {\n" + clockReading + "\treturn Time{}\n}\n"
	const want = "package time\n\nimport (\"syscall\"; \t\"errors\"\n)\n\nfunc Now() Time {\n" + clockWrong + "\treturn Time{}\n}\n" + clockVar
	if got, err := skewClock(source); err != nil || got != want {
		t.Errorf("%v: %s", err, got)
	}
	for _, strange := range []string{"runtimeNow()", "func Now", "import ("} {
		if _, err := skewClock(strings.Replace(source, strange, "another", 1)); err == nil {
			t.Errorf("a source without %q is changed", strange)
		}
	}
}
