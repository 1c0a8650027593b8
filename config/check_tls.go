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
	for i := range c.cfg.TLS.Certificates {
		cert, at := &c.cfg.TLS.Certificates[i], fmt.Sprintf("tls.certificates[%d]", i)
		c.notContent(at+".certFile", cert.CertFile)
		c.notContent(at+".keyFile", cert.KeyFile)
		for j, store := range cert.Stores {
			if store != "default" {
				c.fail(fmt.Sprintf("%s.stores[%d]", at, j), fmt.Sprintf("no store %q", abbreviated(store)), "only default exists")
			}
		}
	}
	suites := cipherSuites()
	for _, name := range sortedKeys(c.cfg.TLS.Options) {
		c.tlsOptions("tls.options."+name, c.cfg.TLS.Options[name], suites)
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
	// The names of the versions sort as the versions do.
	if o.MaxVersion != "" && o.MaxVersion < o.MinVersion {
		c.failf(at+".maxVersion", "%s is lower than minVersion %s", o.MaxVersion, o.MinVersion)
	}
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
	for i, file := range a.CAFiles {
		c.notContent(fmt.Sprintf("%s.caFiles[%d]", at, i), file)
	}
	a.settle()
	verifies := a.ClientAuthType == "VerifyClientCertIfGiven" || a.ClientAuthType == "RequireAndVerifyClientCert"
	if verifies && len(a.CAFiles) == 0 && !c.brokenWithin(at) {
		c.fail(at+".caFiles", "missing", a.ClientAuthType+" needs to know whose certificates to believe")
	}
}
