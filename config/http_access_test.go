package config

import (
	"slices"
	"strings"
	"testing"
)

// middlewareProblems are what is wrong with one middleware, without where it stands.
func middlewareProblems(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("weir.yaml", []byte("http:\n  middlewares:\n    m: "+text+"\n"))
	if err == nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(err.Error()) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ": http.middlewares.m.")
		all = append(all, rest)
	}
	return all
}

// checkMiddlewares holds what is wrong with middlewares against a table: each line is a middleware and the starts of
// what is said about it.
func checkMiddlewares(t *testing.T, table map[string][]string) {
	t.Helper()
	for text, want := range table {
		got := middlewareProblems(t, text)
		slices.Sort(got)
		slices.Sort(want)
		if len(got) != len(want) {
			t.Errorf("%s\n gives %d problems, want %d: %q", text, len(got), len(want), got)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s\n gives %q\n  want %q", text, got[i], want[i])
			}
		}
	}
}

func TestCheckHeaders(t *testing.T) {
	checkMiddlewares(t, map[string][]string{
		`{headers: {}}`: nil,
		`{headers: {customRequestHeaders: {X-A: "", X-B: "b"}, customResponseHeaders: {Server: ""}, stsSeconds: 5, addVaryHeader: true}}`: nil,
		`{headers: {customRequestHeaders: {"X A": b, Connection: close, content-length: "1", Host: ""}}}`: {
			"headers.customRequestHeaders.Connection: belongs to the connection", `headers.customRequestHeaders.Host: "" is not a host`,
			`headers.customRequestHeaders.X A: "X A" is not a header name`, "headers.customRequestHeaders.content-length: belongs",
		},
		`{headers: {customResponseHeaders: {X-A: a, x-a: b, Host: c, X-C: " d", X-D: "a\nb"}}}`: {
			"headers.customResponseHeaders.Host: no response", `headers.customResponseHeaders.X-C: " d" begins`,
			`headers.customResponseHeaders.X-D: "a\nb" has a control`, "headers.customResponseHeaders.x-a: is X-A already",
		},
		`{headers: {accessControlAllowOriginListRegex: ["("], accessControlAllowMethods: ["a b"], stsSeconds: -1, referrerPolicy: "a\r\nb"}}`: {
			"headers.accessControlAllowMethods[0]: ", "headers.accessControlAllowOriginListRegex[0]: \"(\" is not a regular expression", "headers.stsSeconds: -1 is less", "headers.referrerPolicy: ",
		},
		`{headers: {sslRedirect: true, featurePolicy: x}}`: {
			"headers.featurePolicy: not supported by weir (write permissionsPolicy)", "headers.sslRedirect: not supported by weir (write redirections",
		},
	})
}

func TestCheckAccess(t *testing.T) {
	checkMiddlewares(t, map[string][]string{
		`{basicAuth: {users: ["a:b"], realm: "my shop", headerField: X-User}}`: nil,
		`{basicAuth: {usersFile: /etc/weir/users}}`:                            nil,
		`{basicAuth: {}}`: {"basicAuth: has no users"},
		`{basicAuth: {users: [secret, "a:b:c"], realm: 'a"b', headerField: Connection}}`: {
			"basicAuth.headerField: Connection cannot be set here", `basicAuth.realm: "a\"b" is not a realm`, "basicAuth.users[0]: is no user (write name:hash",
		},
		`{basicAuth: {users: ["a:b"], usersFile: "-----BEGIN"}}`:                                                               {"basicAuth.usersFile: PEM text"},
		`{forwardAuth: {address: "http://10.0.0.1/auth", maxResponseBodySize: -1, forwardBody: false, authSigninURL: /login}}`: nil,
		`{digestAuth: {users: ["a:b:c"], removeHeader: true}}`:                                                                 nil,
		`{digestAuth: {users: ["a:b"], headerField: "x y"}}`:                                                                   {"digestAuth.headerField: \"x y\" is not", "digestAuth.users[0]: is no user (write name:realm:hash"},
		`{forwardAuth: {}}`: {"forwardAuth.address: missing"},
		`{forwardAuth: {address: "tcp://x", authResponseHeaders: [Host, "a b"], authResponseHeadersRegex: "(", addAuthCookiesToResponse: ["a=b"]}}`: {
			"forwardAuth.address: \"tcp://x\" is not a URL", "forwardAuth.addAuthCookiesToResponse[0]: \"a=b\" is not the name", "forwardAuth.authResponseHeadersRegex: \"(\" is not a regular expression",
			"forwardAuth.authResponseHeaders[0]: Host cannot be set", "forwardAuth.authResponseHeaders[1]: \"a b\" is not a header",
		},
		`{forwardAuth: {address: "http://x/#y", tls: {cert: a}, timeout: 6m}}`: {
			"forwardAuth.address: a fragment", "forwardAuth.timeout: 6m0s is more", "forwardAuth.tls: cert and key",
		},
		`{forwardAuth: {address: "http://x", forwardBody: true, maxBodySize: 0}}`:        nil,
		`{forwardAuth: {address: "http://x", forwardBody: true, maxBodySize: 16777217}}`: {"forwardAuth.maxBodySize: 16777217 is more"},
		`{forwardAuth: {address: "http://x", tls: {}}}`:                                  {"forwardAuth.tls: the address is not https"},
	})
}

func TestCheckSources(t *testing.T) {
	checkMiddlewares(t, map[string][]string{
		`{inFlightReq: {amount: 5}}`:                      nil,
		`{inFlightReq: {amount: 5, sourceCriterion: {}}}`: nil,
		`{rateLimit: {average: 5, sourceCriterion: {ipStrategy: {excludedIPs: [10.0.0.0/8], ipv6Subnet: 64}}}}`: nil,
		`{ipDenyList: {sourceRange: [10.0.0.0/8], ipStrategy: {depth: 2}}}`:                                     nil,
		`{ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {depth: 1, excludedIPs: [10.0.0.1], ipv6Subnet: 129}}}`: {
			"ipAllowList.ipStrategy.excludedIPs: has no meaning with depth", "ipAllowList.ipStrategy.ipv6Subnet: 129 is more",
		},
		`{inFlightReq: {sourceCriterion: {requestHost: true, requestHeaderName: "a b", ipStrategy: {depth: -1}}}}`: {
			"inFlightReq.amount: missing", "inFlightReq.sourceCriterion.ipStrategy.depth: -1 is less", `inFlightReq.sourceCriterion.requestHeaderName: "a b" is not`,
			"inFlightReq.sourceCriterion: is ipStrategy and requestHeaderName and requestHost at the same time",
		},
		`{rateLimit: {average: 5, redis: {}}}`: {"rateLimit.redis: not supported by weir"},
		`{ipDenyList: {}}`:                     {"ipDenyList.sourceRange: missing"},
	})
}

func TestCheckJWT(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	checkMiddlewares(t, map[string][]string{
		`{jwt: {keys: [{secret: ` + secret + `, id: a}, {file: /a.pem}, {secretFile: /b}]}}`:                                          nil,
		`{jwt: {jwksUrl: "https://id.example.com/keys", algorithms: [RS256], forwardHeaders: {X-User: sub}, requiredClaims: {a: b}}}`: nil,
		`{jwt: {}}`: {"jwt: has no keys"},
		`{jwt: {keys: [{}, {secret: ` + secret + `, file: a}, {secret: short}], algorithms: [none, RS265]}}`: {
			"jwt.algorithms[0]: unknown algorithm \"none\"", "jwt.algorithms[1]: unknown algorithm \"RS265\" (did you mean \"RS256\"", "jwt.keys[0]: is not exactly one", "jwt.keys[1]: is not exactly one",
			"jwt.keys[2].secret: has 5 bytes",
		},
		`{jwt: {jwksUrl: "id.example.com", algorithms: [HS256], header: "", forwardHeaders: {Host: sub, X-A: ""}}}`: {
			"jwt.algorithms[0]: HS256 needs a secret", "jwt.forwardHeaders.Host: Host cannot", "jwt.forwardHeaders.X-A: must not be empty", "jwt.header: must not be empty", "jwt.jwksUrl: ",
		},
	})
}

func TestCheckGRPCWeb(t *testing.T) {
	checkMiddlewares(t, map[string][]string{
		`{grpcWeb: {}}`: nil,
		`{grpcWeb: {allowOrigins: ["*", "https://a.test", "http://[::1]:8080", "capacitor://localhost", "null"]}}`: nil,
		`{grpcWeb: {allowOrigins: ["https://a.test/", a.test, "", "https://a.test?x", "https://u@a.test", "https://*"]}}`: {
			`grpcWeb.allowOrigins[0]: "https://a.test/" is not an origin`, `grpcWeb.allowOrigins[1]: "a.test" is not`, `grpcWeb.allowOrigins[2]: `, `grpcWeb.allowOrigins[3]: `, `grpcWeb.allowOrigins[4]: `, `grpcWeb.allowOrigins[5]: `,
		},
	})
}

func TestCheckIdentity(t *testing.T) {
	checkMiddlewares(t, map[string][]string{
		`{passTLSClientCert: {pem: true}}`:                                               nil,
		`{passTLSClientCert: {info: {sans: true, subject: {organizationalUnit: true}}}}`: nil,
		`{passTLSClientCert: {}}`:                                                        {"passTLSClientCert: tells nothing"},
		`{passTLSClientCert: {info: {issuer: {organizationalUnit: true}}}}`:              {"passTLSClientCert.info.issuer.organizationalUnit: unknown key"},
		`{requestID: {}}`: nil,
		`{requestID: {headerName: "", trustClient: true}}`: {"requestID.headerName: must not be empty"},
		`{requestID: {headerName: Upgrade}}`:               {"requestID.headerName: Upgrade cannot be set"},
	})
}
