package config

import "time"

// UDP is the routing of UDP flows.
type UDP struct {
	Routers  map[string]*UDPRouter  `yaml:"routers" doc:"Which entrypoint goes to which service, by name."`
	Services map[string]*UDPService `yaml:"services" doc:"Where flows go, by name."`
}

// UDPRouter sends the flows of its entrypoints to a service.
type UDPRouter struct {
	EntryPoints []string `yaml:"entryPoints" need:"true" doc:"UDP entrypoints."`
	Service     string   `yaml:"service" need:"true" doc:"UDP service the flow goes to."`
}

// UDPService is exactly one of its members.
type UDPService struct {
	LoadBalancer *UDPLoadBalancer `yaml:"loadBalancer" doc:"Servers that share the flows."`
	Weighted     *Weighted        `yaml:"weighted" doc:"Other services that share the flows by weight."`
	Failover     *Failover        `yaml:"failover" doc:"A service, and another one for when it has no usable server."`
}

// UDPLoadBalancer is a UDP service with servers of its own.
type UDPLoadBalancer struct {
	Strategy           string             `yaml:"strategy" enum:"wrr|leastconn|p2c|maglev|hrw|random" doc:"How a server is chosen."`
	HashKey            string             `yaml:"hashKey" enum:"sourceIP|sourceIPPort" doc:"What maglev and hrw hash."`
	Servers            []Server           `yaml:"servers" doc:"The servers."`
	Discovery          *Discovery         `yaml:"discovery" doc:"Servers found at run time, joined with the listed ones."`
	HealthCheck        *HealthCheck       `yaml:"healthCheck" doc:"Active probes of every server."`
	PassiveHealthCheck PassiveHealthCheck `yaml:"passiveHealthCheck" doc:"What is learned from refused datagrams."`
	SlowStart          Duration           `yaml:"slowStart" min:"0s" doc:"A server that is new or came back reaches its full share over this time; 0 means at once."`
	PanicThreshold     int                `yaml:"panicThreshold" min:"0" max:"100" doc:"Percent of usable servers under which health is ignored; 0 means never."`
	Responses          int                `yaml:"responses" min:"0" doc:"End the flow after this many datagrams back; 0 means by the idle timeout only."`
}

func (l *UDPLoadBalancer) setDefaults() {
	*l = UDPLoadBalancer{Strategy: "wrr", HashKey: "sourceIP", SlowStart: Duration(10 * time.Second), PanicThreshold: 50}
}
