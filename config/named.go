package config

// NamedFile is a file that a value of the configuration names.
type NamedFile struct{ At, File string }

// NamedFiles returns the certificate, key, authority and secret files, each with the
// path of the value that names it. A file that is named twice is there twice.
func (c *Config) NamedFiles() []NamedFile {
	var all []NamedFile
	for _, pair := range c.keyPairs() {
		all = append(all, NamedFile{pair.at + ".certFile", pair.cert}, NamedFile{pair.at + ".keyFile", pair.key})
	}
	for _, ca := range c.authorities() {
		all = append(all, NamedFile{ca.at, ca.file})
	}
	if c.Cluster != nil && c.Cluster.KeyFile != "" {
		all = append(all, NamedFile{"cluster.keyFile", c.Cluster.KeyFile})
	}
	return append(append(all, c.cookieKeys()...), c.accessFiles()...)
}
