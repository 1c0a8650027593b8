package config

import "time"

// HTTPLoadBalancer is an HTTP service with servers of its own. In a loaded Config
// Scheme is never empty.
type HTTPLoadBalancer struct {
	Strategy           string                  `yaml:"strategy" enum:"wrr|leastconn|p2c|hrw|maglev|leasttime|random" doc:"How a server is chosen."`
	HashKey            string                  `yaml:"hashKey" enum:"sourceIP|sourceIPPort" doc:"What maglev and hrw hash."`
	Servers            []HTTPServer            `yaml:"servers" doc:"The servers."`
	Discovery          Discovery               `yaml:"discovery" lone:"true" doc:"Where further servers are found at run time: one source, or a list of them. Joined with the listed servers."`
	Scheme             string                  `yaml:"scheme" enum:"http|https|h2c" usual:"\"http\"" doc:"How discovered servers, and Unix sockets, are spoken to; h2c is HTTP/2 without TLS. Without the key as the listed ones, http where there are none."`
	Sticky             *Sticky                 `yaml:"sticky" doc:"Keeps a client at the server that answered it first."`
	HealthCheck        *HealthCheck            `yaml:"healthCheck" doc:"Active probes of every server."`
	PassiveHealthCheck PassiveHealthCheck      `yaml:"passiveHealthCheck" doc:"What is learned from failed requests: no connection, no answer, and where this key is written a status from 500."`
	PassHostHeader     bool                    `yaml:"passHostHeader" doc:"Send the client's Host header; where not, the host and port of the server's URL."`
	ResponseForwarding ResponseForwarding      `yaml:"responseForwarding" doc:"Accepted for Traefik's sake: weir passes on at once what a server sends."`
	SlowStart          Duration                `yaml:"slowStart" min:"0s" doc:"A server that is new or came back reaches its full share over this time; 0 means at once."`
	PanicThreshold     int                     `yaml:"panicThreshold" min:"0" max:"100" doc:"Percent of usable servers under which health is ignored; 0 means never."`
	Connect            Connect                 `yaml:"connect" doc:"How a server is connected to. A timeout that is not written is the transport's forwardingTimeouts.dialTimeout where that is."`
	Queue              Queue                   `yaml:"queue" doc:"Requests that wait while every server is at its maxConnections."`
	ServersTransport   HTTPServersTransportRef `yaml:"serversTransport" doc:"The name of an entry of http.serversTransports, or the object itself."`
}

func (l *HTTPLoadBalancer) setDefaults() {
	*l = HTTPLoadBalancer{
		Strategy: "wrr", HashKey: "sourceIP", PassHostHeader: true,
		SlowStart: Duration(10 * time.Second), PanicThreshold: 50,
	}
}

// ResponseForwarding is how often Traefik flushes a response. weir has nothing
// to flush.
type ResponseForwarding struct {
	FlushInterval Duration `yaml:"flushInterval" min:"-8784h" doc:"Without effect."`
}

// Sticky keeps a client at one server by a cookie.
type Sticky struct {
	Cookie *Cookie `yaml:"cookie" need:"true" doc:"The cookie."`
}

// Cookie is the cookie of a sticky service (RFC 6265).
type Cookie struct {
	Name     string `yaml:"name" doc:"Name of the cookie; without the key, one made from the name of the service."`
	Secure   bool   `yaml:"secure" doc:"Clients send it over HTTPS only."`
	HTTPOnly bool   `yaml:"httpOnly" doc:"Scripts in the page do not see it."`
	SameSite string `yaml:"sameSite" enum:"none|lax|strict" doc:"Whether clients send it along from other sites; without the key, as they like."`
	MaxAge   int    `yaml:"maxAge" min:"0" doc:"Seconds that clients keep it; 0 means until they are closed."`
	Path     string `yaml:"path" doc:"Path under which clients send it."`
	KeyFile  string `yaml:"keyFile" doc:"File with the secret that signs the cookie, at least 16 bytes: the same on every node, so that clients keep their server whichever node they meet. Without it, sessions last as long as the process."`
	Domain   string `yaml:"domain" doc:"Domain to which clients send it; without the key, the host that was asked."`
}

func (c *Cookie) setDefaults() { c.Path = "/" }
