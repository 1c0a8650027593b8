package load

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What the tests of the open loop have in common: a server that stands still once, and a load at a rate.
const (
	pausedAt   = 200 // exchange with which the server stands still
	pausedFor  = 400 * time.Millisecond
	pacedRate  = 500 // in a second; what is due in the pause has room in the queue of a UDP socket
	pacedFor   = time.Second
	pacedTotal = pacedRate * int(pacedFor/time.Second)
)

// pauser is a server's way through its exchanges, one after the other.
type pauser struct {
	mu   sync.Mutex
	done int
}

// pass lets one exchange through, after the pause if it is its turn.
func (p *pauser) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done++; p.done == pausedAt {
		time.Sleep(pausedFor) // this is what is measured
	}
}

// pausing answers on any number of connections, and stands still once for all of them.
func pausing(t *testing.T, kind Exchange) string {
	var turn pauser
	answer := pattern(kind.Answer)
	if kind.HTTP {
		answer = append(answerHead(kind.Answer), answer...)
	}
	return misbehave(t, func(c net.Conn) {
		b := make([]byte, small)
		for asked := 0; ; {
			n, err := c.Read(b[asked:])
			if err != nil {
				return
			}
			asked += n
			whole := asked == kind.Request
			if kind.HTTP {
				whole = strings.HasSuffix(string(b[:asked]), "\r\n\r\n")
			}
			if !whole {
				continue
			}
			asked = 0
			turn.pass()
			if _, err := c.Write(answer); err != nil || kind.Close {
				return
			}
		}
	})
}

// pausingEcho sends datagrams back, and stands still once.
func pausingEcho(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		var turn pauser
		b := make([]byte, MaxDatagram)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			turn.pass()
			c.WriteTo(b[:n], from)
		}
	}()
	return c.LocalAddr().String()
}

// checkPause compares latencies with what a pause P makes of them. Of all that were due in it, the last waits for
// nothing and the first for all of P, and those between for the times between: so at least R*(P-L) of them took
// longer than L. A machine that has other work makes that more, never less.
func checkPause(t *testing.T, res Result) {
	t.Helper()
	if res.Errors != 0 || res.Unanswered != 0 || res.Exchanges != pacedTotal {
		t.Fatalf("%d of %d exchanges, %d errors (%s), %d unanswered", res.Exchanges, pacedTotal, res.Errors, res.LastError, res.Unanswered)
	}
	if got := res.Latency.Count(); got != pacedTotal {
		t.Errorf("%d latencies of %d exchanges", got, pacedTotal)
	}
	for _, long := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 350 * time.Millisecond, 390 * time.Millisecond} {
		slow := pacedRate * (pausedFor - long).Seconds()
		quantile := 1 - (slow-1)/float64(pacedTotal)
		if got := res.Latency.Quantile(quantile); got < long-time.Millisecond {
			t.Errorf("quantile %.3f is %v: %.0f exchanges were due more than %v before the end of the pause", quantile, got, slow, long)
		}
	}
	if longest := res.Latency.Quantile(1); longest > res.Elapsed+res.Elapsed/32 {
		t.Errorf("one took %v of %v", longest, res.Elapsed)
	}
}

// An open loop counts the wait of everything that was due while a server stood still. A closed loop would know of no
// more than the exchanges that it had under way.
func TestThePausesOfAServerShow(t *testing.T) {
	for _, tt := range []struct {
		name        string
		kind        Exchange
		connections int
	}{
		{name: "TCP", kind: Exchange{Request: 64, Answer: 128}, connections: 4},
		{name: "TCP, one connection each", kind: Exchange{Request: 64, Answer: 128, Close: true}, connections: 4},
		{name: "HTTP", kind: Exchange{Answer: 128, HTTP: true}, connections: 4},
		{name: "HTTP, more connections than are due in a pause", kind: Exchange{Answer: 128, HTTP: true}, connections: 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, ClientSpec{
				Addr: pausing(t, tt.kind), Exchange: tt.kind, Connections: tt.connections, Duration: pacedFor, Rate: pacedRate,
			})
			res, err := c.Run(new(atomic.Bool), func() {})
			if err != nil {
				t.Fatal(err)
			}
			checkPause(t, res)
		})
	}
	t.Run("UDP", func(t *testing.T) {
		c := flows(t, FlowSpec{
			Addr: pausingEcho(t), Flows: 20, InFlight: 1000, Datagrams: Datagrams{Size: 64}, Patience: 10 * time.Second,
			Duration: pacedFor, Rate: pacedRate,
		})
		res, err := c.Run(new(atomic.Bool), func() {})
		if err != nil {
			t.Fatal(err)
		}
		if res.Sent != pacedTotal || res.Lost != 0 || res.Stalled != 0 {
			t.Errorf("%d sent, %d lost, %d flows without an answer", res.Sent, res.Lost, res.Stalled)
		}
		checkPause(t, res)
	})
}

// What a dead server does not answer is counted, with the time that it has taken so far.
func TestNoAnswerCounts(t *testing.T) {
	silent := misbehave(t, func(c net.Conn) {
		for b := make([]byte, small); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	c := client(t, ClientSpec{
		Addr: silent, Exchange: Exchange{Request: 64, Answer: 128}, Connections: 2, Duration: 100 * time.Millisecond, Rate: 100,
	})
	res, err := c.Run(new(atomic.Bool), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Exchanges != 0 || res.Unanswered != 10 || res.Latency.Count() != 10 || res.P50 < homecoming {
		t.Errorf("%d exchanges, %d unanswered, %d latencies, median %v", res.Exchanges, res.Unanswered, res.Latency.Count(), res.P50)
	}
}

// A datagram that nobody answers is lost, in an open loop too.
func TestNoAnswerToADatagramIsLost(t *testing.T) {
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := flows(t, FlowSpec{
		Addr: l.LocalAddr().String(), Flows: 2, InFlight: 10, Datagrams: Datagrams{Size: 64}, Patience: 50 * time.Millisecond,
		Duration: 100 * time.Millisecond, Rate: 100,
	})
	res, err := c.Run(new(atomic.Bool), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Sent != 10 || res.Lost != 10 || res.Exchanges != 0 {
		t.Errorf("%d sent, %d lost, %d answered", res.Sent, res.Lost, res.Exchanges)
	}
}

// A server may close an idle connection, or say that it closes after an answer; neither is an error of HTTP.
func TestAClosedIdleConnectionIsNoError(t *testing.T) {
	for name, head := range map[string]string{
		"silently":   "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n",
		"as it says": "HTTP/1.1 200 OK\r\nContent-Length: 128\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			answer := append([]byte(head), pattern(128)...)
			addr := misbehave(t, func(c net.Conn) {
				if _, err := c.Read(make([]byte, small)); err == nil {
					c.Write(answer)
				}
			})
			c := client(t, ClientSpec{
				Addr: addr, Exchange: Exchange{Answer: 128, HTTP: true}, Connections: 8, Duration: 300 * time.Millisecond, Rate: 50,
			})
			res, err := c.Run(new(atomic.Bool), func() {})
			if err != nil {
				t.Fatal(err)
			}
			if res.Exchanges != 15 || res.Errors != 0 {
				t.Errorf("%d exchanges, %d errors: %s", res.Exchanges, res.Errors, res.LastError)
			}
		})
	}
}

// An error leaves its place to the next exchange, and none is begun twice.
func TestErrorsOfAnOpenLoop(t *testing.T) {
	var n atomic.Int64
	kind := Exchange{Request: 64, Answer: 128, Close: true}
	addr := misbehave(t, func(c net.Conn) {
		if _, err := c.Read(make([]byte, small)); err == nil && n.Add(1)%2 == 0 {
			c.Write(pattern(kind.Answer))
		}
	})
	c := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 2, Duration: 500 * time.Millisecond, Rate: 200})
	res, err := c.Run(new(atomic.Bool), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Exchanges != 50 || res.Errors != 50 || res.Wrong != 0 || res.Unanswered != 0 {
		t.Errorf("%d exchanges, %d errors, %d wrong answers, %d unanswered", res.Exchanges, res.Errors, res.Wrong, res.Unanswered)
	}
}

// To a lenient client an answer that is cut short, or that tells of a backend that is gone, is an error and not a wrong
// answer; other bytes are wrong all the same.
func TestLenient(t *testing.T) {
	for name, tt := range map[string]struct {
		says  string
		wrong bool
	}{
		"cut short": {says: "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\nabc"},
		"gone":      {says: "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"},
		"refused":   {says: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", wrong: true},
		"altered":   {says: "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("?", 128), wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			addr := misbehave(t, func(c net.Conn) {
				if _, err := c.Read(make([]byte, small)); err == nil {
					c.Write([]byte(tt.says))
				}
			})
			c := client(t, ClientSpec{
				Addr: addr, Exchange: Exchange{Answer: 128, HTTP: true}, Connections: 1, Lenient: true,
				Duration: 100 * time.Millisecond, Rate: 50,
			})
			res, err := c.Run(new(atomic.Bool), func() {})
			if err != nil {
				t.Fatal(err)
			}
			if res.Errors != 5 || (res.Wrong == 5) != tt.wrong || (res.Wrong == 0) == tt.wrong {
				t.Errorf("%d errors, %d wrong: %s", res.Errors, res.Wrong, res.LastError)
			}
		})
	}
}

// Clients that run side by side are one client.
func TestMerged(t *testing.T) {
	part := func(errText string, wrong int, latencies ...time.Duration) Result {
		var h Histogram
		for _, d := range latencies {
			h.Add(d)
		}
		r := Result{Exchanges: len(latencies), Errors: wrong, Wrong: wrong, LastError: errText, Sent: 5, Lost: 1, Unanswered: 1, Elapsed: time.Duration(len(latencies)) * time.Second}
		r.timed(&h)
		return r
	}
	res := Merged([]Result{part("bad", 1, 10, 20, 30), part("late", 0, 40), {}})
	if res.Exchanges != 4 || res.P50 != 20 || res.Latency.Quantile(1) != 40 || res.Latency.Count() != 4 {
		t.Errorf("%d exchanges, median %v, longest %v", res.Exchanges, res.P50, res.Latency.Quantile(1))
	}
	if res.LastError != "bad" || res.Wrong != 1 || res.Sent != 10 || res.Lost != 2 || res.Unanswered != 2 || res.Elapsed != 3*time.Second {
		t.Errorf("%+v", res)
	}
}

func TestRatesThatMakeNoSense(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	for _, spec := range []ClientSpec{
		{Connections: 1, Exchange: kind, Rate: -1},
		{Connections: 1, Exchange: kind, Rate: 2 * maxRate},
		{Connections: 1, Exchange: kind, Rate: 1, Hold: true},
	} {
		if err := spec.check(); err == nil {
			t.Errorf("%+v is accepted", spec)
		}
	}
	good := FlowSpec{Addr: netip.MustParseAddrPort("127.0.0.1:1").String(), Flows: 10, InFlight: 10, Datagrams: Datagrams{Size: 64}, Patience: time.Second, Rate: 250}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*FlowSpec){
		"more than is remembered": func(s *FlowSpec) { s.Rate = 330 },
		"not answered":            func(s *FlowSpec) { s.Datagrams.OneWay, s.Counter = true, "127.0.0.1:2" },
		"a flood too":             func(s *FlowSpec) { s.Open = true },
		"trains":                  func(s *FlowSpec) { s.Datagrams.Train = 2 },
		"held":                    func(s *FlowSpec) { s.Hold = true },
		"negative":                func(s *FlowSpec) { s.Rate = -1 },
	} {
		spec := good
		change(&spec)
		if err := spec.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
