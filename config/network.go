package config

// tcpKeys lists the keys of an entrypoint that have no meaning for UDP, each
// with a hint on what to do instead, which may be empty.
var tcpKeys = map[string]string{
	"asDefault":                      "a UDP router without entryPoints takes all UDP entrypoints",
	"proxyProtocol":                  "",
	"forwardedHeaders":               "",
	"http":                           "",
	"http2":                          "",
	"maxConnections":                 "write udp.maxSessions",
	"transport.sniffTimeout":         "",
	"transport.idleTimeout":          "write udp.timeout",
	"transport.respondingTimeouts":   "",
	"transport.keepAliveMaxRequests": "",
	"transport.keepAliveMaxTime":     "",
}

// networkKeys holds an entrypoint against what its network can do, and gives
// one of UDP its limits.
func (c *checker) networkKeys(at string, e *EntryPoint, network string) {
	if network == "tcp" {
		if e.UDP != nil {
			c.failf(at+".udp", "only for an address that ends in /udp")
		}
		return
	}
	for _, key := range sortedKeys(tcpKeys) {
		if c.written(at + "." + key) {
			c.fail(at+"."+key, "has no meaning for a UDP entrypoint", tcpKeys[key])
		}
	}
	if e.UDP == nil {
		e.UDP = new(UDPSessions)
		e.UDP.setDefaults()
	}
}
