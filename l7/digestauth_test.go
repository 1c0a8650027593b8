package l7

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func digestUsers(t testing.TB, lines ...string) *DigestUsers {
	t.Helper()
	u, err := NewDigestUsers(lines)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// prover answers a challenge as a client does that knows a password.
type prover struct {
	user, password, realm, method, uri string
	nonce, opaque, nc                  string
	more                               string // in place of qop and algorithm
}

func (p prover) line() string {
	ha1 := md5hex(p.user + ":" + p.realm + ":" + p.password)
	response := md5hex(ha1 + ":" + p.nonce + ":" + p.nc + ":c:auth:" + md5hex(p.method+":"+p.uri))
	if p.more == "" {
		p.more = ", qop=auth, algorithm=MD5"
	}
	return fmt.Sprintf("Authorization: Digest username=%q, realm=%q, nonce=%q, uri=%q, response=%q, opaque=%q, nc=%s, cnonce=\"c\"%s\r\n",
		p.user, p.realm, p.nonce, p.uri, response, p.opaque, p.nc, p.more)
}

var challenged = regexp.MustCompile(`WWW-Authenticate: Digest realm="traefik", nonce="([^"]+)", opaque="([^"]+)", algorithm=MD5, qop="auth"(, stale=true)?\r\n`)

func TestDigestAuth(t *testing.T) {
	// Those of Traefik's manual: the password is test.
	list := digestUsers(t, "# ours", "test:traefik:a2688e031edb4be6a3797f3882655c05", "test2:traefik:518845800f9e2bfb1f1f740ec24f074e", "test:other:00000000000000000000000000000000")
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, told)}, middlewares: []*Middleware{
		DigestAuth("auth", DigestAuthOptions{Users: list, Realm: "traefik", HeaderField: "X-User", RemoveHeader: true})}})
	ask := func(line string) string {
		return b.exchange("GET /a%2Fb?c=d HTTP/1.1\r\nHost: a.test\r\nX-User: root\r\nConnection: close\r\n" + line + "\r\n")
	}
	challenge := func(text string) (nonce, opaque string, stale bool) {
		t.Helper()
		m := challenged.FindStringSubmatch(text)
		if m == nil || !strings.HasPrefix(text, "HTTP/1.1 401 ") {
			t.Fatalf("no challenge: %s", text)
		}
		return m[1], m[2], m[3] != ""
	}
	nonce, opaque, stale := challenge(ask(""))
	if stale {
		t.Error("nothing was stale")
	}
	good := prover{user: "test", password: "test", realm: "traefik", method: "GET", uri: "/a%2Fb?c=d", nonce: nonce, opaque: opaque, nc: "00000001"}
	has(t, ask(good.line()), "HTTP/1.1 200 ", `X-User=["test"]`)
	if text := ask(good.line()); true {
		if _, _, stale = challenge(text); !stale {
			t.Error("a count that was used is not stale")
		}
	}
	edit := func(do func(*prover)) string {
		p := good
		p.nc = "00000002"
		do(&p)
		return p.line()
	}
	other, _, _ := challenge(ask(""))
	for name, tt := range map[string]struct {
		line  string
		stale bool
	}{
		"wrong password":    {edit(func(p *prover) { p.password = "Test" }), false},
		"unknown user":      {edit(func(p *prover) { p.user = "nobody" }), false},
		"another realm":     {edit(func(p *prover) { p.realm = "other" }), false},
		"another target":    {edit(func(p *prover) { p.uri = "/" }), false},
		"another method":    {edit(func(p *prover) { p.method = "POST" }), false},
		"another opaque":    {edit(func(p *prover) { p.opaque = "x" }), false},
		"no qop":            {edit(func(p *prover) { p.more = ", algorithm=MD5" }), false},
		"auth-int":          {edit(func(p *prover) { p.more = ", qop=auth-int" }), false},
		"another algorithm": {edit(func(p *prover) { p.more = ", qop=auth, algorithm=SHA-256" }), false},
		"a parameter twice": {edit(func(p *prover) { p.more = ", qop=auth, nc=00000003" }), false},
		"a made-up nonce":   {edit(func(p *prover) { p.nonce = strings.Repeat("A", 54) }), true},
		"half a nonce":      {edit(func(p *prover) { p.nonce = other[:20] }), true},
		"count 0":           {edit(func(p *prover) { p.nc = "00000000" }), false},
		"a short count":     {edit(func(p *prover) { p.nc = "2" }), false},
		"two headers":       {good.line() + good.line(), false},
		"basic":             {basic("test:test"), false},
	} {
		if _, _, stale := challenge(ask(tt.line)); stale != tt.stale {
			t.Errorf("%s: stale %v", name, stale)
		}
	}
	// Requests may overtake each other, and a user may have several nonces.
	for _, nc := range []string{"00000005", "00000003", "00000004", "0000000a"} {
		has(t, ask(edit(func(p *prover) { p.nc = nc })), "HTTP/1.1 200 ")
	}
	has(t, ask(edit(func(p *prover) { p.nonce, p.user = other, "test2" })), "HTTP/1.1 401 ") // test2's password is test2
	has(t, ask(edit(func(p *prover) { p.nonce, p.user, p.password = other, "test2", "test2" })), "HTTP/1.1 200 ")
}

func TestNonces(t *testing.T) {
	start := time.Unix(1000, 0)
	n := newNonces()
	a := n.make(start)
	for i, step := range []struct {
		count uint32
		after time.Duration
		want  bool
	}{
		{1, time.Second, true}, {1, time.Second, false}, {100, time.Second, true}, {37, time.Second, true}, {37, time.Second, false},
		{36, time.Second, false}, {99, time.Second, true}, {1000, time.Second, true}, {100, time.Second, false}, {1001, nonceLife, false}, {1001, nonceLife - 1, true},
		{1002, -1, false},
	} {
		if got := n.use(a, step.count, start.Add(step.after)); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if newNonces().use(a, 5, start) || n.use(a[:len(a)-1]+"_", 5000, start) && n.use(a[:len(a)-1]+"-", 5000, start) {
		t.Error("a nonce of somebody else is taken")
	}
	// Whatever becomes of the table, no count is taken twice.
	var all []string
	for i := range 3 * nonceSlots {
		all = append(all, n.make(start.Add(time.Duration(i))))
	}
	now, taken := start.Add(time.Second), 0
	for _, nonce := range all {
		if n.use(nonce, 1, now) {
			taken++
		}
	}
	for _, nonce := range all {
		if n.use(nonce, 1, now) {
			t.Fatal("a count is taken twice")
		}
	}
	if taken != len(all) {
		t.Errorf("%d of %d nonces, each made after the last, could be used", taken, len(all))
	}
	// Nor when loops take it at one time.
	fresh := n.make(now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		wg.Go(func() {
			if n.use(fresh, 1, now) {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	if wg.Wait(); won != 1 {
		t.Errorf("%d have taken one count", won)
	}
}

func TestDigestUsers(t *testing.T) {
	for _, line := range []string{"a", "a:b", ":b:a2688e031edb4be6a3797f3882655c05", "a:b:c", "a:b:a2688e031edb4be6a3797f3882655c05:d"} {
		if _, err := NewDigestUsers([]string{"", line}); !errors.Is(err, ErrUser) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(`Digest username="a", realm="b", nonce="c", uri="/", response="00000000000000000000000000000000", nc=00000001, cnonce="x\"y", qop=auth`)
	f.Add(`digest a=b,`)
	f.Fuzz(func(t *testing.T, value string) {
		var d digest
		if d.parse(value) && (d.user == "" || d.count == 0 || len(d.response) != 32) {
			t.Errorf("%q gives %+v", value, d)
		}
	})
}
