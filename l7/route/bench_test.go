package route

import (
	"fmt"
	"testing"
)

// scenario is a table of n routers and a request for one of them.
type scenario struct {
	name  string
	rules func(i, n int) string
	url   func(n int) string
	want  func(n int) string
}

var scenarios = []scenario{
	{
		"host",
		func(i, _ int) string { return fmt.Sprintf("Host(`customer-%d.example.com`)", i) },
		func(n int) string { return fmt.Sprintf("http://customer-%d.example.com:8080/index.html", n/2) },
		func(n int) string { return fmt.Sprintf("r%d", n/2) },
	},
	{
		"prefix",
		func(i, _ int) string {
			return fmt.Sprintf("Host(`api.example.com`) && PathPrefix(`/v%d/service-%d`)", i%7, i)
		},
		func(n int) string {
			return fmt.Sprintf("http://api.example.com/v%d/service-%d/items/4711", n/2%7, n/2)
		},
		func(n int) string { return fmt.Sprintf("r%d", n/2) },
	},
	{
		"path",
		func(i, _ int) string { return fmt.Sprintf("Host(`api.example.com`) && Path(`/endpoint/%d`)", i) },
		func(n int) string { return fmt.Sprintf("http://api.example.com/endpoint/%d", n/2) },
		func(n int) string { return fmt.Sprintf("r%d", n/2) },
	},
	{
		"wildcard",
		func(i, _ int) string { return fmt.Sprintf("Host(`*.customer-%d.example.com`)", i) },
		func(n int) string { return fmt.Sprintf("http://www.customer-%d.example.com/", n/2) },
		func(n int) string { return fmt.Sprintf("r%d", n/2) },
	},
	{
		"mixture",
		func(i, n int) string {
			switch {
			case i == n-1:
				return "PathPrefix(`/`)"
			case i%10 == 0:
				return fmt.Sprintf("Host(`*.zone-%d.example.com`) && !PathPrefix(`/private`)", i)
			case i%10 == 1:
				return fmt.Sprintf("PathPrefix(`/everywhere-%d`) && Method(`GET`)", i)
			}
			return fmt.Sprintf("Host(`customer-%d.example.com`) && (PathPrefix(`/api-%d`) || Path(`/health`))", i/20, i)
		},
		func(n int) string { return fmt.Sprintf("http://customer-%d.example.com/api-%d/x", n/40, n/40*20+5) },
		func(n int) string {
			if i := n/40*20 + 5; i < n-1 {
				return fmt.Sprintf("r%d", i)
			}
			return fmt.Sprintf("r%d", n-1)
		},
	},
	{
		"header",
		func(i, _ int) string {
			if i%2 == 0 {
				return fmt.Sprintf("Host(`customer-%d.example.com`) && Header(`X-Canary`, `yes`)", i/2)
			}
			return fmt.Sprintf("Host(`customer-%d.example.com`) && !HeaderRegexp(`User-Agent`, `^bot`)", i/2)
		},
		func(n int) string { return fmt.Sprintf("http://customer-%d.example.com/", n/4) },
		func(n int) string { return fmt.Sprintf("r%d", n/4*2+min(1, n-1)) },
	},
	{
		"query",
		func(i, _ int) string {
			return fmt.Sprintf("Host(`customer-%d.example.com`) && PathRegexp(`^/find/`) && Query(`id`, `a b`)", i)
		},
		func(n int) string {
			return fmt.Sprintf("http://customer-%d.example.com/find/me?page=2&sort=name&id=a%%20b", n/2)
		},
		func(n int) string { return fmt.Sprintf("r%d", n/2) },
	},
	{
		"miss",
		func(i, _ int) string { return fmt.Sprintf("Host(`customer-%d.example.com`) && Path(`/%d`)", i, i) },
		func(int) string { return "http://nobody.example.com/" },
		func(int) string { return "" },
	},
}

// build returns the table, the request and the name of its route. The header
// scenario of one router has only the canary, which the request is then.
func (s scenario) build(tb testing.TB, n int) (*Table[string], *Request, string) {
	tb.Helper()
	var routes []*Route[string]
	for i := range n {
		routes = append(routes, newRoute(tb, fmt.Sprintf("r%d", i), s.rules(i, n)))
	}
	headers := [][2]string{{"Host", "x"}, {"User-Agent", "curl/8"}, {"Accept", "*/*"}}
	if n == 1 {
		headers = append(headers, [2]string{"X-Canary", "yes"})
	}
	return newTable(tb, routes...), request(tb, s.url(n), headers...), s.want(n)
}

// TestScenariosAllocateNothing also checks that the benchmarks measure what
// they say.
func TestScenariosAllocateNothing(t *testing.T) {
	for _, s := range scenarios {
		for _, n := range []int{1, 10, 1000} {
			t.Run(fmt.Sprintf("%s/%d", s.name, n), func(t *testing.T) {
				table, req, want := s.build(t, n)
				got := ""
				if r, ok := table.Match(req); ok {
					got = r.Name
				}
				if got != want {
					t.Fatalf("goes to %q, want %q", got, want)
				}
				if allocs := testing.AllocsPerRun(100, func() { table.Match(req) }); allocs != 0 {
					t.Errorf("%v allocations", allocs)
				}
			})
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, s := range scenarios {
		for _, n := range []int{1, 10, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				table, req, want := s.build(b, n)
				if r, ok := table.Match(req); ok != (want != "") || ok && r.Name != want {
					b.Fatalf("goes to %v, want %q", r, want)
				}
				b.ReportAllocs()
				for b.Loop() {
					table.Match(req)
				}
			})
		}
	}
}

func BenchmarkNewTable(b *testing.B) {
	for _, s := range scenarios {
		b.Run(s.name+"/10000", func(b *testing.B) {
			var routes []*Route[string]
			for i := range 10000 {
				routes = append(routes, newRoute(b, fmt.Sprintf("r%d", i), s.rules(i, 10000)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewTable(routes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
