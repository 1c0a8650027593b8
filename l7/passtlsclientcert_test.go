package l7

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestPassTLSClientCert(t *testing.T) {
	ca := weirtest.CA(t)
	ours := ca.Client("ada")
	security := speaking("known", ca.Server("a.test"))
	security.Config.ClientAuth = tls.VerifyClientCertIfGiven
	security.Config.ClientCAs = ca.Pool()
	m := []*Middleware{PassTLSClientCert("cert", ClientCertOptions{PEM: true, Info: true, Subject: NameParts{CommonName: true}})}
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, seenCert)}, security: security, middlewares: m})
	const lie = "X-Forwarded-Tls-Client-Cert: lie\r\nX-Forwarded-Tls-Client-Cert-Info: lie\r\n"
	for name, tt := range map[string]struct {
		shown []tls.Certificate
		want  string
	}{
		"one":  {[]tls.Certificate{ours.TLS}, base64.StdEncoding.EncodeToString(ours.TLS.Certificate[0]) + " " + url.QueryEscape(`Subject="CN=ada"`)},
		"none": {nil, " "},
	} {
		t.Run(name, func(t *testing.T) {
			k := b.talkOver(tls.Client(b.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test", Certificates: tt.shown, NextProtos: protocol()}))
			k.say("GET / HTTP/1.1\r\nHost: a.test\r\n" + lie + "Connection: close\r\n\r\n")
			has(t, k.rest(), "\r\n\r\n"+tt.want+"|")
		})
	}
	plain := newBed(t, setup{backends: []netip.AddrPort{backend(t, seenCert)}, middlewares: m})
	has(t, plain.exchange("GET / HTTP/1.1\r\nHost: a\r\n"+lie+"Connection: close\r\n\r\n"), "\r\n\r\n |")
}

func TestClientCertInfo(t *testing.T) {
	uri, err := url.Parse("spiffe://a/b")
	if err != nil {
		t.Fatal(err)
	}
	name := pkix.Name{
		CommonName: "n", Country: []string{"FR", "DE"}, Province: []string{"p"}, Locality: []string{"l"}, Organization: []string{"o"},
		OrganizationalUnit: []string{"u"}, SerialNumber: "s",
		Names: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier(domainComponent), Value: "org"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "n"}},
	}
	c := &x509.Certificate{
		Subject: name, Issuer: name, SerialNumber: big.NewInt(77), NotBefore: time.Unix(100, 0), NotAfter: time.Unix(200, 0),
		DNSNames: []string{"a.test"}, EmailAddresses: []string{"a@b"}, IPAddresses: []net.IP{net.IPv4(1, 2, 3, 4)}, URIs: []*url.URL{uri},
	}
	all := NameParts{true, true, true, true, true, true, true, true}
	for _, tt := range []struct {
		o    ClientCertOptions
		want string
	}{
		{ClientCertOptions{}, ""},
		{ClientCertOptions{Subject: all}, `Subject="DC=org,C=FR,C=DE,ST=p,L=l,O=o,OU=u,SN=s,CN=n"`},
		{ClientCertOptions{Issuer: NameParts{Organization: true}}, `Issuer="O=o"`},
		{ClientCertOptions{Subject: NameParts{CommonName: true}, SerialNumber: true, NotBefore: true, NotAfter: true, SANs: true},
			`Subject="CN=n";SerialNumber="77";NB="100";NA="200";SAN="a.test,a@b,1.2.3.4,spiffe://a/b"`},
	} {
		if got := tt.o.info(c); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
}

// seenCert answers with what the server is told about a certificate.
func seenCert(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s|", r.Header.Get("X-Forwarded-Tls-Client-Cert"), r.Header.Get("X-Forwarded-Tls-Client-Cert-Info"))
}
