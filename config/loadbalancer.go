package config

import "time"

// LoadBalancer is a TCP service with servers of its own.
type LoadBalancer struct {
	Strategy           string              `yaml:"strategy" enum:"wrr|leastconn|p2c|maglev|hrw|random" doc:"How a server is chosen."`
	HashKey            string              `yaml:"hashKey" enum:"sourceIP|sourceIPPort|sni" doc:"What maglev and hrw hash."`
	Servers            []Server            `yaml:"servers" doc:"The servers."`
	Discovery          Discovery           `yaml:"discovery" lone:"true" doc:"Where further servers are found at run time: one source, or a list of them. Joined with the listed servers."`
	HealthCheck        *HealthCheck        `yaml:"healthCheck" doc:"Active probes of every server."`
	PassiveHealthCheck PassiveHealthCheck  `yaml:"passiveHealthCheck" doc:"What is learned from failed connections."`
	OnUnhealthy        string              `yaml:"onUnhealthy" enum:"keep|close" doc:"What happens to existing connections of a server that went down."`
	SlowStart          Duration            `yaml:"slowStart" min:"0s" doc:"A server that is new or came back reaches its full share over this time; 0 means at once."`
	PanicThreshold     int                 `yaml:"panicThreshold" min:"0" max:"100" doc:"Percent of usable servers under which health is ignored; 0 means never."`
	Connect            Connect             `yaml:"connect" doc:"How a server is connected to."`
	Queue              Queue               `yaml:"queue" doc:"Connections that wait while every server is at its maxConnections."`
	ServersTransport   ServersTransportRef `yaml:"serversTransport" doc:"The name of an entry of tcp.serversTransports, or the object itself."`
}

func (l *LoadBalancer) setDefaults() {
	*l = LoadBalancer{
		Strategy: "wrr", HashKey: "sourceIP", OnUnhealthy: "keep",
		SlowStart: Duration(10 * time.Second), PanicThreshold: 50,
	}
}

// Connect bounds how a server is connected to.
type Connect struct {
	Timeout Duration `yaml:"timeout" min:"1ms" doc:"Deadline of one attempt."`
	Retries int      `yaml:"retries" min:"0" max:"16" doc:"Further attempts, each on another server."`
}

func (c *Connect) setDefaults() { *c = Connect{Timeout: Duration(3 * time.Second), Retries: 2} }

// Queue bounds the connections that wait for a server's free slot.
type Queue struct {
	Limit   int      `yaml:"limit" min:"0" doc:"Waiting connections of the service; 0 means none waits."`
	Timeout Duration `yaml:"timeout" min:"1ms" doc:"How long one waits before it is refused."`
}

func (q *Queue) setDefaults() { *q = Queue{Limit: 1024, Timeout: Duration(time.Second)} }

// PassiveHealthCheck takes a server out for a while after failed connections.
type PassiveHealthCheck struct {
	MaxFailedAttempts  int      `yaml:"maxFailedAttempts" min:"0" doc:"Failures in a row that eject a server; 0 switches passive checks off."`
	FailureWindow      Duration `yaml:"failureWindow" min:"1ms" doc:"Failures further apart than this do not add up."`
	EjectionTime       Duration `yaml:"ejectionTime" min:"1ms" doc:"How long the first ejection lasts; each further one lasts longer."`
	MaxEjectionPercent int      `yaml:"maxEjectionPercent" min:"0" max:"100" doc:"Share of the servers that may be ejected at one time; one always may."`
}

func (p *PassiveHealthCheck) setDefaults() {
	*p = PassiveHealthCheck{
		MaxFailedAttempts: 5, FailureWindow: Duration(10 * time.Second),
		EjectionTime: Duration(10 * time.Second), MaxEjectionPercent: 50,
	}
}

// ServersTransportRef is the name of an entry of tcp.serversTransports or the
// object itself; TCP.Transport follows it. The zero value is neither.
type ServersTransportRef struct {
	Name   string               `yaml:",scalar" doc:"Name of an entry of tcp.serversTransports."`
	Inline *TCPServersTransport `yaml:",object" doc:"How the servers are spoken to."`
}

// TCPServersTransport says how a connection to a server starts.
type TCPServersTransport struct {
	ProxyProtocol *SendProxyProtocol `yaml:"proxyProtocol" doc:"Send a PROXY protocol header that names the client."`
}

// SendProxyProtocol is the PROXY protocol header sent to servers.
type SendProxyProtocol struct {
	Version int `yaml:"version" min:"1" max:"2" doc:"Version of the header."`
}

func (p *SendProxyProtocol) setDefaults() { p.Version = 2 }

// Transport returns how the servers of lb are spoken to, following a reference
// by name. It never returns nil in a loaded Config.
func (t *TCP) Transport(lb *LoadBalancer) *TCPServersTransport {
	if lb.ServersTransport.Inline != nil {
		return lb.ServersTransport.Inline
	}
	if named := t.ServersTransports[lb.ServersTransport.Name]; named != nil {
		return named
	}
	return &TCPServersTransport{}
}
