package server

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/weirtest"
)

// withMiddleware is simpleWeb with one middleware on its router.
func withMiddleware(text, server string) string {
	return strings.Replace(simpleWeb("", "", server), "service: app }", "service: app, middlewares: [m] }\n  middlewares:\n    m: "+text, 1)
}

// with asks for a path, with further lines, and returns status and body.
func (l *line) with(path string, lines ...string) (status int, body string) {
	l.t.Helper()
	if _, err := fmt.Fprintf(l, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, l.host, strings.Join(append(lines, ""), "\r\n")); err != nil {
		l.t.Fatal(err)
	}
	return l.answer()
}

func authorization(userinfo string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
}

// TestUsersFileIsRead: users come from both places, and a file that has changed is read by a reload.
func TestUsersFileIsRead(t *testing.T) {
	const test = "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/" // the password is test
	file := filepath.Join(t.TempDir(), "users")
	write(t, file, "# ours\r\nfile:"+test+"\r\nlisted:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\r\n")
	a := serveWeb(t, "a")
	text := withMiddleware(`{ basicAuth: { users: ["listed:`+test+`"], usersFile: `+file+` } }`, a.addr)
	r := start(t, text)
	conn := dial(t, r.addr("web"))
	for userinfo, want := range map[string]int{"file:test": 200, "listed:test": 200, "other:test": 401, "file:x": 401} {
		if status, _ := conn.with("/", authorization(userinfo)); status != want {
			t.Errorf("%s: status %d, want %d", userinfo, status, want)
		}
	}
	before := r.web.middlewares["m"]
	r.mustReload(text)
	if r.web.middlewares["m"] != before {
		t.Error("a reload without a change makes the middleware anew")
	}
	write(t, file, "other:"+test+"\n")
	r.mustReload(text)
	if status, _ := conn.with("/", authorization("other:test")); status != 200 {
		t.Errorf("the new user gets %d", status)
	}
	if status, _ := conn.with("/", authorization("file:test")); status != 401 {
		t.Errorf("the old user gets %d", status)
	}
	write(t, file, "other:secret-in-clear\n")
	err := r.tryReload(text)
	if err == nil || !strings.Contains(err.Error(), "usersFile: "+file+": line 1: not a user") || strings.Contains(err.Error(), "secret-in-clear") {
		t.Errorf("a bad file gives %v", err)
	}
	if status, _ := conn.with("/", authorization("other:test")); status != 200 {
		t.Errorf("after a reload that failed the user gets %d", status)
	}
}

// TestUnusedMiddlewareIsChecked: what only the packages behind can know is said of middlewares that no router names, too.
func TestUnusedMiddlewareIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		`{ basicAuth: { users: ["a:plain"] } }`:                                 "http.middlewares.m.basicAuth.users: line 1: not a user",
		`{ digestAuth: { users: ["a:b:c"] } }`:                                  "http.middlewares.m.digestAuth.users: line 1: not a user",
		`{ jwt: { keys: [ { file: /x } ] } }`:                                   "http.middlewares.m.jwt.keys[0].file: /x: not a public key",
		`{ jwt: { keys: [ { secretFile: /x } ] } }`:                             "http.middlewares.m.jwt.keys[0].secretFile: /x holds 0 bytes",
		`{ forwardAuth: { address: "https://a", tls: { ca: /x } } }`:            "http.middlewares.m.forwardAuth.tls.ca: /x holds no certificate",
		`{ forwardAuth: { address: "https://a", tls: { cert: /x, key: /x } } }`: "http.middlewares.m.forwardAuth.tls: ",
	} {
		cfg, err := config.Parse("weir.yaml", []byte("http: { middlewares: { m: "+text+" } }\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := compile(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestCountsSurviveAReload: what a client has in hand, and what it has used up, is known after a reload that changes
// something else, and forgotten after one that changes the limit.
func TestCountsSurviveAReload(t *testing.T) {
	a := serveWeb(t, "a")
	text := withMiddleware("{ inFlightReq: { amount: 1 } }", a.addr)
	r := start(t, text)
	one, two := dial(t, r.addr("web")), dial(t, r.addr("web"))
	one.ask("/wait")
	<-a.asked
	other := text + "accessLog: { path: " + filepath.Join(t.TempDir(), "access.log") + " }\n"
	for i, text := range []string{text, other} {
		if status, _ := two.get("/"); status != 429 {
			t.Errorf("before reload %d: status %d", i, status)
		}
		r.mustReload(text)
		if status, _ := two.get("/"); status != 429 {
			t.Errorf("after reload %d: status %d", i, status)
		}
	}
	// The one in hand is given back to the limit that it was taken from.
	r.mustReload(strings.Replace(other, "amount: 1", "amount: 2", 1))
	a.answer <- struct{}{}
	if status, _ := one.answer(); status != 200 {
		t.Errorf("the one in hand: status %d", status)
	}
	if status, _ := two.get("/"); status != 200 {
		t.Errorf("with a new limit: status %d", status)
	}

	r.mustReload(withMiddleware("{ rateLimit: { average: 1, period: 1h, sourceCriterion: { requestHeaderName: X-Key } } }", a.addr))
	ask := func(want int) {
		t.Helper()
		if status, _ := two.with("/", "X-Key: 7"); status != want {
			t.Errorf("status %d, want %d", status, want)
		}
	}
	ask(200)
	ask(429)
	r.mustReload(withMiddleware("{ rateLimit: { average: 1, period: 1h, sourceCriterion: { requestHeaderName: X-Key } } }", a.addr) + "log: { level: debug }\n")
	ask(429)
}

// TestEveryMiddlewareIsMade loads each middleware, and sends a request through it.
func TestEveryMiddlewareIsMade(t *testing.T) {
	a := serveWeb(t, "a")
	ca := weirtest.CA(t)
	cert := ca.Client("weir")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "0123456789abcdef0123456789abcdef\n")
	yes := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(yes.Close)
	r := launchWith(t, simpleWeb("", "", a.addr), ownMakers)
	<-r.Ready()
	conn := dial(t, r.addr("web"))
	made := map[string]bool{"Chain": true} // which is what it is made of
	for text, want := range map[string]int{
		`{ addPrefix: { prefix: /x } }`: 200,
		`{ buffering: {} }`:             200,
		`{ circuitBreaker: { expression: "NetworkErrorRatio() > 0.5" } }`: 200,
		`{ compress: {} }`: 200,
		`{ errors: { status: ["200"], service: app, query: /page } }`:                         200,
		`{ redirectRegex: { regex: "^http://", replacement: "https://" } }`:                   302,
		`{ redirectScheme: { scheme: https } }`:                                               302,
		`{ replacePath: { path: /x } }`:                                                       200,
		`{ replacePathRegex: { regex: "^/", replacement: /x } }`:                              200,
		`{ retry: { attempts: 2 } }`:                                                          200,
		`{ stripPrefix: { prefixes: [/x] } }`:                                                 200,
		`{ stripPrefixRegex: { regex: [/x] } }`:                                               200,
		`{ basicAuth: { users: ["a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="] } }`:                   401,
		`{ contentType: {} }`:                                                                 200,
		`{ contentType: { autoDetect: false } }`:                                              200,
		`{ digestAuth: { users: ["test:traefik:a2688e031edb4be6a3797f3882655c05"] } }`:        401,
		`{ forwardAuth: { address: "` + yes.URL + `", authResponseHeadersRegex: "^X-" } }`:    200,
		`{ forwardAuth: { address: "` + yes.URL + `", forwardBody: true, maxBodySize: 10 } }`: 200,
		`{ forwardAuth: { address: "https://127.0.0.1:1", tls: { ca: ` + ca.File + `, cert: ` + cert.CertFile + `, key: ` + cert.KeyFile + ` } } }`: 503,
		`{ encodedCharacters: { allowEncodedSlash: true } }`:                                        200,
		`{ grpcWeb: { allowOrigins: ["*"] } }`:                                                      200,
		`{ headers: { accessControlAllowOriginListRegex: ["^a$"], frameDeny: true } }`:              200,
		`{ inFlightReq: { amount: 1 } }`:                                                            200,
		`{ ipAllowList: { sourceRange: [ "127.0.0.1" ], ipStrategy: { depth: 1 } } }`:               403,
		`{ ipDenyList: { sourceRange: [ "127.0.0.1" ] } }`:                                          403,
		`{ jwt: { keys: [ { secretFile: ` + secret + ` } ] } }`:                                     401,
		`{ passTLSClientCert: { pem: true, info: { subject: { commonName: true }, issuer: {} } } }`: 200,
		`{ plugin: { say: { say: hello } } }`:                                                       299,
		`{ rateLimit: { average: 1, sourceCriterion: { requestHost: true } } }`:                     200,
		`{ requestID: {} }`: 200,
	} {
		r.mustReload(withMiddleware(text, a.addr))
		if m := r.web.middlewares["m"]; m == nil || m.Name != "m" {
			t.Errorf("%s: there is none", text)
		}
		before := r.web.middlewares["m"]
		if r.mustReload(withMiddleware(text, a.addr)); r.web.middlewares["m"] != before {
			t.Errorf("%s: it is made anew without a change", text)
		}
		if status, _ := conn.get("/"); status != want {
			t.Errorf("%s: status %d, want %d", text, status, want)
		}
		cfg, err := config.Parse("weir.yaml", []byte(withMiddleware(text, a.addr)))
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(*cfg.HTTP.Middlewares["m"])
		for i := range v.NumField() {
			made[v.Type().Field(i).Name] = made[v.Type().Field(i).Name] || !v.Field(i).IsNil()
		}
	}
	for kind, is := range made {
		if !is && kind != "Plugin" { // what others build in has tests of its own
			t.Errorf("%s is not in the table", kind)
		}
	}
}

// TestKeysSurviveAReload: the keys that a server of keys has given out are known after a reload that changes something else.
func TestKeysSurviveAReload(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	var fetches atomic.Int64
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, b64(public))
	}))
	t.Cleanup(keys.Close)
	token := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64([]byte(`{"sub":"ada"}`))
	token += "." + b64(ed25519.Sign(private, []byte(token)))

	a := serveWeb(t, "a")
	text := withMiddleware("{ jwt: { jwksUrl: "+keys.URL+", allowNoExpiry: true } }", a.addr)
	r := start(t, text)
	conn := dial(t, r.addr("web"))
	for i, text := range []string{text, text + "log: { level: debug }\n", strings.Replace(text, "allowNoExpiry", "leeway: 5s, allowNoExpiry", 1)} {
		r.mustReload(text)
		if status, _ := conn.with("/", "Authorization: Bearer "+token); status != 200 {
			t.Errorf("reload %d: status %d", i, status)
		}
		if want := int64(max(i, 1)); fetches.Load() != want {
			t.Errorf("reload %d: the keys were fetched %d times, want %d", i, fetches.Load(), want)
		}
	}
}

// What a compress has done is shown, and lasts through a reload that does not change it.
func TestCompressionIsShown(t *testing.T) {
	a := serveWeb(t, "a")
	r := start(t, withMiddleware("{ compress: { minResponseBodyBytes: 1 } }", a.addr))
	conn := dial(t, r.addr("web"))
	if status, _ := conn.get("/"); status != 200 {
		t.Fatalf("status %d", status)
	}
	r.mustReload(withMiddleware("{ compress: { minResponseBodyBytes: 1 } }", a.addr) + "log: { level: debug }\n")
	all := r.State().Compressions
	if len(all) != 1 || all[0].Middleware != "m" || all[0].Skipped["client"] != 1 || all[0].Responses["gzip"] != 0 {
		t.Fatalf("%+v", all)
	}
	r.mustReload(simpleWeb("", "", a.addr))
	if all := r.State().Compressions; len(all) != 0 {
		t.Errorf("one that is gone is still shown: %+v", all)
	}
}
