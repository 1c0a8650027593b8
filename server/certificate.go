package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/config"
)

// certificatePlan is a certificate chain and its key as they stood in their files.
type certificatePlan struct {
	certFile, keyFile string
	chain, key        []byte // PEM
}

// certificates plans the certificates of the configuration, and finds those that cannot be used.
func (c *compiler) certificates() {
	if d := c.cfg.TLS.DefaultCertificate(); d != nil {
		p := certificatePlan{d.CertFile, d.KeyFile, c.files[d.CertFile], c.files[d.KeyFile]}
		if _, err := p.load(); err != nil {
			c.fail("tls.stores.default.defaultCertificate", err.Error(), "")
		} else {
			c.plan.certificates = append(c.plan.certificates, p)
		}
	}
	for i, cert := range c.cfg.TLS.Certificates {
		p := certificatePlan{cert.CertFile, cert.KeyFile, c.files[cert.CertFile], c.files[cert.KeyFile]}
		if _, err := p.load(); err != nil {
			c.fail(fmt.Sprintf("tls.certificates[%d]", i), err.Error(), "")
			continue
		}
		c.plan.certificates = append(c.plan.certificates, p)
	}
}

// load parses the certificate, its Leaf included.
func (p certificatePlan) load() (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(p.chain, p.key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are not a certificate and its key: %s", p.certFile, p.keyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", p.certFile, err)
		}
	}
	return &cert, nil
}

// certificates finds a certificate by the name a client asks for. It is made once and never changes.
type certificates struct {
	exact     map[string][]*tls.Certificate // lower case; of one name the preferred first
	wildcards map[string][]*tls.Certificate // by what follows the first label's dot
	fallback  []*tls.Certificate            // for a name no certificate has, and for none
}

// newCertificates indexes certificates, whose Leaf must be set, by their names. The first is the default, and whatever
// else has just its names, such as the same with another kind of key.
func newCertificates(certs []*tls.Certificate) *certificates {
	s := &certificates{exact: make(map[string][]*tls.Certificate), wildcards: make(map[string][]*tls.Certificate)}
	for _, cert := range certs {
		for _, name := range namesOf(cert.Leaf) {
			if parent, ok := strings.CutPrefix(name, "*."); ok {
				s.wildcards[parent] = append(s.wildcards[parent], cert)
			} else {
				s.exact[name] = append(s.exact[name], cert)
			}
		}
		if slices.Equal(namesOf(certs[0].Leaf), namesOf(cert.Leaf)) {
			s.fallback = append(s.fallback, cert)
		}
	}
	for _, index := range []map[string][]*tls.Certificate{s.exact, s.wildcards} {
		for name := range index {
			preferElliptic(index[name])
		}
	}
	preferElliptic(s.fallback)
	return s
}

// namesOf returns the DNS names of a certificate in lower case and order; the common name counts only where there are none.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// preferElliptic puts certificates with an elliptic-curve key, whose handshakes cost a fraction of RSA's, before others,
// and leaves the order otherwise.
func preferElliptic(certs []*tls.Certificate) {
	slices.SortStableFunc(certs, func(a, b *tls.Certificate) int { return rank(a) - rank(b) })
}

func rank(cert *tls.Certificate) int {
	switch cert.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return 0
	}
	return 1
}

// serving returns the certificates for a name: those of the exact name, then of the wildcard; else the default ones unless
// strict.
func (s *certificates) serving(name string, strict bool) []*tls.Certificate {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	_, parent, _ := strings.Cut(name, ".")
	candidates := slices.Concat(s.exact[name], s.wildcards[parent])
	if len(candidates) == 0 && !strict {
		return s.fallback
	}
	return candidates
}

// serveAlike reports whether a name is served by the same certificates, of the same chains.
func serveAlike(a, b *certificates, name string) bool {
	return slices.EqualFunc(a.serving(name, false), b.serving(name, false), func(x, y *tls.Certificate) bool {
		return slices.EqualFunc(x.Certificate, y.Certificate, bytes.Equal)
	})
}

// find returns the certificate for a hello: the first of those for its name that the client can verify. nil if there is none.
func (s *certificates) find(hello *tls.ClientHelloInfo, strict bool) *tls.Certificate {
	candidates := s.serving(hello.ServerName, strict)
	for _, cert := range candidates {
		if len(candidates) == 1 || hello.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	if len(candidates) > 0 {
		return candidates[0] // nothing fits; let the handshake say so
	}
	return nil
}

// selfSignedLife is how long a made-up certificate lasts: longer than any process, for nobody verifies it anyway.
const selfSignedLife = 10 * 365 * 24 * time.Hour

// newSelfSigned makes the certificate that is shown while the configuration has none.
func newSelfSigned(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "weir self-signed"},
		DNSNames:     []string{"weir.invalid"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(selfSignedLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate made: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// files are the contents of certificate, key and authority files by their names.
type files map[string][]byte

// maxFile bounds a certificate, key or authority file.
const maxFile = 4 << 20

// readFiles reads the files that a configuration names. The error is a config.Problems.
func readFiles(cfg *config.Config) (files, error) {
	contents := make(files)
	var problems config.Problems
	read := func(at, file string) {
		if _, done := contents[file]; done {
			return
		}
		b, err := readBounded(file, maxFile)
		if err != nil {
			where, line, col := cfg.Position(at)
			problems = append(problems, config.Problem{
				File: where, Line: line, Col: col, Path: at, Message: fmt.Sprintf("%s cannot be read: %v", file, err),
			})
		}
		contents[file] = b
	}
	for _, f := range cfg.NamedFiles() {
		read(f.At, f.File)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return contents, nil
}
