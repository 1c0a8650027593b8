package config

import "math"

// EntryPointHTTP is what holds for all HTTP requests of an entrypoint,
// whichever router takes them.
type EntryPointHTTP struct {
	Redirections        *Redirections     `yaml:"redirections" doc:"Sends plain HTTP requests elsewhere."`
	Middlewares         []string          `yaml:"middlewares" doc:"HTTP middlewares that see every request before those of its router do."`
	TLS                 *HTTPRouterTLS    `yaml:"tls" doc:"Routers without tls take HTTPS requests only, as if they had this one."`
	MaxHeaderBytes      int               `yaml:"maxHeaderBytes" min:"1024" max:"1048576" doc:"Bytes of a request's head; a longer one is answered with 431."`
	MaxRequestBodyBytes int               `yaml:"maxRequestBodyBytes" min:"0" doc:"Bytes of a request's body; a longer one is answered with 413. 0 means no limit."`
	UnderscoreHeaders   string            `yaml:"underscoreHeadersStrategy" enum:"droplookalikes|keep|delete|reject" doc:"Header names with an underscore: remove those that some servers take for a name weir itself sets, keep all, delete all, or answer with 400."`
	SanitizePath        bool              `yaml:"sanitizePath" doc:"Accepted for Traefik's sake and always true: routers and servers see one cleaned path."`
	EncodedCharacters   EncodedCharacters `yaml:"encodedCharacters" doc:"Percent-encoded characters a path may hold; a request with another one is answered with 400."`
}

func (h *EntryPointHTTP) setDefaults() {
	*h = EntryPointHTTP{MaxHeaderBytes: 32 << 10, UnderscoreHeaders: "droplookalikes", SanitizePath: true}
}

// EntryPointHTTP2 holds for all connections of HTTP/2.
type EntryPointHTTP2 struct {
	MaxConcurrentStreams int `yaml:"maxConcurrentStreams" min:"1" max:"10000" doc:"Requests that a client may have under way at one time on one connection."`
}

func (h *EntryPointHTTP2) setDefaults() { h.MaxConcurrentStreams = 250 }

// Redirections sends the plain HTTP requests of an entrypoint elsewhere.
type Redirections struct {
	EntryPoint *EntryPointRedirection `yaml:"entryPoint" need:"true" doc:"To another entrypoint."`
}

// EntryPointRedirection is a router that weir makes: it takes every plain HTTP
// request of its entrypoint that no router of a higher priority takes.
// [Config.RedirectPort] tells where to.
type EntryPointRedirection struct {
	To        string `yaml:"to" need:"true" doc:"An entrypoint, or a port as \":443\"."`
	Scheme    string `yaml:"scheme" enum:"http|https" doc:"Scheme of the new URL."`
	Permanent bool   `yaml:"permanent" doc:"Say that the redirect is for good."`
	Priority  int    `yaml:"priority" doc:"Priority among the routers of the entrypoint."`
}

func (r *EntryPointRedirection) setDefaults() {
	*r = EntryPointRedirection{Scheme: "https", Permanent: true, Priority: math.MaxInt32 - 1}
}

// EncodedCharacters lists the percent-encoded characters whose meaning servers
// disagree about, by the names of Traefik.
type EncodedCharacters struct {
	AllowEncodedSlash         bool `yaml:"allowEncodedSlash" doc:"%2F."`
	AllowEncodedBackSlash     bool `yaml:"allowEncodedBackSlash" doc:"%5C."`
	AllowEncodedNullCharacter bool `yaml:"allowEncodedNullCharacter" doc:"%00; always false."`
	AllowEncodedSemicolon     bool `yaml:"allowEncodedSemicolon" doc:"%3B."`
	AllowEncodedPercent       bool `yaml:"allowEncodedPercent" doc:"%25."`
	AllowEncodedQuestionMark  bool `yaml:"allowEncodedQuestionMark" doc:"%3F."`
	AllowEncodedHash          bool `yaml:"allowEncodedHash" doc:"%23."`
}

func (e *EncodedCharacters) setDefaults() {
	*e = EncodedCharacters{
		AllowEncodedSlash: true, AllowEncodedBackSlash: true, AllowEncodedSemicolon: true,
		AllowEncodedPercent: true, AllowEncodedQuestionMark: true, AllowEncodedHash: true,
	}
}

// RedirectPort returns the port that r sends clients to; it is valid, and not
// 0, in a loaded Config.
func (c *Config) RedirectPort(r *EntryPointRedirection) uint16 {
	if e := c.EntryPoints[r.To]; e != nil {
		return e.Listen().First
	}
	port, _ := redirectPort(r.To)
	return port
}

// redirectPort reads the :port form of a redirection's goal.
func redirectPort(to string) (port uint16, ok bool) {
	if len(to) < 2 || to[0] != ':' {
		return 0, false
	}
	port, err := parsePort(to[1:])
	return port, err == nil && port != 0
}
