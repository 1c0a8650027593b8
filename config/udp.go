package config

import "time"

// UDP is the routing of UDP datagrams.
type UDP struct {
	Routers           map[string]*UDPRouter           `yaml:"routers" doc:"Which entrypoint goes to which service, by name."`
	Middlewares       map[string]*UDPMiddleware       `yaml:"middlewares" doc:"Checks a datagram passes before its service, by name."`
	Services          map[string]*UDPService          `yaml:"services" doc:"Where datagrams go, by name."`
	ServersTransports map[string]*UDPServersTransport `yaml:"serversTransports" doc:"How servers are spoken to, by name."`
}

// UDPRouter sends what comes in by its entrypoints to a service. In a loaded
// Config EntryPoints is never empty and no two routers share an entrypoint:
// nothing in a datagram says whose it is.
type UDPRouter struct {
	EntryPoints []string `yaml:"entryPoints" doc:"UDP entrypoints, each of one router alone; without the key, all of them."`
	Middlewares []string `yaml:"middlewares" doc:"UDP middlewares in the order they are asked."`
	Service     string   `yaml:"service" need:"true" doc:"UDP service the datagrams go to."`
}

// UDPMiddleware is exactly one of its members.
type UDPMiddleware struct {
	IPAllowList          *IPAllowList          `yaml:"ipAllowList" doc:"Lets only listed client addresses pass."`
	RateLimit            *RateLimit            `yaml:"rateLimit" doc:"Limits the datagrams of one client address."`
	MaxSessionsPerSource *MaxSessionsPerSource `yaml:"maxSessionsPerSource" doc:"Limits the flows of one client address. Not for services with affinity none."`
}

// MaxSessionsPerSource limits how many flows one client address has.
type MaxSessionsPerSource struct {
	Amount int `yaml:"amount" need:"true" min:"1" doc:"Flows of one client address at one time."`
}

// UDPService is exactly one of its members. Weighted and Failover name other
// services and nest without cycles. All load balancers at or below one service
// have the same Affinity, Protocol and QueryTimeout.
type UDPService struct {
	LoadBalancer *UDPLoadBalancer `yaml:"loadBalancer" doc:"Servers that share the datagrams."`
	Weighted     *Weighted        `yaml:"weighted" doc:"Other services that share the datagrams by weight."`
	Failover     *Failover        `yaml:"failover" doc:"A service, and another one for when it has no usable server."`
}

// UDPLoadBalancer is a UDP service with servers of its own. A flow whose server
// goes down always moves to another one.
type UDPLoadBalancer struct {
	Strategy           string                 `yaml:"strategy" enum:"wrr|leastconn|p2c|maglev|hrw|random" doc:"How a server is chosen."`
	HashKey            string                 `yaml:"hashKey" enum:"sourceIP|sourceIPPort" doc:"What maglev and hrw hash."`
	Affinity           string                 `yaml:"affinity" enum:"source|none" doc:"source: a client's datagrams are one flow that stays with its server. none: each datagram is led by itself over sockets that all clients share."`
	Protocol           string                 `yaml:"protocol" enum:"auto|dns|oneWay" usual:"\"auto\"" doc:"Only with affinity none. dns: queries get their answers. oneWay: nothing comes back (syslog, statsd). auto: what is a DNS query is treated as one, everything else as one-way."`
	QueryTimeout       Duration               `yaml:"queryTimeout" min:"1ms" usual:"\"5s\"" doc:"Only with affinity none, and not with protocol oneWay: how long a query waits for its answer."`
	Servers            []Server               `yaml:"servers" doc:"The servers."`
	Discovery          Discovery              `yaml:"discovery" lone:"true" doc:"Where further servers are found at run time: one source, or a list of them. Joined with the listed servers."`
	HealthCheck        *HealthCheck           `yaml:"healthCheck" doc:"Active probes of every server."`
	PassiveHealthCheck PassiveHealthCheck     `yaml:"passiveHealthCheck" doc:"What is learned from datagrams that were turned away."`
	SlowStart          Duration               `yaml:"slowStart" min:"0s" doc:"A server that is new or came back reaches its full share over this time; 0 means at once."`
	PanicThreshold     int                    `yaml:"panicThreshold" min:"0" max:"100" doc:"Percent of usable servers under which health is ignored; 0 means never."`
	Responses          int                    `yaml:"responses" min:"0" doc:"End a flow when its server has answered each datagram of the client this many times; 0 means by the idle timeout only. Not with affinity none."`
	Retries            int                    `yaml:"retries" min:"0" max:"3" doc:"Further servers a flow is led to after its server turned datagrams away."`
	ServersTransport   UDPServersTransportRef `yaml:"serversTransport" doc:"The name of an entry of udp.serversTransports, or the object itself."`
}

func (l *UDPLoadBalancer) setDefaults() {
	*l = UDPLoadBalancer{
		Strategy: "wrr", HashKey: "sourceIP", Affinity: "source",
		SlowStart: Duration(10 * time.Second), PanicThreshold: 50, Retries: 2,
	}
}

// settle fills in what has a meaning only for datagrams that are led each by
// itself. Of flows, Protocol and QueryTimeout stay empty.
func (l *UDPLoadBalancer) settle() {
	if l.Affinity != "none" {
		return
	}
	l.Protocol = orDefault(l.Protocol, "auto")
	if l.Protocol != "oneWay" && l.QueryTimeout == 0 {
		l.QueryTimeout = Duration(5 * time.Second)
	}
}

// UDPServersTransportRef is the name of an entry of udp.serversTransports or
// the object itself; UDP.Transport follows it. The zero value is neither.
type UDPServersTransportRef struct {
	Name   string               `yaml:",scalar" doc:"Name of an entry of udp.serversTransports."`
	Inline *UDPServersTransport `yaml:",object" doc:"How the servers are spoken to."`
}

// UDPServersTransport says what goes to a server with a datagram.
type UDPServersTransport struct {
	ProxyProtocol *SendProxyProtocol `yaml:"proxyProtocol" doc:"Send a PROXY protocol header that names the client before each datagram. Only version 2 is made for it."`
}

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
