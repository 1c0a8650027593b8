package l7

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func users(t testing.TB, lines ...string) *BasicUsers {
	t.Helper()
	u, err := NewBasicUsers(lines)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// bcrypted is a user whose password is cheap to check.
func bcrypted(t testing.TB, user, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":" + string(hash)
}

func basic(userinfo string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo)) + "\r\n"
}

func TestBasicAuth(t *testing.T) {
	// Those of Traefik's manual: the password is test.
	list := users(t, "# comment", "", "test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/", "test2:$apr1$d9hr9HBB$4HxwgUir3HP4EsggP/QNo0",
		"sha:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", bcrypted(t, "crypt", "s3c:ret"), "test:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=")
	plain := []*Middleware{BasicAuth("auth", BasicAuthOptions{Users: list, Realm: "shop"})}
	telling := []*Middleware{BasicAuth("auth", BasicAuthOptions{Users: list, Realm: "shop", HeaderField: "X-User", RemoveHeader: true})}
	const denied = "WWW-Authenticate: Basic realm=\"shop\"\r\n"
	behave(t, told, []behaviour{
		{name: "nothing", m: plain, status: 401, want: []string{denied}, record: []string{`"denied"`, `"no-credentials"`}},
		{name: "apr1", m: plain, request: basic("test:test"), want: []string{"Authorization="}, record: []string{`"ClientUsername":"test"`}},
		{name: "apr1 again", m: plain, request: basic("test:test")},
		{name: "sha1", m: plain, request: basic("sha:test")},
		{name: "bcrypt, with a colon", m: plain, request: basic("crypt:s3c:ret")},
		{name: "scheme in capitals", m: plain, request: strings.Replace(basic("test:test"), "Basic", "BASIC", 1)},
		{name: "wrong password", m: plain, request: basic("test:Test"), status: 401, want: []string{denied}, record: []string{`"bad-credentials"`}},
		{name: "empty password", m: plain, request: basic("test:"), status: 401},
		{name: "unknown user", m: plain, request: basic("nobody:test"), status: 401, want: []string{denied}},
		{name: "the dummy's password", m: plain, request: basic("nobody:s3c:ret"), status: 401},
		{name: "no colon", m: plain, request: basic("test"), status: 401},
		{name: "not base64", m: plain, request: "Authorization: Basic t*st\r\n", status: 401},
		{name: "another scheme", m: plain, request: "Authorization: Bearer dGVzdDp0ZXN0\r\n", status: 401},
		{name: "too long", m: plain, request: basic("test:" + strings.Repeat("x", 2000)), status: 401},
		{name: "two", m: plain, request: basic("test:test") + basic("test:test"), status: 401},
		{name: "the server is told", m: telling, request: basic("test:test") + "X-User: root\r\nX-User: admin\r\n", want: []string{`X-User=["test"]`}, wantNot: []string{"Authorization"}},
		{name: "nobody says so himself", m: telling, request: "X-User: root\r\n", status: 401},
		{name: "no users", m: []*Middleware{BasicAuth("auth", BasicAuthOptions{Users: users(t), Realm: "r"})}, request: basic("a:"), status: 401},
	})
}

// A password that was right is not hashed again, for a while; another one is.
func TestBasicAuthRemembers(t *testing.T) {
	p := newProofs()
	start := time.Unix(1000, 0)
	right, wrong := p.mac("a", "b"), p.mac("a", "c")
	if p.has(&right, start) {
		t.Error("nothing was proved yet")
	}
	p.put(&right, start)
	if !p.has(&right, start.Add(provedFor-1)) || p.has(&right, start.Add(provedFor)) {
		t.Error("it is not remembered for as long as it should be")
	}
	if p.has(&wrong, start) || newProofs().mac("a", "b") == right {
		t.Error("another password, or another key, gives the same")
	}
	other := newProofs()
	for i := range 3 * provedSlots {
		mac := other.mac("u", string(rune(i)))
		if other.put(&mac, start); !other.has(&mac, start) {
			t.Fatal("what comes last is forgotten")
		}
	}
}

func TestBasicUsers(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"test", "name:hash"}, {":x", "name:hash"}, {"a\x01b:{SHA}x", "name:hash"}, {strings.Repeat("a", 256) + ":x", "name:hash"},
		{"a:plain-secret", "none of bcrypt"}, {"a:$apr1$salt", "malformed"}, {"a:$2y$05$short", "malformed"},
		{"a:$2y$31$" + strings.Repeat("a", 53), "cost 31"}, {"a:$5$rounds=5000$salt$hash", "none of"},
	} {
		_, err := NewBasicUsers([]string{"", tt.line})
		if !errors.Is(err, ErrUser) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", tt.line, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add([]byte("Basic dGVzdDp0ZXN0"))
	f.Add([]byte("basic"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if bytes.ContainsAny(value, "\r\n") {
			return // no value of a field has them
		}
		user, password, ok := credentials(value)
		if !ok {
			return
		}
		if user == "" || strings.Contains(user, ":") || len(user)+len(password) > maxCredentials+3 {
			t.Errorf("%q gives %q and %q", value, user, password)
		}
		again := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		if !strings.HasSuffix(strings.TrimRight(string(value), " \t"), again) {
			t.Errorf("%q is not what %q says", again, value)
		}
	})
}
