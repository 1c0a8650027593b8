package config

import (
	"fmt"
	"time"
)

// HTTPServersTransportRef is the name of an entry of http.serversTransports or
// the object itself; HTTP.Transport follows it. The zero value is neither.
type HTTPServersTransportRef struct {
	Name   string                `yaml:",scalar" doc:"Name of an entry of http.serversTransports."`
	Inline *HTTPServersTransport `yaml:",object" doc:"How the servers are spoken to."`
}

// HTTPServersTransport says how HTTP servers are spoken to. The TLS keys hold
// for https servers.
type HTTPServersTransport struct {
	ServerName          string             `yaml:"serverName" doc:"Name asked for, and looked for in the server's certificate; without the key, the server's address is looked for and no name is asked for."`
	InsecureSkipVerify  bool               `yaml:"insecureSkipVerify" doc:"Take any certificate. For tests only."`
	RootCAs             []string           `yaml:"rootCAs" doc:"PEM files with the authorities that sign the servers' certificates; without the key, those of the system."`
	Certificates        []KeyPair          `yaml:"certificates" doc:"Certificates shown to servers that ask for one."`
	CipherSuites        []string           `yaml:"cipherSuites" doc:"Cipher suites up to TLS 1.2, by their IANA names."`
	MinVersion          string             `yaml:"minVersion" enum:"VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13" doc:"Lowest version spoken."`
	MaxVersion          string             `yaml:"maxVersion" enum:"VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13" doc:"Highest version spoken; without the key, the highest there is."`
	MaxIdleConnsPerHost int                `yaml:"maxIdleConnsPerHost" min:"-1" max:"1000000" doc:"Idle connections kept to one server for long; 0 and -1 keep none."`
	MaxRequestsPerConn  int                `yaml:"maxRequestsPerConn" min:"0" doc:"Requests after which a connection is not used again; 0 means no limit."`
	DisableHTTP2        bool               `yaml:"disableHTTP2" doc:"Speak HTTP/1.1 to https servers; without the key, HTTP/2 to those that pick it in the TLS handshake."`
	ForwardingTimeouts  ForwardingTimeouts `yaml:"forwardingTimeouts" doc:"Deadlines towards the servers."`
	ProxyProtocol       *SendProxyProtocol `yaml:"proxyProtocol" doc:"Send a PROXY protocol header that names the client; every client then has connections of its own."`
}

func (t *HTTPServersTransport) setDefaults() {
	*t = HTTPServersTransport{MinVersion: "VersionTLS12", MaxIdleConnsPerHost: 200}
}

// ForwardingTimeouts are the deadlines towards HTTP servers. DialTimeout is 0
// where it is not written; what counts is the Connect.Timeout of the service,
// into which it went.
type ForwardingTimeouts struct {
	DialTimeout           Duration `yaml:"dialTimeout" min:"0s" doc:"Deadline of one attempt to connect, for services whose connect.timeout is not written; 0 leaves it at the default of that."`
	ResponseHeaderTimeout Duration `yaml:"responseHeaderTimeout" min:"0s" doc:"A response's head must come this long after the request was sent; 0 leaves it at the entrypoint's idleTimeout."`
	IdleConnTimeout       Duration `yaml:"idleConnTimeout" min:"0s" doc:"An idle connection is closed after this time; 0 means never."`
	ReadIdleTimeout       Duration `yaml:"readIdleTimeout" min:"0s" doc:"HTTP/2: a server that has requests and has said nothing for this time is sent a PING; 0 means never. Servers of gRPC close connections that get more than one in five minutes."`
	PingTimeout           Duration `yaml:"pingTimeout" min:"0s" doc:"HTTP/2: a connection whose server does not answer a PING in this time is closed; 0 means never."`
}

func (t *ForwardingTimeouts) setDefaults() {
	t.IdleConnTimeout, t.ReadIdleTimeout, t.PingTimeout = Duration(90*time.Second), Duration(6*time.Minute), Duration(15*time.Second)
}

// Transport returns how the servers of lb are spoken to, following a reference
// by name. It never returns nil.
func (h *HTTP) Transport(lb *HTTPLoadBalancer) *HTTPServersTransport {
	if lb.ServersTransport.Inline != nil {
		return lb.ServersTransport.Inline
	}
	if named := h.ServersTransports[lb.ServersTransport.Name]; named != nil {
		return named
	}
	usual := new(HTTPServersTransport)
	usual.setDefaults()
	usual.ForwardingTimeouts.setDefaults()
	return usual
}

// httpTransport is one description of how HTTP servers are spoken to, and the
// path where it stands.
type httpTransport struct {
	at string
	*HTTPServersTransport
}

// httpTransports returns all of them: the named ones, then those that stand in
// a service itself.
func (c *Config) httpTransports() []httpTransport {
	if c.HTTP == nil {
		return nil
	}
	var all []httpTransport
	for _, name := range sortedKeys(c.HTTP.ServersTransports) {
		all = append(all, httpTransport{"http.serversTransports." + name, c.HTTP.ServersTransports[name]})
	}
	for _, name := range sortedKeys(c.HTTP.Services) {
		if l := c.HTTP.Services[name].LoadBalancer; l != nil && l.ServersTransport.Inline != nil {
			at := fmt.Sprintf("http.services.%s.loadBalancer.serversTransport", name)
			all = append(all, httpTransport{at, l.ServersTransport.Inline})
		}
	}
	return all
}
