package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// curves are the key exchanges by the names of Traefik's file.
var curves = []string{"X25519MLKEM768", "X25519", "CurveP256", "CurveP384", "CurveP521"}

func (c *checker) tls() {
	for i, cert := range c.cfg.TLS.Certificates {
		for j, store := range cert.Stores {
			c.onlyStore(fmt.Sprintf("tls.certificates[%d].stores[%d]", i, j), store)
		}
	}
	for _, name := range sortedKeys(c.cfg.TLS.Stores) {
		c.onlyStore("tls.stores."+name, name)
	}
	for _, pair := range c.cfg.keyPairs() {
		c.notContent(pair.at+".certFile", pair.cert)
		c.notContent(pair.at+".keyFile", pair.key)
	}
	for _, ca := range c.cfg.authorities() {
		c.notContent(ca.at, ca.file)
	}
	suites := cipherSuites()
	for _, name := range sortedKeys(c.cfg.TLS.Options) {
		c.tlsOptions("tls.options."+name, c.cfg.TLS.Options[name], suites)
	}
	for _, t := range c.cfg.httpTransports() {
		c.tlsVersions(t.at, t.MinVersion, t.MaxVersion)
		c.listed(t.at+".cipherSuites", t.CipherSuites, suites, "cipher suite")
	}
}

// onlyStore refuses stores of certificates but the one there is.
func (c *checker) onlyStore(at, name string) {
	if name != "default" {
		c.fail(at, fmt.Sprintf("no store %q", abbreviated(name)), "only default exists")
	}
}

// tlsVersions checks that there is a version between two.
func (c *checker) tlsVersions(at, least, most string) {
	// The names of the versions sort as the versions do.
	if most != "" && most < least {
		c.failf(at+".maxVersion", "%s is lower than minVersion %s", most, least)
	}
}

// notContent refuses PEM text where the path of a file belongs, which Traefik
// takes for either.
func (c *checker) notContent(at, file string) {
	if strings.Contains(file, "-----BEGIN") {
		c.fail(at, "PEM text in place of a file: not supported by weir", "write it to a file and name that")
	}
}

func cipherSuites() []string {
	var names []string
	for _, s := range tls.CipherSuites() {
		names = append(names, s.Name)
	}
	for _, s := range tls.InsecureCipherSuites() {
		names = append(names, s.Name)
	}
	return names
}

func (c *checker) tlsOptions(at string, o *TLSOptions, suites []string) {
	c.tlsVersions(at, o.MinVersion, o.MaxVersion)
	c.listed(at+".cipherSuites", o.CipherSuites, suites, "cipher suite")
	c.listed(at+".curvePreferences", o.CurvePreferences, curves, "curve")
	for i, protocol := range o.ALPNProtocols {
		if len(protocol) > 255 {
			c.failf(fmt.Sprintf("%s.alpnProtocols[%d]", at, i), "a protocol name has 1 to 255 bytes")
		}
	}
	if o.ClientAuth != nil {
		c.clientAuth(at+".clientAuth", o.ClientAuth)
	}
}

func (c *checker) listed(at string, written, known []string, noun string) {
	for i, name := range written {
		if slices.Contains(known, name) || name == "" {
			continue
		}
		c.fail(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("unknown %s %q", noun, abbreviated(name)), suggestion(name, known))
	}
}

func (c *checker) clientAuth(at string, a *ClientAuth) {
	a.settle()
	verifies := a.ClientAuthType == "VerifyClientCertIfGiven" || a.ClientAuthType == "RequireAndVerifyClientCert"
	if verifies && len(a.CAFiles) == 0 && !c.brokenWithin(at) {
		c.fail(at+".caFiles", "missing", a.ClientAuthType+" needs to know whose certificates to believe")
	}
}
