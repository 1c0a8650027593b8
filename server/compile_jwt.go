package server

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// minSecret is the least length of a secret that tokens are signed with (RFC 7518 section 3.2).
const minSecret = 32

// jwtPlan is a jwt middleware; keys are still text, so that plans can be compared.
type jwtPlan struct {
	options l7.JWTOptions
	keys    []jwtKeyPlan
}

// jwtKeyPlan is one key: PEM, or a secret.
type jwtKeyPlan struct {
	id          string
	pem, secret []byte
}

func (c *compiler) jwt(at string, j *config.JWT) webMaker {
	p := jwtPlan{options: l7.JWTOptions{
		KeySetURL:     j.JWKSURL,
		Refresh:       time.Duration(j.JWKSRefresh),
		Algorithms:    slices.Clone(j.Algorithms),
		Issuer:        j.Issuer,
		Audience:      slices.Clone(j.Audience),
		Leeway:        time.Duration(j.Leeway),
		AllowNoExpiry: j.AllowNoExpiry,
		Required:      editsOf(j.RequiredClaims),
		Forward:       editsOf(j.ForwardHeaders),
		Header:        j.Header,
		Cookie:        j.Cookie,
		Query:         j.Query,
		RemoveToken:   j.RemoveToken,
	}}
	for i, k := range j.Keys {
		here, key := fmt.Sprintf("%s.keys[%d]", at, i), jwtKeyPlan{id: k.ID}
		switch {
		case k.File != "":
			key.pem = c.files[k.File]
			if _, err := l7.ParseJWTKey(key.pem); err != nil {
				c.fail(here+".file", fmt.Sprintf("%s: %v", k.File, err), "")
			}
		case k.SecretFile != "":
			if key.secret = bytes.TrimSpace(c.files[k.SecretFile]); len(key.secret) < minSecret {
				c.fail(here+".secretFile", fmt.Sprintf("%s holds %d bytes, fewer than %d", k.SecretFile, len(key.secret), minSecret),
					"openssl rand -base64 32 makes a good one")
			}
		default:
			key.secret = []byte(k.Secret)
		}
		p.keys = append(p.keys, key)
	}
	return p
}

func (p jwtPlan) make(name string) (*l7.Middleware, error) {
	o := p.options
	for _, k := range p.keys {
		key := l7.JWTKey{ID: k.id, Secret: k.secret}
		if k.pem != nil {
			public, err := l7.ParseJWTKey(k.pem)
			if err != nil {
				return nil, err // compile has parsed it before
			}
			key.Public = public
		}
		o.Keys = append(o.Keys, key)
	}
	return l7.JWT(name, o), nil
}
