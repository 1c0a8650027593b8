package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// httpAccess checks the middlewares that say who may pass, and who it was.
func (c *checker) httpAccess(at string, m *HTTPMiddleware) {
	if b := m.BasicAuth; b != nil {
		c.users(at+".basicAuth", b.Users, b.UsersFile, 2, "name:hash, as htpasswd writes it")
		c.realm(at+".basicAuth.realm", b.Realm)
		c.editable(at+".basicAuth.headerField", b.HeaderField)
	}
	if d := m.DigestAuth; d != nil {
		c.users(at+".digestAuth", d.Users, d.UsersFile, 3, "name:realm:hash, as htdigest writes it")
		c.realm(at+".digestAuth.realm", d.Realm)
		c.editable(at+".digestAuth.headerField", d.HeaderField)
	}
	if f := m.ForwardAuth; f != nil {
		c.forwardAuth(at+".forwardAuth", f)
	}
	if r := m.InFlightReq; r != nil {
		c.sourceCriterion(at+".inFlightReq.sourceCriterion", r.SourceCriterion)
	}
	if r := m.RateLimit; r != nil {
		c.sourceCriterion(at+".rateLimit.sourceCriterion", r.SourceCriterion)
	}
	if l := m.IPAllowList; l != nil {
		c.ipStrategy(at+".ipAllowList.ipStrategy", l.IPStrategy)
	}
	if l := m.IPDenyList; l != nil {
		c.ipStrategy(at+".ipDenyList.ipStrategy", l.IPStrategy)
	}
	if j := m.JWT; j != nil {
		c.jwt(at+".jwt", j)
	}
	if r := m.RequestID; r != nil {
		c.editable(at+".requestID.headerName", r.HeaderName)
		if r.HeaderName == "" {
			c.fail(at+".requestID.headerName", "must not be empty", "leave it out for X-Request-Id")
		}
	}
	if p := m.PassTLSClientCert; p != nil && !p.PEM && p.Info == nil {
		c.fail(at+".passTLSClientCert", "tells nothing", "write pem: true or info")
	}
	if g := m.GRPCWeb; g != nil {
		c.grpcWeb(at+".grpcWeb", g)
	}
	if h := m.Headers; h != nil {
		c.headersMiddleware(at+".headers", h)
	}
}

// users checks lines of a file of passwords that stand in the configuration.
func (c *checker) users(at string, users []string, file string, parts int, form string) {
	if len(users) == 0 && file == "" && !c.brokenWithin(at) {
		c.fail(at, "has no users", "write users or usersFile")
	}
	c.notContent(at+".usersFile", file)
	for i, line := range users {
		fields := strings.SplitN(line, ":", parts)
		if len(fields) != parts || slices.Contains(fields, "") {
			// The line may hold a password: it is not repeated.
			c.fail(fmt.Sprintf("%s.users[%d]", at, i), "is no user", "write "+form)
		}
	}
}

// realm refuses what cannot stand in a quoted string as it is.
func (c *checker) realm(at, realm string) {
	if realm == "" || strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
		c.failf(at, "%q is not a realm: it has visible ASCII but quotes and backslashes", abbreviated(realm))
	}
}

// connectionHeaders belong to a connection or frame a message: nobody edits
// them.
var connectionHeaders = []string{"connection", "content-length", "http2-settings", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}

// editable checks the name of a header that weir sets, where there is one.
func (c *checker) editable(at, name string) {
	switch {
	case name == "":
	case !isToken(name):
		c.failf(at, "%q is not a header name", abbreviated(name))
	case strings.EqualFold(name, "host"), slices.Contains(connectionHeaders, strings.ToLower(name)):
		c.failf(at, "%s cannot be set here", name)
	}
}

// webURL checks the URL of a server that weir asks.
func (c *checker) webURL(at, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		c.fail(at, fmt.Sprintf("%q is not a URL that can be asked", abbreviated(text)), `write it like "https://auth.example.com/verify"`)
	case u.Fragment != "":
		c.fail(at, "a fragment in the URL would not be sent", "remove what follows the #")
	}
}

func (c *checker) forwardAuth(at string, f *ForwardAuth) {
	c.webURL(at+".address", f.Address)
	for i, name := range f.AuthRequestHeaders {
		if !isToken(name) && name != "" {
			c.failf(fmt.Sprintf("%s.authRequestHeaders[%d]", at, i), "%q is not a header name", abbreviated(name))
		}
	}
	for i, name := range f.AuthResponseHeaders {
		c.editable(fmt.Sprintf("%s.authResponseHeaders[%d]", at, i), name)
	}
	for i, name := range f.AddAuthCookiesToResponse {
		if !isToken(name) && name != "" {
			c.failf(fmt.Sprintf("%s.addAuthCookiesToResponse[%d]", at, i), "%q is not the name of a cookie", abbreviated(name))
		}
	}
	if f.AuthResponseHeadersRegex != "" {
		c.regexp(at+".authResponseHeadersRegex", f.AuthResponseHeadersRegex)
	}
	if f.HeaderField != "" && !isToken(f.HeaderField) {
		c.failf(at+".headerField", "%q is not a header name", abbreviated(f.HeaderField))
	}
	if s := f.AuthSigninURL; s != "" {
		if u, err := url.Parse(s); err != nil || strings.ContainsFunc(s, notVisible) || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			c.failf(at+".authSigninURL", "%q is not a URL", abbreviated(s))
		}
	}
	for _, size := range [...]*int{&f.MaxBodySize, &f.MaxResponseBodySize} {
		if *size < 0 {
			*size = 16 << 20
		}
	}
	if t := f.TLS; t != nil {
		c.callTLS(at+".tls", t.CA, t.Cert, t.Key)
		if strings.HasPrefix(f.Address, "http://") {
			c.fail(at+".tls", "the address is not https", "write https:// or remove tls")
		}
	}
}

// source checks what tells clients apart.
func (c *checker) sourceCriterion(at string, s *SourceCriterion) {
	if s == nil {
		return
	}
	var given []string
	if s.IPStrategy != nil {
		given = append(given, "ipStrategy")
		c.ipStrategy(at+".ipStrategy", s.IPStrategy)
	}
	if s.RequestHeaderName != "" {
		given = append(given, "requestHeaderName")
		if !isToken(s.RequestHeaderName) {
			c.failf(at+".requestHeaderName", "%q is not a header name", abbreviated(s.RequestHeaderName))
		}
	}
	if s.RequestHost {
		given = append(given, "requestHost")
	}
	if len(given) > 1 {
		c.fail(at, "is "+strings.Join(given, " and ")+" at the same time", "keep one of them")
	}
}

func (c *checker) ipStrategy(at string, s *IPStrategy) {
	if s != nil && s.Depth > 0 && len(s.ExcludedIPs) > 0 {
		c.fail(at+".excludedIPs", "has no meaning with depth", "keep one of them")
	}
}

// jwtAlgorithms are the algorithms of tokens; none is not one.
var jwtAlgorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func (c *checker) jwt(at string, j *JWT) {
	if len(j.Keys) == 0 && j.JWKSURL == "" && !c.brokenWithin(at) {
		c.fail(at, "has no keys", "write keys or jwksUrl")
	}
	c.webURL(at+".jwksUrl", j.JWKSURL)
	secrets := false
	for i := range j.Keys {
		k, here := &j.Keys[i], fmt.Sprintf("%s.keys[%d]", at, i)
		var given []string
		for _, v := range []struct{ key, value string }{{"file", k.File}, {"secret", k.Secret}, {"secretFile", k.SecretFile}} {
			if v.value != "" {
				given = append(given, v.key)
			}
		}
		if len(given) != 1 && !c.brokenWithin(here) {
			c.fail(here, "is not exactly one of file, secret and secretFile", "give each key a place of its own in the list")
		}
		c.notContent(here+".file", k.File)
		c.notContent(here+".secretFile", k.SecretFile)
		if k.Secret != "" {
			c.jwtSecret(here+".secret", k.Secret)
		}
		secrets = secrets || k.File == ""
	}
	c.listed(at+".algorithms", j.Algorithms, jwtAlgorithms, "algorithm")
	for i, name := range j.Algorithms {
		if strings.HasPrefix(name, "HS") && !secrets {
			c.fail(fmt.Sprintf("%s.algorithms[%d]", at, i), name+" needs a secret", "whoever knows a public key could sign tokens with it")
		}
	}
	for _, name := range sortedKeys(j.ForwardHeaders) {
		c.editable(at+".forwardHeaders."+name, name)
		if j.ForwardHeaders[name] == "" {
			c.failf(at+".forwardHeaders."+name, "must not be empty")
		}
	}
	if j.Header != "" && !isToken(j.Header) {
		c.failf(at+".header", "%q is not a header name", abbreviated(j.Header))
	}
	if j.Cookie != "" && !isToken(j.Cookie) {
		c.failf(at+".cookie", "%q is not the name of a cookie", abbreviated(j.Cookie))
	}
	if j.RemoveToken {
		c.editable(at+".header", j.Header)
	}
	if j.Header == "" && j.Cookie == "" && j.Query == "" {
		c.fail(at+".header", "must not be empty", "or write cookie or query")
	}
}

// jwtSecret refuses a secret that can be guessed (RFC 7518 section 3.2). It is
// not repeated.
func (c *checker) jwtSecret(at, secret string) {
	if len(secret) < 32 {
		c.fail(at, fmt.Sprintf("has %d bytes, fewer than 32", len(secret)), "openssl rand -base64 32 makes a good one")
	}
}

// accessFiles are the files with users and secrets that middlewares name, and those with which a collector is called.
func (c *Config) accessFiles() []NamedFile {
	var all []NamedFile
	add := func(at, file string) {
		if file != "" {
			all = append(all, NamedFile{at, file})
		}
	}
	if c.Tracing != nil && c.Tracing.OTLP != nil {
		if at, t := c.Tracing.OTLP.TLSOf(); t != nil {
			add(at+".ca", t.CA)
			add(at+".cert", t.Cert)
			add(at+".key", t.Key)
		}
	}
	if c.HTTP == nil {
		return all
	}
	for _, name := range sortedKeys(c.HTTP.Middlewares) {
		m, at := c.HTTP.Middlewares[name], "http.middlewares."+name
		if m == nil {
			continue
		}
		if m.BasicAuth != nil {
			add(at+".basicAuth.usersFile", m.BasicAuth.UsersFile)
		}
		if m.DigestAuth != nil {
			add(at+".digestAuth.usersFile", m.DigestAuth.UsersFile)
		}
		if f := m.ForwardAuth; f != nil && f.TLS != nil {
			add(at+".forwardAuth.tls.ca", f.TLS.CA)
			add(at+".forwardAuth.tls.cert", f.TLS.Cert)
			add(at+".forwardAuth.tls.key", f.TLS.Key)
		}
		if m.JWT != nil {
			for i, k := range m.JWT.Keys {
				here := fmt.Sprintf("%s.jwt.keys[%d]", at, i)
				add(here+".file", k.File)
				add(here+".secretFile", k.SecretFile)
			}
		}
	}
	return all
}
