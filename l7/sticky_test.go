package l7

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/upstream"
)

var stickyKey = []byte("0123456789abcdef")

func (b *bed) sticky(service string, c Cookie) *Sticky {
	b.t.Helper()
	s, err := b.server.NewSticky(service, stickyKey, c)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// visit asks once, with the cookies given, and returns who has answered and the Set-Cookie lines.
func (b *bed) visit(cookies ...string) (who string, set []string) {
	b.t.Helper()
	req, err := http.NewRequest("GET", "http://"+b.addr+"/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range cookies {
		req.Header.Add("Cookie", c)
	}
	resp, err := b.client().Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		return fmt.Sprint(resp.StatusCode), resp.Header.Values("Set-Cookie")
	}
	return strings.Fields(string(text))[0], resp.Header.Values("Set-Cookie")
}

// pair is name and value of a Set-Cookie line.
func pair(line string) string {
	before, _, _ := strings.Cut(line, ";")
	return before
}

// stickyBed has three backends, one, two and three, and a sticky load balancer.
func stickyBed(t *testing.T) (b *bed, backends []*upstream.Backend) {
	b = newBed(t, setup{backends: []netip.AddrPort{named(t, "one", 200), named(t, "two", 200), named(t, "three", 200)}})
	lb := *b.lb
	lb.Sticky = b.sticky("svc", Cookie{Name: "at", HTTPOnly: true})
	b.svc.Set(&lb)
	return b, b.pool.Backends()
}

func TestStickySession(t *testing.T) {
	b, _ := stickyBed(t)
	for range 3 {
		who, set := b.visit()
		if len(set) != 1 || !strings.HasSuffix(set[0], "; Path=/; HttpOnly") {
			t.Fatalf("Set-Cookie: %q", set)
		}
		for range 4 {
			if again, set := b.visit("a=b; " + pair(set[0]) + "; c=d"); again != who || len(set) != 0 {
				t.Errorf("%s after %s, Set-Cookie: %q", again, who, set)
			}
		}
	}
}

func TestStickyBackendState(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		change func(*upstream.Backend)
		keeps  bool
	}{
		{"up", func(b *upstream.Backend) { b.SetHealth(upstream.Up, now) }, true},
		{"down", func(b *upstream.Backend) { b.SetHealth(upstream.Down, now) }, false},
		{"draining", func(b *upstream.Backend) { b.SetDraining(true, now) }, false},
		{"without weight", func(b *upstream.Backend) { b.SetEndpoint(upstream.Endpoint{}) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, backends := stickyBed(t)
			who, set := b.visit()
			at := backends[slices.Index([]string{"one", "two", "three"}, who)]
			tt.change(at)
			b.pool.Update(b.pool.Options(), backends, now)
			cookie := pair(set[0])
			again, set := b.visit(cookie)
			switch {
			case tt.keeps && (again != who || len(set) != 0):
				t.Errorf("%s after %s, Set-Cookie: %q", again, who, set)
			case !tt.keeps && (again == who || len(set) != 1 || pair(set[0]) == cookie):
				t.Errorf("%s after %s, Set-Cookie: %q", again, who, set)
			}
		})
	}
}

// TestStickyOfAllWithoutWeight: nobody new is served, those who were there are.
func TestStickyOfAllWithoutWeight(t *testing.T) {
	b, backends := stickyBed(t)
	who, set := b.visit()
	for _, one := range backends {
		one.SetEndpoint(upstream.Endpoint{})
	}
	b.pool.Update(b.pool.Options(), backends, time.Now())
	if again, _ := b.visit(pair(set[0])); again != who {
		t.Errorf("%s after %s", again, who)
	}
	if status, _ := b.visit(); status != "503" {
		t.Errorf("a new client gets %s", status)
	}
}

// TestStickyBackendThatRefuses: the session moves on, and the client is told.
func TestStickyBackendThatRefuses(t *testing.T) {
	gone := netip.MustParseAddrPort(weirtest.Refused(t))
	b := newBed(t, setup{backends: []netip.AddrPort{gone, named(t, "two", 200)}})
	lb := *b.lb
	lb.Sticky = b.sticky("svc", Cookie{Name: "at"})
	b.svc.Set(&lb)
	x := &Exchange{worker: b.server.workers[0]}
	_ = x.res.SetStatus(200, "OK")
	_ = b.server.workers[0].loop.Call(func() { lb.Sticky.set(x, b.pool.Backends()[0].ID()) })
	cookie, _ := x.res.Get("Set-Cookie")
	who, set := b.visit(pair(string(cookie)))
	if who != "two" || len(set) != 1 || pair(set[0]) == pair(string(cookie)) {
		t.Errorf("%s, Set-Cookie: %q", who, set)
	}
}

// TestStickyForgery: what is not exactly a value that was given out is no session, and is replaced.
func TestStickyForgery(t *testing.T) {
	b, _ := stickyBed(t)
	_, set := b.visit()
	good := pair(set[0])
	other, err := b.server.NewSticky("another", stickyKey, Cookie{Name: "at"})
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{worker: b.server.workers[0]}
	_ = x.res.SetStatus(200, "OK")
	_ = b.server.workers[0].loop.Call(func() { other.set(x, b.pool.Backends()[0].ID()) })
	foreign, _ := x.res.Get("Set-Cookie")
	flip := []byte(good)
	flip[5] ^= 1
	last := []byte(good)
	last[len(last)-1] ^= 2
	for name, cookie := range map[string]string{
		"empty": "at=", "short": good[:len(good)-1], "long": good + "A", "id": string(flip), "tag": string(last),
		"padding": good[:len(good)-1] + "=", "of another service": pair(string(foreign)), "other name": "At" + good[2:],
		"no name": good[3:], "half quoted": "at=\"" + good[3:], "alphabet": "at=" + strings.Repeat("!", tokenSize),
	} {
		t.Run(name, func(t *testing.T) {
			if _, set := b.visit(cookie); len(set) != 1 {
				t.Errorf("%q is taken for a session", cookie)
			}
		})
	}
	for name, cookies := range map[string][]string{
		"quoted": {`at="` + good[3:] + `"`}, "behind a bad one": {"at=x; " + good}, "in a second field": {"a=b", good},
		"without space": {"a=b;" + good + ";c=d"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, set := b.visit(cookies...); len(set) != 0 {
				t.Errorf("%q is not taken for a session", cookies)
			}
		})
	}
}

// TestStickyWeighted: a client stays at its child, and in it at its backend.
func TestStickyWeighted(t *testing.T) {
	b := newBed(t, setup{})
	one, two := b.service("one", named(t, "one", 200)), b.service("two", named(t, "two-a", 200), named(t, "two-b", 200))
	lb := *(*two.target.Load()).(*LoadBalancer)
	lb.Sticky = b.sticky("two", Cookie{})
	two.Set(&lb)
	b.svc.Set(b.server.NewWeighted([]Child{{one, 1}, {two, 1}}, b.sticky("svc", Cookie{Name: "child", SameSite: "Strict"})))
	for range 4 {
		who, set := b.visit()
		want := 1
		if strings.HasPrefix(who, "two") {
			want = 2
		}
		if len(set) != want {
			t.Fatalf("%s, Set-Cookie: %q", who, set)
		}
		var cookies []string
		for _, line := range set {
			cookies = append(cookies, pair(line))
		}
		for range 3 {
			if again, set := b.visit(strings.Join(cookies, "; ")); again != who || len(set) != 0 {
				t.Errorf("%s after %s, Set-Cookie: %q", again, who, set)
			}
		}
	}
	b.health(two, upstream.Down)
	for range 2 {
		if who, _ := b.visit(); who != "one" {
			t.Errorf("%s", who)
		}
	}
}

func TestStickyUpgrade(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, answers("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))}})
	lb := *b.lb
	lb.Sticky = b.sticky("svc", Cookie{Name: "at"})
	b.svc.Set(&lb)
	c := b.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if set := resp.Header.Get("Set-Cookie"); resp.StatusCode != 101 || !strings.HasPrefix(set, "at=") {
		t.Errorf("%d, Set-Cookie: %q", resp.StatusCode, set)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, r)
	b.records(1)
}

func TestNewSticky(t *testing.T) {
	s := mock(t, 1)
	for _, tt := range []struct {
		name, want string
		key        []byte
		cookie     Cookie
		err        error
	}{
		{"everything", "; Path=/a; Domain=shop.test; Max-Age=60; HttpOnly; Secure; SameSite=Lax", stickyKey,
			Cookie{"n", "/a", "shop.test", true, true, "lax", 60}, nil},
		{"nothing", "; Path=/", stickyKey, Cookie{}, nil},
		{"to be forgotten", "; Path=/; Max-Age=0; SameSite=None", stickyKey, Cookie{MaxAge: -1, SameSite: "None"}, nil},
		{"short key", "", stickyKey[1:], Cookie{}, ErrStickyKey},
		{"bad name", "", stickyKey, Cookie{Name: "a;b"}, ErrCookie},
		{"bad path", "", stickyKey, Cookie{Path: "/;Secure"}, ErrCookie},
		{"bad domain", "", stickyKey, Cookie{Domain: "a\r\nb"}, ErrCookie},
		{"bad mode", "", stickyKey, Cookie{SameSite: "sometimes"}, ErrCookie},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.NewSticky("svc", tt.key, tt.cookie)
			if !errors.Is(err, tt.err) || tt.err != nil {
				if err == nil || !errors.Is(err, tt.err) {
					t.Fatalf("%v, want %v", err, tt.err)
				}
				return
			}
			if got.attributes != tt.want {
				t.Errorf("%q", got.attributes)
			}
		})
	}
	one, _ := s.NewSticky("one", stickyKey, Cookie{})
	two, _ := s.NewSticky("two", stickyKey, Cookie{})
	again, _ := s.NewSticky("one", []byte("another key, longer"), Cookie{})
	if one.name == two.name || one.name != again.name || !strings.HasPrefix(one.name, "_") {
		t.Errorf("%q %q %q", one.name, two.name, again.name)
	}
}

func request(t testing.TB, x *Exchange, lines string) {
	t.Helper()
	var p http1.Parser
	if _, err := p.Request([]byte("GET / HTTP/1.1\r\nHost: a\r\n"+lines+"\r\n"), &x.req); err != nil {
		t.Fatal(err)
	}
}

// TestCookies holds the reader against a table.
func TestCookies(t *testing.T) {
	for _, tt := range []struct {
		name, lines string
		want        []string
	}{
		{"none", "", nil},
		{"one", "Cookie: a=1\r\n", []string{"1"}},
		{"several", "Cookie: a=1; b=2; a=3\r\nCookie: a=4\r\n", []string{"1", "3", "4"}},
		{"empty value", "Cookie: a=; a\r\n", []string{""}},
		{"equals sign in the value", "Cookie: a=b=c\r\n", []string{"b=c"}},
		{"quoted", "Cookie: a=\"1\"\r\n", []string{"1"}},
		{"bad bytes", "Cookie: a=1 2; a=1,2; a=1\\2; a=\"1; a=\x80\r\n", nil},
		{"other names", "Cookie: A=1; aa=2; xa=3; a =4\r\n", nil},
		{"separators alone", "Cookie: ;;; ; a=1;;\r\n", []string{"1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := new(Exchange)
			request(t, x, tt.lines)
			var got []string
			cookies(&x.req, "a", func(v []byte) bool { got = append(got, string(v)); return false })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStickyRoundTrip: what is given out is read back, for any id, and without memory.
func TestStickyRoundTrip(t *testing.T) {
	s := mock(t, 1)
	sticky, err := s.NewSticky("svc", stickyKey, Cookie{Name: "at"})
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{worker: s.workers[0]}
	rapid.Check(t, func(rt *rapid.T) {
		id := rapid.Uint64().Draw(rt, "id")
		x.res.Reset()
		_ = x.res.SetStatus(200, "OK")
		sticky.set(x, id)
		line, _ := x.res.Get("Set-Cookie")
		request(t, x, "Cookie: z=1; "+pair(string(line))+"\r\n")
		if got, ok := sticky.read(x); !ok || got != id {
			rt.Fatalf("%x, %v", got, ok)
		}
	})
	if n := testing.AllocsPerRun(100, func() { sticky.read(x) }); n != 0 {
		t.Errorf("%v allocations to read", n)
	}
	if n := testing.AllocsPerRun(100, func() { x.res.Reset(); sticky.set(x, 1) }); n != 0 {
		t.Errorf("%v allocations to set", n)
	}
}

func BenchmarkStickyRead(b *testing.B) {
	s := mock(b, 1)
	sticky, _ := s.NewSticky("svc", stickyKey, Cookie{Name: "at"})
	x := &Exchange{worker: s.workers[0]}
	_ = x.res.SetStatus(200, "OK")
	sticky.set(x, 1)
	line, _ := x.res.Get("Set-Cookie")
	request(b, x, "Cookie: z=1; "+pair(string(line))+"\r\n")
	b.ReportAllocs()
	for b.Loop() {
		sticky.read(x)
	}
}
