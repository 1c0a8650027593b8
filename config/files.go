package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Files returns every file the configuration is made of, none twice: the files
// read, then the certificates, keys and authorities they name.
func (c *Config) Files() []string {
	files := slices.Clone(c.sources)
	for _, file := range c.secrets() {
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// secrets returns the certificate, key and authority files.
func (c *Config) secrets() []string {
	var files []string
	for _, pair := range c.keyPairs() {
		files = append(files, pair.cert, pair.key)
	}
	for _, ca := range c.authorities() {
		files = append(files, ca.file)
	}
	for _, named := range c.accessFiles() {
		files = append(files, named.File)
	}
	for _, key := range c.cookieKeys() {
		files = append(files, key.File)
	}
	if c.Cluster != nil && c.Cluster.KeyFile != "" {
		files = append(files, c.Cluster.KeyFile)
	}
	return slices.Compact(files)
}

// cookieKeys returns the files with the secrets of sticky cookies.
func (c *Config) cookieKeys() []NamedFile {
	if c.HTTP == nil {
		return nil
	}
	var all []NamedFile
	add := func(at string, s *Sticky) {
		if s != nil && s.Cookie != nil && s.Cookie.KeyFile != "" {
			all = append(all, NamedFile{at + ".sticky.cookie.keyFile", s.Cookie.KeyFile})
		}
	}
	for _, name := range sortedKeys(c.HTTP.Services) {
		s, at := c.HTTP.Services[name], "http.services."+name
		if s.LoadBalancer != nil {
			add(at+".loadBalancer", s.LoadBalancer.Sticky)
		}
		if s.Weighted != nil {
			add(at+".weighted", s.Weighted.Sticky)
		}
	}
	return all
}

// keyPair is a certificate and its key that the configuration names, and where.
type keyPair struct{ at, cert, key string }

// keyPairs returns those shown to clients, then those shown to servers.
func (c *Config) keyPairs() []keyPair {
	var pairs []keyPair
	for i, cert := range c.TLS.Certificates {
		pairs = append(pairs, keyPair{fmt.Sprintf("tls.certificates[%d]", i), cert.CertFile, cert.KeyFile})
	}
	for _, name := range sortedKeys(c.TLS.Stores) {
		if d := c.TLS.Stores[name].DefaultCertificate; d != nil {
			pairs = append(pairs, keyPair{"tls.stores." + name + ".defaultCertificate", d.CertFile, d.KeyFile})
		}
	}
	for _, t := range c.httpTransports() {
		for i, cert := range t.Certificates {
			pairs = append(pairs, keyPair{fmt.Sprintf("%s.certificates[%d]", t.at, i), cert.CertFile, cert.KeyFile})
		}
	}
	return pairs
}

// authority is a file with authorities that the configuration names, and where.
type authority struct{ at, file string }

// authorities returns those of clients' certificates, then those of servers',
// then those of lists of servers.
func (c *Config) authorities() []authority {
	var all []authority
	for _, name := range sortedKeys(c.TLS.Options) {
		if auth := c.TLS.Options[name].ClientAuth; auth != nil {
			for i, file := range auth.CAFiles {
				all = append(all, authority{fmt.Sprintf("tls.options.%s.clientAuth.caFiles[%d]", name, i), file})
			}
		}
	}
	for _, t := range c.httpTransports() {
		for i, file := range t.RootCAs {
			all = append(all, authority{fmt.Sprintf("%s.rootCAs[%d]", t.at, i), file})
		}
	}
	for _, s := range c.sourcesOfServers() {
		if s.HTTP == nil || s.HTTP.TLS == nil {
			continue
		}
		for i, file := range s.HTTP.TLS.RootCAs {
			all = append(all, authority{fmt.Sprintf("%s.http.tls.rootCAs[%d]", s.at, i), file})
		}
	}
	return all
}

// remember notes where a loaded configuration comes from.
func (c *Config) remember(roots []string, sources []source) {
	c.roots = slices.Clone(roots)
	var d digester
	for _, s := range sources {
		c.sources = append(c.sources, s.file)
		d.add(s.file, s.data)
	}
	d.files(c.secrets())
	c.digest = d.sum()
}

// digest stands for the contents of a set of files.
type digest [sha256.Size]byte

// digester makes a digest. A file that cannot be read counts too, as that.
type digester struct{ all []byte }

func (d *digester) add(file string, data []byte) {
	sum := sha256.Sum256(data)
	d.all = fmt.Appendf(d.all, "%q %x\n", file, sum)
}

func (d *digester) files(files []string) {
	for _, file := range files {
		data, err := readBounded(file)
		if err != nil {
			d.all = fmt.Appendf(d.all, "%q unreadable\n", file)
			continue
		}
		d.add(file, data)
	}
}

func (d *digester) sum() digest { return sha256.Sum256(d.all) }

// CheckFiles reads the certificate, key and authority files and reports those
// that cannot be used, as a [Problems]. It opens no socket.
func (c *Config) CheckFiles() error {
	var problems Problems
	fail := func(at, message, hint string) {
		file, line, col := c.Position(at)
		problems = append(problems, Problem{File: file, Line: line, Col: col, Path: at, Message: message, Hint: hint})
	}
	read := func(at, file string) []byte {
		data, err := readBounded(file)
		if err != nil {
			fail(at, fmt.Sprintf("%s cannot be read: %s", file, reason(err)), "")
			return nil
		}
		return data
	}
	for _, pair := range c.keyPairs() {
		chain, key := read(pair.at+".certFile", pair.cert), read(pair.at+".keyFile", pair.key)
		if chain == nil || key == nil {
			continue
		}
		if _, err := tls.X509KeyPair(chain, key); err != nil {
			fail(pair.at, "not a certificate and its key: "+strings.TrimPrefix(err.Error(), "tls: "), "")
		}
	}
	for _, ca := range c.authorities() {
		if data := read(ca.at, ca.file); data != nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
			fail(ca.at, ca.file+" holds no certificate", "it must be PEM")
		}
	}
	for _, named := range c.accessFiles() {
		read(named.At, named.File)
	}
	if c.Cluster != nil && c.Cluster.KeyFile != "" {
		if data := read("cluster.keyFile", c.Cluster.KeyFile); data != nil {
			_, err := ParseClusterKeys(c.Cluster.KeyFile, data)
			var wrong Problems
			if errors.As(err, &wrong) {
				problems = append(problems, wrong...)
			}
		}
	}
	return problems.orNil()
}
