package load

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo runs a UDP backend and returns its address.
func echo(t *testing.T, kind Datagrams) string {
	t.Helper()
	e, err := NewEcho(kind, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan error)
	go func() { done <- e.Serve(&stop) }()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Close()
	})
	return e.Addrs()[0]
}

// packet is a datagram with the client's end of it.
type packet struct {
	peer netip.AddrPort
	b    []byte
}

// meddle is a balancer that treats datagrams in its own way: pass gets each one
// and returns what to send, to the clients or, if there is a backend, to that.
func meddle(t *testing.T, backend string, pass func(packet) []packet) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			b := make([]byte, MaxDatagram+1)
			n, peer, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			for _, p := range pass(packet{peer, b[:n]}) {
				if backend != "" {
					p.peer = netip.MustParseAddrPort(backend)
				}
				if _, err := c.WriteToUDPAddrPort(p.b, p.peer); err != nil {
					return
				}
			}
		}
	}()
	return c.LocalAddr().String()
}

func flows(t *testing.T, spec FlowSpec) *Flows {
	t.Helper()
	c, err := NewFlows(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFlows(t *testing.T) {
	small := Datagrams{Size: 64}
	tests := []struct {
		name string
		spec FlowSpec
	}{
		{name: "one socket each", spec: FlowSpec{Flows: 3, InFlight: 4, Datagrams: small}},
		{name: "many flows on few sockets", spec: FlowSpec{Flows: 200, InFlight: 1, Sockets: 3, Datagrams: small}},
		{name: "in turn", spec: FlowSpec{Flows: 200, InFlight: 1, Window: 10, Sockets: 3, Datagrams: small}},
		{name: "always another address", spec: FlowSpec{Flows: 5, InFlight: 2, Renew: 1, Datagrams: small}},
		{name: "another address at times", spec: FlowSpec{Flows: 5, InFlight: 2, Sockets: 2, Renew: 7, Datagrams: small}},
		{name: "DNS", spec: FlowSpec{Flows: 20, InFlight: 1, Sockets: 2, Datagrams: Datagrams{DNS: true}}},
		{name: "trains", spec: FlowSpec{Flows: 2, InFlight: 32, Datagrams: Datagrams{Size: 1200, Train: 16}}},
		{name: "without waiting", spec: FlowSpec{Flows: 4, InFlight: 64, Sockets: 2, Open: true, Datagrams: small}},
		{name: "one way", spec: FlowSpec{Flows: 3, InFlight: 8, Datagrams: Datagrams{Size: 200, OneWay: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := tt.spec
			spec.Addr = echo(t, spec.Datagrams)
			spec.Patience, spec.Warm, spec.Duration = 20*time.Second, 20*time.Millisecond, 500*time.Millisecond
			if spec.Datagrams.OneWay {
				spec.Counter = spec.Addr
			}
			measured := 0
			res, err := flows(t, spec).Run(new(atomic.Bool), func() { measured++ })
			if err != nil {
				t.Fatal(err)
			}
			if res.Errors != 0 || res.Stalled != 0 || res.Duplicated != 0 || res.Reordered != 0 || measured != 1 {
				t.Errorf("%+v, measurement announced %d times", res, measured)
			}
			if res.Exchanges < spec.Flows || res.Bytes != int64(res.Exchanges*spec.Datagrams.size()) {
				t.Errorf("%d bytes in %d exchanges", res.Bytes, res.Exchanges)
			}
			if res.Elapsed < spec.Duration || spec.Counter == "" && (res.P50 <= 0 || res.P99 < res.P50) {
				t.Errorf("%v elapsed, p50 %v, p99 %v", res.Elapsed, res.P50, res.P99)
			}
			switch {
			case spec.Open || spec.Counter != "":
				if res.Lost != res.Sent-res.Exchanges {
					t.Errorf("%d lost of %d, with %d answered", res.Lost, res.Sent, res.Exchanges)
				}
			case res.Lost > 0 || res.Sent < res.Exchanges-spec.Flows*spec.InFlight:
				t.Errorf("%d lost of %d, with %d answered", res.Lost, res.Sent, res.Exchanges)
			}
		})
	}
}

// The addresses that flows are renewed to are all different, and stay within
// 127.64.0.0/10.
func TestSourcesDiffer(t *testing.T) {
	s := FlowSpec{Flows: 100, Sockets: 1, Renew: 10}
	of := make(map[netip.Addr][2]uint32)
	for flow := range uint32(100) {
		for number := range uint32(200) {
			life := [2]uint32{flow, number / 10}
			a := s.source(flow, number)
			if other, taken := of[a]; taken && other != life {
				t.Fatalf("%s is flow %d after %d and flow %d after %d", a, life[0], life[1], other[0], other[1])
			}
			of[a] = life
		}
	}
	if len(of) != 100*20 {
		t.Errorf("%d addresses, want %d", len(of), 100*20)
	}
	all := netip.MustParsePrefix("127.64.0.0/10")
	for _, number := range []uint32{0, 1 << 20, 1<<32 - 1} {
		if a := s.source(99, number); !all.Contains(a) {
			t.Errorf("%s is not in %s", a, all)
		}
	}
}

// What a balancer does to datagrams shows in the result.
func TestFlowsSeeWhatHappens(t *testing.T) {
	same := func(p packet) []packet { return []packet{p} }
	tests := []struct {
		name    string
		meddler func() func(packet) []packet
		wrong   string // what the last error says; empty means that there is none
		seen    func(Result) int
	}{
		{
			name: "bytes changed", wrong: "not the bytes",
			meddler: func() func(packet) []packet {
				return func(p packet) []packet { p.b[40] ^= 1; return same(p) }
			},
		},
		{
			name: "bytes changed once, in the warm-up", wrong: "not the bytes",
			meddler: func() func(packet) []packet {
				n := 0
				return func(p packet) []packet {
					if n++; n == 1 {
						p.b[40] ^= 1
					}
					return same(p)
				}
			},
		},
		{
			name: "cut short", wrong: "63 bytes instead of 64",
			meddler: func() func(packet) []packet {
				return func(p packet) []packet { p.b = p.b[:63]; return same(p) }
			},
		},
		{
			name: "given to another client", wrong: "came to another client's port",
			meddler: func() func(packet) []packet {
				var last packet
				return func(p packet) []packet {
					other := last
					last = p
					if other.peer.IsValid() && other.peer != p.peer {
						return []packet{{peer: other.peer, b: p.b}}
					}
					return same(p)
				}
			},
		},
		{
			name: "an answer to nothing", wrong: "which was not sent",
			meddler: func() func(packet) []packet {
				s := newScript(Datagrams{Size: 64}, 0)
				return func(p packet) []packet { flow, _, _ := s.read(p.b); s.write(p.b, flow, 1<<31); return same(p) }
			},
		},
		{
			name: "doubled", seen: func(r Result) int { return r.Duplicated },
			meddler: func() func(packet) []packet { return func(p packet) []packet { return []packet{p, p} } },
		},
		{
			name: "dropped", seen: func(r Result) int { return r.Lost },
			meddler: func() func(packet) []packet {
				n := 0
				return func(p packet) []packet {
					if n++; n%10 == 0 {
						return nil
					}
					return same(p)
				}
			},
		},
		{
			name: "overtaken", seen: func(r Result) int { return r.Reordered },
			meddler: func() func(packet) []packet {
				var held []packet
				return func(p packet) []packet {
					if len(held) == 1 && held[0].peer == p.peer {
						out := []packet{p, held[0]}
						held = nil
						return out
					}
					out := held
					held = []packet{p}
					return out
				}
			},
		},
		{
			name: "late", seen: func(r Result) int { return r.Late },
			meddler: func() func(packet) []packet {
				// Each client's datagrams are kept until more come than it has
				// under way.
				held := make(map[netip.AddrPort][]packet)
				return func(p packet) []packet {
					held[p.peer] = append(held[p.peer], p)
					if len(held[p.peer]) <= 4 {
						return nil
					}
					out := held[p.peer]
					held[p.peer] = nil
					return out
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// In the warm-up a wrong answer is as wrong.
			c := flows(t, FlowSpec{
				Addr: meddle(t, "", tt.meddler()), Flows: 2, InFlight: 4, Datagrams: Datagrams{Size: 64},
				Patience: 40 * time.Millisecond, Warm: 100 * time.Millisecond, Duration: 500 * time.Millisecond,
			})
			res, err := c.Run(new(atomic.Bool), func() {})
			if tt.wrong != "" {
				if res.Wrong == 0 || !strings.Contains(res.LastError, tt.wrong) {
					t.Errorf("%+v, %v", res, err)
				}
				return
			}
			if err != nil || res.Errors != 0 || res.Exchanges == 0 || tt.seen(res) == 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// A flow on a shared socket is told from the others by its address, and who
// answers from another socket than was asked is no answer.
func TestFlowsKnowTheirAddresses(t *testing.T) {
	spec := FlowSpec{
		Flows: 2, InFlight: 1, Sockets: 1, Datagrams: Datagrams{Size: 64}, Patience: time.Second, Duration: 500 * time.Millisecond,
	}
	tests := []struct {
		name, want string
		addr       func(t *testing.T) string
	}{
		{
			name: "the other flow's address", want: " instead of 127.64.0.",
			addr: func(t *testing.T) string {
				return meddle(t, "", func(p packet) []packet {
					a := p.peer.Addr().As4()
					a[3] ^= 1
					return []packet{{peer: netip.AddrPortFrom(netip.AddrFrom4(a), p.peer.Port()), b: p.b}}
				})
			},
		},
		{
			name: "another socket", want: "an address that was not asked",
			addr: func(t *testing.T) string {
				other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { other.Close() })
				return meddle(t, "", func(p packet) []packet {
					_, _ = other.WriteToUDPAddrPort(p.b, p.peer) // that it is not sent shows as no error
					return nil
				})
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec.Addr = tt.addr(t)
			res, err := flows(t, spec).Run(new(atomic.Bool), func() {})
			if err != nil || res.Wrong == 0 || res.Exchanges != 0 || !strings.Contains(res.LastError, tt.want) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// Who sends without waiting knows what got through all the same, also what
// stood in a queue for longer than the client remembers.
func TestFloodCountsItsLosses(t *testing.T) {
	n := 0
	var queue []packet
	half := func(p packet) []packet {
		if n++; n%2 == 0 {
			return nil
		}
		if queue = append(queue, p); len(queue) <= 100 {
			return nil
		}
		p, queue = queue[0], queue[1:]
		return []packet{p}
	}
	res, err := flows(t, FlowSpec{
		Addr: meddle(t, "", half), Flows: 4, InFlight: 1, Sockets: 2, Open: true, Datagrams: Datagrams{Size: 64},
		Duration: 200 * time.Millisecond,
	}).Run(new(atomic.Bool), func() {})
	if err != nil || res.Errors != 0 || res.Exchanges == 0 || res.Lost < res.Exchanges || res.Lost+res.Exchanges != res.Sent {
		t.Errorf("%+v, %v", res, err)
	}
	if res.Late > 0 {
		t.Errorf("%d late, where nothing is given up", res.Late)
	}
}

// A port that nobody listens on refuses datagrams; they are lost like others.
func TestRefusedDatagramsAreLost(t *testing.T) {
	gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	res, err := flows(t, FlowSpec{
		Addr: gone.LocalAddr().String(), Flows: 2, InFlight: 4, Datagrams: Datagrams{Size: 64},
		Patience: 20 * time.Millisecond, Duration: 300 * time.Millisecond,
	}).Run(new(atomic.Bool), func() {})
	if err != nil || res.Errors != 0 || res.Exchanges != 0 || res.Lost == 0 || res.Stalled != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

// What is not answered is counted at the other end.
func TestOneWaySeesWhatHappens(t *testing.T) {
	kind := Datagrams{Size: 200, OneWay: true}
	tests := []struct {
		name string
		pass func(packet) []packet
		seen func(Result) int
	}{
		{name: "dropped", seen: func(r Result) int { return r.Lost }, pass: func(packet) []packet { return nil }},
		{name: "doubled", seen: func(r Result) int { return r.Duplicated }, pass: func(p packet) []packet { return []packet{p, p} }},
		{name: "changed", seen: func(r Result) int { return r.Wrong }, pass: func(p packet) []packet { p.b[100]++; return []packet{p} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backend := echo(t, kind)
			res, err := flows(t, FlowSpec{
				Addr: meddle(t, backend, tt.pass), Counter: backend, Flows: 3, InFlight: 4, Datagrams: kind,
				Patience: 50 * time.Millisecond, Duration: 300 * time.Millisecond,
			}).Run(new(atomic.Bool), func() {})
			if err != nil || tt.seen(res) == 0 {
				t.Errorf("%+v, %v", res, err)
			}
			if res.Exchanges+res.Lost != res.Sent {
				t.Errorf("%d sent, %d arrived, %d lost", res.Sent, res.Exchanges, res.Lost)
			}
			if (res.Wrong > 0) != (tt.name == "changed") {
				t.Errorf("%d wrong", res.Wrong)
			}
		})
	}
}

func TestFlowsHold(t *testing.T) {
	const n = 300
	spec := FlowSpec{
		Addr: echo(t, Datagrams{Size: 64}), Flows: n, InFlight: 1, Sockets: 4, Datagrams: Datagrams{Size: 64},
		Patience: 10 * time.Second, Hold: true,
	}
	c := flows(t, spec)
	var stop atomic.Bool
	err := c.Hold(&stop, time.Minute, func() {
		if c.held != n || c.res.Sent != n {
			t.Errorf("%d flows held, %d datagrams sent, want %d", c.held, c.res.Sent, n)
		}
		stop.Store(true)
	})
	if err != nil {
		t.Error(err)
	}

	spec.Addr = meddle(t, "", func(packet) []packet { return nil })
	if err := flows(t, spec).Hold(new(atomic.Bool), 50*time.Millisecond, func() {}); err == nil || !strings.Contains(err.Error(), "0 of 300") {
		t.Errorf("error %v", err)
	}
	spec.Addr = meddle(t, "", func(p packet) []packet { p.b[0]++; return []packet{p} })
	if err := flows(t, spec).Hold(new(atomic.Bool), time.Minute, func() {}); err == nil || !strings.Contains(err.Error(), "wrong answer") {
		t.Errorf("error %v", err)
	}
}

func TestTooManyWrongAnswersEndALoad(t *testing.T) {
	spec := FlowSpec{
		Addr:  meddle(t, "", func(p packet) []packet { p.b[0]++; return []packet{p} }),
		Flows: 40, InFlight: 64, Datagrams: Datagrams{Size: 64}, Patience: time.Millisecond, Duration: time.Minute,
	}
	if _, err := flows(t, spec).Run(new(atomic.Bool), func() {}); !errors.Is(err, ErrTooManyErrors) {
		t.Errorf("error %v, want %v", err, ErrTooManyErrors)
	}
}

func TestNoReportsAreAnError(t *testing.T) {
	mute := meddle(t, "", func(packet) []packet { return nil })
	var stop atomic.Bool
	stop.Store(true)
	spec := FlowSpec{
		Addr: mute, Counter: mute, Flows: 1, InFlight: 1, Datagrams: Datagrams{Size: 64, OneWay: true}, Patience: time.Second,
	}
	if res, err := flows(t, spec).Run(&stop, func() {}); err != nil || res.Exchanges != 0 {
		t.Errorf("stopped at once: %+v, %v", res, err)
	}
}

func TestFlowSpecsThatMakeNoSense(t *testing.T) {
	sound := FlowSpec{Addr: "127.0.0.1:1", Flows: 4, InFlight: 4, Datagrams: Datagrams{Size: 64}, Patience: time.Second}
	tests := []struct {
		name   string
		change func(*FlowSpec)
	}{
		{name: "no flows", change: func(s *FlowSpec) { s.Flows = 0 }},
		{name: "too many flows", change: func(s *FlowSpec) { s.Flows, s.Sockets = maxFlows+1, 1 }},
		{name: "too many sockets", change: func(s *FlowSpec) { s.Flows = maxSockets + 1 }},
		{name: "more sockets than flows", change: func(s *FlowSpec) { s.Sockets = 5 }},
		{name: "nothing in flight", change: func(s *FlowSpec) { s.InFlight = 0 }},
		{name: "too much in flight", change: func(s *FlowSpec) { s.InFlight = MaxInFlight + 1 }},
		{name: "a window for none", change: func(s *FlowSpec) { s.InFlight, s.Window = 1, 5 }},
		{name: "a window of many each", change: func(s *FlowSpec) { s.Window = 2 }},
		{name: "half a train", change: func(s *FlowSpec) { s.Datagrams.Train = 3 }},
		{name: "renewed backwards", change: func(s *FlowSpec) { s.Renew = -1 }},
		{name: "nobody counts", change: func(s *FlowSpec) { s.Datagrams.OneWay = true }},
		{name: "counted and answered", change: func(s *FlowSpec) { s.Counter = "127.0.0.1:2" }},
		{name: "no patience", change: func(s *FlowSpec) { s.Patience = 0 }},
		{name: "open and held", change: func(s *FlowSpec) { s.Open, s.Hold = true, true }},
		{name: "a size of nothing", change: func(s *FlowSpec) { s.Datagrams.Size = 0 }},
		{name: "no address", change: func(s *FlowSpec) { s.Addr = "balancer:53" }},
		{name: "IPv6", change: func(s *FlowSpec) { s.Addr = "[::1]:53" }},
		{name: "renewed beyond loopback", change: func(s *FlowSpec) { s.Addr, s.Renew = "192.0.2.1:53", 1 }},
	}
	if c, err := NewFlows(sound); err != nil {
		t.Fatal(err)
	} else {
		c.Close()
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := sound
			tt.change(&spec)
			if c, err := NewFlows(spec); err == nil {
				c.Close()
				t.Error("it is taken")
			}
		})
	}
	if _, err := NewEcho(Datagrams{Size: 1}, netip.MustParseAddr("127.0.0.1")); err == nil {
		t.Error("the backend takes datagrams of one byte")
	}
	if _, err := NewEcho(sound.Datagrams, netip.IPv6Loopback()); err == nil {
		t.Error("the backend takes IPv6")
	}
}

// The two tools of UDP talk to each other as they do in a measurement.
func TestUDPTools(t *testing.T) {
	kind := Datagrams{Size: 64}
	report, stopEcho := startTool(t, EchoTool, EchoSpec{Datagrams: kind, Addr: netip.MustParseAddr("127.0.0.1")})
	up := report()
	if up.Kind != Listening || len(up.Addrs) != 1 {
		t.Fatalf("the backend reports %+v", up)
	}
	spec := FlowSpec{
		Addr: up.Addrs[0], Flows: 3, InFlight: 2, Datagrams: kind, Patience: 10 * time.Second, Duration: 100 * time.Millisecond,
	}
	report, stopFlows := startTool(t, FlowsTool, spec)
	if ev := report(); ev.Kind != Measuring {
		t.Errorf("the client reports %+v", ev)
	}
	if ev := report(); ev.Kind != Finished || ev.Result.Exchanges == 0 {
		t.Errorf("the client reports %+v", ev)
	}
	spec.Hold = true
	holds, stopHolder := startTool(t, FlowsTool, spec)
	if ev := holds(); ev.Kind != Holding {
		t.Errorf("the holder reports %+v", ev)
	}
	for _, stop := range []func() error{stopFlows, stopHolder, stopEcho} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	for _, tool := range []func(string, io.Reader, io.Writer) error{EchoTool, FlowsTool} {
		for _, spec := range []string{"{", "{}"} {
			if err := tool(spec, strings.NewReader(""), io.Discard); err == nil {
				t.Errorf("a tool takes %s", spec)
			}
		}
	}
}

// A datagram of a flow costs client and backend no allocation.
func TestFlowsAllocateNothing(t *testing.T) {
	c := flows(t, FlowSpec{
		Addr: echo(t, Datagrams{Size: 64}), Flows: 8, InFlight: 4, Sockets: 2, Datagrams: Datagrams{Size: 64}, Patience: 10 * time.Second,
	})
	turn := func() {
		if err := c.turn(time.Second); err != nil {
			t.Fatal(err)
		}
	}
	turn() // asks for the first time
	if n := testing.AllocsPerRun(200, turn); n >= 1 {
		t.Errorf("%v allocations in a turn", n)
	}
	if c.res.Exchanges == 0 {
		t.Error("nothing was done meanwhile")
	}
}

// startTool runs a tool within this process: next returns its reports in turn, and stop
// ends it.
func startTool(t *testing.T, tool func(string, io.Reader, io.Writer) error, spec any) (next func() Event, stop func() error) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := tool(string(text), inR, outW)
		outW.CloseWithError(err)
		done <- err
	}()
	reports := json.NewDecoder(outR)
	next = func() Event {
		var ev Event
		if err := reports.Decode(&ev); err != nil {
			t.Fatal(err)
		}
		return ev
	}
	return next, func() error { inW.Close(); return <-done }
}
