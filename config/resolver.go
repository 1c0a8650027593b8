package config

import "time"

// Resolver is a set of DNS servers asked for service discovery.
type Resolver struct {
	Nameservers  []string `yaml:"nameservers" need:"true" doc:"ip:port of the DNS servers."`
	Transport    string   `yaml:"transport" enum:"udp|tcp|tls" doc:"How they are asked."`
	MinTTL       Duration `yaml:"minTTL" min:"0s" doc:"An answer is kept at least this long."`
	MaxTTL       Duration `yaml:"maxTTL" min:"0s" doc:"An answer is kept at most this long."`
	HoldObsolete Duration `yaml:"holdObsolete" min:"0s" doc:"A server that vanished from the answer is kept this long."`
	MaxStale     Duration `yaml:"maxStale" min:"0s" doc:"The last good answer is used this long while nobody answers; 0 means without limit."`
}

func (r *Resolver) setDefaults() {
	*r = Resolver{
		Transport: "udp", MinTTL: Duration(time.Second), MaxTTL: Duration(time.Minute),
		HoldObsolete: Duration(30 * time.Second),
	}
}

// Discovery says where a service's servers are looked up at run time.
type Discovery struct {
	DNSSRV *DNSSRV `yaml:"dnsSRV" need:"true" doc:"SRV records."`
}

// DNSSRV finds servers by SRV records.
type DNSSRV struct {
	Name     string `yaml:"name" need:"true" doc:"The name that has the SRV records."`
	Resolver string `yaml:"resolver" doc:"Name in resolvers; without the key, the system's resolvers."`
}
