package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	secure := newRoute(t, "secure", "Host(`shop.example.com`)")
	secure.TLS = true
	last := newRoute(t, "zz", "PathPrefix(`/api`)")
	table := newTable(t,
		secure, last,
		newRoute(t, "api", "PathPrefix(`/api`)"),
		newRoute(t, "wide", "Host(`shop.example.com`) && (Method(`POST`) || Header(`X-Try`, `1`))"),
		newRoute(t, "office", "PathPrefix(`/`) && !ClientIP(`192.0.2.0/24`)"),
		newRoute(t, "search", "Host(`*.example.com`) && Query(`q`, `1`) && PathRegexp(`^/api/a b`)"),
	)
	x := table.Explain(request(t, "http://Shop.Example.com:8080/api/a%20b?q=2&q=3", [2]string{"x-try", "0"}))
	if x.Host != "shop.example.com" || x.Path != "/api/a%20b" || x.Winner == nil || x.Winner.Name != "api" {
		t.Errorf("host %q, path %q, winner %v", x.Host, x.Path, x.Winner)
	}
	if want := "its priority 18 is also that of zz, and its name comes first"; x.Why != want {
		t.Errorf("why: %q, want %q", x.Why, want)
	}
	want := [][2]string{
		{"wide", "does not match: Method(`POST`) does not hold, method is \"GET\"; Header(`X-Try`, `1`) does not hold, header X-Try is \"0\""},
		{"search", "does not match: Query(`q`, `1`) does not hold, parameter q is one of [\"2\" \"3\"]"},
		{"office", "does not match: ClientIP(`192.0.2.0/24`) holds, client is 192.0.2.1"},
		{"secure", "is for TLS only, the request came without"},
		{"api", "matches: PathPrefix(`/api`) holds, path is \"/api/a%20b\""},
		{"zz", "matches: PathPrefix(`/api`) holds, path is \"/api/a%20b\""},
	}
	var got [][2]string
	for _, v := range x.Verdicts {
		got = append(got, [2]string{v.Route.Name, v.String()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestExplainWhy(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []string
		url   string
		want  string
	}{
		{"nothing", nil, "http://a/", "no router matches"},
		{"none", []string{"Host(`b`)"}, "http://a/", "no router matches"},
		{"one", []string{"Host(`a`)"}, "http://a/", "no other router matches"},
		{"priority", []string{"Host(`a`)", "PathPrefix(`/`)"}, "http://a/", "its priority 15 is higher than 9, that of r0"},
		{"the next is not the next in the list", []string{"Host(`a`)", "PathPrefix(`/x`)", "HostRegexp(`^[a-z]+$`)"}, "http://a/", "its priority 22 is higher than 9, that of r0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var routes []*Route[string]
			for i, text := range tt.rules {
				routes = append(routes, newRoute(t, "r"+string(rune('0'+i)), text))
			}
			if got := newTable(t, routes...).Explain(request(t, tt.url)).Why; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFinding(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule string
		url  string
		want string
	}{
		{"no host", "Host(`a`)", "http:///a", "does not match: Host(`a`) does not hold, there is no host"},
		{"host expression", "HostRegexp(`^a`)", "http://AB:80/", "matches: HostRegexp(`^a`) holds, host is \"ab\""},
		{"decoded path", "PathRegexp(`é`)", "http://a/%c3%a9", "matches: PathRegexp(`é`) holds, path is \"/é\""},
		{"no header", "HeaderRegexp(`A`, `b`)", "http://a/", "does not match: HeaderRegexp(`A`, `b`) does not hold, there is no header A"},
		{"no parameter", "QueryRegexp(`q`, `b`)", "http://a/", "does not match: QueryRegexp(`q`, `b`) does not hold, there is no parameter q"},
		{"hostile bytes are quoted", "Query(`q`)", "http://a/?q=%0a%1b[31m", "does not match: Query(`q`) does not hold, parameter q is \"\\n\\x1b[31m\""},
		{"or stops at the first that holds", "Host(`a`) || Path(`/`)", "http://a/", "matches: Host(`a`) holds, host is \"a\""},
		{"without TLS", "Host(`a`)", "https://a/", "is for requests without TLS only, the request came over TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTable(t, newRoute(t, "it", tt.rule)).Explain(request(t, tt.url))
			if got := x.Verdicts[0].String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
