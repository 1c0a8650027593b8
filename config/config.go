package config

// Config is the effective configuration: what the files say, the flags and the
// environment on top, defaults below. A Config returned without an error is
// complete and consistent; it is never changed afterwards and may be shared.
type Config struct {
	Log         Log                    `yaml:"log" doc:"The program's own log."`
	AccessLog   *AccessLog             `yaml:"accessLog" doc:"One record for each connection, flow or request. Off where the key is absent."`
	Tracing     *Tracing               `yaml:"tracing" doc:"Spans of HTTP requests, for a collector of OpenTelemetry. Off where the key is absent."`
	Admin       Admin                  `yaml:"admin" doc:"The admin endpoint: API, metrics, health of weir itself. (restart)"`
	Engine      Engine                 `yaml:"engine" doc:"The event loops. (restart)"`
	EntryPoints map[string]*EntryPoint `yaml:"entryPoints" doc:"Where weir listens, by name."`
	TCP         TCP                    `yaml:"tcp" doc:"Routing of TCP connections."`
	UDP         *UDP                   `yaml:"udp" doc:"Routing of UDP datagrams."`
	HTTP        *HTTP                  `yaml:"http" doc:"Routing of HTTP requests."`
	TLS         TLS                    `yaml:"tls" doc:"Certificates and TLS settings."`
	Resolvers   map[string]*Resolver   `yaml:"resolvers" doc:"DNS servers that are asked for the servers of services, by name. The one named default is used where a source names none; where there is no such name, those of /etc/resolv.conf are asked."`
	Cluster     *Cluster               `yaml:"cluster" doc:"Membership in a cluster of weir nodes."`

	origin  origin
	roots   []string // the files and directories given to the loader
	sources []string // the files read, in the order they were
	digest  digest   // of the contents of Files as they were read
}
