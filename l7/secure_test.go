package l7

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/sni"
)

// secured is a Security with a certificate for some names.
func secured(name string, c *weirtest.Certificate) *Security {
	return &Security{Name: name, Config: &tls.Config{Certificates: []tls.Certificate{c.TLS}, NextProtos: []string{"http/1.1"}}}
}

// dialTLS makes a TLS connection to the bed.
func (b *bed) dialTLS(ca *weirtest.Authority, name string) *tls.Conn {
	b.t.Helper()
	c := tls.Client(b.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: name, NextProtos: []string{"http/1.1"}})
	if err := c.Handshake(); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func TestTLSFront(t *testing.T) {
	ca := weirtest.CA(t)
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, security: secured("default", ca.Server("a.test"))})
	c := b.dialTLS(ca, "a.test")
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("protocol %q", p)
	}
	large := string(pattern(300_000))
	go func() {
		_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n"+chunk(large)+"0\r\n\r\n")
	}()
	text, err := io.ReadAll(c)
	if err != nil { // an end without close_notify would be one
		t.Fatal(err)
	}
	has(t, string(text), "GET /1 host=a.test xff=127.0.0.1 proto=https", "POST /2 ", large[:1000])
	e := b.entries(2)[1]
	if e.TLSMode != "terminated" || e.SNI != "a.test" || e.Reason != "done" {
		t.Errorf("%+v", e)
	}
}

// A connection that never comes to HTTP is in the log.
func TestTLSHandshakeFails(t *testing.T) {
	ca := weirtest.CA(t)
	for _, tt := range []struct {
		name string
		do   func(*testing.T, *bed)
	}{
		{"plain HTTP", func(t *testing.T, b *bed) { b.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
		{"no common protocol", func(t *testing.T, b *bed) {
			c := tls.Client(b.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"foo"}})
			if err := c.Handshake(); err == nil {
				t.Error("the handshake went well")
			}
		}},
		{"left in the middle", func(t *testing.T, b *bed) {
			c := b.dial()
			send(t, c, "\x16\x03\x01\x00\xff\x01")
			_ = c.Close()
		}},
		{"reset in the middle", func(t *testing.T, b *bed) {
			c := b.dial()
			send(t, c, "\x16\x03\x01\x00\xff\x01")
			weirtest.Eventually(t, patience, func() bool { return b.inState(securing) == 1 }, "a handshake goes on")
			weirtest.Reset(c)
		}},
		{"too slow", func(t *testing.T, b *bed) { send(t, b.dial(), "\x16\x03\x01\x00\xff\x01") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			front := FrontOptions{}
			if tt.name == "too slow" {
				front.HandshakeTimeout = short
			}
			b := newBed(t, setup{security: secured("default", ca.Server("a.test")), front: front})
			tt.do(t, b)
			if e := b.entries(1)[0]; e.Reason != "tls-handshake" || e.EndedBy != "client" || e.TLSMode != "terminated" {
				t.Errorf("%+v", e)
			}
			b.idle(0)
		})
	}
}

// A client may not use the connection it has made under one host's TLS settings for a host that demands others.
func TestMisdirected(t *testing.T) {
	ca := weirtest.CA(t)
	certificate := ca.Server("a.test", "b.test")
	easy, strict := secured("easy", certificate), secured("strict", certificate)
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, echo)}, security: easy})
	set := b.set
	table := sni.NewBuilder[*Security]()
	for name, security := range map[string]*Security{"a.test": easy, "b.test": strict} {
		if err := table.Add(sni.Exact, name, security); err != nil {
			t.Fatal(err)
		}
	}
	set.Security = table.Build()
	b.front.Set(set)
	for _, tt := range []struct {
		host   string
		status int
	}{{"a.test", 200}, {"b.test", 421}, {"B.TEST:443", 421}, {"c.test", 200}} {
		c := b.dialTLS(ca, "a.test")
		r := bufio.NewReader(c)
		send(t, c, "GET / HTTP/1.1\r\nHost: "+tt.host+"\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.host, resp.StatusCode, tt.status)
		}
		if resp.Close != (tt.status == 421) { // the client needs another connection
			t.Errorf("%s: the connection is said to end: %v", tt.host, resp.Close)
		}
	}
	if e := b.entries(4)[1]; e.Reason != "misdirected" || e.DownstreamStatus != 421 {
		t.Errorf("%+v", e)
	}
}

// Servers behind TLS are verified, unless it is said that they are not.
func TestTLSToServers(t *testing.T) {
	ca := weirtest.CA(t)
	for _, tt := range []struct {
		name    string
		names   []string // of the certificate
		config  *tls.Config
		trusted bool
	}{
		{"by address", []string{"127.0.0.1"}, trusting(ca), true},
		{"by another address", []string{"127.0.0.2"}, trusting(ca), false},
		{"by name", []string{"inner.test"}, &tls.Config{RootCAs: ca.Pool(), ServerName: "inner.test"}, true},
		{"by another name", []string{"outer.test"}, &tls.Config{RootCAs: ca.Pool(), ServerName: "inner.test"}, false},
		{"of nobody", []string{"127.0.0.1"}, &tls.Config{RootCAs: weirtest.CA(t).Pool()}, false},
		{"without a look", []string{"other.test"}, &tls.Config{InsecureSkipVerify: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := weirtest.ServeTLS(t, ca.Server(tt.names...), answers(okText, okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: passive, transport: Transport{TLS: tt.config}})
			if !tt.trusted {
				has(t, b.exchange(oneGet), "HTTP/1.1 502 ")
				b.ended(1, 502, "backend", "connect-failed")
				if b.pool.Backends()[0].Stats().FailureStreak == 0 {
					t.Error("no failure was counted")
				}
				return
			}
			has(t, b.exchange(oneGet), "HTTP/1.1 200 ")
			has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"), "HTTP/1.1 200 ")
			if e := b.entries(2); e[0].UpstreamReused || !e[1].UpstreamReused {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A server that speaks no TLS, or stops in the middle of it, is one that cannot be connected to.
func TestTLSToServersThatSpeakNone(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"plain":  func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"gone":   func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			o := weirtest.Serve(t, serve)
			options := passive
			options.Connect.Timeout = short
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: options, transport: Transport{TLS: &tls.Config{InsecureSkipVerify: true}}})
			status, reason := 502, "connect-failed"
			if name == "silent" {
				status, reason = 504, "connect-timeout"
			}
			b.exchange(oneGet)
			b.ended(1, status, "backend", reason)
		})
	}
}

// What a connection begins with goes before everything, TLS too, and names one client: no other one's request follows.
func TestGreeting(t *testing.T) {
	ca := weirtest.CA(t)
	certificate := ca.Server("127.0.0.1")
	for _, secure := range []bool{false, true} {
		var mu sync.Mutex
		var greetings []string
		o := weirtest.Serve(t, func(c net.Conn) {
			line := make([]byte, 0, 100)
			for b := [1]byte{}; !strings.HasSuffix(string(line), "\r\n"); line = append(line, b[0]) {
				if _, err := io.ReadFull(c, b[:]); err != nil {
					return
				}
			}
			mu.Lock()
			greetings = append(greetings, string(line))
			mu.Unlock()
			if secure {
				c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate.TLS}})
			}
			answers(okText, okText)(c)
		})
		transport := Transport{Greeting: func(dst []byte, source, destination netip.AddrPort) []byte {
			return append(append(append(dst, "HELLO "+source.String()+" "...), destination.String()...), "\r\n"...)
		}}
		if secure {
			transport.TLS = trusting(ca)
		}
		b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, transport: transport})
		c := b.dial()
		for range 3 {
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			readUntil(t, c, "\r\n\r\nok")
		}
		b.entries(3)
		if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
			t.Errorf("%d connections are kept", n)
		}
		mu.Lock()
		want := "HELLO " + c.LocalAddr().String() + " " + b.addr + "\r\n"
		if len(greetings) != 3 || strings.Join(greetings, "") != strings.Repeat(want, 3) {
			t.Errorf("greetings %q, want three of %q", greetings, want)
		}
		mu.Unlock()
	}
}

// A body that lasts to the end of a TLS connection is complete only if the server has said that it ends: anybody on the way
// could have cut it.
func TestCloseDelimitedOverTLS(t *testing.T) {
	ca := weirtest.CA(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}}
	for _, tt := range []struct {
		name     string
		end      func(secure *tls.Conn, plain net.Conn)
		complete bool
	}{
		{"with close_notify", func(secure *tls.Conn, _ net.Conn) { secure.Close() }, true},
		{"without", func(_ *tls.Conn, plain net.Conn) { plain.Close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := raw(t, func(plain net.Conn) {
				secure := tls.Server(plain, config)
				if _, err := http.ReadRequest(bufio.NewReader(secure)); err == nil {
					_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\n\r\nhalf of it, or all")
				}
				tt.end(secure, plain)
			})
			b := newBed(t, setup{backends: []netip.AddrPort{server}, transport: Transport{TLS: trusting(ca)}})
			c := b.dial()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			got, err := io.ReadAll(c)
			if complete := err == nil && strings.HasSuffix(string(got), "\r\n\r\nhalf of it, or all"); complete != tt.complete {
				t.Errorf("%q, %v", got, err)
			}
			want := map[bool]string{true: "done", false: "backend-abort"}[tt.complete]
			if e := b.entries(1)[0]; e.Reason != want {
				t.Errorf("reason %s, want %s", e.Reason, want)
			}
		})
	}
}
