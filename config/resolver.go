package config

import "time"

// Resolver is a set of DNS servers asked for the servers of services.
type Resolver struct {
	Nameservers  []string `yaml:"nameservers" doc:"ip:port of up to 8 DNS servers, or ip alone: then port 53, or 853 with transport tls. Without the key those of /etc/resolv.conf, which is read again when it changes."`
	Transport    string   `yaml:"transport" enum:"udp|tcp|tls" doc:"How they are asked."`
	ServerName   string   `yaml:"serverName" doc:"transport tls: name that the certificates of the DNS servers must have; without the key, the address of each."`
	Search       bool     `yaml:"search" doc:"Names without a dot at their end are tried with the search list of resolv.conf too."`
	Timeout      Duration `yaml:"timeout" min:"10ms" doc:"Deadline of one try at one DNS server."`
	Attempts     int      `yaml:"attempts" min:"1" max:"10" doc:"How often each DNS server is asked at most before a lookup has failed."`
	MinTTL       Duration `yaml:"minTTL" min:"1ms" doc:"An answer is kept at least this long."`
	MaxTTL       Duration `yaml:"maxTTL" min:"1ms" doc:"An answer is kept at most this long."`
	HoldObsolete Duration `yaml:"holdObsolete" min:"0s" doc:"A server that vanished from the answer is kept this long."`
	MaxStale     Duration `yaml:"maxStale" min:"0s" doc:"The last good answer is used this long while nobody answers; 0 means without limit."`
}

func (r *Resolver) setDefaults() {
	*r = Resolver{
		Transport: "udp", Timeout: Duration(2 * time.Second), Attempts: 3,
		MinTTL: Duration(time.Second), MaxTTL: Duration(time.Minute), HoldObsolete: Duration(30 * time.Second),
	}
}

// defaultResolver is the name of the resolver of sources that name none. It
// need not be in the file.
const defaultResolver = "default"

// Resolver returns the resolver that a source names. No name means the one
// called default, and where that is not in the file, the DNS servers of
// /etc/resolv.conf asked with the default values. It never returns nil.
func (c *Config) Resolver(name string) *Resolver {
	if r := c.Resolvers[orDefault(name, defaultResolver)]; r != nil {
		return r
	}
	system := new(Resolver)
	system.setDefaults()
	return system
}
