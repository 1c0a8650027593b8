package l7

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWTKey is a key that tokens may be signed with.
type JWTKey struct {
	ID        string // the kid of tokens; empty = it is tried for any
	Algorithm string // the one it is for; empty = all that fit its kind
	Secret    []byte // of HS*; nil = it is a public key
	Public    crypto.PublicKey
}

// fits reports whether the key may have signed with an algorithm: that is a matter of the key alone, never of the token, or
// whoever knows a public key could take it for a secret (RFC 8725 section 3.1).
func (k *JWTKey) fits(algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	if k.Secret != nil {
		return algorithm == "HS256" || algorithm == "HS384" || algorithm == "HS512"
	}
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return true
		}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return algorithm == "ES256"
		case elliptic.P384():
			return algorithm == "ES384"
		case elliptic.P521():
			return algorithm == "ES512"
		}
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// material is the key as the library takes it.
func (k *JWTKey) material() any {
	if k.Secret != nil {
		return k.Secret
	}
	return k.Public
}

// ErrKey is what is wrong with a key that tokens cannot be signed with.
var ErrKey = errors.New("not a public key for tokens")

// ParseJWTKey reads a public key, or that of a certificate, from PEM: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or
// P-521, or Ed25519. The error is ErrKey.
func ParseJWTKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: it must be PEM", ErrKey)
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: the PEM block is %q, not PUBLIC KEY or CERTIFICATE", ErrKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	return key, usableKey(key)
}

// usableKey refuses keys that are too weak, or so large that they are used to waste time.
func usableKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8192 || k.E < 3 || k.E > 1<<31-1 {
			return fmt.Errorf("%w: RSA with %d bits", ErrKey, n)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("%w: %T", ErrKey, key)
}

const (
	maxKeySet    = 1 << 20          // bytes of a set of keys
	maxKeysInSet = 256              // that are used
	keySetWait   = 10 * time.Second // for a set to come
	keySetPause  = 30 * time.Second // at least, before a set is fetched because of a key that is not in it
	keySetRetry  = time.Second      // at least, before one that has never come is fetched again
)

// keySet is a set of public keys that another server has (RFC 7517). It is fetched when a token comes that needs it, by one
// goroutine at a time; when it cannot be had, the last one that came stays. Safe from any goroutine.
type keySet struct {
	url     string
	refresh time.Duration
	client  *http.Client
	turn    chan struct{}             // is held by who fetches
	last    atomic.Pointer[keys]      // nil = none has come yet
	tried   atomic.Pointer[time.Time] // when it was last fetched, or could not be; nil = never
}

// keys is what has come.
type keys struct {
	list []JWTKey
	at   time.Time
}

func newKeySet(url string, refresh time.Duration) *keySet {
	return &keySet{url: url, refresh: refresh, turn: make(chan struct{}, 1), client: &http.Client{
		Timeout:       keySetWait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxAskHead, Proxy: nil},
	}}
}

// due reports whether the set is to be fetched now. unknown says that a token was signed by a key that is not in it.
func (s *keySet) due(now time.Time, unknown bool) bool {
	k, tried := s.last.Load(), s.tried.Load()
	switch {
	case tried == nil:
		return true
	case k == nil:
		return now.Sub(*tried) >= keySetRetry
	}
	return (unknown || now.Sub(k.at) >= s.refresh) && now.Sub(*tried) >= min(keySetPause, s.refresh)
}

// stale reports whether the set is to be fetched without anybody waiting for it, and nobody does that already.
func (s *keySet) stale(now time.Time) bool { return len(s.turn) == 0 && s.due(now, false) }

// fetch fetches the set, unless somebody else has done so since it was due. It blocks.
func (s *keySet) fetch(unknown bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), keySetWait)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !s.due(time.Now(), unknown) {
		return nil
	}
	list, err := s.get(ctx)
	now := time.Now()
	s.tried.Store(&now)
	if err != nil {
		return err
	}
	s.last.Store(&keys{list, now})
	return nil
}

// refetch is fetch where nobody waits for it: it does nothing when somebody fetches already.
func (s *keySet) refetch() error {
	select {
	case s.turn <- struct{}{}:
		<-s.turn
		return s.fetch(false)
	default:
		return nil
	}
}

func (s *keySet) get(ctx context.Context) ([]JWTKey, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxKeySet:
		return nil, fmt.Errorf("longer than %d bytes", maxKeySet)
	}
	return parseKeySet(b)
}

// parseKeySet reads the public keys of a set that can have signed something. Others are passed over: a secret that stands in
// a public place is none.
func parseKeySet(b []byte) ([]JWTKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("not a set of keys: %w", err)
	}
	var list []JWTKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" || usableKey(k.Key) != nil {
			continue
		}
		if list = append(list, JWTKey{ID: k.KeyID, Algorithm: k.Algorithm, Public: k.Key}); len(list) == maxKeysInSet {
			break
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no usable key in the set")
	}
	return list, nil
}
