package l7

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

const (
	maxToken     = 8 << 10 // bytes of a token
	maxTokenKeys = 16      // that a token is held against
	maxFetching  = 4       // requests that wait for a set of keys at one time, one of which fetches it
	maxAwaiting  = 1024    // and requests behind them
)

// JWTOptions say which tokens JWT takes, and what is done with them.
type JWTOptions struct {
	Keys       []JWTKey
	KeySetURL  string        // of further keys; empty = none
	Refresh    time.Duration // after which that is fetched again
	Algorithms []string      // that are taken; none = those that fit the keys

	Issuer        string   // empty = any
	Audience      []string // one of which a token must be for; none = any
	Leeway        time.Duration
	AllowNoExpiry bool
	Required      []FieldEdit // claims that a token must have, with their values

	Forward     []FieldEdit // headers with the claims that they tell the server
	Header      string      // with the token; empty = none
	Cookie      string      // with the token, where the header is not there; empty = none
	Query       string      // the same for a parameter of the query
	RemoveToken bool        // the header is not sent on
}

// JWT returns a middleware that passes requests with a signed token (RFC 7519); others are answered with 401 and what is
// wrong (RFC 6750 section 3). Keys that are on another server are fetched off the loop.
func JWT(name string, o JWTOptions) *Middleware {
	j := &jwtAuth{JWTOptions: o, name: name, fetching: new(hands)}
	j.fetching.init(maxFetching, maxAwaiting)
	if o.KeySetURL != "" {
		j.set = newKeySet(o.KeySetURL, o.Refresh)
	}
	for _, a := range tokenAlgorithms {
		if len(o.Algorithms) == 0 || slices.Contains(o.Algorithms, string(a)) {
			j.algorithms = append(j.algorithms, a)
		}
	}
	return &Middleware{Name: name, Request: j.request}
}

// tokenAlgorithms are all there are. None is not one of them.
var tokenAlgorithms = []jose.SignatureAlgorithm{
	jose.HS256, jose.HS384, jose.HS512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

type jwtAuth struct {
	JWTOptions
	name       string
	algorithms []jose.SignatureAlgorithm
	set        *keySet // nil = none
	fetching   *hands
}

// tokenFault is what is wrong with a token. The word is for the log, the code for the client.
type tokenFault struct {
	status     int
	word, code string
}

func (f *tokenFault) Error() string { return f.word }

// What may be wrong with a token, or with there being none.
var (
	errNoToken      = &tokenFault{401, "no-token", ""}
	errBadToken     = &tokenFault{401, "bad-token", "invalid_token"}
	errUnknownKey   = &tokenFault{401, "unknown-key", "invalid_token"}
	errBadSignature = &tokenFault{401, "bad-signature", "invalid_token"}
	errExpired      = &tokenFault{401, "token-expired", "invalid_token"}
	errNotYet       = &tokenFault{401, "token-not-yet", "invalid_token"}
	errNoExpiry     = &tokenFault{401, "no-expiry", "invalid_token"}
	errIssuer       = &tokenFault{401, "wrong-issuer", "invalid_token"}
	errAudience     = &tokenFault{401, "wrong-audience", "invalid_token"}
	errClaim        = &tokenFault{403, "wrong-claim", "insufficient_scope"}
)

func (j *jwtAuth) request(x *Exchange) Action {
	token, ok := j.token(&x.req)
	if !ok {
		return j.refuse(x, errNoToken)
	}
	known := j.keys()
	c, err := j.verify(token, known, x.mark)
	if err == nil {
		if j.set != nil && j.set.stale(x.mark) {
			go j.fetched(x.worker.server.options.Log, j.set.refetch)
		}
		return j.admit(x, c)
	}
	if err != errUnknownKey || j.set == nil {
		return j.refuse(x, err)
	}
	if !j.set.due(x.mark, true) {
		if j.set.last.Load() == nil {
			x.detail = "no-keys"
			x.Reject(503, accesslog.Denied)
			return Answered
		}
		return j.refuse(x, err)
	}
	log := x.worker.server.options.Log
	if x.goAmong(j.fetching, func() {
		j.fetched(log, func() error { return j.set.fetch(true) })
	}, func() { j.again(x, token) }) != nil {
		x.detail = "auth-busy"
		x.Reject(503, accesslog.Limit)
		return Answered
	}
	return Wait
}

// fetched fetches, and says what went wrong.
func (j *jwtAuth) fetched(log *slog.Logger, fetch func() error) {
	if err := fetch(); err != nil {
		log.Warn("keys of tokens cannot be fetched", "middleware", j.name, "error", err)
	}
}

// again looks at a token for which keys were fetched.
func (j *jwtAuth) again(x *Exchange, token string) {
	if j.set.last.Load() == nil {
		x.detail = "no-keys"
		x.Reject(503, accesslog.Denied)
		return
	}
	c, err := j.verify(token, j.keys(), x.mark)
	if err != nil {
		j.refuse(x, err)
		return
	}
	if j.admit(x, c) == Next {
		x.Continue()
	}
}

// keys are those there are just now.
func (j *jwtAuth) keys() []JWTKey {
	if j.set == nil {
		return j.Keys
	}
	k := j.set.last.Load()
	switch {
	case k == nil:
		return j.Keys
	case len(j.Keys) == 0:
		return k.list
	}
	return slices.Concat(j.Keys, k.list)
}

func (j *jwtAuth) refuse(x *Exchange, f *tokenFault) Action {
	value := "Bearer"
	if f.code != "" {
		value = `Bearer error="` + f.code + `"`
	}
	x.detail = f.word
	x.RejectWith(f.status, accesslog.Denied, func(h *head.Head) { _ = h.Set("WWW-Authenticate", value) })
	return Answered
}

// admit tells the server what the token says, and nobody else.
func (j *jwtAuth) admit(x *Exchange, c claims) Action {
	h := &x.req
	x.user, _ = claimText(c["sub"])
	var err error
	if j.RemoveToken && j.Header != "" {
		err = h.Delete(j.Header)
	}
	for _, f := range j.Forward {
		text, ok := claimText(c.find(f.Value))
		if !ok || h.Set(f.Name, text) == head.ErrValue { // it is the user of the token who may have chosen it
			err = errors.Join(err, h.Delete(f.Name))
		} else if got, _ := h.Get(f.Name); string(got) != text {
			err = errors.Join(err, head.ErrFull)
		}
	}
	if err != nil {
		x.detail = "long-head"
		x.Reject(431, accesslog.BadRequest)
		return Answered
	}
	return Next
}

// token finds the token of a request. One that stands in a header twice is none.
func (j *jwtAuth) token(h *head.Head) (string, bool) {
	if j.Header != "" {
		n := 0
		var value []byte
		for v := range h.Values(j.Header) {
			n, value = n+1, v
		}
		if n > 1 {
			return "", false
		}
		if t, bearer := cutBearer(value); bearer || len(t) > 0 && !head.EqualFold(j.Header, "Authorization") {
			return string(t), len(t) > 0
		}
	}
	if j.Cookie != "" {
		token := ""
		cookies(h, j.Cookie, func(v []byte) bool { token = string(v); return true })
		if token != "" {
			return token, true
		}
	}
	if query, ok := h.Query(); ok && j.Query != "" {
		return queryParameter(query, j.Query)
	}
	return "", false
}

// cutBearer takes the scheme off credentials (RFC 6750 section 2.1).
func cutBearer(value []byte) (token []byte, ok bool) {
	const scheme = "bearer "
	if len(value) >= len(scheme) && head.EqualFold(value[:len(scheme)], scheme) {
		return head.Trim(value[len(scheme):]), true
	}
	return value, false
}

// queryParameter is the first value of a parameter of a query that is not empty.
func queryParameter(query []byte, name string) (string, bool) {
	for pair := range bytes.SplitSeq(query, []byte{'&'}) {
		k, v, _ := bytes.Cut(pair, []byte{'='})
		if len(v) == 0 || len(v) > 3*maxToken {
			continue
		}
		if key, err := url.QueryUnescape(string(k)); err != nil || key != name {
			continue
		}
		value, err := url.QueryUnescape(string(v))
		return value, err == nil && value != ""
	}
	return "", false
}

// claims are what a token says.
type claims map[string]any

// find finds a claim by its name, or by the way to it, with dots between.
func (c claims) find(name string) any {
	if v, ok := c[name]; ok {
		return v
	}
	first, rest, dotted := strings.Cut(name, ".")
	if inner, ok := c[first].(map[string]any); ok && dotted {
		return claims(inner).find(rest)
	}
	return nil
}

// claimText is a claim as a header tells it: a list has commas between. Objects, and lists of them, tell nothing.
func claimText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), true
	case []any:
		var texts []string
		for _, e := range v {
			if _, nested := e.([]any); nested {
				return "", false
			}
			text, ok := claimText(e)
			if !ok || strings.Contains(text, ",") { // one that has a comma would be taken for two
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), len(texts) > 0
	}
	return "", false
}

// claimHas reports whether a claim is a value, or a list that holds it.
func claimHas(v any, want string) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(e any) bool {
			_, nested := e.([]any)
			return !nested && claimHas(e, want)
		})
	}
	text, ok := claimText(v)
	return ok && text == want
}

// verify holds a token against keys, those of the options first, and wishes, and returns what it says.
func (j *jwtAuth) verify(token string, known []JWTKey, now time.Time) (claims, *tokenFault) {
	if len(token) > maxToken {
		return nil, errBadToken
	}
	t, err := jwt.ParseSigned(token, j.algorithms)
	if err != nil || len(t.Headers) != 1 {
		return nil, errBadToken
	}
	var std jwt.Claims
	var all claims
	id, algorithm := t.Headers[0].KeyID, t.Headers[0].Algorithm
	tried, ofSet := 0, j.set == nil
	for i := range known {
		k := &known[i]
		if k.ID != "" && id != "" && k.ID != id || !k.fits(algorithm) || tried == maxTokenKeys {
			continue
		}
		tried++
		ofSet = ofSet || i >= len(j.Keys)
		std, all = jwt.Claims{}, nil
		if err = t.Claims(k.material(), &std, &all); err == nil && all != nil {
			return all, j.wanted(&std, all, now)
		} else if !errors.Is(err, jose.ErrCryptoFailure) {
			return nil, errBadToken
		}
	}
	if tried == 0 || !ofSet { // the key may stand in a set that has not come yet
		return nil, errUnknownKey
	}
	return nil, errBadSignature
}

// wanted holds what a token says against what it must say.
func (j *jwtAuth) wanted(std *jwt.Claims, all claims, now time.Time) *tokenFault {
	if std.Expiry == nil && !j.AllowNoExpiry {
		return errNoExpiry
	}
	switch err := std.ValidateWithLeeway(jwt.Expected{Issuer: j.Issuer, AnyAudience: j.Audience, Time: now}, j.Leeway); {
	case err == nil:
	case errors.Is(err, jwt.ErrExpired):
		return errExpired
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errNotYet
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return errIssuer
	case errors.Is(err, jwt.ErrInvalidAudience):
		return errAudience
	default:
		return errBadToken
	}
	for _, r := range j.Required {
		if !claimHas(all.find(r.Name), r.Value) {
			return errClaim
		}
	}
	return nil
}
