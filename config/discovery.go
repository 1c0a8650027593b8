package config

import "time"

// Discovery is where the servers of a service that are not listed are found at
// run time. It is empty for a service that has only listed ones.
type Discovery []*Source

// Source is exactly one of its members.
type Source struct {
	DNSSRV *DNSSRV     `yaml:"dnsSRV" doc:"The SRV records of a name, with their ports, weights and priorities."`
	DNS    *DNSHost    `yaml:"dns" doc:"The addresses of a name."`
	File   *FileSource `yaml:"file" doc:"A file that lists servers."`
	HTTP   *HTTPSource `yaml:"http" doc:"A list of servers that is fetched again and again."`
}

// DNSSRV finds servers by SRV records.
type DNSSRV struct {
	Name          string `yaml:"name" need:"true" doc:"The name that has the SRV records, in full."`
	Resolver      string `yaml:"resolver" doc:"Name in resolvers; without the key, default."`
	Family        string `yaml:"family" enum:"both|v4|v6" doc:"The addresses that are taken."`
	AllowLoopback bool   `yaml:"allowLoopback" doc:"Take loopback addresses from an answer of a resolver that is not on loopback itself."`
}

func (s *DNSSRV) setDefaults() { s.Family = "both" }

// DNSHost finds servers by the addresses of a name, all on one port.
type DNSHost struct {
	Name          string `yaml:"name" need:"true" doc:"The name that has the addresses, in full."`
	Port          int    `yaml:"port" need:"true" min:"1" max:"65535" doc:"Port of the servers."`
	Resolver      string `yaml:"resolver" doc:"Name in resolvers; without the key, default."`
	Family        string `yaml:"family" enum:"both|v4|v6" doc:"The addresses that are taken."`
	Weight        int    `yaml:"weight" min:"0" max:"65535" doc:"The share of each server; 0 keeps what it has and sends it nothing new."`
	Priority      int    `yaml:"priority" min:"0" max:"65535" doc:"Failover tier: servers of a higher number are used when those of lower ones cannot be."`
	AllowLoopback bool   `yaml:"allowLoopback" doc:"Take loopback addresses from an answer of a resolver that is not on loopback itself."`
}

func (s *DNSHost) setDefaults() { s.Family, s.Weight = "both", 1 }

// FileSource finds servers in a file. It is none of NamedFiles: it is read at
// run time, and need not be there when the configuration is loaded.
type FileSource struct {
	Path string `yaml:"path" need:"true" doc:"The file, read again when it changes; it may come later."`
}

// HTTPSource finds servers by asking an HTTP server for a list of them.
type HTTPSource struct {
	URL      string            `yaml:"url" need:"true" doc:"http:// or https:// URL of the list."`
	Interval Duration          `yaml:"interval" min:"1s" doc:"Time between two requests."`
	Timeout  Duration          `yaml:"timeout" min:"1ms" doc:"Deadline of one request."`
	Headers  map[string]string `yaml:"headers" doc:"Further request headers."`
	TLS      *SourceTLS        `yaml:"tls" doc:"Only for an https URL: whom to believe."`
}

func (s *HTTPSource) setDefaults() {
	*s = HTTPSource{Interval: Duration(30 * time.Second), Timeout: Duration(5 * time.Second)}
}

// SourceTLS says which server of a list is the right one.
type SourceTLS struct {
	RootCAs            []string `yaml:"rootCAs" doc:"PEM files with the authorities that sign the server's certificate; without the key, those of the system."`
	InsecureSkipVerify bool     `yaml:"insecureSkipVerify" doc:"Take any certificate. For tests only."`
	ServerName         string   `yaml:"serverName" doc:"Name asked for, and looked for in the server's certificate; without the key, the host of the URL."`
}

// placedSource is a source of servers, and the path where it stands.
type placedSource struct {
	at string
	*Source
}

// sourcesOfServers returns the sources of all services.
func (c *Config) sourcesOfServers() []placedSource {
	var all []placedSource
	add := func(service string, d Discovery) {
		for i, s := range d {
			all = append(all, placedSource{c.item(service+".loadBalancer.discovery", i), s})
		}
	}
	for _, name := range sortedKeys(c.TCP.Services) {
		if l := c.TCP.Services[name].LoadBalancer; l != nil {
			add("tcp.services."+name, l.Discovery)
		}
	}
	if c.UDP != nil {
		for _, name := range sortedKeys(c.UDP.Services) {
			if l := c.UDP.Services[name].LoadBalancer; l != nil {
				add("udp.services."+name, l.Discovery)
			}
		}
	}
	if c.HTTP != nil {
		for _, name := range sortedKeys(c.HTTP.Services) {
			if l := c.HTTP.Services[name].LoadBalancer; l != nil {
				add("http.services."+name, l.Discovery)
			}
		}
	}
	return all
}
