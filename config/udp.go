package config

import "time"

// UDP is the routing of UDP flows.
type UDP struct {
	Routers           map[string]*UDPRouter           `yaml:"routers" doc:"Which entrypoint goes to which service, by name."`
	Middlewares       map[string]*UDPMiddleware       `yaml:"middlewares" doc:"Checks datagrams and flows pass before their service, by name."`
	Services          map[string]*UDPService          `yaml:"services" doc:"Where flows go, by name."`
	ServersTransports map[string]*UDPServersTransport `yaml:"serversTransports" doc:"How servers are spoken to, by name."`
}

// UDPRouter sends the flows of its entrypoints to a service.
type UDPRouter struct {
	EntryPoints []string `yaml:"entryPoints" doc:"UDP entrypoints; without the key, all of them."`
	Middlewares []string `yaml:"middlewares" doc:"UDP middlewares in the order they are asked."`
	Service     string   `yaml:"service" need:"true" doc:"UDP service the flow goes to."`
}

// UDPMiddleware is exactly one of its members.
type UDPMiddleware struct {
	IPAllowList          *IPAllowList          `yaml:"ipAllowList" doc:"Lets only listed client addresses pass."`
	MaxSessionsPerSource *MaxSessionsPerSource `yaml:"maxSessionsPerSource" doc:"Limits the flows of one client address."`
	RateLimit            *RateLimit            `yaml:"rateLimit" doc:"Limits the datagrams of one client address."`
}

// MaxSessionsPerSource limits how many flows one client address has.
type MaxSessionsPerSource struct {
	Amount int `yaml:"amount" need:"true" min:"1" doc:"Flows of one client address at one time."`
}

// UDPService is exactly one of its members.
type UDPService struct {
	LoadBalancer *UDPLoadBalancer `yaml:"loadBalancer" doc:"Servers that share the flows."`
	Weighted     *Weighted        `yaml:"weighted" doc:"Other services that share the flows by weight."`
	Failover     *Failover        `yaml:"failover" doc:"A service, and another one for when it has no usable server."`
}

// UDPLoadBalancer is a UDP service with servers of its own.
type UDPLoadBalancer struct {
	Strategy           string                 `yaml:"strategy" enum:"wrr|leastconn|p2c|maglev|hrw|random" doc:"How a server is chosen."`
	HashKey            string                 `yaml:"hashKey" enum:"sourceIP|sourceIPPort" doc:"What maglev and hrw hash."`
	Affinity           string                 `yaml:"affinity" enum:"source|none" doc:"source: a client's datagrams are one flow that stays with its server; none: each datagram is led by itself, over sockets that all clients share."`
	Protocol           string                 `yaml:"protocol" enum:"auto|dns|oneWay" doc:"With affinity none: what the datagrams are. dns: queries get their answers; oneWay: nothing comes back, as with syslog; auto: what is a DNS query is treated as one, everything else as one-way."`
	QueryTimeout       Duration               `yaml:"queryTimeout" min:"1ms" doc:"With affinity none: how long a query waits for its answer."`
	Servers            []Server               `yaml:"servers" doc:"The servers."`
	Discovery          *Discovery             `yaml:"discovery" doc:"Servers found at run time, joined with the listed ones."`
	HealthCheck        *HealthCheck           `yaml:"healthCheck" doc:"Active probes of every server."`
	PassiveHealthCheck PassiveHealthCheck     `yaml:"passiveHealthCheck" doc:"What is learned from refused datagrams."`
	Retries            int                    `yaml:"retries" min:"0" max:"3" doc:"Further servers a flow is led to after its server turned datagrams away."`
	SlowStart          Duration               `yaml:"slowStart" min:"0s" doc:"A server that is new or came back reaches its full share over this time; 0 means at once."`
	PanicThreshold     int                    `yaml:"panicThreshold" min:"0" max:"100" doc:"Percent of usable servers under which health is ignored; 0 means never."`
	Responses          int                    `yaml:"responses" min:"0" doc:"End a flow when its server has answered each datagram of the client this many times; 0 means by the idle timeout only."`
	ServersTransport   UDPServersTransportRef `yaml:"serversTransport" doc:"The name of an entry of udp.serversTransports, or the object itself."`
}

func (l *UDPLoadBalancer) setDefaults() {
	*l = UDPLoadBalancer{
		Strategy: "wrr", HashKey: "sourceIP", Affinity: "source", Protocol: "auto", QueryTimeout: Duration(5 * time.Second),
		Retries: 2, SlowStart: Duration(10 * time.Second), PanicThreshold: 50,
	}
}

// UDPServersTransportRef is the name of an entry of udp.serversTransports or
// the object itself; UDP.Transport follows it. The zero value is neither.
type UDPServersTransportRef struct {
	Name   string               `yaml:",scalar" doc:"Name of an entry of udp.serversTransports."`
	Inline *UDPServersTransport `yaml:",object" doc:"How the servers are spoken to."`
}

// UDPServersTransport says how datagrams to a server begin.
type UDPServersTransport struct {
	ProxyProtocol *SendDatagramProxyProtocol `yaml:"proxyProtocol" doc:"Send a PROXY protocol header that names the client before each datagram."`
}

// SendDatagramProxyProtocol is the PROXY protocol header sent before datagrams.
type SendDatagramProxyProtocol struct {
	Version int `yaml:"version" min:"2" max:"2" doc:"Version of the header; only 2 knows datagrams."`
}

func (p *SendDatagramProxyProtocol) setDefaults() { p.Version = 2 }

// Transport returns how the servers of lb are spoken to, following a reference
// by name. It never returns nil in a loaded Config.
func (u *UDP) Transport(lb *UDPLoadBalancer) *UDPServersTransport {
	if lb.ServersTransport.Inline != nil {
		return lb.ServersTransport.Inline
	}
	if named := u.ServersTransports[lb.ServersTransport.Name]; named != nil {
		return named
	}
	return &UDPServersTransport{}
}
