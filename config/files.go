package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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
	for _, cert := range c.TLS.Certificates {
		files = append(files, cert.CertFile, cert.KeyFile)
	}
	for _, name := range sortedKeys(c.TLS.Options) {
		if auth := c.TLS.Options[name].ClientAuth; auth != nil {
			files = append(files, auth.CAFiles...)
		}
	}
	return slices.Compact(files)
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
	for i, cert := range c.TLS.Certificates {
		at := fmt.Sprintf("tls.certificates[%d]", i)
		chain, key := read(at+".certFile", cert.CertFile), read(at+".keyFile", cert.KeyFile)
		if chain == nil || key == nil {
			continue
		}
		if _, err := tls.X509KeyPair(chain, key); err != nil {
			fail(at, "not a certificate and its key: "+strings.TrimPrefix(err.Error(), "tls: "), "")
		}
	}
	for _, name := range sortedKeys(c.TLS.Options) {
		auth := c.TLS.Options[name].ClientAuth
		if auth == nil {
			continue
		}
		for i, file := range auth.CAFiles {
			at := fmt.Sprintf("tls.options.%s.clientAuth.caFiles[%d]", name, i)
			if data := read(at, file); data != nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
				fail(at, file+" holds no certificate", "it must be PEM")
			}
		}
	}
	return problems.orNil()
}
