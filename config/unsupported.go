package config

const (
	notServedMessage   = "not served by this version of weir"
	unsupportedMessage = "not supported by weir"
)

// notServed lists what the language knows and this version of weir does not do
// yet, by shape of path; a "=value" at the end means one value of a key. The
// text is a hint and may be empty. Whoever builds one of these deletes its
// line.
var notServed = map[string]string{
	"tcp.services.*.loadBalancer.healthCheck.type=grpc": "",
	"tcp.services.*.loadBalancer.servers[].tls":         "weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them",
	"tcp.services.*.loadBalancer.serversTransport.tls":  "weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them",
	"tcp.serversTransports.*.tls":                       "weir speaks plain TCP to servers; with passthrough the client's own TLS reaches them",
}

// foreign lists the keys of Traefik v3 that weir does not take, by shape of
// path, each with a hint on what to do instead, which may be empty. A "=value"
// at the end means one value of a key that weir does take.
var foreign = map[string]string{
	// Traefik's install configuration.
	"api":                     "the admin endpoint is always there, see admin",
	"certificatesResolvers":   "list certificates in tls.certificates",
	"core":                    "",
	"experimental":            "",
	"global":                  "",
	"hostResolver":            "",
	"metrics":                 "Prometheus metrics are always there, see admin",
	"ocsp":                    "",
	"ping":                    "/livez and /readyz are always there, see admin",
	"providers":               "routing stands in the same file, or name a directory of files",
	"serversTransport":        "",
	"spiffe":                  "",
	"tcpServersTransport":     "write loadBalancer.connect and loadBalancer.serversTransport",
	"log.filePath":            "weir logs to standard error",
	"log.noColor":             "",
	"log.maxSize":             "",
	"log.maxBackups":          "",
	"log.maxAge":              "",
	"log.compress":            "",
	"accessLog.filePath":      "weir calls it path",
	"accessLog.bufferingSize": "",
	"accessLog.filters":       "",
	"accessLog.fields":        "",
	"accessLog.addInternals":  "",

	"tracing.addInternals":     "",
	"tracing.globalAttributes": "write resourceAttributes",

	"entryPoints.*.allowACMEByPass":                                       "",
	"entryPoints.*.forwardedHeaders.addXForwardedSchemeHeaders":           "",
	"entryPoints.*.forwardedHeaders.connection":                           "a header that Connection names goes no further than weir",
	"entryPoints.*.forwardedHeaders.notAppendXForwardedFor":               "",
	"entryPoints.*.http.encodeQuerySemicolons":                            "a query is passed on as it is",
	"entryPoints.*.http.sanitizePath=false":                               "routers and servers must see one path, or a rule could be walked around",
	"entryPoints.*.http.encodedCharacters.allowEncodedNullCharacter=true": "no path has one that means well",
	"entryPoints.*.http.tls.certResolver":                                 "list certificates in tls.certificates",
	"entryPoints.*.http.tls.domains":                                      "list certificates in tls.certificates; the rule says which names are routed",
	"entryPoints.*.http2.maxDecoderHeaderTableSize":                       "",
	"entryPoints.*.http2.maxEncoderHeaderTableSize":                       "",
	"entryPoints.*.http3":                                                 "",
	"entryPoints.*.observability":                                         "",
	"entryPoints.*.reusePort":                                             "weir listens once for each loop anyway",

	"tcp.models":                                   "",
	"tcp.routers.*.observability":                  "",
	"tcp.routers.*.tls.certResolver":               "list certificates in tls.certificates",
	"tcp.routers.*.tls.domains":                    "list certificates in tls.certificates; the rule says which names are routed",
	"tcp.middlewares.*.ipWhiteList":                "write ipAllowList",
	"tcp.middlewares.*.plugin":                     "",
	"tcp.services.*.mirroring":                     "",
	"tcp.services.*.highestRandomWeight":           "write loadBalancer with strategy: hrw",
	"tcp.services.*.loadBalancer.sticky":           "write strategy: maglev, which keeps a client at its server",
	"tcp.services.*.loadBalancer.proxyProtocol":    "write serversTransport: { proxyProtocol: { version: 2 } }",
	"tcp.services.*.loadBalancer.terminationDelay": "each direction of a connection ends on its own, no delay is needed",
	"tcp.services.*.failover.errors":               "",

	"tcp.services.*.loadBalancer.serversTransport.dialTimeout":      "write loadBalancer.connect.timeout",
	"tcp.services.*.loadBalancer.serversTransport.dialKeepAlive":    "",
	"tcp.services.*.loadBalancer.serversTransport.terminationDelay": "each direction of a connection ends on its own, no delay is needed",
	"tcp.serversTransports.*.dialTimeout":                           "write loadBalancer.connect.timeout",
	"tcp.serversTransports.*.dialKeepAlive":                         "",
	"tcp.serversTransports.*.terminationDelay":                      "each direction of a connection ends on its own, no delay is needed",

	"udp.models": "",

	"http.models":                     "",
	"http.routers.*.tls.passthrough":  "passthrough belongs to a router in tcp.routers",
	"http.routers.*.observability":    "",
	"http.routers.*.parentRefs":       "",
	"http.routers.*.tls.certResolver": "list certificates in tls.certificates",
	"http.routers.*.tls.domains":      "list certificates in tls.certificates; the rule says which names are routed",
	"http.middlewares.*.encodedCharacters.allowEncodedNullCharacter=true": "no path has one that means well",
	"http.middlewares.*.forwardAuth.tls.caOptional":                       "",
	"http.middlewares.*.headers.featurePolicy":                            "write permissionsPolicy",
	"http.middlewares.*.headers.sslForceHost":                             "write a redirectRegex",
	"http.middlewares.*.headers.sslHost":                                  "write a redirectRegex",
	"http.middlewares.*.headers.sslRedirect":                              "write redirections of the entrypoint, or redirectScheme",
	"http.middlewares.*.headers.sslTemporaryRedirect":                     "write redirections of the entrypoint, or redirectScheme",
	"http.middlewares.*.ipWhiteList":                                      "write ipAllowList",
	"http.middlewares.*.stripPrefix.forceSlash=false":                     "a path is never empty",
	"http.middlewares.*.rateLimit.redis":                                  "",
	"http.services.*.middlewares":                                         "",

	"http.serversTransports.*.peerCertSANs": "write serverName",
	"http.serversTransports.*.peerCertURI":  "write serverName",
	"http.serversTransports.*.spiffe":       "",

	"http.services.*.loadBalancer.serversTransport.peerCertSANs": "write serverName",
	"http.services.*.loadBalancer.serversTransport.peerCertURI":  "write serverName",
	"http.services.*.loadBalancer.serversTransport.spiffe":       "",

	"tls.stores.*.defaultGeneratedCert": "write defaultCertificate",
}
