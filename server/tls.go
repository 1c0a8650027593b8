package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weirlb/weir/internal/rule"
)

// tlsPlan is how TLS is ended: an entry of tls.options, and the protocols to agree on.
type tlsPlan struct {
	min, max  uint16 // max 0 = the highest there is
	suites    []uint16
	curves    []tls.CurveID
	auth      tls.ClientAuthType
	cas       []byte // PEM
	strict    bool   // refuse clients whose name no certificate serves
	noTickets bool   // do not let clients resume sessions
	protocols []string
}

// demanding reports whether clients must show a certificate.
func (p tlsPlan) demanding() bool {
	return p.auth == tls.RequireAnyClientCert || p.auth == tls.RequireAndVerifyClientCert
}

var tlsVersions = map[string]uint16{
	"VersionTLS10": tls.VersionTLS10, "VersionTLS11": tls.VersionTLS11,
	"VersionTLS12": tls.VersionTLS12, "VersionTLS13": tls.VersionTLS13,
}

var tlsCurves = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519,
	"CurveP256": tls.CurveP256, "CurveP384": tls.CurveP384, "CurveP521": tls.CurveP521,
}

var clientAuths = map[string]tls.ClientAuthType{
	"NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
	"RequireAnyClientCert": tls.RequireAnyClientCert, "VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

// terminated plans how a router's TLS is ended and returns the key of that plan. Routers that ask for the same share one
// entry, and with it one tls.Config and its session tickets.
func (c *compiler) terminated(name string, expr rule.Expr) string {
	if name == "" {
		name = "default"
	}
	p := c.tlsOptions(name)
	key := name
	if len(p.protocols) == 0 {
		if p.protocols = requiredALPN(expr); len(p.protocols) > 0 {
			key += " with ALPN " + strings.Join(p.protocols, ", ")
		}
	}
	c.plan.tls[key] = p
	return key
}

func (c *compiler) tlsOptions(name string) tlsPlan {
	o := c.cfg.TLS.Options[name]
	if o == nil {
		return tlsPlan{min: tls.VersionTLS12} // default, and not written
	}
	p := tlsPlan{
		min: tlsVersions[o.MinVersion], max: tlsVersions[o.MaxVersion],
		suites: suitesOf(o.CipherSuites), strict: o.SniStrict, noTickets: o.DisableSessionTickets, protocols: slices.Clone(o.ALPNProtocols),
	}
	for _, curve := range o.CurvePreferences {
		p.curves = append(p.curves, tlsCurves[curve])
	}
	if o.ClientAuth != nil {
		p.auth = clientAuths[o.ClientAuth.ClientAuthType]
		p.cas = c.authorities("tls.options."+name+".clientAuth.caFiles", o.ClientAuth.CAFiles)
	}
	return p
}

func suitesOf(names []string) []uint16 {
	var suites []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(names, s.Name) {
			suites = append(suites, s.ID)
		}
	}
	return suites
}

// authorities joins the PEM files of those whose certificates are believed.
func (c *compiler) authorities(at string, files []string) []byte {
	var all []byte
	for i, file := range files {
		pem := c.files[file]
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			c.fail(fmt.Sprintf("%s[%d]", at, i), file+" holds no certificate", "it must be PEM")
			continue
		}
		all = append(append(all, bytes.TrimSpace(pem)...), '\n')
	}
	return all
}

// requiredALPN returns protocols of which a client must have offered one wherever the rule holds, none if it can hold
// without. Only such protocols may be negotiated on behalf of a rule: with any others a client that offers something else
// would be refused (RFC 7301, section 3.2), although the rule lets it in.
func requiredALPN(e rule.Expr) []string {
	switch e := e.(type) {
	case rule.Match:
		if e.Name == "ALPN" {
			return slices.Clone(e.Args)
		}
	case rule.And:
		for _, term := range e {
			if protocols := requiredALPN(term); len(protocols) > 0 {
				return protocols
			}
		}
	case rule.Or:
		var union []string
		for _, term := range e {
			protocols := requiredALPN(term)
			if len(protocols) == 0 {
				return nil
			}
			union = append(union, protocols...)
		}
		return union
	}
	return nil
}

// newTLSConfig makes the settings of terminated connections. They find their certificates through store at each
// handshake, so that certificates change without them: the tls.Config stays, and with it the session ticket keys, which
// crypto/tls makes and rotates itself.
func newTLSConfig(p tlsPlan, store *atomic.Pointer[certificates]) *tls.Config {
	c := &tls.Config{
		MinVersion:       p.min,
		MaxVersion:       p.max,
		CipherSuites:     p.suites,
		CurvePreferences: p.curves,
		ClientAuth:       p.auth,
		NextProtos:       p.protocols,

		SessionTicketsDisabled: p.noTickets,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Without one, and with none in Config.Certificates, crypto/tls answers unrecognized_name (RFC 6066, section 3).
			return store.Load().find(hello, p.strict), nil
		},
	}
	if len(p.cas) > 0 {
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(p.cas)
	}
	return c
}
