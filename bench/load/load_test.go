package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a server for one kind of exchange and returns its address.
func serve(t *testing.T, kind Exchange) string {
	t.Helper()
	return serveAs(t, ServerSpec{Kinds: []Exchange{kind}})
}

// serveAs is serve for any spec; the address is that of the first kind.
func serveAs(t *testing.T, spec ServerSpec) string {
	t.Helper()
	s, err := NewServer(spec)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan error)
	go func() { done <- s.Serve(&stop) }()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s.Addrs()[0]
}

// misbehave answers every connection in its own way.
func misbehave(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	return l.Addr().String()
}

func client(t *testing.T, spec ClientSpec) *Client {
	t.Helper()
	c, err := NewClient(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRun(t *testing.T) {
	tests := []struct {
		name string
		kind Exchange
	}{
		{name: "round trips", kind: Exchange{Request: 64, Answer: 128}},
		{name: "one connection each", kind: Exchange{Request: 64, Answer: 128, Close: true}},
		{name: "download", kind: Exchange{Request: 64, Answer: 3 << 20}},
		{name: "download, one connection each", kind: Exchange{Request: 64, Answer: 3 << 20, Close: true}},
		{name: "upload", kind: Exchange{Request: 3 << 20, Answer: 128}},
		{name: "PROXY headers", kind: Exchange{Request: 64, Answer: 128, Close: true, Proxy: true}},
		{name: "HTTP", kind: Exchange{Answer: 128, HTTP: true}},
		{name: "HTTP, one connection each", kind: Exchange{Answer: 128, HTTP: true, Close: true}},
		{name: "HTTP post", kind: Exchange{Request: 100, Answer: 128, HTTP: true}},
		{name: "HTTP download", kind: Exchange{Answer: 3 << 20, HTTP: true}},
		{name: "HTTP upload", kind: Exchange{Request: 3 << 20, Answer: 128, HTTP: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := ClientSpec{
				Addr: serve(t, tt.kind), Exchange: tt.kind, Connections: 3,
				Warm: 20 * time.Millisecond, Duration: 500 * time.Millisecond,
			}
			measured := 0
			res, err := client(t, spec).Run(new(atomic.Bool), func() { measured++ })
			if err != nil {
				t.Fatal(err)
			}
			if res.Errors != 0 || res.Stalled != 0 {
				t.Errorf("%d errors (%s), %d stalled connections", res.Errors, res.LastError, res.Stalled)
			}
			if res.Exchanges < 3 || measured != 1 {
				t.Errorf("%d exchanges, measurement announced %d times", res.Exchanges, measured)
			}
			// The exchanges under way at both ends count in part.
			one := int64(max(tt.kind.Request, tt.kind.Answer))
			if res.Bytes < one*int64(res.Exchanges-3) || res.Bytes > one*int64(res.Exchanges+3) {
				t.Errorf("%d bytes in %d exchanges of %d", res.Bytes, res.Exchanges, one)
			}
			if res.Elapsed < spec.Duration || res.P50 <= 0 || res.P99 < res.P50 {
				t.Errorf("%v elapsed, p50 %v, p99 %v", res.Elapsed, res.P50, res.P99)
			}
		})
	}
}

func TestRunCountsErrors(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	tests := []struct {
		name, want string
		wrong      bool
		answer     func(net.Conn)
	}{
		{name: "wrong bytes", want: "wrong answer", wrong: true, answer: func(c net.Conn) {
			io.CopyN(io.Discard, c, 64)
			c.Write(bytes.Repeat([]byte("x"), 128))
			io.Copy(io.Discard, c)
		}},
		{name: "too many bytes", want: "too many", wrong: true, answer: func(c net.Conn) {
			io.CopyN(io.Discard, c, 64)
			c.Write(pattern(129))
			io.Copy(io.Discard, c)
		}},
		{name: "cut short", want: "closed after 100 of 128 bytes", wrong: true, answer: func(c net.Conn) {
			io.CopyN(io.Discard, c, 64)
			c.Write(pattern(100))
		}},
		{name: "reset", want: "reset", answer: func(c net.Conn) {
			c.(*net.TCPConn).SetLinger(0)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, ClientSpec{Addr: misbehave(t, tt.answer), Exchange: kind, Connections: 1, Duration: 300 * time.Millisecond})
			res, err := c.Run(new(atomic.Bool), func() {})
			if err != nil && !errors.Is(err, ErrTooManyErrors) {
				t.Fatal(err)
			}
			if tt.wrong != (res.Wrong > 0) || res.Wrong > res.Errors {
				t.Errorf("%d of %d errors are wrong answers", res.Wrong, res.Errors)
			}
			if res.Errors == 0 || res.Exchanges != 0 || !strings.Contains(res.LastError, tt.want) {
				t.Errorf("%d errors, the last %q; want %q", res.Errors, res.LastError, tt.want)
			}
		})
	}
}

func TestRunSeesStalledConnections(t *testing.T) {
	addr := misbehave(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	c := client(t, ClientSpec{Addr: addr, Exchange: Exchange{Request: 64, Answer: 128}, Connections: 5, Duration: 50 * time.Millisecond})
	res, err := c.Run(new(atomic.Bool), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Stalled != 5 || res.Exchanges != 0 {
		t.Errorf("%d stalled, %d exchanges, want 5 and 0", res.Stalled, res.Exchanges)
	}
}

func TestHold(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	const conns = 3 * window
	c := client(t, ClientSpec{Addr: serve(t, kind), Exchange: kind, Connections: conns, Hold: true})
	var stop atomic.Bool
	err := c.Hold(&stop, 10*time.Second, func() { stop.Store(true) })
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, a := range c.conns {
		if a != nil {
			open++
		}
	}
	if open != conns {
		t.Errorf("%d connections open, want %d", open, conns)
	}
}

func TestHoldFails(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	t.Run("closed while it opens", func(t *testing.T) {
		c := client(t, ClientSpec{Addr: misbehave(t, func(net.Conn) {}), Exchange: kind, Connections: 2, Hold: true})
		if err := c.Hold(new(atomic.Bool), 10*time.Second, func() {}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("closed while idle", func(t *testing.T) {
		shut := make(chan struct{})
		addr := misbehave(t, func(c net.Conn) {
			io.CopyN(io.Discard, c, 64)
			c.Write(pattern(128))
			<-shut
		})
		c := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 2, Hold: true})
		err := c.Hold(new(atomic.Bool), 10*time.Second, func() { close(shut) })
		if err == nil || !strings.Contains(err.Error(), "idle connection ended") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("out of time", func(t *testing.T) {
		addr := misbehave(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		c := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 2, Hold: true})
		err := c.Hold(new(atomic.Bool), 10*time.Millisecond, func() {})
		if err == nil || !strings.Contains(err.Error(), "0 of 2 connections") {
			t.Errorf("error %v", err)
		}
	})
}

func TestSpecsAreChecked(t *testing.T) {
	good := ClientSpec{Addr: "127.0.0.1:1", Connections: 1, Exchange: Exchange{Request: 1, Answer: 1}}
	tests := []struct {
		name  string
		spoil func(*ClientSpec)
	}{
		{name: "no connections", spoil: func(s *ClientSpec) { s.Connections = 0 }},
		{name: "no request", spoil: func(s *ClientSpec) { s.Exchange.Request = 0 }},
		{name: "no answer", spoil: func(s *ClientSpec) { s.Exchange.Answer = 0 }},
		{name: "payload of another size", spoil: func(s *ClientSpec) { s.Payload = []byte("ab") }},
		{name: "fewer than no hosts", spoil: func(s *ClientSpec) { s.Targets.Hosts = -1 }},
		{name: "TLS", spoil: func(s *ClientSpec) { s.TLS = &TLS{} }},
		{name: "no address", spoil: func(s *ClientSpec) { s.Addr = "localhost" }},
		{name: "IPv6", spoil: func(s *ClientSpec) { s.Addr = "[::1]:1" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := good
			tt.spoil(&spec)
			if _, err := NewClient(spec); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := NewServer(ServerSpec{Kinds: []Exchange{{Request: 1}}}); err == nil {
		t.Error("the server takes an exchange without an answer")
	}
}

func TestHello(t *testing.T) {
	hello, err := Hello("shop.bench.test")
	if err != nil {
		t.Fatal(err)
	}
	const handshake, clientHello = 22, 1
	if hello[0] != handshake || hello[5] != clientHello || !bytes.Contains(hello, []byte("shop.bench.test")) {
		t.Errorf("not a ClientHello for the name: % x", hello)
	}
}

// The two tools talk to each other as they do in a measurement: by their
// reports, and until their input ends.
func TestTools(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	report, stopServer := startTool(t, ServerTool, ServerSpec{Kinds: []Exchange{kind}})
	up := report()
	if up.Kind != Listening || len(up.Addrs) != 1 {
		t.Fatalf("the server reports %+v", up)
	}
	spec := ClientSpec{Addr: up.Addrs[0], Connections: 2, Exchange: kind, Duration: 300 * time.Millisecond}
	report, stopClient := startTool(t, ClientTool, spec)
	if ev := report(); ev.Kind != Measuring {
		t.Errorf("the client reports %+v", ev)
	}
	if ev := report(); ev.Kind != Finished || ev.Result.Exchanges == 0 {
		t.Errorf("the client reports %+v", ev)
	}
	spec.Hold = true
	holds, stopHolder := startTool(t, ClientTool, spec)
	if ev := holds(); ev.Kind != Holding {
		t.Errorf("the holder reports %+v", ev)
	}
	for _, stop := range []func() error{stopClient, stopHolder, stopServer} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	if err := ServerTool("{", strings.NewReader(""), io.Discard); err == nil {
		t.Error("the server takes broken JSON")
	}
}
