package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestCertificatesFind(t *testing.T) {
	first := selfSignedFor(t, false, "first.example")
	exact, exactRSA := selfSignedFor(t, false, "a.example"), selfSignedFor(t, true, "a.example")
	wild := selfSignedFor(t, false, "*.w.example")
	store := newCertificates([]*tls.Certificate{first, exactRSA, exact, wild})
	modern := func(name string) *tls.ClientHelloInfo {
		return &tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
			SupportedCurves:  []tls.CurveID{tls.CurveP256},
		}
	}
	old := func(name string) *tls.ClientHelloInfo {
		h := modern(name)
		h.SignatureSchemes = h.SignatureSchemes[1:]
		return h
	}
	tests := []struct {
		name   string
		hello  *tls.ClientHelloInfo
		strict bool
		want   *tls.Certificate
	}{
		{"exact, elliptic preferred", modern("a.example"), false, exact},
		{"exact, client knows RSA only", old("a.example"), false, exactRSA},
		{"capitals and a dot", modern("A.Example."), false, exact},
		{"wildcard", modern("x.w.example"), false, wild},
		{"wildcard is one label", modern("x.y.w.example"), false, first},
		{"unknown name", modern("zzz.example"), false, first},
		{"no name", modern(""), false, first},
		{"unknown name, strict", modern("zzz.example"), true, nil},
		{"no name, strict", modern(""), true, nil},
		{"known name, strict", modern("x.w.example"), true, wild},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := store.find(tt.hello, tt.strict); got != tt.want {
				t.Errorf("got %v, want %v", nameOf(got), nameOf(tt.want))
			}
		})
	}
	if newCertificates(nil).find(modern("a.example"), false) != nil {
		t.Error("an empty store finds something")
	}
}

// A name is served alike as long as all certificates for it are the same, whatever becomes of others.
func TestCertificatesServeAlike(t *testing.T) {
	first, second := selfSignedFor(t, false, "first.example"), selfSignedFor(t, false, "first.example")
	exact, wild, other := selfSignedFor(t, false, "a.example"), selfSignedFor(t, false, "*.w.example"), selfSignedFor(t, true, "x.w.example")
	again := func(c *tls.Certificate) *tls.Certificate { // as a reload reads it
		copied := *c
		return &copied
	}
	was := newCertificates([]*tls.Certificate{first, exact, wild})
	for _, tt := range []struct {
		name    string
		is      []*tls.Certificate
		changed []string
	}{
		{"read again", []*tls.Certificate{again(first), again(exact), again(wild)}, nil},
		{"in another order", []*tls.Certificate{again(first), again(wild), again(exact)}, nil},
		{"another default", []*tls.Certificate{second, exact, wild}, []string{"first.example", "", "zzz.example"}},
		{"one gone", []*tls.Certificate{first, wild}, []string{"a.example"}},
		{"one more for a name", []*tls.Certificate{first, exact, wild, other}, []string{"x.w.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := newCertificates(tt.is)
			for _, name := range []string{"first.example", "a.example", "A.Example.", "x.w.example", "y.w.example", "", "zzz.example"} {
				want := !slices.Contains(tt.changed, strings.TrimSuffix(strings.ToLower(name), "."))
				if got := serveAlike(was, is, name); got != want {
					t.Errorf("%q: %v, want %v", name, got, want)
				}
			}
		})
	}
}

func nameOf(c *tls.Certificate) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%v (%v)", c.Leaf.DNSNames, c.Leaf.PublicKeyAlgorithm)
}

func selfSignedFor(t *testing.T, rsaKey bool, names ...string) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	var key crypto.Signer
	var err error
	if rsaKey {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// terminating is a configuration that ends TLS for a.example.
func terminating(backend, certFile, keyFile, options string) string {
	text := strings.Replace(simple("127.0.0.1:0", backend), "rule: \"HostSNI(`*`)\"", "rule: \"HostSNI(`a.example`)\", tls: {}", 1)
	certificates := ""
	if certFile != "" {
		certificates = fmt.Sprintf("certificates: [ { certFile: %q, keyFile: %q } ], ", certFile, keyFile)
	}
	return text + "tls: { " + certificates + "options: { default: { " + options + " } } }\n"
}

func handshake(t *testing.T, addr string, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn := dial(t, addr)
	secure := tls.Client(conn.Conn, c)
	return secure, secure.Handshake()
}

func TestCertificatesReloadWithoutTouchingRoutes(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	ca := weirtest.CA(t)
	first, second := ca.Server("a.example"), ca.Server("a.example")
	dir := t.TempDir()
	certFile, keyFile := dir+"/tls.crt", dir+"/tls.key"
	install := func(c *weirtest.Certificate) {
		write(t, certFile, string(read(t, c.CertFile)))
		write(t, keyFile, string(read(t, c.KeyFile)))
	}
	install(first)
	text := terminating(a.Addr, certFile, keyFile, "")
	r := start(t, text)
	client := &tls.Config{ServerName: "a.example", RootCAs: ca.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	secure, err := handshake(t, r.addr("web"), client)
	if err != nil {
		t.Fatal(err)
	}
	old := wrap(t, secure)
	if got := old.say("x"); got != "a" {
		t.Fatalf("answer %q", got)
	}
	if !secure.ConnectionState().PeerCertificates[0].Equal(leafOf(t, first)) {
		t.Error("the first certificate is not shown")
	}
	config, live := r.configs["default"], r.entrypoints["web"].routes[0]
	install(second)
	r.mustReload(text)
	if r.configs["default"] != config || r.entrypoints["web"].routes[0] != live {
		t.Error("settings or routes are other objects after a change of certificates")
	}
	if got := old.say("y"); got != "a" {
		t.Errorf("the old connection answers %q", got)
	}
	fresh, err := handshake(t, r.addr("web"), &tls.Config{ServerName: "a.example", RootCAs: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	if !fresh.ConnectionState().PeerCertificates[0].Equal(leafOf(t, second)) {
		t.Error("the second certificate is not shown")
	}
	resumed, err := handshake(t, r.addr("web"), client)
	if err != nil || !resumed.ConnectionState().DidResume {
		t.Errorf("the session of before does not resume: %v", err)
	}

	write(t, keyFile, "garbage")
	if err := r.tryReload(text); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("reload with a broken key: %v", err)
	}
	if _, err := handshake(t, r.addr("web"), &tls.Config{ServerName: "a.example", RootCAs: ca.Pool()}); err != nil {
		t.Errorf("the certificate of before is not shown: %v", err)
	}
}

func leafOf(t *testing.T, c *weirtest.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.TLS.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSelfSignedWhereThereIsNone(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, terminating(a.Addr, "", "", ""))
	secure, err := handshake(t, r.addr("web"), &tls.Config{ServerName: "a.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := wrap(t, secure).say("x"); got != "a" {
		t.Errorf("answer %q", got)
	}
	if !strings.Contains(r.log.String(), "self-signed") {
		t.Error("the log does not tell of the made-up certificate")
	}
	shown := secure.ConnectionState().PeerCertificates[0]
	r.mustReload(terminating(a.Addr, "", "", "minVersion: VersionTLS13"))
	secure, err = handshake(t, r.addr("web"), &tls.Config{ServerName: "a.example", InsecureSkipVerify: true})
	if err != nil || !secure.ConnectionState().PeerCertificates[0].Equal(shown) {
		t.Errorf("another made-up certificate after a reload, or none: %v", err)
	}
}

func TestTLSOptionsHold(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	ca := weirtest.CA(t)
	cert := ca.Server("b.example")
	own := ca.Server("a.example")
	visitor := ca.Client("visitor")
	tests := []struct {
		name    string
		cert    *weirtest.Certificate
		options string
		client  *tls.Config
		want    string // part of the error; empty = the handshake succeeds
	}{
		{"strict refuses an unknown name", cert, "sniStrict: true", &tls.Config{}, "unrecognized name"},
		{"default shows another certificate", cert, "", &tls.Config{InsecureSkipVerify: true}, ""},
		{"version too low", own, "minVersion: VersionTLS13", &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
		{"version limited", own, "maxVersion: VersionTLS12", &tls.Config{MinVersion: tls.VersionTLS13}, "protocol version"},
		{"no client certificate", own, "clientAuth: { caFiles: [ " + ca.File + " ] }", &tls.Config{MaxVersion: tls.VersionTLS12}, "handshake failure"},
		{"client certificate", own, "clientAuth: { caFiles: [ " + ca.File + " ] }", &tls.Config{Certificates: []tls.Certificate{visitor.TLS}}, ""},
		{"protocol agreed on", own, "alpnProtocols: [ redis ]", &tls.Config{NextProtos: []string{"x", "redis"}}, ""},
		{"no protocol in common", own, "alpnProtocols: [ redis ]", &tls.Config{NextProtos: []string{"x"}}, "application protocol"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, terminating(a.Addr, tt.cert.CertFile, tt.cert.KeyFile, tt.options))
			c := tt.client
			c.ServerName, c.RootCAs = "a.example", ca.Pool()
			secure, err := handshake(t, r.addr("web"), c)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("handshake: %v, want %q", err, tt.want)
			case err != nil:
				return
			}
			if got := wrap(t, secure).say("x"); got != "a" {
				t.Errorf("answer %q", got)
			}
			if c.NextProtos != nil && secure.ConnectionState().NegotiatedProtocol != "redis" {
				t.Errorf("agreed on %q", secure.ConnectionState().NegotiatedProtocol)
			}
		})
	}
}
