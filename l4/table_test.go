package l4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

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
