package l4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/sni"
)

// routeOf makes a route as the server does: priority 0 stands for the rule's own.
func routeOf(t testing.TB, name, text string, priority int, tls TLSMode) *Route {
	t.Helper()
	r, err := newRoute(name, text, priority, tls, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newRoute(name, text string, priority int, tls TLSMode, v *Service) (*Route, error) {
	e, err := rule.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", text, err)
	}
	if priority == 0 {
		priority = rule.Priority(text, e)
	}
	return &Route{Name: name, Rule: e, Priority: priority, TLS: tls, Service: v}, nil
}

func mustTable(t testing.TB, routes ...*Route) *Table {
	t.Helper()
	table, err := NewTable(routes, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTableRoutesTLS(t *testing.T) {
	table := mustTable(t,
		routeOf(t, "exact", "HostSNI(`a.example.com`)", 0, Passthrough),
		routeOf(t, "wild", "HostSNI(`*.example.com`)", 0, Passthrough),
		routeOf(t, "either", "HostSNI(`b.example.com`) || HostSNI(`c.example.net`)", 0, Passthrough),
		routeOf(t, "office", "HostSNI(`a.example.com`) && ClientIP(`10.0.0.0/8`)", 0, Passthrough),
		routeOf(t, "regexp", "HostSNIRegexp(`^r[0-9]+\\.example\\.org$`)", 0, Passthrough),
		routeOf(t, "forced", "HostSNIRegexp(`^forced\\.example\\.com$`)", 1000, Passthrough),
		routeOf(t, "not", "!HostSNI(`x.example.info`) && ALPN(`spdy`)", 0, Passthrough),
		routeOf(t, "twin-b", "HostSNI(`t.example.edu`)", 7, Passthrough),
		routeOf(t, "twin-a", "HostSNI(`t.example.edu`)", 7, Passthrough),
		routeOf(t, "rest", "HostSNI(`*`)", 0, Passthrough),
	)
	if !table.sniffs {
		t.Error("a table of TLS routes must look at the first bytes")
	}
	for _, tt := range []struct{ name, sni, client, want string }{
		{"exact before wildcard", "a.example.com", "192.0.2.1", "exact"},
		{"longer rule of the same name", "a.example.com", "10.0.0.1", "office"},
		{"wildcard", "z.example.com", "192.0.2.1", "wild"},
		{"wildcard takes one label", "y.z.example.com", "192.0.2.1", "rest"},
		{"wildcard takes no bare domain", "example.com", "192.0.2.1", "rest"},
		{"or, longer than the wildcard", "b.example.com", "192.0.2.1", "either"},
		{"or, the other name", "c.example.net", "192.0.2.1", "either"},
		{"regexp", "r42.example.org", "192.0.2.1", "regexp"},
		{"priority beats specificity", "forced.example.com", "192.0.2.1", "forced"},
		{"ties go by name", "t.example.edu", "192.0.2.1", "twin-a"},
		{"nobody's name", "nobody.example.biz", "192.0.2.1", "rest"},
		{"no name", "", "192.0.2.1", "rest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hello := sni.Hello{ServerName: []byte(tt.sni)}
			route, _ := table.tls(&hello, netip.MustParseAddr(tt.client))
			if got := nameOf(route); got != tt.want {
				t.Errorf("%s from %s goes to %s, want %s", tt.sni, tt.client, got, tt.want)
			}
			if plain := table.bare(netip.MustParseAddr(tt.client)); plain != nil {
				t.Errorf("a plain connection goes to %s, want nowhere", plain.Name)
			}
		})
	}
}

func nameOf(r *Route) string {
	if r == nil {
		return "nowhere"
	}
	return r.Name
}

func TestTableRoutesPlain(t *testing.T) {
	table := mustTable(t,
		routeOf(t, "office", "ClientIP(`10.0.0.0/8`)", 0, NoTLS),
		routeOf(t, "rest", "HostSNI(`*`)", 0, NoTLS),
	)
	if table.sniffs {
		t.Error("a table without TLS or HTTP has no reason to look at the first bytes: servers may speak first")
	}
	for client, want := range map[string]string{"10.1.1.1": "office", "192.0.2.1": "rest"} {
		if got := nameOf(table.bare(netip.MustParseAddr(client))); got != want {
			t.Errorf("%s goes to %s, want %s", client, got, want)
		}
	}
}

// httpNames serves some names by HTTP.
type httpNames map[string]bool

func (h httpNames) HandlerFor(name []byte) Handler {
	if h[string(name)] {
		return nullHandler{}
	}
	return nil
}

type nullHandler struct{}

func (nullHandler) Serve(s *eventloop.Stream) { s.Close() }

func TestTableOrderWithHTTP(t *testing.T) {
	table, err := NewTable([]*Route{
		routeOf(t, "named", "HostSNI(`tcp.example.com`)", 0, Passthrough),
		routeOf(t, "rest", "HostSNI(`*`)", 0, Terminate),
	}, nullHandler{}, httpNames{"tcp.example.com": true, "www.example.com": true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, sni, route string
		http             bool
	}{
		{"a TCP route with a name goes first", "tcp.example.com", "named", false},
		{"then HTTPS", "www.example.com", "nowhere", true},
		{"then the catch-all", "other.example.com", "rest", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hello := sni.Hello{ServerName: []byte(tt.sni)}
			route, handler := table.tls(&hello, alice)
			if nameOf(route) != tt.route || (handler != nil) != tt.http {
				t.Errorf("goes to route %s, http %v; want %s, %v", nameOf(route), handler != nil, tt.route, tt.http)
			}
		})
	}
}

// hellos are what the property below draws clients from. crypto/tls has written them: only it knows what a hello is.
func hellos(t testing.TB) []sni.Hello {
	t.Helper()
	var all []sni.Hello
	for _, name := range []string{"", "a.test", "b.test", "x.a.test", "y.x.a.test", "test"} {
		for _, alpn := range [][]string{nil, {"h2"}, {"redis", "h2"}} {
			hello, err := sni.Parse(helloBytes(t, name, alpn...))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, hello)
		}
	}
	return all
}

// drawRule builds a rule of the language out of few enough words that they meet.
func drawRule(t *rapid.T, depth int) string {
	words := []string{
		"HostSNI(`*`)", "HostSNI(`a.test`)", "HostSNI(`B.test.`)", "HostSNI(`*.a.test`)", "HostSNI(`x.a.test`)", "HostSNI(`*.test`)",
		"HostSNIRegexp(`^a`)", "HostSNIRegexp(`^$`)", "HostSNIRegexp(`a\\.test$`)", "HostSNIRegexp(`.*`)",
		"ALPN(`h2`)", "ALPN(`redis`)", "ClientIP(`192.0.2.0/31`)", "ClientIP(`2001:db8::/32`)", "ClientIP(`fe80::/10`)",
	}
	shape := 0
	if depth > 0 {
		shape = rapid.IntRange(0, 4).Draw(t, "shape")
	}
	switch shape {
	case 1:
		return "!(" + drawRule(t, depth-1) + ")"
	case 2:
		return "(" + drawRule(t, depth-1) + ") && (" + drawRule(t, depth-1) + ")"
	case 3:
		return "(" + drawRule(t, depth-1) + ") || (" + drawRule(t, depth-1) + ")"
	}
	return rapid.SampledFrom(words).Draw(t, "word")
}

// holds evaluates a rule by walking its tree: slow, and plain to see.
func holds(e rule.Expr, hello *sni.Hello, client netip.Addr) bool {
	switch e := e.(type) {
	case rule.And:
		return !slices.ContainsFunc(e, func(t rule.Expr) bool { return !holds(t, hello, client) })
	case rule.Or:
		return slices.ContainsFunc(e, func(t rule.Expr) bool { return holds(t, hello, client) })
	case rule.Not:
		return !holds(e.Operand, hello, client)
	}
	m := e.(rule.Match)
	switch arg := m.Args[0]; m.Name {
	case "HostSNI":
		p, err := rule.ParseHost(arg)
		return err == nil && p.Matches(string(hello.ServerName))
	case "HostSNIRegexp":
		return regexp.MustCompile(arg).MatchString(string(hello.ServerName))
	case "ALPN":
		return slices.ContainsFunc(slices.Collect(hello.ALPN()), func(p []byte) bool { return string(p) == arg })
	default:
		return netip.MustParsePrefix(arg).Contains(client.WithZone(""))
	}
}

// checkTable holds a table of random routes against one look at all of them after the other.
func checkTable(all []sni.Hello, https httpNames) func(*rapid.T) {
	return func(t *rapid.T) {
		var routes []*Route
		for i := range rapid.IntRange(0, 6).Draw(t, "routes") {
			mode := rapid.SampledFrom([]TLSMode{NoTLS, Passthrough, Terminate}).Draw(t, "mode")
			r, err := newRoute(fmt.Sprint(i), drawRule(t, 2), rapid.IntRange(-1, 3).Draw(t, "priority"), mode, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := NewTable([]*Route{r}, nil, nil); err == nil {
				routes = append(routes, r)
			} else if mode != NoTLS && slices.ContainsFunc(all, func(h sni.Hello) bool { return holds(r.Rule, &h, alice) }) {
				t.Fatalf("%s is refused but can match: %v", r.Rule, err)
			}
		}
		table, err := NewTable(routes, nil, https)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(routes, compareRoutes)
		hello := rapid.SampledFrom(all).Draw(t, "hello")
		client := rapid.SampledFrom([]netip.Addr{alice, bob, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1%eth0")}).Draw(t, "client")

		var named, rest, plain *Route
		for _, r := range routes {
			_, any := rule.Hosts(r.Rule)
			switch {
			case r.TLS == NoTLS:
				if plain == nil && holds(r.Rule, &sni.Hello{}, client) {
					plain = r
				}
			case !holds(r.Rule, &hello, client):
			case !any && named == nil:
				named = r
			case any && rest == nil:
				rest = r
			}
		}
		want, wantHandler := named, false
		if named == nil {
			if wantHandler = https[string(hello.ServerName)]; !wantHandler {
				want = rest
			}
		}
		got, handler := table.tls(&hello, client)
		if got != want || (handler != nil) != wantHandler {
			t.Fatalf("%q from %v goes to %s, HTTPS %v; want %s, %v", hello.ServerName, client, nameOf(got), handler != nil, nameOf(want), wantHandler)
		}
		if got := table.bare(client); got != plain {
			t.Fatalf("plain from %v goes to %s, want %s", client, nameOf(got), nameOf(plain))
		}
	}
}

func TestTableProperty(t *testing.T) {
	rapid.Check(t, checkTable(hellos(t), httpNames{"b.test": true}))
}

func FuzzTable(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(checkTable(hellos(f), httpNames{"b.test": true})))
}

func TestTableRefusesRulesThatCannotMatch(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		mode       TLSMode
	}{
		{"two names at once", "HostSNI(`a.test`) && HostSNI(`b.test`)", Passthrough},
		{"a name and not that name", "HostSNI(`a.test`) && !HostSNI(`a.test`)", Terminate},
		{"not anything, plain", "!HostSNI(`*`)", NoTLS},
		{"not anything", "!HostSNI(`*`)", Passthrough},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewTable([]*Route{routeOf(t, "never", tt.rule, 0, tt.mode)}, nil, nil); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var routes []*Route
			for i := range n {
				routes = append(routes, routeOf(b, fmt.Sprint(i), fmt.Sprintf("HostSNI(`host%d.example.com`)", i), 0, Passthrough))
			}
			table := mustTable(b, routes...)
			hello := sni.Hello{ServerName: fmt.Appendf(nil, "host%d.example.com", rand.IntN(n))}
			b.ReportAllocs()
			for b.Loop() {
				if r, _ := table.tls(&hello, alice); r == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
