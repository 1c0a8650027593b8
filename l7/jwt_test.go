package l7

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weirlb/weir/internal/weirtest"
)

// tokenSigner has a key of each kind.
type tokenSigner struct {
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

func newTokenSigner(t testing.TB) *tokenSigner {
	t.Helper()
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	e, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, d, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return &tokenSigner{r, e, d, []byte("0123456789abcdef0123456789abcdef")}
}

func (s *tokenSigner) public() []JWTKey {
	return []JWTKey{{Public: &s.rsa.PublicKey}, {Public: &s.ec.PublicKey}, {Public: s.ed.Public()}, {Secret: s.secret}}
}

// token signs claims with a key, under a kid if there is one.
func token(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	o := new(jose.SignerOptions)
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// assembled is a token put together by hand.
func assembled(header, payload, signature string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "." + enc([]byte(signature))
}

// good are claims that are good for a while, with further ones; nil takes one away.
func good(more map[string]any) map[string]any {
	c := map[string]any{"sub": "ada", "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range more {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func TestJWT(t *testing.T) {
	s := newTokenSigner(t)
	now := time.Now()
	hs := func(more map[string]any) string {
		return "Authorization: Bearer " + token(t, jose.HS256, s.secret, "", good(more)) + "\r\n"
	}
	with := func(edit func(*JWTOptions)) []*Middleware {
		o := JWTOptions{Keys: s.public(), Header: "Authorization"}
		if edit != nil {
			edit(&o)
		}
		return []*Middleware{JWT("jwt", o)}
	}
	plain := with(nil)
	onlyRSA := with(func(o *JWTOptions) { o.Keys = o.Keys[:1] })
	der, err := x509.MarshalPKIXPublicKey(&s.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	telling := with(func(o *JWTOptions) {
		o.Forward = []FieldEdit{{"X-Groups", "groups"}, {"X-Level", "a.b"}, {"X-None", "none"}, {"X-User", "sub"}}
		o.RemoveToken = true
	})
	behave(t, func(w http.ResponseWriter, r *http.Request) {
		for name := range maps.Keys(r.Header) {
			if name == "Authorization" {
				r.Header.Set(name, "sent on")
			}
		}
		told(w, r)
	}, []behaviour{
		{name: "no token", m: plain, status: 401, want: []string{"WWW-Authenticate: Bearer\r\n"}, record: []string{`"denied"`, `"no-token"`}},
		{name: "HS256", m: plain, request: hs(nil), want: []string{"sent on"}, record: []string{`"ClientUsername":"ada"`}},
		{name: "RS256", m: plain, request: "Authorization: bearer " + token(t, jose.RS256, s.rsa, "any", good(nil)) + "\r\n"},
		{name: "PS512", m: plain, request: "Authorization: Bearer " + token(t, jose.PS512, s.rsa, "", good(nil)) + "\r\n"},
		{name: "ES256", m: plain, request: "Authorization: Bearer " + token(t, jose.ES256, s.ec, "", good(nil)) + "\r\n"},
		{name: "EdDSA", m: plain, request: "Authorization: Bearer " + token(t, jose.EdDSA, s.ed, "", good(nil)) + "\r\n"},
		{name: "basic", m: plain, request: basic("a:b"), status: 401, record: []string{`"no-token"`}},
		{name: "two headers", m: plain, request: hs(nil) + hs(nil), status: 401, record: []string{`"no-token"`}},
		{name: "garbage", m: plain, request: "Authorization: Bearer a.b.c\r\n", status: 401, want: []string{`Bearer error="invalid_token"`}, record: []string{`"bad-token"`}},
		{name: "another secret", m: plain, request: "Authorization: Bearer " + token(t, jose.HS256, []byte(strings.Repeat("x", 32)), "", good(nil)) + "\r\n", status: 401, record: []string{`"bad-signature"`}},
		{name: "none", m: plain, request: "Authorization: Bearer " + assembled(`{"alg":"none"}`, `{"sub":"ada","exp":9999999999}`, "") + "\r\n", status: 401, record: []string{`"bad-token"`}},
		{name: "None", m: plain, request: "Authorization: Bearer " + assembled(`{"alg":"None"}`, `{"sub":"ada","exp":9999999999}`, "x") + "\r\n", status: 401, record: []string{`"bad-token"`}},
		{name: "a public key as a secret", m: onlyRSA, request: "Authorization: Bearer " + token(t, jose.HS256, publicText, "", good(nil)) + "\r\n", status: 401, record: []string{`"unknown-key"`}},
		{name: "the bytes of a public key as a secret", m: onlyRSA, request: "Authorization: Bearer " + token(t, jose.HS256, der, "", good(nil)) + "\r\n", status: 401, record: []string{`"unknown-key"`}},
		{name: "a key that the token brings along", m: onlyRSA, status: 401, record: []string{`"bad-signature"`},
			request: "Authorization: Bearer " + token(t, jose.RS256, newTokenSigner(t).rsa, "x", good(nil)) + "\r\n"},
		{name: "an algorithm that is not listed", m: with(func(o *JWTOptions) { o.Algorithms = []string{"RS256"} }), request: hs(nil), status: 401, record: []string{`"bad-token"`}},
		{name: "a critical extension", m: plain, request: "Authorization: Bearer " + assembled(`{"alg":"HS256","crit":["x"],"x":1}`, `{}`, "x") + "\r\n", status: 401},
		{name: "no object", m: with(func(o *JWTOptions) { o.AllowNoExpiry = true }), request: "Authorization: Bearer " + token(t, jose.HS256, s.secret, "", nil) + "\r\n", status: 401, record: []string{`"bad-token"`}},

		{name: "expired", m: plain, request: hs(map[string]any{"exp": now.Add(-time.Minute).Unix()}), status: 401, record: []string{`"token-expired"`}},
		{name: "expired within the leeway", m: with(func(o *JWTOptions) { o.Leeway = time.Hour }), request: hs(map[string]any{"exp": now.Add(-time.Minute).Unix()})},
		{name: "not yet", m: plain, request: hs(map[string]any{"nbf": now.Add(time.Hour).Unix()}), status: 401, record: []string{`"token-not-yet"`}},
		{name: "signed in the future", m: plain, request: hs(map[string]any{"iat": now.Add(time.Hour).Unix()}), status: 401, record: []string{`"token-not-yet"`}},
		{name: "for ever", m: plain, request: hs(map[string]any{"exp": nil}), status: 401, record: []string{`"no-expiry"`}},
		{name: "for ever, which may be", m: with(func(o *JWTOptions) { o.AllowNoExpiry = true }), request: hs(map[string]any{"exp": nil})},
		{name: "expiry that is text", m: plain, request: hs(map[string]any{"exp": "soon"}), status: 401, record: []string{`"bad-token"`}},

		{name: "issuer", m: with(func(o *JWTOptions) { o.Issuer = "i" }), request: hs(map[string]any{"iss": "i"})},
		{name: "another issuer", m: with(func(o *JWTOptions) { o.Issuer = "i" }), request: hs(map[string]any{"iss": "j"}), status: 401, record: []string{`"wrong-issuer"`}},
		{name: "audience", m: with(func(o *JWTOptions) { o.Audience = []string{"a", "b"} }), request: hs(map[string]any{"aud": []string{"c", "b"}})},
		{name: "another audience", m: with(func(o *JWTOptions) { o.Audience = []string{"a"} }), request: hs(map[string]any{"aud": "c"}), status: 401, record: []string{`"wrong-audience"`}},
		{name: "claim", m: with(func(o *JWTOptions) { o.Required = []FieldEdit{{"groups", "b"}, {"a.b", "7"}, {"ok", "true"}} }),
			request: hs(map[string]any{"groups": []string{"a", "b"}, "a": map[string]any{"b": 7}, "ok": true})},
		{name: "another claim", m: with(func(o *JWTOptions) { o.Required = []FieldEdit{{"groups", "b"}} }), request: hs(map[string]any{"groups": "a,b"}),
			status: 403, want: []string{`Bearer error="insufficient_scope"`}, record: []string{`"wrong-claim"`}},

		{name: "the server is told", m: telling, request: "X-None: root\r\nX-User: root\r\n" + hs(map[string]any{"groups": []string{"a", "b"}, "a": map[string]any{"b": 1.5}}),
			want: []string{`X-Groups=["a,b"]`, `X-Level=["1.5"]`, `X-User=["ada"]`}, wantNot: []string{"X-None", "root", "sent on"}},
		{name: "what cannot be told", m: telling, request: "X-User: root\r\nX-Groups: root\r\n" + hs(map[string]any{"sub": "a\r\nX-Evil: 1", "groups": []string{"a", "b,c"}}),
			wantNot: []string{"X-User", "X-Groups", "Evil"}},

		{name: "another header", m: with(func(o *JWTOptions) { o.Header = "X-Token" }), request: "X-Token: " + token(t, jose.HS256, s.secret, "", good(nil)) + "\r\n"},
		{name: "cookie", m: with(func(o *JWTOptions) { o.Cookie = "t" }), request: "Cookie: a=b; t=" + token(t, jose.HS256, s.secret, "", good(nil)) + "\r\n"},
		{name: "query", m: with(func(o *JWTOptions) { o.Query = "t" }), request: "GET /?a=b&t=" + token(t, jose.HS256, s.secret, "", good(nil)) + " HTTP/1.1\r\nHost: a\r\n"},
		{name: "the header comes first", m: with(func(o *JWTOptions) { o.Query = "t" }), status: 401,
			request: "GET /?t=" + token(t, jose.HS256, s.secret, "", good(nil)) + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n"},
		{name: "kid of another key", m: with(func(o *JWTOptions) { o.Keys = []JWTKey{{ID: "1", Secret: s.secret}} }),
			request: "Authorization: Bearer " + token(t, jose.HS256, s.secret, "2", good(nil)) + "\r\n", status: 401, record: []string{`"unknown-key"`}},
		{name: "kid", m: with(func(o *JWTOptions) { o.Keys = []JWTKey{{ID: "1", Secret: []byte("x")}, {ID: "2", Secret: s.secret}} }),
			request: "Authorization: Bearer " + token(t, jose.HS256, s.secret, "2", good(nil)) + "\r\n"},
	})
}

// set is a server with a set of keys that can be changed.
type set struct {
	*httptest.Server
	body  atomic.Pointer[string]
	asked atomic.Int64
}

func newSet(t testing.TB) *set {
	t.Helper()
	s := new(set)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		if body := s.body.Load(); body != nil {
			_, _ = w.Write([]byte(*body))
			return
		}
		w.WriteHeader(500)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *set) has(t testing.TB, keys ...jose.JSONWebKey) {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	s.body.Store(&text)
}

func TestJWTWithAKeySet(t *testing.T) {
	s, keys := newTokenSigner(t), newSet(t)
	m := JWT("jwt", JWTOptions{KeySetURL: keys.URL, Refresh: time.Hour, Header: "Authorization", Keys: []JWTKey{{Secret: s.secret}}})
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, told)}, middlewares: []*Middleware{m}})
	n := 0
	ask := func(text string, status int, detail string) {
		t.Helper()
		answer := b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + text + "\r\n\r\n")
		n++
		if e := b.entries(n)[n-1]; e.DownstreamStatus != status || e.Detail != detail {
			t.Errorf("%d %s, want %d %s:\n%s", e.DownstreamStatus, e.Detail, status, detail, answer)
		}
	}
	one := token(t, jose.RS256, s.rsa, "1", good(nil))
	two := token(t, jose.ES256, s.ec, "2", good(nil))
	ask(token(t, jose.HS256, s.secret, "", good(nil)), 200, "") // needs no set
	if keys.asked.Load() > 1 {
		t.Error("asked too often")
	}
	weirtest.Eventually(t, patience, func() bool { return keys.asked.Load() == 1 }, "the set is fetched behind the request")

	// It cannot be had, and for a while nobody asks again.
	ask(one, 503, "no-keys")
	ask(one, 503, "no-keys")
	if got := keys.asked.Load(); got != 1 {
		t.Errorf("asked %d times", got)
	}
	keys.has(t, jose.JSONWebKey{Key: &s.rsa.PublicKey, KeyID: "1", Use: "sig", Algorithm: "RS256"}, jose.JSONWebKey{Key: s.secret, KeyID: "3"})
	j := newKeySet(keys.URL, time.Hour)
	fresh := JWT("jwt", JWTOptions{KeySetURL: keys.URL, Refresh: time.Hour, Header: "Authorization"})
	b = newBed(t, setup{backends: []netip.AddrPort{backend(t, told)}, middlewares: []*Middleware{fresh}})
	n = 0
	ask(one, 200, "")
	ask(two, 401, "unknown-key") // for it was fetched just now
	ask(token(t, jose.PS256, s.rsa, "1", good(nil)), 401, "unknown-key")
	ask(token(t, jose.HS256, s.secret, "3", good(nil)), 401, "unknown-key") // a secret in public is none

	// The key set itself, by a clock of the test's.
	if !j.due(time.Now(), false) {
		t.Error("a set that was never fetched is not due")
	}
	if err := j.fetch(true); err != nil {
		t.Fatal(err)
	}
	at := j.last.Load().at
	for _, tt := range []struct {
		after   time.Duration
		unknown bool
		want    bool
	}{
		{time.Second, true, false}, {keySetPause, true, true}, {keySetPause, false, false}, {time.Hour, false, true},
	} {
		if got := j.due(at.Add(tt.after), tt.unknown); got != tt.want {
			t.Errorf("after %v, unknown %v: due %v", tt.after, tt.unknown, got)
		}
	}
	keys.body.Store(nil)
	long := time.Now().Add(-2 * time.Hour)
	j.tried.Store(&long)
	j.last.Load().at = long
	if err := j.refetch(); err == nil {
		t.Error("a failure is not told")
	}
	if k := j.last.Load(); k == nil || len(k.list) != 1 || !j.tried.Load().After(long) {
		t.Error("a failure takes the keys away, or was no try")
	}
}

func TestParseKeySet(t *testing.T) {
	s := newTokenSigner(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &s.rsa.PublicKey, KeyID: "a"}, {Key: s.ec, KeyID: "private"}, {Key: s.secret, KeyID: "secret"}, {Key: &s.rsa.PublicKey, KeyID: "enc", Use: "enc"},
		{Key: &small.PublicKey, KeyID: "weak"}, {Key: s.ed.Public(), KeyID: "b", Algorithm: "EdDSA"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), `"keys":[`, `"keys":[{"kty":"new"},5,`, 1)
	list, err := parseKeySet([]byte(text))
	if err != nil || len(list) != 2 || list[0].ID != "a" || list[1].ID != "b" || list[1].fits("RS256") || !list[1].fits("EdDSA") {
		t.Errorf("%v, %v", list, err)
	}
	for _, text := range []string{``, `{}`, `[]`, `{"keys":[]}`, `{"keys":5}`} {
		if _, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// What a server of keys sends is bounded: of more keys, the first count, and a longer answer is none.
func TestKeySetIsBounded(t *testing.T) {
	s := newTokenSigner(t)
	var set jose.JSONWebKeySet
	for i := range maxKeysInSet + 10 {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.ed.Public(), KeyID: fmt.Sprint(i)})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(padding int) *keySet {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append(text, strings.Repeat(" ", padding)...))
		}))
		t.Cleanup(server.Close)
		return newKeySet(server.URL, time.Hour)
	}
	k := serve(maxKeySet - len(text))
	if err := k.fetch(false); err != nil || len(k.last.Load().list) != maxKeysInSet {
		t.Errorf("%v, %d keys", err, len(k.last.Load().list))
	}
	k = serve(maxKeySet - len(text) + 1)
	if err := k.fetch(false); err == nil || k.last.Load() != nil {
		t.Error("a longer answer is taken")
	}
}

func TestParseJWTKey(t *testing.T) {
	s := newTokenSigner(t)
	text := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	pkix := func(key crypto.PublicKey) []byte {
		b, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	private, err := x509.MarshalPKCS8PrivateKey(s.ec)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text []byte
		good bool
	}{
		"RSA":            {text("PUBLIC KEY", pkix(&s.rsa.PublicKey)), true},
		"old RSA":        {text("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&s.rsa.PublicKey)), true},
		"EC":             {text("PUBLIC KEY", pkix(&s.ec.PublicKey)), true},
		"Ed25519":        {text("PUBLIC KEY", pkix(s.ed.Public())), true},
		"a private key":  {text("PRIVATE KEY", private), false},
		"another curve":  {text("PUBLIC KEY", pkix(&p224.PublicKey)), false},
		"a secret":       {s.secret, false},
		"broken":         {text("PUBLIC KEY", []byte("x")), false},
		"no certificate": {text("CERTIFICATE", []byte("x")), false},
	} {
		if key, err := ParseJWTKey(tt.text); (err == nil) != tt.good || err != nil && !errors.Is(err, ErrKey) || err == nil && key == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzJWT: no token passes but those that were signed.
func FuzzJWT(f *testing.F) {
	s := newTokenSigner(f)
	j := &jwtAuth{JWTOptions: JWTOptions{Keys: s.public()}, algorithms: tokenAlgorithms}
	now := time.Now()
	seeds := []string{
		token(f, jose.HS256, s.secret, "1", good(nil)), token(f, jose.ES256, s.ec, "", good(nil)), token(f, jose.EdDSA, s.ed, "", good(nil)),
		assembled(`{"alg":"none"}`, `{}`, ""), assembled(`{"alg":"HS256","b64":false,"crit":["b64"]}`, `{"exp":1}`, "x"),
	}
	for _, t := range seeds {
		f.Add(t)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := j.verify(text, j.Keys, now); err == nil && !slices.Contains(seeds, text) && c["sub"] != "ada" {
			t.Errorf("%q says %v", text, c)
		}
		queryParameter([]byte(text), "t")
	})
}
