package eventloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// certificate signs itself. padding bytes are added to it, to make handshakes large.
func certificate(t testing.TB, padding int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "weir"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"weir.test"},
	}
	if padding > 0 {
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, padding)}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serverConfig(t testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate(t, 0)}}
}

// clientConfig trusts anybody: who the server is, is not what these tests are about.
func clientConfig(version uint16) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
}

var versions = []struct {
	name    string
	version uint16
}{{"TLS 1.2", tls.VersionTLS12}, {"TLS 1.3", tls.VersionTLS13}}

// tlsProxy ends TLS before a plain backend.
func tlsProxy(t testing.TB, l *Loop, backend netip.AddrPort) *proxy {
	return startProxy(t, l, backend, func(p *proxy) { p.server = serverConfig(t) })
}

// secured is a client's TLS connection after its handshake.
func secured(t testing.TB, under net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(under, config)
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c
}

// dripper sends every byte by itself.
type dripper struct{ net.Conn }

func (d dripper) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// gatherer sends what was written when the caller wants to read, in one piece.
type gatherer struct {
	net.Conn
	held []byte
}

func (g *gatherer) Write(p []byte) (int, error) {
	g.held = append(g.held, p...)
	return len(p), nil
}

func (g *gatherer) Read(p []byte) (int, error) {
	if held := g.held; len(held) > 0 {
		g.held = nil
		if _, err := g.Conn.Write(held); err != nil {
			return 0, err
		}
	}
	return g.Conn.Read(p)
}

var errNoNotify = errors.New("the connection ended without close_notify")

// strict tells the end of the connection from a close_notify, which crypto/tls does not.
type strict struct{ *net.TCPConn }

func (s strict) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	if err == io.EOF {
		err = errNoNotify
	}
	return n, err
}

func TestTLSHandshakeInAnyPieces(t *testing.T) {
	for _, v := range versions {
		for _, pieces := range []struct {
			name string
			cut  func(net.Conn) net.Conn
		}{
			{"as they come", func(c net.Conn) net.Conn { return c }},
			{"byte by byte", func(c net.Conn) net.Conn { return dripper{c} }},
			{"data with the Finished", func(c net.Conn) net.Conn { return &gatherer{Conn: c} }},
		} {
			t.Run(v.name+", "+pieces.name, func(t *testing.T) {
				l := startLoop(t, nil)
				p := tlsProxy(t, l, server(t, echo))
				c := secured(t, pieces.cut(p.dial()), clientConfig(v.version))
				want := pattern(2000, 1)
				if _, err := c.Write(want); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil {
					t.Fatal(err)
				}
				expectBytes(t, "echo", got, want)
				if n := l.gate.Pending(); n != 0 {
					t.Errorf("%d handshakes are under way", n)
				}
			})
		}
	}
}

// What was peeked before is the beginning of the handshake.
func TestTLSStartsWithPeekedBytes(t *testing.T) {
	l := startLoop(t, nil)
	told, h := arrivals()
	s, c := accepted(t, l, h)
	config := serverConfig(t)
	config.NextProtos = []string{"weir"}
	done := make(chan error, 1)
	var client *tls.Conn
	go func() {
		config := clientConfig(tls.VersionTLS13)
		config.NextProtos, config.ServerName = []string{"weir"}, "weir.test"
		client = tls.Client(c, config)
		done <- client.Handshake()
	}()
	if err := fillTo(t, l, s, told, 100, 1<<16); err != nil {
		t.Fatal(err)
	}
	r := newReader(5)
	shaken := make(chan error, 1)
	on(t, l, func() {
		if _, ok := s.State(); ok {
			t.Error("there is a TLS state before TLS")
		}
		if err := s.StartTLS(func(under net.Conn) *tls.Conn {
			if under.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("remote address is %v", under.RemoteAddr())
			}
			return tls.Server(under, config)
		}, securedFunc(func(s *Stream, err error) {
			s.SetHandler(r)
			r.Ready(s)
			shaken <- err
		})); err != nil {
			t.Error(err)
		}
		if len(s.Peeked()) != 0 {
			t.Error("the hello is held still")
		}
		if _, ok := s.State(); ok {
			t.Error("there is a TLS state before the handshake is over")
		}
	})
	if err := await(t, done, "the client's handshake"); err != nil {
		t.Fatal(err)
	}
	if err := await(t, shaken, "the handshake"); err != nil {
		t.Fatal(err)
	}
	_, _ = client.Write([]byte("hello"))
	if err := await(t, r.done, "plaintext"); err != nil || r.got.String() != "hello" {
		t.Errorf("read %q, %v", r.got.String(), err)
	}
	on(t, l, func() {
		state, ok := s.State()
		if !ok || state.ServerName != "weir.test" || state.NegotiatedProtocol != "weir" {
			t.Errorf("state: %+v, %v", state, ok)
		}
		if s.tls.inbox != nil || s.tls.outbox != nil {
			t.Error("the buffers of the handshake are held still")
		}
	})
}

func TestTLSBigTransfers(t *testing.T) {
	for _, tt := range []struct {
		name         string
		server, both bool
	}{
		{"client TLS, plain backend", true, false},
		{"plain client, TLS backend", false, true},
		{"TLS on both sides", true, true},
	} {
		for _, v := range versions {
			t.Run(tt.name+", "+v.name, func(t *testing.T) {
				l := startLoop(t, nil)
				arrived := make(chan net.Conn, 1)
				release := make(chan struct{})
				defer close(release)
				config := serverConfig(t)
				addr := server(t, func(c *net.TCPConn) {
					arrived <- c
					<-release
				})
				p := startProxy(t, l, addr, func(p *proxy) {
					if tt.server {
						p.server = config
					}
					if tt.both {
						p.client = clientConfig(v.version)
					}
				})
				var client net.Conn = p.dial()
				if tt.server {
					client = secured(t, client, clientConfig(v.version))
				}
				backend := await(t, arrived, "the backend's connection")
				if tt.both {
					backend = tls.Server(backend, config)
				}
				var both sync.WaitGroup
				both.Go(func() { transfer(t, "to the client", backend, client, pattern(10<<20, 2)) })
				transfer(t, "to the backend", client, backend, pattern(10<<20, 1))
				both.Wait()
				// One way at a time, and nothing else on the connection: no event but the relay's own makes it go on.
				for _, n := range []int{1, 16 << 10, relayBudget, relayBudget + 1, 5*relayBudget + 7} {
					transfer(t, "to the backend alone", client, backend, pattern(n, 3))
					transfer(t, "to the client alone", backend, client, pattern(n, 4))
				}
			})
		}
	}
}

func TestTLSHalfCloseSaysCloseNotify(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			l := startLoop(t, nil)
			answer := pattern(3<<20, 5)
			addr := server(t, func(c *net.TCPConn) {
				got, err := io.ReadAll(c)
				if string(got) != "request" || err != nil {
					t.Errorf("the backend got %q, %v", got, err)
				}
				_, _ = c.Write(answer)
			})
			p := tlsProxy(t, l, addr)
			c := secured(t, strict{p.dial()}, clientConfig(v.version))
			_, _ = c.Write([]byte("request"))
			if err := c.CloseWrite(); err != nil { // close_notify; the connection itself stays open both ways
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("the client's end: %v", err)
			}
			expectBytes(t, "answer", got, answer)
			if end := await(t, p.ends, "the end"); end.Err != nil || end.By != SideA {
				t.Errorf("ended with %+v", end)
			}
		})
	}
}

func TestTLSBackendEndsFirst(t *testing.T) {
	l := startLoop(t, nil)
	rest := make(chan []byte, 1)
	addr := server(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("bye"))
		_ = c.CloseWrite()
		got, _ := io.ReadAll(c)
		rest <- got
	})
	p := tlsProxy(t, l, addr)
	c := secured(t, strict{p.dial()}, clientConfig(tls.VersionTLS13))
	if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
		t.Errorf("the client got %q, %v", got, err)
	}
	if _, err := c.Write([]byte("still talking")); err != nil {
		t.Error(err)
	}
	_ = c.CloseWrite()
	if got := await(t, rest, "the client's last bytes"); string(got) != "still talking" {
		t.Errorf("the backend got %q", got)
	}
	if end := await(t, p.ends, "the end"); end.Err != nil || end.By != SideB {
		t.Errorf("ended with %+v", end)
	}
}

// A FIN without close_notify is an end too, even in the middle of a record; what came before is passed on.
func TestTLSEndWithoutCloseNotify(t *testing.T) {
	for _, tt := range []struct {
		name string
		tail []byte
	}{{"between records", nil}, {"inside a record", []byte{23, 3, 3, 1, 0, 'x'}}} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			got := make(chan []byte, 1)
			addr := server(t, func(c *net.TCPConn) {
				all, err := io.ReadAll(c)
				if err != nil {
					t.Errorf("the backend's end: %v", err)
				}
				got <- all
			})
			p := tlsProxy(t, l, addr)
			raw := p.dial()
			c := secured(t, raw, clientConfig(tls.VersionTLS13))
			_, _ = c.Write([]byte("said before"))
			_, _ = raw.Write(tt.tail)
			_ = raw.CloseWrite()
			if all := await(t, got, "the backend"); string(all) != "said before" {
				t.Errorf("the backend got %q", all)
			}
			if end := await(t, p.ends, "the end"); end.Err != nil {
				t.Errorf("ended with %+v", end)
			}
		})
	}
}

func TestTLSHandshakeThatFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c *net.TCPConn)
	}{
		{"garbage", func(c *net.TCPConn) { _, _ = c.Write(pattern(500, 1)) }},
		{"HTTP", func(c *net.TCPConn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n")) }},
		{"end at once", func(c *net.TCPConn) { _ = c.CloseWrite() }},
		{"end inside the hello", func(c *net.TCPConn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0}); _ = c.CloseWrite() }},
		{"reset inside the hello", func(c *net.TCPConn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0}); abort(c) }},
		{"no common version", func(c *net.TCPConn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			p := tlsProxy(t, l, anyPort)
			c := p.dial()
			tt.do(c)
			if end := await(t, p.ends, "the end"); end.Err == nil {
				t.Error("the handshake went well")
			}
			if n := l.gate.Pending(); n != 0 {
				t.Errorf("%d handshakes are under way", n)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c); isTimeout(err) {
				t.Error("the connection is open still")
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A handler that reads and writes while the handshake goes on must not make the loop wait for it.
func TestTLSStreamUsedDuringTheHandshake(t *testing.T) {
	l := startLoop(t, nil)
	s, c := accepted(t, l, nil)
	config := serverConfig(t)
	used := make(chan struct{}, 16)
	on(t, l, func() {
		if err := s.StartTLS(func(under net.Conn) *tls.Conn { return tls.Server(under, config) }, securedFunc(func(*Stream, error) {})); err != nil {
			t.Error(err)
		}
		s.SetHandler(readyFunc(func(s *Stream) {
			if _, err := s.Read(make([]byte, 10)); err != ErrAgain {
				t.Errorf("read: %v", err)
			}
			if err := s.Fill(10); err != ErrAgain {
				t.Errorf("fill: %v", err)
			}
			if err := s.Write([]byte("x")); !errors.Is(err, ErrHandshaking) {
				t.Errorf("write: %v", err)
			}
			used <- struct{}{}
		}))
	})
	_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0})
	await(t, used, "the handler")
	on(t, l, s.Close)
}

// A client that stops in the middle is closed by its owner's timer. The goroutine ends, and the object serves another
// connection at once, undisturbed by what its earlier life has left running.
func TestTLSClientThatVanishes(t *testing.T) {
	l := startLoop(t, nil)
	s, silent := accepted(t, l, nil)
	_, _ = silent.Write([]byte{22, 3, 1, 2, 0, 1, 0})
	config := serverConfig(t)
	var deadline Timer
	expired := make(chan struct{})
	shake := func(under net.Conn) *tls.Conn { return tls.Server(under, config) }
	on(t, l, func() {
		if err := s.StartTLS(shake, securedFunc(func(*Stream, error) { t.Error("the owner was told of a closed stream") })); err != nil {
			t.Error(err)
		}
		l.Arm(&deadline, time.Millisecond, expiredFunc(func(*Timer) {
			s.Close()
			close(expired)
		}))
	})
	await(t, expired, "the deadline")

	again := make(chan error, 1)
	r := newReader(2)
	ln := listen(t, l, anyPort, acceptFunc(func(_ *Listener, fd int, from netip.AddrPort) {
		_ = s.Open(l, fd, from, nil)
		_ = s.StartTLS(shake, securedFunc(func(s *Stream, err error) {
			again <- err
			s.SetHandler(r)
			r.Ready(s)
		}))
	}))
	c := secured(t, dialTCP(t, ln.Addr()), clientConfig(tls.VersionTLS12))
	if err := await(t, again, "the second handshake"); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("ok"))
	if err := await(t, r.done, "plaintext"); err != nil {
		t.Error(err)
	}
	for wait := time.Now().Add(patience); l.gate.Pending() != 0; on(t, l, func() {}) {
		if time.Now().After(wait) {
			t.Fatalf("%d handshakes are under way", l.gate.Pending())
		}
	}
}

func TestTLSManyHandshakesThroughANarrowGate(t *testing.T) {
	gate := NewGate(1)
	l := startLoop(t, gate)
	p := tlsProxy(t, l, server(t, echo))
	var running sync.WaitGroup
	for i := range 200 {
		running.Go(func() {
			under, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(p.ln.Addr()))
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			defer func() { _ = under.Close() }()
			_ = under.SetDeadline(time.Now().Add(patience))
			c := tls.Client(under, clientConfig(versions[i%2].version))
			msg := fmt.Appendf(nil, "message %d", i)
			if _, err := c.Write(msg); err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			got := make([]byte, len(msg))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("connection %d: %q, %v", i, got, err)
			}
		})
	}
	running.Wait()
	if n := gate.Pending(); n != 0 {
		t.Errorf("%d handshakes are under way", n)
	}
}

func TestTLSGateRefuses(t *testing.T) {
	gate := NewGate(0)
	gate.limit = 1
	l := startLoop(t, gate)
	first, _ := accepted(t, l, nil)
	second, c := accepted(t, l, nil)
	config := serverConfig(t)
	shake := func(under net.Conn) *tls.Conn { return tls.Server(under, config) }
	on(t, l, func() {
		if err := first.StartTLS(shake, securedFunc(func(*Stream, error) {})); err != nil {
			t.Errorf("first: %v", err)
		}
		if err := second.StartTLS(shake, nil); !errors.Is(err, ErrHandshakes) {
			t.Errorf("second: %v", err)
		}
		if n := gate.Pending(); n != 1 {
			t.Errorf("%d handshakes are under way", n)
		}
		_ = second.Write([]byte("plain")) // a refused stream is as it was
		second.Close()
	})
	if got, err := io.ReadAll(c); string(got) != "plain" || err != nil {
		t.Errorf("the refused client got %q, %v", got, err)
	}
}

func TestTLSPanicsCostOneConnection(t *testing.T) {
	l := startLoop(t, nil)
	t.Run("in a callback of the configuration", func(t *testing.T) {
		p := startProxy(t, l, anyPort, func(p *proxy) {
			p.server = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("callback") }}
		})
		if err := tls.Client(p.dial(), clientConfig(tls.VersionTLS13)).Handshake(); err == nil {
			t.Error("the handshake went well")
		}
		if end := await(t, p.ends, "the end"); !errors.Is(end.Err, ErrPanicked) {
			t.Errorf("ended with %+v", end)
		}
	})
	t.Run("while the connection is made", func(t *testing.T) {
		s, c := accepted(t, l, nil)
		on(t, l, func() {
			s.SetHandler(readyFunc(func(s *Stream) { _ = s.StartTLS(func(net.Conn) *tls.Conn { panic("conn") }, nil) }))
		})
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("the client got %v, want a reset", err)
		}
	})
	if n := l.gate.Pending(); n != 0 || l.Panics() != 2 {
		t.Errorf("%d handshakes are under way, %d panics counted", n, l.Panics())
	}
}

// A flight larger than what may be held ahead is still read to its end.
func TestTLSLargeFlights(t *testing.T) {
	large := certificate(t, 150_000)
	t.Run("of a client", func(t *testing.T) {
		for _, v := range versions {
			t.Run(v.name, func(t *testing.T) {
				l := startLoop(t, nil)
				p := startProxy(t, l, server(t, echo), func(p *proxy) {
					p.server = serverConfig(t)
					p.server.ClientAuth = tls.RequireAnyClientCert
				})
				config := clientConfig(v.version)
				config.Certificates = []tls.Certificate{large}
				c := secured(t, &gatherer{Conn: p.dial()}, config)
				_, _ = c.Write([]byte("hello"))
				got := make([]byte, 5)
				if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
					t.Errorf("echo: %q, %v", got, err)
				}
			})
		}
	})
	t.Run("of a server", func(t *testing.T) {
		l := startLoop(t, nil)
		addr := server(t, func(c *net.TCPConn) {
			secure := tls.Server(&gatherer{Conn: c}, &tls.Config{Certificates: []tls.Certificate{large}})
			buf := make([]byte, 100)
			n, _ := secure.Read(buf)
			_, _ = secure.Write(buf[:n])
			_, _ = secure.Read(buf)
		})
		p := startProxy(t, l, addr, func(p *proxy) { p.client = clientConfig(tls.VersionTLS13) })
		c := p.dial()
		transfer(t, "echo", c, c, []byte("hello"))
	})
}

func TestTLSStoppedReaderStopsTheSender(t *testing.T) {
	l := startLoop(t, nil)
	arrived := make(chan *net.TCPConn, 1)
	release := make(chan struct{})
	defer close(release)
	p := startProxy(t, l, server(t, func(c *net.TCPConn) { arrived <- c; <-release }), func(p *proxy) {
		p.server = serverConfig(t)
		p.started = make(chan *conn, 1)
	})
	client := secured(t, p.dial(), clientConfig(tls.VersionTLS13))
	backend := await(t, arrived, "the backend's connection")
	c := await(t, p.started, "the relay")
	sent := writeUntilBlocked(t, l, backend, c)
	on(t, l, func() {
		if user, pipes := c.held(); user > largeBuffer || user == 0 || pipes != 0 {
			t.Errorf("%d bytes are held in user space and %d in pipes", user, pipes)
		}
	})
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, "read after all", got, sent)
	on(t, l, func() {
		if user, _ := c.held(); user != 0 || c.a.out != nil {
			t.Errorf("%d bytes are held with nothing under way", user)
		}
	})
}

// A very large write does not leave its size behind as the loop's scratch.
func TestTLSScratchIsGivenBack(t *testing.T) {
	l := startLoop(t, nil)
	s, under := accepted(t, l, nil)
	config := serverConfig(t)
	shaken := make(chan error, 1)
	on(t, l, func() {
		_ = s.StartTLS(func(under net.Conn) *tls.Conn { return tls.Server(under, config) }, securedFunc(func(_ *Stream, err error) { shaken <- err }))
	})
	c := secured(t, under, clientConfig(tls.VersionTLS13))
	if err := await(t, shaken, "the handshake"); err != nil {
		t.Fatal(err)
	}
	want := pattern(5<<20, 1)
	on(t, l, func() {
		if err := s.Write(want); err != nil {
			t.Error(err)
		}
		if n := cap(l.seal); n > sealKept {
			t.Errorf("%d bytes are kept", n)
		}
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, "received", got, want)
}

// keyed writes TLS 1.3 records of a client by hand, because crypto/tls has no way to ask for a KeyUpdate (RFC 8446,
// sections 4.6.3, 5.2 and 7.2). It knows TLS_AES_128_GCM_SHA256.
type keyed struct {
	t      testing.TB
	to     io.Writer
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newKeyed(t testing.TB, to io.Writer, c *tls.Conn, keyLog string) *keyed {
	t.Helper()
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("the cipher suite is %s", tls.CipherSuiteName(suite))
	}
	k := &keyed{t: t, to: to}
	for line := range strings.Lines(keyLog) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			k.secret, _ = hex.DecodeString(fields[2])
		}
	}
	k.derive()
	return k
}

func (k *keyed) expand(label string, n int) []byte {
	k.t.Helper()
	info := string(binary.BigEndian.AppendUint16(nil, uint16(n))) + string(rune(6+len(label))) + "tls13 " + label + "\x00"
	out, err := hkdf.Expand(sha256.New, k.secret, info, n)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k *keyed) derive() {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		k.t.Fatal(err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		k.t.Fatal(err)
	}
	k.iv, k.seq = k.expand("iv", 12), 0
}

func (k *keyed) record(kind byte, content []byte) []byte {
	nonce := bytes.Clone(k.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^k.seq)
	k.seq++
	inner := append(bytes.Clone(content), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+k.aead.Overhead()))
	return k.aead.Seal(head, nonce, inner, head)
}

// update is a KeyUpdate that asks for one in return; what follows is under the next key.
func (k *keyed) update() []byte {
	r := k.record(22, []byte{24, 0, 0, 1, 1})
	k.secret = k.expand("traffic upd", 32)
	k.derive()
	return r
}

func keyedClient(t testing.TB, under net.Conn) (*tls.Conn, *keyed) {
	t.Helper()
	var log bytes.Buffer
	config := clientConfig(tls.VersionTLS13)
	config.KeyLogWriter = &log
	c := secured(t, under, config)
	return c, newKeyed(t, under, c, log.String())
}

func TestTLSKeyUpdate(t *testing.T) {
	l := startLoop(t, nil)
	p := tlsProxy(t, l, server(t, echo))
	under := p.dial()
	c, k := keyedClient(t, under)
	var stream, want []byte
	for i := range 10 {
		text := fmt.Appendf(nil, "under key %d;", i)
		want = append(want, text...)
		stream = append(stream, k.record(23, text)...)
		stream = append(stream, k.update()...)
	}
	if _, err := (dripper{under}).Write(stream); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil { // under ten new keys of the server's
		t.Fatal(err)
	}
	expectBytes(t, "echo", got, want)
}

// A peer that asks for ever new keys and does not read the answers must not make them pile up.
func TestTLSKeyUpdatesWithoutReading(t *testing.T) {
	l := startLoop(t, nil)
	p := startProxy(t, l, server(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), func(p *proxy) {
		p.server = serverConfig(t)
		p.started = make(chan *conn, 1)
	})
	under := p.dial()
	_, k := keyedClient(t, under)
	c := await(t, p.started, "the relay")
	on(t, l, func() { // little room, so that the answers do not fit into it for long
		_ = unix.SetsockoptInt(int(c.a.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	})
	most := 0
	for range 1000 {
		var flood []byte
		for range 100 {
			flood = append(flood, k.record(23, []byte("x"))...)
			flood = append(flood, k.update()...)
		}
		if _, err := under.Write(flood); err != nil {
			break
		}
		on(t, l, func() { most = max(most, c.a.Buffered()) })
	}
	if end := await(t, p.ends, "the end of the flood"); !errors.Is(end.Err, errUnasked) {
		t.Errorf("ended with %+v", end)
	}
	if most > 2*maxUnasked {
		t.Errorf("%d bytes were held", most)
	}
}

func BenchmarkTLSRoundTrip(b *testing.B) {
	l := startLoop(b, nil)
	p := tlsProxy(b, l, server(b, echo))
	under := p.dial()
	_ = under.SetDeadline(time.Time{})
	c := secured(b, under, clientConfig(tls.VersionTLS13))
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			b.Fatal(err)
		}
	}
}
