package sni

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// script is a connection whose peer has said all it will ever say.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func newScript(in []byte) *script                { return &script{in: bytes.NewReader(in)} }
func (s *script) Read(p []byte) (int, error)     { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)    { return s.out.Write(p) }
func (*script) Close() error                     { return nil }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// clientBytes returns what a crypto/tls client sends first.
func clientBytes(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	conn := newScript(nil)
	if err := tls.Client(conn, config).Handshake(); !errors.Is(err, io.EOF) {
		t.Fatalf("client ended with %v before it read anything", err)
	}
	return conn.out.Bytes()
}

// seen is what two readers of one hello must agree on.
type seen struct {
	ServerName string
	ALPN       []string
	Versions   []uint16
}

// serverSaw returns what a crypto/tls server reads out of a stream; ok is false
// if it refuses the hello.
func serverSaw(b []byte) (got seen, ok bool) {
	enough := errors.New("enough")
	config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		got, ok = seen{info.ServerName, info.SupportedProtos, info.SupportedVersions}, true
		return nil, enough
	}}
	_ = tls.Server(newScript(b), config).Handshake() // how it ends is in ok
	return got, ok
}

func parsed(h Hello) seen {
	s := seen{ServerName: string(h.ServerName), Versions: slices.Collect(h.Versions())}
	for p := range h.ALPN() {
		s.ALPN = append(s.ALPN, string(p))
	}
	return s
}

// helloMessage takes the handshake message out of a stream of one record.
func helloMessage(t testing.TB, stream []byte) []byte {
	t.Helper()
	if n := int(binary.BigEndian.Uint16(stream[3:])); len(stream) != recordHeader+n {
		t.Fatalf("stream of %d bytes has a record of %d", len(stream), n)
	}
	return stream[recordHeader:]
}

func record(fragment []byte) []byte {
	return append([]byte{recordHandshake, 3, 1, byte(len(fragment) >> 8), byte(len(fragment))}, fragment...)
}

// records cuts a message into records of the given sizes; the last takes the
// rest.
func records(message []byte, sizes ...int) (stream []byte) {
	for _, n := range sizes {
		if n >= len(message) {
			break
		}
		stream = append(stream, record(message[:n])...)
		message = message[n:]
	}
	return append(stream, record(message)...)
}

// extension, build and named make hellos that no honest client sends.
func extension(kind uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

func build(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...) // version, random
	body = append(body, 0, 0, 2, 0x13, 0x01, 1, 0)    // session id, one suite, no compression
	all := slices.Concat(extensions...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(all)))
	return message(append(body, all...))
}

func message(body []byte) []byte {
	return append([]byte{messageClientHello, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func named(name string) []byte {
	entry := append([]byte{0, byte(len(name) >> 8), byte(len(name))}, name...)
	return extension(extensionServerName, append(binary.BigEndian.AppendUint16(nil, uint16(len(entry))), entry...)...)
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// hugeTicket is a session cache that answers with one real session under a
// ticket of the given size.
func hugeTicket(t testing.TB, size int) tls.ClientSessionCache {
	t.Helper()
	// Not net.Pipe: both ends write before they read.
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	served := make(chan error, 1)
	go func() {
		server, err := listener.Accept()
		if err == nil {
			_, err = server.Write([]byte{0})
			t.Cleanup(func() { _ = server.Close() })
		}
		served <- err
	}()
	cache := tls.NewLRUClientSessionCache(1)
	client, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true, ClientSessionCache: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	session, ok := cache.Get("a.example.com")
	if !ok {
		t.Fatal("server gave no ticket")
	}
	_, state, err := session.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	session, err = tls.NewResumptionState(make([]byte, size), state)
	if err != nil {
		t.Fatal(err)
	}
	cache.Put("a.example.com", session)
	return cache
}

// echConfigs is a list of one ECHConfig for X25519, SHA-256 and AES-128-GCM
// (RFC 9849 section 4).
func echConfigs(t testing.TB, publicName string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	contents := append([]byte{7, 0, 0x20, 0, 32}, key.PublicKey().Bytes()...)
	contents = append(contents, 0, 4, 0, 1, 0, 1, 64, byte(len(publicName)))
	contents = append(append(contents, publicName...), 0, 0)
	config := extension(extensionECH, contents...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

// configs are the clients all tests go through.
func configs(t testing.TB) []struct {
	name   string
	config *tls.Config
} {
	t.Helper()
	var many []string
	for i := range 400 {
		many = append(many, fmt.Sprintf("protocol-%d", i))
	}
	return []struct {
		name   string
		config *tls.Config
	}{
		{"name", &tls.Config{ServerName: "a.example.com"}},
		{"no name", &tls.Config{InsecureSkipVerify: true}},
		{"capitals", &tls.Config{ServerName: "A.Example.COM"}},
		{"trailing dot", &tls.Config{ServerName: "a.example.com."}},
		{"address", &tls.Config{ServerName: "10.0.0.1"}},
		{"long name", &tls.Config{ServerName: strings.Repeat("a23456789.", 25) + "abc"}},
		{"protocols", &tls.Config{ServerName: "a.example.com", NextProtos: []string{"h2", "http/1.1"}}},
		{"many protocols", &tls.Config{ServerName: "a.example.com", NextProtos: many}},
		{"TLS 1.0 to 1.2", &tls.Config{ServerName: "a.example.com", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12}},
		{"TLS 1.0 only", &tls.Config{ServerName: "a.example.com", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}},
		{"TLS 1.3 only", &tls.Config{ServerName: "a.example.com", MinVersion: tls.VersionTLS13}},
		{"P-256 only", &tls.Config{ServerName: "a.example.com", CurvePreferences: []tls.CurveID{tls.CurveP256}}},
		{"ML-KEM", &tls.Config{ServerName: "a.example.com", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519}}},
		{"huge ticket", &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true, ClientSessionCache: hugeTicket(t, 12000)}},
		{"ECH", &tls.Config{ServerName: "secret.example.com", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigs(t, "public.example.com")}},
	}
}

func TestParseSeesWhatCryptoTLSSees(t *testing.T) {
	for _, tt := range configs(t) {
		t.Run(tt.name, func(t *testing.T) {
			stream := clientBytes(t, tt.config)
			want, ok := serverSaw(stream)
			if !ok {
				t.Fatal("crypto/tls refuses its own hello")
			}
			want.ServerName = strings.ToLower(want.ServerName)
			h, err := Parse(stream)
			if err != nil {
				t.Fatal(err)
			}
			got := parsed(h)
			if h.versions == nil { // crypto/tls spells out what the old field implies
				want.Versions = want.Versions[:1]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("crypto/tls (-) and Parse (+) differ:\n%s", diff)
			}
			if h.ECH != (tt.config.EncryptedClientHelloConfigList != nil) {
				t.Errorf("ECH = %v", h.ECH)
			}
			for _, p := range want.ALPN {
				if !h.HasALPN(p) {
					t.Errorf("HasALPN(%q) = false", p)
				}
			}
			if h.HasALPN("h") || h.HasALPN("") {
				t.Error("HasALPN finds what is not there")
			}
			if want := slices.Max(want.Versions); h.MaxVersion() != want {
				t.Errorf("MaxVersion = %#x, want %#x", h.MaxVersion(), want)
			}
		})
	}
}

func TestParseAsksUntilTheLastByte(t *testing.T) {
	for _, tt := range configs(t) {
		t.Run(tt.name, func(t *testing.T) {
			stream := clientBytes(t, tt.config)
			whole, err := Parse(stream)
			if err != nil {
				t.Fatal(err)
			}
			for _, variant := range [][]byte{stream, records(helloMessage(t, stream), 1, 2, 3, 50)} {
				for n := range variant {
					if _, err := Parse(variant[:n]); err != ErrShort {
						t.Fatalf("after %d of %d bytes: %v", n, len(variant), err)
					}
				}
			}
			for _, more := range []string{"\x14\x03\x03\x00\x01\x01", "\x17\x03\x03", "anything"} {
				h, err := Parse(slices.Concat(stream, []byte(more)))
				if diff := cmp.Diff(parsed(whole), parsed(h)); err != nil || diff != "" {
					t.Errorf("with %q behind it: %v\n%s", more, err, diff)
				}
			}
		})
	}
}

func TestParseReassemblesEveryCut(t *testing.T) {
	for _, tt := range configs(t) {
		t.Run(tt.name, func(t *testing.T) {
			stream := clientBytes(t, tt.config)
			whole, err := Parse(stream)
			if err != nil {
				t.Fatal(err)
			}
			message := helloMessage(t, stream)
			for cut := 1; cut < len(message); cut++ {
				h, err := Parse(records(message, cut))
				if diff := cmp.Diff(parsed(whole), parsed(h)); err != nil || diff != "" {
					t.Fatalf("cut at %d: %v\n%s", cut, err, diff)
				}
			}
		})
	}
}

func TestParseReassemblesManyRecords(t *testing.T) {
	stream := clientBytes(t, &tls.Config{ServerName: "a.example.com", NextProtos: []string{"h2"}})
	message := helloMessage(t, stream)
	whole, err := Parse(stream)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 300), 0, MaxRecords-1).Draw(t, "sizes")
		cut := records(message, sizes...)
		h, err := Parse(cut)
		if diff := cmp.Diff(parsed(whole), parsed(h)); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		n := rapid.IntRange(0, len(cut)-1).Draw(t, "bytes")
		if _, err := Parse(cut[:n]); err != ErrShort {
			t.Fatalf("after %d of %d bytes: %v", n, len(cut), err)
		}
	})
}

func TestParseError(t *testing.T) {
	ones := func(n int) (sizes []int) {
		for range n {
			sizes = append(sizes, 1)
		}
		return sizes
	}
	good := build(named("a.x"))
	body := good[messageHeader:]
	long := strings.Repeat("a23456789.", 26)
	for _, tt := range []struct {
		name  string
		in    []byte
		want  error
		alert Alert
	}{
		{"nothing", nil, ErrShort, 0},
		{"first byte", []byte{22}, ErrShort, 0},
		{"HTTP", []byte("G"), ErrNotTLS, 0},
		{"PostgreSQL", []byte{0}, ErrNotTLS, 0},
		{"PROXY v2", []byte{13}, ErrNotTLS, 0},
		{"alert record first", []byte{21, 3, 3}, ErrNotTLS, 0},
		{"second byte", []byte{22, 2}, ErrNotTLS, 0},
		{"SSL 2.0", []byte{0x80, 0x2e, 1, 0, 2}, ErrSSLv2, AlertProtocolVersion},
		{"SSL 2.0 offering 3.1", []byte{0x80, 0x2e, 1, 3, 1, 0}, ErrSSLv2, AlertProtocolVersion},
		{"SSL 2.0 still open", []byte{0x80, 0x2e, 1, 3}, ErrShort, 0},
		{"Thrift", []byte{0x80, 1, 0}, ErrNotTLS, 0},
		{"version 1.x in the manner of 2.0", []byte{0x80, 1, 1, 1}, ErrNotTLS, 0},
		{"version 0.3 in the manner of 2.0", []byte{0x80, 1, 1, 0, 3}, ErrNotTLS, 0},

		{"empty record", []byte{22, 3, 1, 0, 0}, errRecordEmpty, AlertUnexpectedMessage},
		{"empty record in between", append(record(good[:9]), 22, 3, 1, 0, 0), errRecordEmpty, AlertUnexpectedMessage},
		{"record too long", []byte{22, 3, 1, 0x40, 1}, errRecordLength, AlertRecordOverflow},
		{"alert in between", append(record(good[:9]), 21), errRecordType, AlertUnexpectedMessage},
		{"other version in between", append(record(good[:9]), 22, 4), errRecordVersion, AlertProtocolVersion},
		{"ServerHello", []byte{22, 3, 1, 0, 9, 2}, errMessageType, AlertUnexpectedMessage},
		{"message of 16 MiB", []byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, ErrTooLarge, AlertHandshakeFailure},
		{"one byte too large", []byte{22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0xfd}, ErrTooLarge, AlertHandshakeFailure},
		{"exactly as large as allowed", []byte{22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0xfc}, ErrShort, 0},
		{"too many records", records(build(extension(21, make([]byte, 300)...)), ones(MaxRecords)...), ErrTooLarge, AlertHandshakeFailure},
		{"record goes on", record(append(slices.Clone(good), 0)), errMessageEnd, AlertUnexpectedMessage},
		{"record goes on, not here yet", record(append(slices.Clone(good), 0))[:20], errMessageEnd, AlertUnexpectedMessage},

		{"empty hello", record(message(nil)), errLength, AlertDecodeError},
		{"random cut off", record(message(body[:33])), errLength, AlertDecodeError},
		{"no session id", record(message(body[:34])), errLength, AlertDecodeError},
		{"session id of 33", record(message(slices.Concat(body[:34], []byte{33}, make([]byte, 33), body[35:]))), errLength, AlertDecodeError},
		{"session id overruns", record(message(slices.Concat(body[:34], []byte{32}, body[35:50]))), errLength, AlertDecodeError},
		{"no suites", record(message(slices.Concat(body[:35], []byte{0, 0, 1, 0}))), errLength, AlertDecodeError},
		{"odd suites", record(message(slices.Concat(body[:35], []byte{0, 1, 0, 1, 0}))), errLength, AlertDecodeError},
		{"suites overrun", record(message(slices.Concat(body[:35], []byte{0, 2, 0}))), errLength, AlertDecodeError},
		{"no compression", record(message(slices.Concat(body[:39], []byte{0}))), errLength, AlertDecodeError},
		{"compression cut off", record(message(body[:39])), errLength, AlertDecodeError},
		{"half an extension length", record(message(append(slices.Clone(body[:41]), 0))), errLength, AlertDecodeError},
		{"extensions overrun", record(message(append(slices.Clone(body[:41]), 0, 1))), errLength, AlertDecodeError},
		{"bytes behind the extensions", record(message(append(slices.Clone(body), 0))), errLength, AlertDecodeError},
		{"extension header cut off", record(build([]byte{0, 0, 0})), errLength, AlertDecodeError},
		{"extension overruns", record(build([]byte{0, 0, 0, 1})), errLength, AlertDecodeError},

		{"two server names", record(build(named("a.x"), named("a.x"))), errDuplicate, AlertIllegalParameter},
		{"server name after an address", record(build(named("10.0.0.1"), named("a.x"))), errDuplicate, AlertIllegalParameter},
		{"two protocol lists", record(build(extension(16, 0, 2, 1, 'a'), extension(16, 0, 2, 1, 'b'))), errDuplicate, AlertIllegalParameter},
		{"two version lists", record(build(extension(43, 2, 3, 4), extension(43, 2, 3, 3))), errDuplicate, AlertIllegalParameter},
		{"two ECH", record(build(extension(0xfe0d), extension(0xfe0d))), errDuplicate, AlertIllegalParameter},
		{"empty server name extension", record(build(extension(0))), errNameList, AlertDecodeError},
		{"empty name list", record(build(extension(0, 0, 0))), errNameList, AlertDecodeError},
		{"name list overruns", record(build(extension(0, 0, 9, 0, 0, 1, 'a'))), errNameList, AlertDecodeError},
		{"bytes behind the name list", record(build(extension(0, 0, 4, 0, 0, 1, 'a', 0))), errNameList, AlertDecodeError},
		{"empty name", record(build(extension(0, 0, 3, 0, 0, 0))), errNameList, AlertDecodeError},
		{"name overruns", record(build(extension(0, 0, 4, 0, 0, 2, 'a'))), errNameList, AlertDecodeError},
		{"two host names in the list", record(build(extension(0, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'))), errNameList, AlertDecodeError},
		{"NUL", record(build(named("a\x00.x"))), errName, AlertIllegalParameter},
		{"control byte", record(build(named("a\n.x"))), errName, AlertIllegalParameter},
		{"space", record(build(named("a .x"))), errName, AlertIllegalParameter},
		{"UTF-8", record(build(named("ü.x"))), errName, AlertIllegalParameter},
		{"wildcard", record(build(named("*.x"))), errName, AlertIllegalParameter},
		{"port", record(build(named("a.x:443"))), errName, AlertIllegalParameter},
		{"dot alone", record(build(named("."))), errName, AlertIllegalParameter},
		{"empty label", record(build(named("a..x"))), errName, AlertIllegalParameter},
		{"leading dot", record(build(named(".x"))), errName, AlertIllegalParameter},
		{"label of 64", record(build(named(strings.Repeat("a", 64)))), errName, AlertIllegalParameter},
		{"name of 259", record(build(named(long[:259]))), errName, AlertIllegalParameter},
		{"name of 254", record(build(named(long[:254]))), errName, AlertIllegalParameter},
		{"name of 16000", record(build(named(strings.Repeat("a23456789.", 1600)))), errName, AlertIllegalParameter},
		{"empty protocol list", record(build(extension(16, 0, 0))), errProtocolList, AlertDecodeError},
		{"protocol without name", record(build(extension(16, 0, 1, 0))), errProtocolList, AlertDecodeError},
		{"protocol overruns", record(build(extension(16, 0, 2, 2, 'a'))), errProtocolList, AlertDecodeError},
		{"bytes behind the protocols", record(build(extension(16, 0, 2, 1, 'a', 0))), errProtocolList, AlertDecodeError},
		{"empty version list", record(build(extension(43, 0))), errVersionList, AlertDecodeError},
		{"odd version list", record(build(extension(43, 1, 3))), errVersionList, AlertDecodeError},
		{"version list overruns", record(build(extension(43, 4, 3, 4))), errVersionList, AlertDecodeError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.in)
			if err != tt.want {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if malformed := tt.alert != 0; errors.Is(err, ErrMalformed) != malformed {
				t.Errorf("%v: ErrMalformed = %v", err, !malformed)
			}
			if tt.alert != 0 && (AlertFor(err) != tt.alert || !strings.HasPrefix(err.Error(), ErrMalformed.Error()+": ")) {
				t.Errorf("alert %v, want %v; text %q", AlertFor(err), tt.alert, err)
			}
			if err != ErrShort {
				if _, again := Parse(slices.Concat(tt.in, make([]byte, 20))); again != err {
					t.Errorf("with more bytes: %v, before %v", again, err)
				}
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	long := (strings.Repeat("a23456789.", 26))[:253]
	for _, tt := range []struct {
		name    string
		message []byte
		want    seen
		ech     bool
	}{
		{"no extensions at all", message(build()[messageHeader : len(build())-2]), seen{Versions: []uint16{0x303}}, false},
		{"empty extensions", build(), seen{Versions: []uint16{0x303}}, false},
		{"name", build(named("a.x")), seen{ServerName: "a.x", Versions: []uint16{0x303}}, false},
		{"underscore", build(named("_a-b.x")), seen{ServerName: "_a-b.x", Versions: []uint16{0x303}}, false},
		{"capitals", build(named("A.X")), seen{ServerName: "a.x", Versions: []uint16{0x303}}, false},
		{"trailing dot", build(named("a.x.")), seen{ServerName: "a.x", Versions: []uint16{0x303}}, false},
		{"longest", build(named(long)), seen{ServerName: long, Versions: []uint16{0x303}}, false},
		{"digits that are no address", build(named("1.2.3")), seen{ServerName: "1.2.3", Versions: []uint16{0x303}}, false},
		{"IPv4 address", build(named("10.0.0.1")), seen{Versions: []uint16{0x303}}, false},
		{"IPv4 address with dot", build(named("10.0.0.1.")), seen{Versions: []uint16{0x303}}, false},
		{"IPv6 address", build(named("2001:db8::a")), seen{Versions: []uint16{0x303}}, false},
		{"unknown type of name", build(extension(0, 0, 4, 9, 0, 1, 0xff)), seen{Versions: []uint16{0x303}}, false},
		{
			"GREASE everywhere",
			build(extension(0x0a0a), extension(16, 0, 6, 2, 0x1a, 0x1a, 2, 'h', '2'), extension(43, 6, 0x2a, 0x2a, 3, 4, 3, 3), extension(0xfafa, 0)),
			seen{ALPN: []string{"\x1a\x1a", "h2"}, Versions: []uint16{0x304, 0x303}},
			false,
		},
		{"ECH", build(extension(0xfe0d, 0, 1, 2)), seen{Versions: []uint16{0x303}}, true},
		{"padding up to the limit", build(extension(21, make([]byte, MaxHello-4-34-7-2-4)...)), seen{Versions: []uint16{0x303}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream := records(tt.message, maxRecord, maxRecord)
			h, err := Parse(stream)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, parsed(h)); diff != "" || h.ECH != tt.ech {
				t.Errorf("ECH = %v, want %v; (-want +got):\n%s", h.ECH, tt.ech, diff)
			}
		})
	}
}

func TestIteratorsStop(t *testing.T) {
	h, err := Parse(record(build(extension(16, 0, 4, 1, 'a', 1, 'b'), extension(43, 4, 3, 4, 3, 3))))
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for p := range h.ALPN() {
		got = append(got, string(p))
		break
	}
	for v := range h.Versions() {
		got = append(got, v)
		break
	}
	if diff := cmp.Diff([]any{"a", uint16(0x304)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAlertIsUnderstood(t *testing.T) {
	for _, alert := range []Alert{
		AlertUnexpectedMessage, AlertRecordOverflow, AlertHandshakeFailure, AlertIllegalParameter, AlertAccessDenied,
		AlertDecodeError, AlertProtocolVersion, AlertInternalError, AlertUnrecognizedName, AlertNoApplicationProtocol,
	} {
		t.Run(alert.String(), func(t *testing.T) {
			client := tls.Client(newScript(alert.Append(nil)), &tls.Config{ServerName: "a.x"})
			want := "remote error: " + tls.AlertError(alert).Error()
			if err := client.Handshake(); err == nil || err.Error() != want {
				t.Errorf("client ends with %v, want %s", err, want)
			}
		})
	}
	if got := Alert(99).String(); got != "alert 99" {
		t.Errorf("got %q", got)
	}
	if got := AlertFor(io.EOF); got != AlertInternalError {
		t.Errorf("AlertFor(EOF) = %v", got)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	stream := clientBytes(t, &tls.Config{ServerName: "a.example.com", NextProtos: []string{"h2", "http/1.1"}})
	for _, tt := range []struct {
		name string
		in   []byte
		want float64
	}{
		{"one record", stream, 0},
		{"still short", stream[:len(stream)-1], 0},
		{"three records", records(helloMessage(t, stream), 100, 100), 1},
		{"not TLS", []byte("GET / HTTP/1.1\r\n"), 0},
		{"malformed", record(build(named("a b"))), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h2 bool
			got := testing.AllocsPerRun(100, func() {
				h, err := Parse(tt.in)
				h2 = err == nil && h.HasALPN("h2") && h.MaxVersion() > 0
			})
			if got != tt.want {
				t.Errorf("%v allocations, want %v (h2 = %v)", got, tt.want, h2)
			}
		})
	}
}

func addSeeds(f *testing.F) {
	f.Helper()
	for _, tt := range configs(f) {
		stream := clientBytes(f, tt.config)
		f.Add(stream)
		f.Add(records(helloMessage(f, stream), 1, 3, 5, 7))
	}
	f.Add(record(build(named("a.x"), extension(16, 0, 3, 2, 'h', '2'), extension(43, 2, 3, 4), extension(0x1a1a))))
	old := record(build(named("a.x"), extension(43, 2, 3, 4)))
	old[1] = 0
	f.Add(old)
	f.Add([]byte{0x80, 0x2e, 1, 3, 1})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
}

func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		for n := range min(len(b), 64) {
			if _, early := Parse(b[:n]); early != ErrShort && early != err {
				t.Fatalf("%v after %d bytes, %v after all", early, n, err)
			}
		}
		switch {
		case err == ErrShort && len(b) >= MaxStream:
			t.Fatalf("undecided after %d bytes", len(b))
		case err == nil && len(h.ServerName) > 0 && (!isHostName(h.ServerName) || hasCapital(h.ServerName)):
			t.Fatalf("%q is not a canonical host name", h.ServerName)
		}
		for p := range h.ALPN() {
			if len(p) == 0 || !h.HasALPN(string(p)) {
				t.Fatalf("protocol %q", p)
			}
		}
		h.MaxVersion()
	})
}

// FuzzParseAgainstCryptoTLS holds that nothing crypto/tls takes is misread:
// the answer is the same hello or a refusal. Its coverage varies from run to
// run, so fuzz it with -fuzzminimizetime=1x.
func FuzzParseAgainstCryptoTLS(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs, accepted := serverSaw(b)
		if !accepted {
			return
		}
		h, err := Parse(b)
		if err != nil {
			// crypto/tls takes every record version up to 15.255. Nobody sends
			// others than 3.x; for telling protocols apart they are not TLS.
			if other := err == ErrNotTLS && b[1] != 3; !other && !errors.Is(err, ErrMalformed) {
				t.Fatalf("crypto/tls takes the hello, Parse says %v", err)
			}
			return
		}
		ours := parsed(h)
		if isAddress([]byte(theirs.ServerName)) {
			theirs.ServerName = ""
		}
		if strings.ToLower(theirs.ServerName) != ours.ServerName || !slices.Equal(theirs.ALPN, ours.ALPN) {
			t.Fatalf("crypto/tls saw %q %q, Parse %q %q", theirs.ServerName, theirs.ALPN, ours.ServerName, ours.ALPN)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	stream := clientBytes(b, &tls.Config{ServerName: "a.example.com", NextProtos: []string{"h2", "http/1.1"}})
	message := helloMessage(b, stream)
	for _, bb := range []struct {
		name string
		in   []byte
	}{
		{"one record", stream},
		{"two records", records(message, 100)},
		{"short", stream[:500]},
		{"not TLS", []byte("GET / HTTP/1.1\r\n")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(bb.in); err != nil && err != ErrShort && err != ErrNotTLS {
					b.Fatal(err)
				}
			}
		})
	}
}
