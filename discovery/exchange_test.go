package discovery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const good = testName + " 60 IN SRV 1 2 5432 a.example.test."

// exchangeWith asks one server once.
func exchangeWith(t *testing.T, x *exchanger, s *nameserver) (answer, error) {
	t.Helper()
	return x.exchange(t.Context(), s, question{testName, dns.TypeSRV}, false)
}

func udpExchanger(timeout time.Duration) *exchanger {
	return &exchanger{transport: UDP, timeout: timeout}
}

func serverAt(s *scriptedServer) *nameserver { return newNameserver(netip.MustParseAddrPort(s.Addr)) }

// TestLies has a server send what it likes over UDP, and the truth over TCP. wins says what is believed.
func TestLies(t *testing.T) {
	evil := func(m *dns.Msg) *dns.Msg {
		return respond(m, dns.RcodeSuccess, rr(testName+" 60 IN SRV 6 6 666 evil.test."))
	}
	truth := func(m *dns.Msg) *dns.Msg { return respond(m, dns.RcodeSuccess, rr(good)) }
	lie := func(change func(*dns.Msg)) func(w dns.ResponseWriter, m *dns.Msg) {
		return func(w dns.ResponseWriter, m *dns.Msg) {
			r := evil(m)
			change(r)
			send(w, r)
		}
	}
	raw := func(change func(*dns.Msg) []byte) func(w dns.ResponseWriter, m *dns.Msg) {
		return func(w dns.ResponseWriter, m *dns.Msg) { _, _ = w.Write(change(m)) }
	}
	packed := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		return b
	}
	tests := []struct {
		name   string
		lie    func(w dns.ResponseWriter, m *dns.Msg)
		follow bool // the truth follows over UDP; else it is there over TCP only
	}{
		{"another id", lie(func(r *dns.Msg) { r.Id++ }), true},
		{"another name", lie(func(r *dns.Msg) { r.Question[0].Name = "_x." + testName }), true},
		{"another type", lie(func(r *dns.Msg) { r.Question[0].Qtype = dns.TypeA }), true},
		{"no response", lie(func(r *dns.Msg) { r.Response = false }), true},
		{"a header alone", raw(func(m *dns.Msg) []byte {
			b := packed(respond(m, dns.RcodeSuccess))[:headerSize]
			clear(b[4:])
			return b
		}), true},
		{"garbage", raw(func(*dns.Msg) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }), true},
		{"garbage behind the question", raw(func(m *dns.Msg) []byte {
			b := packed(respond(m, dns.RcodeSuccess))[:headerSize+len(testName)+5]
			binary.BigEndian.PutUint16(b[6:], 5000)
			return append(b, 0xc0, 0xff, 0x00)
		}), true},
		{"5000 records that are not there", raw(func(m *dns.Msg) []byte {
			b := packed(evil(m))
			binary.BigEndian.PutUint16(b[6:], 5000)
			return b
		}), true},
		{"another spelling", lie(func(r *dns.Msg) { r.Question[0].Name = strings.ToUpper(r.Question[0].Name) }), true},
		{"nothing", func(dns.ResponseWriter, *dns.Msg) {}, true},
		{"a flood", func(w dns.ResponseWriter, m *dns.Msg) {
			r := evil(m)
			for range 2 * maxStrays {
				r.Id++
				send(w, r)
			}
		}, false},
		{"truncated, with records", lie(func(r *dns.Msg) { r.Truncated = true }), false},
		{"truncated within a record", raw(func(m *dns.Msg) []byte {
			r := evil(m)
			r.Truncated = true
			b := packed(r)
			return b[:len(b)-20]
		}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
				if overStream(w) {
					send(w, truth(m))
					return
				}
				tt.lie(w, m)
				if tt.follow {
					send(w, truth(m))
					send(w, truth(m)) // twice, as networks may
				}
			})
			a, err := exchangeWith(t, udpExchanger(patient), serverAt(s))
			if err != nil {
				t.Fatal(err)
			}
			if got := shownAnswer(a); got != "1 2 5432 a.example.test." {
				t.Errorf("believed %q", got)
			}
			if stream := s.count(dns.TypeSRV, true) > 0; stream == tt.follow {
				t.Errorf("asked over TCP: %v", stream)
			}
		})
	}
}

// TestSuspectReplies lets nothing but what is not to be trusted come over UDP until time is up: the connection tells.
func TestSuspectReplies(t *testing.T) {
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		r := respond(m, dns.RcodeSuccess, rr(good))
		r.Question[0].Name = strings.ToLower(r.Question[0].Name)
		send(w, r)
	})
	server := serverAt(s)
	for range 2 {
		if _, err := exchangeWith(t, udpExchanger(time.Second), server); err != nil {
			t.Fatal(err)
		}
	}
	// The second time the server is known to lower names, so that it is asked in lower case and believed.
	if got := s.count(dns.TypeSRV, true); got != 1 {
		t.Errorf("%d queries over TCP, want 1", got)
	}
	if got := s.queries(); got[len(got)-1].name != testName {
		t.Errorf("asked for %q of a server that lowers names", got[len(got)-1].name)
	}
}

func TestStreamLies(t *testing.T) {
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	reply := func(m *dns.Msg, change func(*dns.Msg)) []byte {
		r := respond(m, dns.RcodeSuccess, rr(good))
		if change != nil {
			change(r)
		}
		b, err := r.Pack()
		if err != nil {
			panic(err)
		}
		return b
	}
	tests := []struct {
		name string
		say  func(m *dns.Msg) []byte
		want string
	}{
		{"nothing", func(*dns.Msg) []byte { return nil }, "read the length"},
		{"half a length", func(*dns.Msg) []byte { return []byte{0} }, "read the length"},
		{"cut off", func(m *dns.Msg) []byte { b := frame(reply(m, nil)); return b[:len(b)-7] }, "read the reply"},
		{"a length that is too great", func(m *dns.Msg) []byte { return append([]byte{0xff, 0xff}, reply(m, nil)...) }, "of 65535 bytes"},
		{"a length that is too small", func(m *dns.Msg) []byte { b := frame(reply(m, nil)); b[1] -= 7; return b }, "not to be trusted"},
		{"of no length", func(*dns.Msg) []byte { return []byte{0, 0} }, "not a reply"},
		{"another id", func(m *dns.Msg) []byte { return frame(reply(m, func(r *dns.Msg) { r.Id++ })) }, "not a reply"},
		{"another name", func(m *dns.Msg) []byte { return frame(reply(m, func(r *dns.Msg) { r.Question[0].Name = "x." })) }, "not a reply"},
		{"truncated", func(m *dns.Msg) []byte { return frame(reply(m, func(r *dns.Msg) { r.Truncated = true })) }, "even over TCP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serveRaw(t, tt.say)
			x := &exchanger{transport: TCP, timeout: patient}
			a, err := exchangeWith(t, x, newNameserver(addr))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v; want an error with %q", a, err, tt.want)
			}
		})
	}
}

// serveRaw answers one query on each TCP connection with bytes, and closes it.
func serveRaw(t *testing.T, say func(*dns.Msg) []byte) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b, err := readFramed(conn)
			m := new(dns.Msg)
			if err == nil && m.Unpack(b) == nil {
				_, _ = conn.Write(say(m))
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestOldServers(t *testing.T) {
	for _, code := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers} {
		t.Run(dns.RcodeToString[code], func(t *testing.T) {
			s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
				if m.IsEdns0() == nil {
					send(w, respond(m, dns.RcodeSuccess, rr(good)))
					return
				}
				r := respond(m, code)
				if code != dns.RcodeBadVers {
					r.Extra = nil
				}
				send(w, r)
			})
			if _, err := exchangeWith(t, udpExchanger(patient), serverAt(s)); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("refuses always", func(t *testing.T) {
		s := serve(t, refuse(dns.RcodeNotImplemented))
		if _, err := exchangeWith(t, udpExchanger(patient), serverAt(s)); err == nil || !strings.Contains(err.Error(), "NOTIMP") {
			t.Errorf("got %v", err)
		}
	})
}

func TestQueriesAreHardToForge(t *testing.T) {
	s := serve(t, zone(good))
	server := serverAt(s)
	for range 30 {
		if _, err := exchangeWith(t, udpExchanger(patient), server); err != nil {
			t.Fatal(err)
		}
	}
	spellings, ports := map[string]bool{}, map[string]bool{}
	for _, q := range s.queries() {
		spellings[q.name], ports[q.from] = true, true
		if !q.edns {
			t.Error("a query without EDNS")
		}
	}
	if len(spellings) < 28 || len(ports) < 20 {
		t.Errorf("30 queries have %d spellings and %d ports", len(spellings), len(ports))
	}
}

func TestCookies(t *testing.T) {
	const cookie = "00112233445566778899aabbccddeeff"
	seen := make(chan string, 16)
	withCookie := func(m *dns.Msg, server string) *dns.Msg {
		r := respond(m, dns.RcodeSuccess, rr(good))
		for _, o := range m.IsEdns0().Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				seen <- c.Cookie
				r.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c.Cookie[:clientCookieSize] + server}}
			}
		}
		return r
	}
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) { send(w, withCookie(m, cookie)) })
	server := serverAt(s)
	for range 2 {
		if _, err := exchangeWith(t, udpExchanger(patient), server); err != nil {
			t.Fatal(err)
		}
	}
	if got := []string{<-seen, <-seen}; got[0] != server.cookie || got[1] != server.cookie+cookie {
		t.Errorf("the server saw the cookies %q; ours is %q", got, server.cookie)
	}

	// Now that it is known to return them, a reply without one over UDP is not the server's.
	s.handle(func(w dns.ResponseWriter, m *dns.Msg) {
		if !overStream(w) {
			send(w, respond(m, dns.RcodeSuccess, rr(testName+" 60 IN SRV 6 6 666 evil.test.")))
		}
		send(w, withCookie(m, cookie))
	})
	a, err := exchangeWith(t, udpExchanger(patient), server)
	if err != nil || shownAnswer(a) != "1 2 5432 a.example.test." {
		t.Errorf("got %q, %v", shownAnswer(a), err)
	}
}

func TestTLS(t *testing.T) {
	cert, roots := certificate(t, "dns.example.test")
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, zone(good, "a.example.test. 60 IN A 10.0.0.1"))
	tests := []struct {
		name       string
		serverName string
		roots      *x509.CertPool
		want       string
	}{
		{"by name", "dns.example.test", roots, ""},
		{"by address", "", roots, ""},
		{"another name", "other.example.test", roots, "certificate"},
		{"an unknown authority", "dns.example.test", x509.NewCertPool(), "unknown authority"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := resolver(t, func(o *ResolverOptions) {
				o.Transport, o.ServerName, o.TLS = TLS, tt.serverName, &tls.Config{RootCAs: tt.roots}
			}, s.Addr)
			got, err := r.LookupSRV(t.Context(), testName)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want an error with %q", err, tt.want)
				}
				return
			}
			if err != nil || len(got) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// certificate makes a certificate of itself for a name and 127.0.0.1.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// TestGrowsBeyondADatagram asks for sets of many sizes: whatever fits is answered over UDP, the rest over TCP, and nothing is lost.
func TestGrowsBeyondADatagram(t *testing.T) {
	for _, n := range []int{1, 10, 30, 300, 900} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := serve(t, zone(manyRecords(n)...))
			a, err := exchangeWith(t, udpExchanger(patient), serverAt(s))
			if err != nil {
				t.Fatal(err)
			}
			if len(a.services) != n || len(a.glue) != n {
				t.Errorf("%d services with %d addresses", len(a.services), len(a.glue))
			}
			if n >= 300 && s.count(dns.TypeSRV, true) != 1 {
				t.Error("not asked over TCP")
			}
		})
	}
}

// manyRecords returns n targets with an address each.
func manyRecords(n int) []string {
	var records []string
	for i := range n {
		records = append(records,
			fmt.Sprintf("%s 60 IN SRV 0 1 5432 h%04d.example.test.", testName, i),
			fmt.Sprintf("h%04d.example.test. 60 IN A 10.0.%d.%d", i, i/250, i%250+1))
	}
	return records
}

func TestExchangeEndsWithItsContext(t *testing.T) {
	s := serve(t, mute)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := udpExchanger(time.Hour).exchange(ctx, serverAt(s), question{testName, dns.TypeSRV}, false)
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an answer from a mute server")
		}
	case <-time.After(patient):
		t.Error("the exchange outlives its context")
	}
}
