package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// basicAuthPlan is a basicAuth middleware.
type basicAuthPlan struct {
	users   []string // as htpasswd writes them
	options l7.BasicAuthOptions
}

func (c *compiler) basicAuth(at string, b *config.BasicAuth) webMaker {
	p := basicAuthPlan{options: l7.BasicAuthOptions{Realm: b.Realm, HeaderField: b.HeaderField, RemoveHeader: b.RemoveHeader}}
	p.users = c.users(at, b.Users, b.UsersFile, func(lines []string) error {
		_, err := l7.NewBasicUsers(lines)
		return err
	})
	return p
}

func (p basicAuthPlan) make(name string) (*l7.Middleware, error) {
	users, err := l7.NewBasicUsers(p.users)
	if err != nil {
		return nil, err
	}
	p.options.Users = users
	return l7.BasicAuth(name, p.options), nil
}

// users joins the users of a middleware with those of its file, which come last: the first line of a user counts.
func (c *compiler) users(at string, listed []string, file string, check func([]string) error) []string {
	if err := check(listed); err != nil {
		c.fail(at+".users", err.Error(), "")
		return nil
	}
	if file == "" {
		return slices.Clone(listed)
	}
	lines := strings.Split(strings.ReplaceAll(string(c.files[file]), "\r\n", "\n"), "\n")
	if err := check(lines); err != nil {
		c.fail(at+".usersFile", fmt.Sprintf("%s: %v", file, err), "")
		return nil
	}
	return slices.Concat(listed, lines)
}

// forwardAuthPlan is a forwardAuth middleware; URL and regular expression are still text, so that plans can be compared.
type forwardAuthPlan struct {
	options          l7.ForwardAuthOptions
	address, pattern string
	tls              *clientTLSPlan
}

func (c *compiler) forwardAuth(at string, f *config.ForwardAuth) webMaker {
	p := forwardAuthPlan{
		address: f.Address,
		pattern: f.AuthResponseHeadersRegex,
		options: l7.ForwardAuthOptions{
			Timeout:         time.Duration(f.Timeout),
			MaxBody:         int64(f.MaxResponseBodySize),
			TrustForwarded:  f.TrustForwardHeader,
			RequestHeaders:  slices.Clone(f.AuthRequestHeaders),
			ResponseHeaders: slices.Clone(f.AuthResponseHeaders),
			Cookies:         slices.Clone(f.AddAuthCookiesToResponse),
			UserField:       f.HeaderField,
			KeepLocation:    f.PreserveLocationHeader,
			KeepMethod:      f.PreserveRequestMethod,
			TellBody:        f.ForwardBody,
			MaxTold:         int64(f.MaxBodySize),
			Signin:          f.AuthSigninURL,
		},
	}
	if t := f.TLS; t != nil {
		p.tls = c.callTLS(at+".tls", t.CA, t.Cert, t.Key, t.InsecureSkipVerify)
	}
	return p
}

// callTLS plans TLS to a server that weir itself has questions for, or something to tell.
func (c *compiler) callTLS(at, ca, cert, key string, insecure bool) *clientTLSPlan {
	p := &clientTLSPlan{insecure: insecure, min: tls.VersionTLS12}
	if ca != "" {
		p.cas = c.authority(at+".ca", ca)
	}
	if cert != "" {
		own := certificatePlan{cert, key, c.files[cert], c.files[key]}
		if _, err := own.load(); err != nil {
			c.fail(at, err.Error(), "")
		}
		p.own = []certificatePlan{own}
	}
	return p
}

// authority is the contents of a file with authorities.
func (c *compiler) authority(at, file string) []byte {
	if !x509.NewCertPool().AppendCertsFromPEM(c.files[file]) {
		c.fail(at, file+" holds no certificate", "it must be PEM")
	}
	return c.files[file]
}

func (p forwardAuthPlan) make(name string) (m *l7.Middleware, err error) {
	o := p.options
	if o.Address, err = url.Parse(p.address); err != nil {
		return nil, err // config has parsed it before
	}
	if p.pattern != "" {
		if o.ResponsePattern, err = regexp.Compile(p.pattern); err != nil {
			return nil, err
		}
	}
	if p.tls != nil {
		o.TLS = newClientTLS(p.tls)
	}
	return l7.ForwardAuth(name, o), nil
}

// digestAuthPlan is a digestAuth middleware.
type digestAuthPlan struct {
	users   []string // as htdigest writes them
	options l7.DigestAuthOptions
}

func (c *compiler) digestAuth(at string, d *config.DigestAuth) webMaker {
	p := digestAuthPlan{options: l7.DigestAuthOptions{Realm: d.Realm, HeaderField: d.HeaderField, RemoveHeader: d.RemoveHeader}}
	p.users = c.users(at, d.Users, d.UsersFile, func(lines []string) error {
		_, err := l7.NewDigestUsers(lines)
		return err
	})
	return p
}

func (p digestAuthPlan) make(name string) (*l7.Middleware, error) {
	users, err := l7.NewDigestUsers(p.users)
	if err != nil {
		return nil, err
	}
	p.options.Users = users
	return l7.DigestAuth(name, p.options), nil
}
