package config

import "time"

// BasicAuth lets users with a name and a password pass (RFC 7617).
type BasicAuth struct {
	Users        []string `yaml:"users" doc:"Users as htpasswd writes them, name:hash; the hash is bcrypt, apr1 MD5 or {SHA}."`
	UsersFile    string   `yaml:"usersFile" doc:"File with such lines, read anew when it changes. A user who stands in both has the hash of users."`
	Realm        string   `yaml:"realm" doc:"What the password is for, as browsers are told."`
	HeaderField  string   `yaml:"headerField" doc:"Header that tells the server the name of the user."`
	RemoveHeader bool     `yaml:"removeHeader" doc:"Do not send Authorization on."`
}

func (b *BasicAuth) setDefaults() { b.Realm = "traefik" }

// DigestAuth lets users pass who know a password, which they do not send (RFC
// 7616, with MD5 and qop auth).
type DigestAuth struct {
	Users        []string `yaml:"users" doc:"Users as htdigest writes them, name:realm:hash."`
	UsersFile    string   `yaml:"usersFile" doc:"File with such lines, read anew when it changes. A user who stands in both has the hash of users."`
	Realm        string   `yaml:"realm" doc:"What the password is for; the realm of the users who may pass."`
	HeaderField  string   `yaml:"headerField" doc:"Header that tells the server the name of the user."`
	RemoveHeader bool     `yaml:"removeHeader" doc:"Do not send Authorization on."`
}

func (d *DigestAuth) setDefaults() { d.Realm = "traefik" }

// ForwardAuth asks a server of its own whether a request may pass.
type ForwardAuth struct {
	Address                  string          `yaml:"address" need:"true" doc:"URL that is asked; http or https. 2xx lets the request pass, another answer is given to the client."`
	TrustForwardHeader       bool            `yaml:"trustForwardHeader" doc:"Tell it the X-Forwarded-* that trusted proxies have sent, rather than what weir sees itself."`
	AuthRequestHeaders       []string        `yaml:"authRequestHeaders" doc:"Headers of the request that it is told; without the key, all."`
	AuthResponseHeaders      []string        `yaml:"authResponseHeaders" doc:"Headers of its answer that replace those of the request."`
	AuthResponseHeadersRegex string          `yaml:"authResponseHeadersRegex" doc:"Regular expression of further such headers; what a client sends under such a name is removed."`
	AddAuthCookiesToResponse []string        `yaml:"addAuthCookiesToResponse" doc:"Cookies of its answer that the client gets with the response, in place of the server's own."`
	ForwardBody              bool            `yaml:"forwardBody" doc:"Tell it the body of the request too, which is held until it is here."`
	MaxBodySize              int             `yaml:"maxBodySize" min:"-1" max:"16777216" doc:"Bytes of that body; a request with more is answered with 401. -1 means the most there may be."`
	HeaderField              string          `yaml:"headerField" doc:"Header of its answer with the name of the user, for the access log."`
	MaxResponseBodySize      int             `yaml:"maxResponseBodySize" min:"-1" max:"16777216" doc:"Bytes of the body of its answer; more is an error. -1 means the most there may be."`
	PreserveLocationHeader   bool            `yaml:"preserveLocationHeader" doc:"Pass Location on as it is, rather than made absolute by the address."`
	PreserveRequestMethod    bool            `yaml:"preserveRequestMethod" doc:"Ask with the method of the request, rather than GET."`
	AuthSigninURL            string          `yaml:"authSigninURL" doc:"Where a client is redirected whom it answers 401."`
	Timeout                  Duration        `yaml:"timeout" min:"1ms" max:"5m" doc:"It must have answered after this time."`
	TLS                      *ForwardAuthTLS `yaml:"tls" doc:"TLS to an https address."`
}

func (f *ForwardAuth) setDefaults() {
	f.MaxBodySize, f.MaxResponseBodySize, f.Timeout = -1, 1<<20, Duration(30*time.Second)
}

// ForwardAuthTLS is how the server of ForwardAuth is spoken to.
type ForwardAuthTLS struct {
	CA                 string `yaml:"ca" doc:"PEM file with the authorities that sign its certificate; without the key, those of the system."`
	Cert               string `yaml:"cert" doc:"PEM file with a certificate to show it; goes with key."`
	Key                string `yaml:"key" doc:"PEM file with the key of cert."`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify" doc:"Take any certificate. For tests only."`
}

// JWT lets requests with a signed token pass (RFC 7519).
type JWT struct {
	Keys           []JWTKey          `yaml:"keys" doc:"Keys that tokens may be signed with."`
	JWKSURL        string            `yaml:"jwksUrl" doc:"URL of a set of public keys (RFC 7517), https or http; it is fetched when a token comes, and remembered."`
	JWKSRefresh    Duration          `yaml:"jwksRefresh" min:"1s" doc:"After this time the set is fetched again, while tokens are held against the old one."`
	Algorithms     []string          `yaml:"algorithms" doc:"Algorithms that are taken; without the key, those that fit the keys, and no HS* for a set."`
	Issuer         string            `yaml:"issuer" doc:"The iss that tokens must have; without the key, any."`
	Audience       []string          `yaml:"audience" doc:"One of these must be among the aud of a token; without the key, any."`
	Leeway         Duration          `yaml:"leeway" max:"1h" doc:"How far clocks may be apart for exp and nbf."`
	AllowNoExpiry  bool              `yaml:"allowNoExpiry" doc:"Take tokens without exp, which are good for ever."`
	RequiredClaims map[string]string `yaml:"requiredClaims" doc:"Claims a token must have, with their value; a list must hold it."`
	ForwardHeaders map[string]string `yaml:"forwardHeaders" doc:"Headers that tell the server a claim, by the name of the header. What a client sends under such a name is removed."`
	Header         string            `yaml:"header" doc:"Header with the token; a Bearer before it is left out."`
	Cookie         string            `yaml:"cookie" doc:"Cookie with the token, where the header is not there."`
	Query          string            `yaml:"query" doc:"Parameter of the query with the token, where neither is there."`
	RemoveToken    bool              `yaml:"removeToken" doc:"Do not send the header on."`
}

func (j *JWT) setDefaults() {
	*j = JWT{JWKSRefresh: Duration(10 * time.Minute), Leeway: Duration(30 * time.Second), Header: "Authorization"}
}

// JWTKey is one key: File, or one of the secrets.
type JWTKey struct {
	File       string `yaml:"file" doc:"PEM file with a public key, or a certificate: RSA, ECDSA or Ed25519."`
	Secret     string `yaml:"secret" doc:"The secret itself, for HS256, HS384 and HS512; at least 32 bytes."`
	SecretFile string `yaml:"secretFile" doc:"File with such a secret; space around it is left out."`
	ID         string `yaml:"id" doc:"The kid of tokens that this key has signed; without the key, it is tried for any."`
}
