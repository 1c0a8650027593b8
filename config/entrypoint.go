package config

import (
	"net/netip"
	"time"
)

// EntryPoint is one place where weir listens.
type EntryPoint struct {
	Address          string           `yaml:"address" need:"true" doc:"[ip]:port or [ip]:first-last, then nothing, /tcp or /udp. Without an ip: all IPv4 and IPv6 addresses."`
	AsDefault        bool             `yaml:"asDefault" doc:"TCP and HTTP routers that name no entrypoint use the marked ones; where none is marked, all TCP entrypoints."`
	ProxyProtocol    *ProxyProtocol   `yaml:"proxyProtocol" doc:"PROXY protocol v1 and v2 from trusted peers."`
	Transport        Transport        `yaml:"transport" doc:"Deadlines of connections, and what happens at a stop."`
	ForwardedHeaders ForwardedHeaders `yaml:"forwardedHeaders" doc:"Whose X-Forwarded-* headers are believed; those of anyone else are removed."`
	HTTP             EntryPointHTTP   `yaml:"http" doc:"What holds for all HTTP requests of this entrypoint."`
	MaxConnections   int              `yaml:"maxConnections" min:"0" doc:"Open client connections of this entrypoint; 0 means no limit of its own."`
	HTTP2            EntryPointHTTP2  `yaml:"http2" doc:"HTTP/2, which clients agree on over TLS (alpnProtocols), or begin with on plain HTTP."`
	UDP              *UDPSessions     `yaml:"udp" doc:"Limits of UDP; only for a /udp address. Of the other keys, such an entrypoint has transport.lifeCycle alone."`
}

// ProxyProtocol says from whom a PROXY protocol header is believed. Headers
// from anyone else are not parsed: their bytes are the client's bytes.
type ProxyProtocol struct {
	TrustedIPs []netip.Prefix `yaml:"trustedIPs" doc:"Peers whose header is believed, as addresses or networks."`
	Insecure   bool           `yaml:"insecure" doc:"Believe everyone. For tests only."`
	Require    bool           `yaml:"require" doc:"Refuse a trusted peer's connection that starts without a header, and every untrusted peer."`
}

// ForwardedHeaders says from whom X-Forwarded-* headers are believed. From
// anyone else they are the client's claims about itself and are removed.
type ForwardedHeaders struct {
	TrustedIPs []netip.Prefix `yaml:"trustedIPs" doc:"Peers whose X-Forwarded-* headers are kept and added to, as addresses or networks."`
	Insecure   bool           `yaml:"insecure" doc:"Believe everyone. For tests only."`
}

// Transport holds the deadlines of an entrypoint's connections.
type Transport struct {
	SniffTimeout         Duration           `yaml:"sniffTimeout" min:"1ms" doc:"From accept to the routing decision, absolute."`
	IdleTimeout          Duration           `yaml:"idleTimeout" min:"0s" doc:"A relayed connection without a byte either way is closed after this time; 0 means never."`
	RespondingTimeouts   RespondingTimeouts `yaml:"respondingTimeouts" doc:"Deadlines of HTTP requests."`
	KeepAliveMaxRequests int                `yaml:"keepAliveMaxRequests" min:"0" doc:"HTTP requests after which a client's connection is closed; 0 means never."`
	KeepAliveMaxTime     Duration           `yaml:"keepAliveMaxTime" min:"0s" doc:"Age at which a client's HTTP connection is closed after the request in progress; 0 means never."`
	LifeCycle            LifeCycle          `yaml:"lifeCycle" doc:"What happens at a graceful stop."`
}

func (t *Transport) setDefaults() {
	t.SniffTimeout = Duration(10 * time.Second)
	t.IdleTimeout = Duration(10 * time.Minute)
}

// RespondingTimeouts are the deadlines of HTTP requests, towards the client.
type RespondingTimeouts struct {
	ReadTimeout  Duration `yaml:"readTimeout" min:"0s" doc:"A request's head must be complete this long after its first byte, and its body must not pause for longer; 0 means never."`
	WriteTimeout Duration `yaml:"writeTimeout" min:"0s" doc:"A response must be delivered this long after its request's head was read; 0 means never."`
	IdleTimeout  Duration `yaml:"idleTimeout" min:"0s" doc:"A client's HTTP connection without a request is closed after this time; 0 means never."`
}

func (r *RespondingTimeouts) setDefaults() {
	*r = RespondingTimeouts{ReadTimeout: Duration(60 * time.Second), IdleTimeout: Duration(180 * time.Second)}
}

// LifeCycle times the two phases of a graceful stop.
type LifeCycle struct {
	RequestAcceptGraceTimeout Duration `yaml:"requestAcceptGraceTimeout" min:"0s" doc:"How long connections are still accepted after readiness has gone red."`
	GraceTimeOut              Duration `yaml:"graceTimeOut" min:"0s" doc:"How long open connections may go on afterwards before they are cut."`
}

func (l *LifeCycle) setDefaults() { l.GraceTimeOut = Duration(30 * time.Second) }

// UDPSessions bounds the flows of a UDP entrypoint, or the queries that wait
// where its datagrams are led each by itself. In a loaded Config, entrypoints of
// UDP have one and others have none.
type UDPSessions struct {
	Timeout              Duration `yaml:"timeout" min:"1ms" doc:"A flow without a datagram either way ends after this time."`
	MaxSessions          int      `yaml:"maxSessions" min:"1" doc:"Flows at one time; with affinity none, queries that wait for their answers."`
	MaxSessionsPerSource int      `yaml:"maxSessionsPerSource" min:"1" doc:"Flows of one client address at one time; without a meaning with affinity none."`
	MaxAmplification     int      `yaml:"maxAmplification" min:"0" doc:"A client that has sent once may draw at most this many times its bytes until it sends again after an answer; 0 means no bound. Against floods in a forged name. Not with affinity none."`
}

func (u *UDPSessions) setDefaults() {
	*u = UDPSessions{Timeout: Duration(60 * time.Second), MaxSessions: 65536, MaxSessionsPerSource: 256}
}
